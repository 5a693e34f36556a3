"""The Python in the README and in the docs runs, page by page, each page in one session."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from tests.docs.markdown import PAGES, ROOT, blocks

from anymask import geometry

PICTURES = ROOT / "docs" / "pictures"
AGAIN = "README.zh-CN.md"  # has the blocks of README.md, as test_site.py sees to
WITH_PYTHON = [page for page in PAGES if blocks(page, "python") and page.name != AGAIN]
COARSE = 6  # points per side of a search in everything mode


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the images that the pages speak of, and the repository's docs."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    shutil.copytree(PICTURES / "photos", tmp_path / "photos")
    shutil.copy(PICTURES / "coffee.jpg", tmp_path / "photos")
    for name in ("photo.jpg", "street.jpg", "my-dog.jpg", "another.jpg"):
        shutil.copy(PICTURES / "coffee.jpg", tmp_path / name)
    with PIL.Image.open(PICTURES / "coffee.jpg") as coffee:
        coffee.resize((1200, 800)).save(tmp_path / "truck.jpg")
        coffee.resize((300, 200)).save(tmp_path / "scan.tif")
    monkeypatch.chdir(tmp_path)
    grids = geometry.layer_grids
    monkeypatch.setattr(  # other tests show what a search finds
        geometry, "layer_grids", lambda side, *more: grids(min(side, COARSE), *more)
    )
    return tmp_path


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_the_snippets_of_a_page_run(page: Path, workplace: Path) -> None:
    session: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page, "python"):
        if block.skip:
            compile(block.code, str(block), "exec")
            continue
        for code in (block.setup, block.code):
            # So that a traceback names the page and the line in it.
            exec(compile("\n" * block.line + code, str(page), "exec"), session)


def test_hardly_any_snippet_is_left_out() -> None:
    all_of_them = [block for page in WITH_PYTHON for block in blocks(page, "python")]
    left_out = [str(block) for block in all_of_them if block.skip]
    assert len(left_out) < len(all_of_them) / 3, left_out

"""Every page can be reached, every link leads somewhere, and every public name is documented."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docs.markdown import PAGES, ROOT, blocks

import anymask
from recipes import docs_commands

DOCS = ROOT / "docs"
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)


def linked(nav: Any) -> Iterator[str]:
    """Go through the pages of a navigation, at any depth."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []:
        yield from linked(entry)


def anchors(page: Path) -> set[str]:
    """List what `#...` may follow the name of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    headings = (re.sub(r"[`*]|\[|\]\([^)]*\)", "", h).lower() for h in _HEADING.findall(text))
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", h).strip()) for h in headings}


def test_every_page_is_in_the_navigation() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    pages = list(linked(site["project"]["nav"]))
    assert sorted(pages) == sorted(path.name for path in DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for link in _LINK.findall(text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        if page.parent == DOCS:
            assert target.is_relative_to(DOCS), f"{link} leads out of the site"
        if anchor:
            assert anchor in anchors(target), f"{target.name} has no heading for #{anchor}"


def test_every_public_name_is_in_the_reference() -> None:
    described = re.findall(r"^::: (\S+)$", (DOCS / "reference.md").read_text("utf-8"), re.M)
    errors = {"AnymaskError", *(cls.__name__ for cls in anymask.AnymaskError.__subclasses__())}
    names = {path.rpartition(".")[2] for path in described} | errors
    assert set(anymask.__all__) - names == {"VARIANTS", "__version__"}
    assert "anymask.errors" in described


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    written = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert written == docs_commands.page(), "run: make docs"


def test_both_readmes_have_the_same_blocks() -> None:
    languages = "bash", "python", "console"
    ours = blocks(ROOT / "README.md", *languages)
    theirs = blocks(ROOT / "README.zh-CN.md", *languages)

    def bare(code: str) -> str:
        return re.sub(r" *#.*$", "", code, flags=re.M)  # comments may be translated

    assert [bare(block.code) for block in theirs] == [bare(block.code) for block in ours]
    assert len(ours) >= 3

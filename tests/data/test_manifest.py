"""The 23 data sets of the paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from anymask.data.manifest import MANIFEST, markdown
from anymask.data.open import FILES, LAYOUTS

ROOT = Path(__file__).resolve().parents[2]


def test_there_are_23_in_order() -> None:
    names = [row.name for row in MANIFEST]
    assert len(names) == len(set(names)) == 23
    assert names == sorted(names, key=str.casefold)


def test_every_layout_can_be_opened() -> None:
    for row in MANIFEST:
        assert row.layout is None or row.layout in {**LAYOUTS, **FILES}, row.name
        assert (row.layout is None) == (row.opens == ""), row.name
        assert row.layout or row.note, f"{row.name}: say why there is no reader"


def test_the_sizes_are_those_of_the_paper() -> None:
    # Sets of more than 15,000 masks were taken in part, up to about 10,000.
    assert all(row.images > 0 and 0 < row.masks < 15000 for row in MANIFEST)
    assert sum(row.masks for row in MANIFEST) == 172_653
    assert sum(row.images for row in MANIFEST) == 40_188


def test_the_documentation_shows_the_manifest() -> None:
    page = ROOT / "docs" / "evaluation.md"
    if not page.parent.is_dir():
        pytest.skip("this copy has no documentation")
    text = page.read_text(encoding="utf-8")
    assert markdown() in text, "write anymask.data.manifest.markdown() into docs/evaluation.md"

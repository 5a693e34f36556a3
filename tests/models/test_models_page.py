"""The page about models says what the table of variants says."""

from __future__ import annotations

from pathlib import Path

import pytest

from anymask.models.variants import VARIANTS, Variant

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"

HEAD = "| model | parameters | file | points | beside | box | mask | text | weights under | from |"
RULE = "| --- | ---: | ---: | :-: | :-: | :-: | :-: | :-: | --- | --- |"


def row(variant: Variant) -> str:
    weights = variant.weights
    knows = [
        "yes" if ability in variant.capabilities else "-"
        for ability in ("points", "negative_points", "box", "mask", "text")
    ]
    size = f"{weights.size / 1e6:,.1f} MB" if weights.size else "?"
    host = f"[file]({weights.url})" if weights.url else "inside the package"
    paper = f", [paper]({variant.paper[1]})" if variant.paper else ""
    cells = [f"`{variant.name}`", f"{variant.parameters:,}", size, *knows]
    return f"| {' | '.join(cells)} | {weights.licence} | {host}{paper} |"


def test_the_page_has_the_table() -> None:
    table = "\n".join([HEAD, RULE, *map(row, VARIANTS)])
    assert table in PAGE.read_text(encoding="utf-8"), f"put this into {PAGE}:\n{table}"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_the_page_knows_every_other_name(variant: Variant) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{alias}`" in text for alias in variant.aliases)
    assert variant.weights.sha256 is None or variant.weights.sha256[:6] in text

"""The page about models says what the table of variants says."""

from __future__ import annotations

from pathlib import Path

import pytest

from anymask.models.variants import VARIANTS, Variant

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"

HEAD = "| model | points | background | box | mask | text | file |"
RULE = "| --- | :-: | :-: | :-: | :-: | :-: | --- |"


def row(variant: Variant) -> str:
    weights = variant.weights
    knows = [
        "yes" if ability in variant.capabilities else "-"
        for ability in ("points", "negative_points", "box", "mask", "text")
    ]
    size = f"{weights.size / 1e6:,.1f} MB" if weights.size else "file"  # nobody says how large
    host = f"[{size}]({weights.url})" if weights.url else f"{size}, inside"
    paper = f", [paper]({variant.paper[1]})" if variant.paper else ""
    cells = [f"`{variant.name}`", *knows, f"{host}{paper}"]
    return f"| {' | '.join(cells)} |"


def test_the_page_has_the_table() -> None:
    table = "\n".join([HEAD, RULE, *map(row, VARIANTS)])
    assert table in PAGE.read_text(encoding="utf-8"), f"put this into {PAGE}:\n{table}"


def test_the_first_table_has_size_and_licence_of_every_model() -> None:
    _, _, table = PAGE.read_text(encoding="utf-8").partition("\n| model | parameters |")
    table, _, _ = table.partition("\n\n")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    said = [(name, parameters, licence) for name, parameters, *_, licence in rows]
    assert said == [
        (f"`{v.name}`", f"{v.parameters / 1e6:,.1f} M", v.weights.licence) for v in VARIANTS
    ]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_the_page_knows_every_other_name(variant: Variant) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{alias}`" in text for alias in variant.aliases)
    assert variant.weights.sha256 is None or variant.weights.sha256[:6] in text

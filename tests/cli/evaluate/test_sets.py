"""``anymask evaluate sets``."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from anymask.cli.evaluate import parse
from anymask.cli.evaluate.measure import Measure
from anymask.data.manifest import MANIFEST


def test_the_list_names_every_set_in_a_narrow_window(run: Any) -> None:
    result = run("sets")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines[1:-3:2]] == [row.name for row in MANIFEST]
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)


def test_a_set_says_where_it_is_and_how_it_is_opened(run: Any) -> None:
    words = run("sets", "ppdls", "IBD").out
    assert words.startswith("PPDLS: plants from above: leaves\n")
    assert "https://www.plant-phenotyping.org/datasets-home" in words
    assert "Plant_Phenotyping_Datasets, with **/*_rgb.png and **/*_label.png" in words
    assert "no reader: layout unknown" in words.partition("IBD: ")[2]


@pytest.mark.parametrize("row", [r for r in MANIFEST if r.layout], ids=lambda row: row.name)
def test_the_command_that_is_shown_is_one(run: Any, row: Any) -> None:
    said = run("sets", row.name).out
    (line,) = [line for line in said.splitlines() if "anymask evaluate" in line]
    words = shlex.split(line.partition("anymask evaluate ")[2])
    command = parse(words)
    assert isinstance(command, Measure)
    assert list(map(str, command.data)) == row.opens.split(", ")
    assert command.layout == row.layout


def test_lines_of_json(run: Any) -> None:
    rows = [json.loads(line) for line in run("sets", "--json").out.splitlines()]
    assert [row["name"] for row in rows] == [row.name for row in MANIFEST]
    assert [json.loads(run("sets", "lvis", "--json").out)["layout"]] == ["coco"]


@pytest.mark.parametrize(
    ("name", "hint"), [("lvs", "did you mean 'LVIS'"), ("qqqq", "name one out of ADE20K, ")]
)
def test_an_unknown_name_is_one_sentence(run: Any, name: str, hint: str) -> None:
    result = run("sets", name)
    assert (result.code, result.out) == (2, "")
    assert hint in result.err and result.err.count("\n") == 1

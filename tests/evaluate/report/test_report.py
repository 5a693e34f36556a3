"""Tables, pages, and the report of several models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anymask.errors import OutputError
from anymask.evaluate.protocol import Curve, Summary, Table
from anymask.evaluate.report.report import joined, markdown, write_joint_report, write_summary


def summary(value: float | None, *, sets: tuple[str, ...] = ("a", "b")) -> Summary:
    rows = tuple((name, 3, value) for name in sets)
    curve = Curve("curve", "A curve", "x", "y", dict.fromkeys(sets, ((1, 2), (0.5, 0.6))))
    return Summary(
        (Table("main", "The <main> one", ("set", "masks", "IoU"), rows, "A note."),), (curve,)
    )


def test_cells_are_rounded_for_people_and_whole_for_programs(tmp_path: Path) -> None:
    write_summary(tmp_path, "t", {"protocol": "p"}, summary(0.123456))
    assert "| a | 3 | 0.123 |" in (tmp_path / "results.md").read_text()
    assert "a,3,0.123456" in (tmp_path / "main.csv").read_text()
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["protocol"], results["tables"][0]["rows"][0][2]) == ("p", 0.123456)


@pytest.mark.parametrize(("value", "cell"), [(None, "-"), (12.3456, "12.3"), (0.5, "0.500")])
def test_numbers_have_the_digits_that_matter(value: float | None, cell: str) -> None:
    assert f"| a | 3 | {cell} |" in markdown(summary(value))


def test_the_page_says_what_it_shows_and_nothing_is_markup_by_chance(tmp_path: Path) -> None:
    write_summary(tmp_path, "<t>", {}, summary(0.5), links={"one": "one/index.html"})
    page = (tmp_path / "index.html").read_text()
    assert "<h1>&lt;t&gt;</h1>" in page
    assert "The &lt;main&gt; one" in page
    assert '<a href="one/index.html">one</a>' in page
    assert "A note." in page


def test_the_page_tells_how_it_was_measured(tmp_path: Path) -> None:
    about = {"protocol": "p", "options": {"counts": [1, 2], "seed": None, "of": {"a": 1}}, "no": {}}
    write_summary(tmp_path, "t", about, summary(0.5))
    page = (tmp_path / "index.html").read_text()
    assert "<dt>protocol</dt><dd>p</dd>" in page
    assert "<span>counts: 1 2</span><span>seed: none</span><span>of: (a: 1)</span>" in page
    assert "<dt>no</dt>" not in page


def test_models_stand_side_by_side_in_every_set(tmp_path: Path) -> None:
    both = {"one": summary(0.1), "other": summary(0.2)}
    (table,) = joined(both).tables
    assert table.header == ("set", "model", "masks", "IoU")
    assert table.rows == (
        ("a", "one", 3, 0.1), ("a", "other", 3, 0.2),
        ("b", "one", 3, 0.1), ("b", "other", 3, 0.2),
    )  # fmt: skip
    assert list(joined(both).curves[0].lines) == ["one, a", "one, b", "other, a", "other, b"]
    folders = {name: tmp_path / name for name in both}
    assert write_joint_report(tmp_path, "p", both, folders) == joined(both)
    assert 'href="other/index.html"' in (tmp_path / "index.html").read_text()


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        write_summary(tmp_path / "file", "t", {}, summary(0.5))

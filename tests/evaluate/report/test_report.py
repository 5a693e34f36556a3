"""Tables, pages, and the report of several models."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from anymask.errors import OutputError
from anymask.evaluate.protocol import Curve, Summary, Table
from anymask.evaluate.report.page import Figure, Page
from anymask.evaluate.report.report import joined, markdown, write_joint_report, write_page


def summary(value: float | None, *, sets: tuple[str, ...] = ("a", "b")) -> Summary:
    rows = tuple((name, 3, value) for name in sets)
    curve = Curve("curve", "A curve", "x", "y", dict.fromkeys(sets, ((1, 2), (0.5, 0.6))))
    return Summary(
        (Table("main", "The <main> one", ("set", "masks", "IoU"), rows, "A note."),), (curve,)
    )


def test_cells_are_rounded_for_people_and_whole_for_programs(tmp_path: Path) -> None:
    write_page(tmp_path, Page("t", {"protocol": "p"}, summary(0.123456)))
    assert "| a | 3 | 0.123 |" in (tmp_path / "results.md").read_text()
    assert "a,3,0.123456" in (tmp_path / "main.csv").read_text()
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["protocol"], results["tables"][0]["rows"][0][2]) == ("p", 0.123456)


@pytest.mark.parametrize(("value", "cell"), [(None, "-"), (12.3456, "12.3"), (0.5, "0.500")])
def test_numbers_have_the_digits_that_matter(value: float | None, cell: str) -> None:
    assert f"| a | 3 | {cell} |" in markdown(summary(value))


def test_the_page_says_what_it_shows_and_nothing_is_markup_by_chance(tmp_path: Path) -> None:
    write_page(tmp_path, Page("<t>", {}, summary(0.5), links={"one": "one/index.html"}))
    page = (tmp_path / "index.html").read_text()
    assert "<h1>&lt;t&gt;</h1>" in page
    assert "The &lt;main&gt; one" in page
    assert '<a href="one/index.html">one</a>' in page
    assert "A note." in page


def test_the_page_tells_how_it_was_measured(tmp_path: Path) -> None:
    about = {"protocol": "p", "options": {"counts": [1, 2], "seed": None, "of": {"a": 1}}, "no": {}}
    write_page(tmp_path, Page("t", about, summary(0.5)))
    page = (tmp_path / "index.html").read_text()
    assert "<dt>protocol</dt><dd>p</dd>" in page
    assert "<span>counts: 1 2</span><span>seed: none</span><span>of: (a: 1)</span>" in page
    assert "<dt>no</dt>" not in page


def cells(page: str) -> list[str]:
    return re.findall(r"<td[^>]*>.*?</td>", page)


def test_shares_are_drawn_as_bars_and_nothing_else_is(tmp_path: Path) -> None:
    rows = (("a", 3, 0.25, 12.5), ("b", 1, None, 0.5))
    table = Table("main", "t", ("set", "masks", "IoU", "clicks"), rows)
    write_page(tmp_path, Page("t", {}, Summary((table,))))
    assert cells((tmp_path / "index.html").read_text()) == [
        '<td class="text">a</td>',
        "<td>3</td>",
        '<td class="share" style="--share: 0.2500">0.250</td>',
        "<td>12.5</td>",
        '<td class="text">b</td>',
        "<td>1</td>",
        '<td class="none">-</td>',
        "<td>0.500</td>",
    ]


def test_a_set_that_comes_again_steps_back(tmp_path: Path) -> None:
    rows = (("a", "small", 1), ("a", "large", 2), ("b", "small", 3))
    write_page(tmp_path, Page("t", {}, Summary((Table("main", "t", ("set", "size", "n"), rows),))))
    page = (tmp_path / "index.html").read_text()
    assert [cell for cell in cells(page) if ">a<" in cell or ">b<" in cell] == [
        '<td class="text">a</td>',
        '<td class="again">a</td>',
        '<td class="text">b</td>',
    ]


def test_the_page_shows_cases_and_leads_to_the_files(tmp_path: Path) -> None:
    worst = Figure("cases/a&b.jpg", 'set/"a"', "0.100")
    figures = {"Worst cases": [worst], "Best cases": []}
    write_page(tmp_path, Page("t", {}, summary(0.5), figures, legend="Prediction > truth."))
    page = (tmp_path / "index.html").read_text()
    assert 'src="cases/a&amp;b.jpg" alt="set/&#34;a&#34;, 0.100"' in page
    assert page.count("Prediction &gt; truth.") == 1
    assert "Best cases" not in page  # there are none
    addresses = re.findall(r"<footer>(.*)</footer>", page)[0]
    named = re.findall(r'href="([^"]+)"', addresses)
    assert named == ["results.json", "results.md", "main.csv"]
    assert all((tmp_path / name).is_file() for name in named)


def test_plots_have_the_colour_of_the_text_around(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra 'eval'")
    write_page(tmp_path, Page("t", {}, summary(0.5)))
    page = (tmp_path / "index.html").read_text()
    drawn = page[page.index("<svg") : page.index("</svg>")]
    assert "currentColor" in drawn
    assert "#000000" not in drawn
    assert "#ffffff" not in drawn


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
        write_page(tmp_path / "file", Page("t", {}, summary(0.5)))

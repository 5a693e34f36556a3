"""Plots: what is drawn where."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from anymask.evaluate.plot import _ticks, svg
from anymask.evaluate.protocol import Curve

SVG = "{http://www.w3.org/2000/svg}"


def drawn(lines: dict) -> ET.Element:
    return ET.fromstring(svg(Curve("name", "<title>", "x & x", "y", lines)))


def test_a_line_goes_through_its_points() -> None:
    root = drawn({"one": ((0, 5, 10), (0.0, 1.0, 0.5))})
    path = next(p.get("d") for p in root.iter(f"{SVG}path") if p.get("class") == "line")
    places = [tuple(map(float, place.split())) for place in re.findall(r"[\d.]+ [\d.]+", path)]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == x2 - x1 > 0
    assert y0 - y2 == y2 - y1 > 0  # higher values are further up
    circles = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")]
    assert circles == places


def test_words_are_never_markup() -> None:
    root = drawn({"a < b": ((0, 1), (0, 1))})
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"x & x", "y", "a < b"} <= set(words)
    assert root.find(f"{SVG}title").text == "<title>"


def test_each_line_has_a_colour_and_a_name() -> None:
    root = drawn({f"line {n}": ((0, 1), (n, n)) for n in range(3)})
    lines = [p for p in root.iter(f"{SVG}path") if p.get("class") == "line"]
    assert len({line.get("stroke") for line in lines}) == 3


@pytest.mark.parametrize("lines", [{}, {"one": ((), ())}, {"one": ((1,), (0.5,))}])
def test_little_to_draw_is_no_error(lines: dict) -> None:
    assert drawn(lines).tag == f"{SVG}svg"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.42, 0.71], [0.4, 0.5, 0.6, 0.7, 0.8]),
        ([1, 9], [0, 2, 4, 6, 8, 10]),
        ([0, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ([3, 3], [2.4, 2.6, 2.8, 3, 3.2, 3.4, 3.6]),
        ([-2000, 10000], [-5000, 0, 5000, 10000]),
    ],
)
def test_ticks_are_round_numbers_around_all_values(values: list, expected: list) -> None:
    found = _ticks(values)
    assert found[0] <= min(values) <= max(values) <= found[-1]
    assert found == expected

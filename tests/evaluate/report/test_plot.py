"""Plots: what is drawn where."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from anymask.evaluate.protocol import Curve
from anymask.evaluate.report import plot
from anymask.evaluate.report.plot import svg

SVG = "{http://www.w3.org/2000/svg}"


def drawn(lines: dict) -> ET.Element:
    pytest.importorskip("matplotlib", reason="plots need the extra 'eval'")
    text = svg(Curve("name", "<title>", "x & x", "y", lines))
    assert text is not None
    return ET.fromstring(text)


def test_a_line_goes_through_its_points() -> None:
    root = drawn({"one": ((0, 5, 10), (0.0, 1.0, 0.5))})
    paths = [p.get("d") or "" for p in root.iter(f"{SVG}path") if p.get("clip-path")]
    lines = [re.findall(r"([\d.]+) ([\d.]+)", path) for path in paths]
    (x0, y0), (x1, y1), (x2, y2) = next(
        [(float(x), float(y)) for x, y in line] for line in lines if len(line) == 3
    )
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.01)
    assert y0 - y2 == pytest.approx(y2 - y1, abs=0.01)
    assert x1 > x0
    assert y0 > y2  # higher values are further up


def test_words_are_never_markup() -> None:
    root = drawn({"a < b": ((0, 1), (0, 1))})
    words = {text.text for text in root.iter(f"{SVG}text")}
    assert {"x & x", "y", "a < b"} <= words


def test_the_same_curve_gives_the_same_file() -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra 'eval'")
    curve = Curve("name", "title", "x", "y", {"one": ((0, 1), (0, 1))})
    assert svg(curve) == svg(curve)


@pytest.mark.parametrize("lines", [{}, {"one": ((), ())}, {"one": ((1,), (0.5,))}])
def test_little_to_draw_is_no_error(lines: dict) -> None:
    assert drawn(lines).tag == f"{SVG}svg"


def test_without_matplotlib_there_is_no_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, extra: str) -> None:
        raise plot.MissingExtraError(f"no {name}; install {extra}")

    monkeypatch.setattr(plot, "optional", missing)
    assert svg(Curve("name", "title", "x", "y", {})) is None

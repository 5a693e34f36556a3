"""Legends: names in the corner, in any number, length and script, on images of any size."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import PIL.ImageFont
import pytest

from anymask import draw
from anymask.draw.fonts import Fonts
from anymask.draw.legend import Legend
from anymask.draw.palette import colours
from anymask.errors import InputError
from anymask.masks.masks import Masks


def named(labels: list[str | None], size_hw: tuple[int, int] = (400, 600)) -> Masks:
    dense = np.zeros((len(labels), *size_hw), dtype=bool)
    for i, mask in enumerate(dense):
        mask[i % size_hw[0], : size_hw[1] // 2] = True
    return Masks.from_dense(dense, labels=labels)


def legend_of(masks: Masks, **options: Any) -> Legend:
    return Legend.of(masks, colours(masks), options.get("font"))


def shown(masks: Masks) -> list[str]:
    """List what the legend of an image of this size says."""
    layout = legend_of(masks)._layout((masks.size_hw[1], masks.size_hw[0]))
    return [] if layout is None else [row.name for row in layout.rows]


def changed(masks: Masks, size_hw: tuple[int, int] = (400, 600)) -> np.ndarray:
    image = np.full((*size_hw, 3), 128, dtype=np.uint8)
    pictures = (draw.overlay(image, masks, legend=legend) for legend in (True, False))
    one, other = map(np.asarray, pictures)
    return (one != other).any(axis=2)


def test_names_are_sorted_by_how_often_they_occur() -> None:
    assert shown(named(["b", "a", "c", "c", None])) == ["c", "a", "b"]
    assert [row.number for row in legend_of(named(["b", "c", "c"])).rows] == [2, 1]


def test_empty_masks_are_not_listed() -> None:
    masks = Masks.from_dense(np.zeros((1, 400, 600), bool), labels=["dog"])
    assert shown(masks) == []
    assert not changed(masks).any()


def test_many_names_end_with_how_many_more_there_are() -> None:
    names = shown(named([f"name {i:03}" for i in range(200)]))
    assert 20 < len(names) < 80
    assert names[-1] == f"and {200 - len(names) + 1} more"


@pytest.mark.parametrize("labels", [["dog"], ["x" * 500], [f"name {i}" for i in range(300)]])
@pytest.mark.parametrize("size_hw", [(120, 160), (400, 600), (900, 120), (150, 2000)])
def test_it_takes_less_than_half_of_the_image(
    labels: list[str | None], size_hw: tuple[int, int]
) -> None:
    hidden = changed(named(labels, size_hw), size_hw)
    y, x = np.nonzero(hidden)
    if len(y):
        assert np.ptp(x) < 0.46 * size_hw[1]
        assert np.ptp(y) < 0.61 * size_hw[0]


def test_columns_only_where_one_does_not_do() -> None:
    few, many = (
        legend_of(masks)._layout((600, 400))
        for masks in (named([f"name {i}" for i in range(n)]) for n in (8, 30))
    )
    assert few is not None and many is not None
    assert (few.per_column, many.per_column) == (8, 15)
    assert [row.name for row in many.rows] == sorted(f"name {i}" for i in range(30))
    long = legend_of(named([f"{i} is a long name, " * 9 for i in range(30)]))._layout((600, 400))
    assert long is not None
    assert long.per_column == len(long.rows) < 30


def test_long_names_are_shortened() -> None:
    (name,) = shown(named(["a very long name " * 30]))
    assert name.startswith("a very long name")
    assert name.endswith(("\u2026", "..."))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (300, 1), (20, 20), (40, 60)])
def test_an_image_without_room_has_none(size_hw: tuple[int, int]) -> None:
    assert not changed(named(["dog", "cat"], size_hw), size_hw).any()


def test_a_name_of_several_lines_is_one_line() -> None:
    assert shown(named(["a\nb\t\x00c"])) == ["a b c"]
    assert shown(named([""])) == [""]


def test_letters_grow_with_the_image() -> None:
    small, large = (
        legend_of(named(["dog"], (3, 3)))._layout(size) for size in ((600, 400), (6000, 4000))
    )
    assert small is not None and large is not None
    assert large.size > 5 * small.size


def test_latin_letters_are_the_same_on_every_computer() -> None:
    assert Fonts().of("Dog, cat", 12).face.getname()[0] == "Aileron"


def test_what_no_font_can_write_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anymask.draw.fonts._INSTALLED", ())
    with pytest.warns(UserWarning, match=r"all letters of '\u72d7'; install one"):
        changed(named(["\u72d7"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        changed(named(["dog, cat: 3/4 (a_b)"]))


def test_an_installed_font_is_found_for_other_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    greek = "\u03bb\u03cd\u03ba\u03bf\u03c2"
    try:
        PIL.ImageFont.truetype("DejaVuSans.ttf", 12)
    except OSError:
        pytest.skip("DejaVu Sans is not installed")
    monkeypatch.setattr("anymask.draw.fonts._INSTALLED", ("missing.ttf", "DejaVuSans.ttf"))
    assert Fonts().of(greek, 12).face.getname()[0] == "DejaVu Sans"


def test_a_font_that_is_none() -> None:
    with pytest.raises(InputError, match=r"font file .* got 'nowhere\.ttf'"):
        draw.overlay(np.zeros((9, 9, 3), np.uint8), Masks.empty((9, 9)), font="nowhere.ttf")

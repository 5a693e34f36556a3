"""What is shown of things: masks of every kind, names, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from anymask.errors import InputError
from anymask.masks.masks import Masks
from anymask.predict.personal.examples import read_examples, things_of

IMAGE = np.zeros((6, 8, 3), np.uint8)
LEFT, RIGHT = np.zeros((2, 6, 8), bool)
LEFT[1:4, 1:3] = True
RIGHT[2:5, 5:7] = True


def same(things: dict, **wanted: np.ndarray) -> None:
    assert len(things) == len(wanted)
    for mask, expected in zip(things.values(), wanted.values(), strict=True):
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("value", [1, 77, 128, 255])
def test_one_value_is_one_thing(value: int, tmp_path: Path) -> None:
    """PerSeg's files have 128, some have 1 and look black; several pieces are one thing, too."""
    both = (LEFT | RIGHT).astype(np.uint8) * np.uint8(value)
    same(things_of(both), one=LEFT | RIGHT)
    PIL.Image.fromarray(both).save(tmp_path / "mask.png")
    same(things_of(tmp_path / "mask.png"), one=LEFT | RIGHT)
    red = np.stack([both, both * 0, both * 0], axis=2)
    PIL.Image.fromarray(red).save(tmp_path / "red.png")
    same(things_of(str(tmp_path / "red.png")), one=LEFT | RIGHT)


def test_soft_edges_are_no_labels(tmp_path: Path) -> None:
    soft = LEFT * np.uint8(255)
    soft[4, 1:3] = 60
    same(things_of(soft), one=LEFT)
    PIL.Image.fromarray(soft).save(tmp_path / "mask.png")
    same(things_of(tmp_path / "mask.png"), one=LEFT)


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "array"])
def test_a_label_map_has_a_thing_for_each_value(mode: str, tmp_path: Path) -> None:
    values = LEFT * 1 + RIGHT * (200 if mode in ("P", "I;16") else 2)
    if mode == "array":
        same(things_of(values), left=LEFT, right=RIGHT)
        return
    picture = PIL.Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.uint8))
    if mode == "P":
        picture.putpalette([0, 0, 0, 255, 0, 0] + [9] * 762)
    picture.save(tmp_path / "labels.png")
    same(things_of(tmp_path / "labels.png"), left=LEFT, right=RIGHT)


def test_masks_show_what_they_are_labelled() -> None:
    masks = Masks.from_dense(np.stack([LEFT, RIGHT, RIGHT]), labels=["mug", "lamp", "mug"])
    things = things_of(masks)
    assert list(things) == ["mug", "lamp"]
    np.testing.assert_array_equal(things["mug"], LEFT | RIGHT)
    assert [one.name for one in read_examples(IMAGE, masks)] == ["mug", "lamp"]


@pytest.mark.parametrize(
    ("masks", "names", "wanted"),
    [
        ([LEFT], None, ["thing"]),
        ([LEFT], "mug", ["mug"]),
        ([LEFT, RIGHT], None, ["thing", "thing"]),
        ([LEFT, RIGHT], "mug", ["mug", "mug"]),
        ([LEFT, RIGHT], ["mug", "lamp"], ["mug", "lamp"]),
        ([LEFT + 2 * RIGHT], None, ["thing 1", "thing 2"]),
        ([LEFT + 2 * RIGHT], ["mug", "lamp"], ["mug", "lamp"]),
        ([LEFT + 2 * RIGHT, 2 * LEFT + 7 * RIGHT], ["a", "b", "c"], ["a", "b", "b", "c"]),
    ],
)
def test_names(masks: list, names: str | list[str] | None, wanted: list[str]) -> None:
    examples = read_examples([IMAGE] * len(masks), masks, names)
    assert [one.name for one in examples] == wanted


@pytest.mark.parametrize(
    ("references", "masks", "names", "message"),
    [
        ([], [], None, "got 0 references and 0 masks"),
        ([IMAGE], [], None, "got 1 reference and 0 masks"),
        ([IMAGE], [LEFT & RIGHT], None, "got an empty one"),
        ([IMAGE], [LEFT | True], None, "got one that covers all of it"),
        ([IMAGE], [LEFT[:5]], None, "8 x 6 pixels like 'the reference', got one of 8 x 5"),
        ([IMAGE], [LEFT * 0.5], None, "whole numbers"),
        ([IMAGE], [LEFT.astype(int) - 1], None, "labels from 0 on, got -1"),
        ([IMAGE], ["nothing.png"], None, "'nothing.png', but it does not exist"),
        ([IMAGE], [Masks.empty((6, 8))], None, "got none; give at least one"),
        ([IMAGE], [LEFT], [" "], "names that are words"),
        ([IMAGE], [LEFT], ["a", "b"], "1 in 1 image, got 2"),
        ([IMAGE], [LEFT + 2 * RIGHT], ["a"], "2 in 1 image, got 1"),
        (["no.jpg"], [LEFT], None, "no.jpg"),
    ],
)
def test_bad_examples_are_refused_in_a_sentence(
    references: list, masks: list, names: list[str] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_examples(references, masks, names)


def test_a_damaged_mask_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(InputError, match="it is damaged or no image"):
        read_examples(IMAGE, tmp_path / "mask.png")

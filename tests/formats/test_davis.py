"""Masks of frames as DAVIS has them."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest

from anymask.errors import InputError
from anymask.formats import davis
from anymask.masks.masks import Masks


def masks_of(**known: object) -> Masks:
    dense = np.zeros((3, 5, 8), bool)
    dense[0, :2] = dense[1, 3:, 4:] = True
    about = {"ids": [2, 7, 9], "labels": ["cup", "spoon", "fork"], "scores": [0.5, 0.75, 0.0]}
    return Masks.from_dense(dense, **(about | known))


def test_all_that_is_known_comes_back() -> None:
    masks = masks_of(meta=[{"status": "tracked"}, {}, {"status": "lost"}], image_meta={"frame": 4})
    file = io.BytesIO()
    davis.write(file, masks)
    assert davis.read(file.getvalue()) == masks


def test_the_numbers_are_ids_and_the_palette_is_that_of_davis() -> None:
    file = io.BytesIO()
    davis.write(file, masks_of())
    image = PIL.Image.open(file)
    assert image.mode == "P" and set(np.unique(np.asarray(image))) == {0, 2, 7}
    assert image.convert("RGB").getpixel((0, 0)) == (0, 128, 0)  # colour 2


def test_files_of_others_are_read_without_void() -> None:
    numbers = np.array([[0, 1, 3, 255]], np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(numbers).save(file, "PNG")
    masks = davis.read(file.getvalue())
    assert masks.ids == (1, 3) and masks.areas.tolist() == [1, 1]


def test_no_masks_at_all() -> None:
    file = io.BytesIO()
    davis.write(file, Masks.empty((4, 6)))
    assert len(davis.read(file.getvalue())) == 0


@pytest.mark.parametrize("ids", [[1, 1, 2], [0, 1, 2], [1, 2, 255], [1, 2, None]])
def test_ids_that_the_numbers_cannot_say(ids: list[int | None]) -> None:
    with pytest.raises(InputError, match="expected an id of its own from 1 to 254"):
        davis.write(io.BytesIO(), masks_of(ids=ids))

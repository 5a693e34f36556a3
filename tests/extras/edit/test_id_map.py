"""Id maps: two bytes in red and green, both ways."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from anymask import InputError, Masks
from anymask.extras.edit import id_map, read_id_map, write_id_map


def single_pixels(n: int, size_hw: tuple[int, int]) -> Masks:
    total = size_hw[0] * size_hw[1]
    runs = [np.array([i, 1, total - i - 1][: 3 - (i == total - 1)], np.uint32) for i in range(n)]
    return Masks(size_hw, tuple(runs))


def test_there_and_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.choice([0, 1, 255, 256, 257, 511, 65_535], (23, 31))
    encoded = np.stack([numbers % 256, numbers // 256, 0 * numbers], 2).astype(np.uint8)
    masks = read_id_map(encoded)
    assert masks.ids == (1, 255, 256, 257, 511, 65_535)
    for number, mask in zip(masks.ids, masks.dense(), strict=True):
        np.testing.assert_array_equal(mask, numbers == number)
    write_id_map(tmp_path / "ids.png", masks)
    again = read_id_map(tmp_path / "ids.png")
    assert again.ids == (1, 2, 3, 4, 5, 6) and again.counts[2].tolist() == masks.counts[2].tolist()


def test_as_many_masks_as_two_bytes_can_count() -> None:
    size = (256, 257)
    masks = single_pixels(65_535, size)
    file = io.BytesIO()
    write_id_map(file, masks)
    pixels = np.asarray(PIL.Image.open(io.BytesIO(file.getvalue())))
    assert pixels[-2, -1].tolist() == [255, 255, 0] or pixels.max() == 255
    again = read_id_map(file.getvalue())
    assert len(again) == 65_535 and again.ids[-1] == 65_535
    assert all((a == b).all() for a, b in zip(again.counts, masks.counts, strict=True))
    with pytest.raises(InputError, match="at most 65535 masks for an id map, got 65536"):
        id_map(single_pixels(65_536, size))


def test_nothing_and_everything() -> None:
    assert not id_map(Masks.empty((3, 4))).any()
    assert len(read_id_map(np.zeros((3, 4, 3), np.uint8))) == 0
    full = read_id_map(id_map(Masks.from_dense(np.ones((3, 4), bool))))
    assert full.areas.tolist() == [12] and full.dense().all()


def test_smaller_masks_lie_on_top() -> None:
    dense = np.ones((2, 4, 4), bool)
    dense[0, 1:] = False
    assert id_map(Masks.from_dense(dense))[..., 0].tolist() == [[1] * 4] + [[2] * 4] * 3


def test_another_image_is_none() -> None:
    with pytest.raises(InputError, match="whose pixels have no blue, got an image with some"):
        read_id_map(np.full((3, 4, 3), 9, np.uint8))

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest

from anymask.formats import png
from anymask.masks import label_map, rle


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (9, 1), (7, 5), (40, 30), (0, 4)])
@pytest.mark.parametrize("count", [1, 2, 60_000])
def test_numbers_are_encoded_as_masks_one_by_one(size_hw: tuple[int, int], count: int) -> None:
    rng = np.random.default_rng(count)
    numbers = rng.integers(0, count, size_hw).astype(np.uint16)
    found = label_map.encode_numbers(numbers)
    assert list(found) == np.unique(numbers).tolist()
    for number, counts in found.items():
        wanted = rle.encode(numbers == number)
        assert counts.dtype == wanted.dtype and counts.tolist() == wanted.tolist()


def test_the_map_is_looked_at_once_however_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    whole = np.flatnonzero
    monkeypatch.setattr(
        np, "flatnonzero", lambda array: seen.append(np.size(array)) or whole(array)
    )
    numbers = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    file = io.BytesIO()
    PIL.Image.fromarray(numbers).save(file, "PNG")
    assert len(png.read(file.getvalue())) == 1999
    assert sum(seen) <= 2 * numbers.size

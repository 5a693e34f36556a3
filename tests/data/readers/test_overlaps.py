"""Masks that overlap go to different layers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from anymask.data.dataset import Sample
from anymask.data.readers.overlaps import layered
from anymask.masks import rle

SIZE = (3, 4)
Bools = npt.NDArray[np.bool_]


@given(st.lists(arrays.arrays(bool, SIZE), max_size=6))
def test_every_mask_comes_back_with_its_name(masks: list[Bools]) -> None:
    names = [f"mask {i}" for i in range(len(masks))]
    labels = layered([rle.encode(mask) for mask in masks], SIZE, names)
    sample = Sample(np.zeros((*SIZE, 3), np.uint8), labels.layers, names=labels.names)
    found = dict(zip(sample.names, sample.masks(), strict=True))
    wanted = {name: mask for name, mask in zip(names, masks, strict=True) if mask.any()}
    assert found.keys() == wanted.keys()
    assert all((found[name] == wanted[name]).all() for name in wanted)


def test_crowds_are_void_where_nothing_else_is() -> None:
    top, all_pixels = np.zeros(SIZE, bool), np.ones(SIZE, bool)
    top[0] = True
    labels = layered([rle.encode(top)], SIZE, crowds=[rle.encode(all_pixels)])
    assert labels.void is not None
    assert (labels.void == ~top).all()
    assert layered([rle.encode(top)], SIZE).void is None


def test_more_masks_than_eight_bits_can_count() -> None:
    masks = np.eye(300, dtype=bool).reshape(300, 1, 300)
    labels = layered(rle.encode_many(masks), (1, 300))
    assert len(labels.layers) == 1
    assert labels.layers[0].dtype == np.uint16

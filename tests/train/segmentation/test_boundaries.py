"""What is learned about where masks end."""

from __future__ import annotations

import numpy as np
import torch

from anymask.data.item import Item
from anymask.image.transform import Transform
from anymask.train.segmentation.boundaries import boundary_loss, framed_layers, targets

LAYERS = np.ones((2, 8, 8), np.uint8)
LAYERS[0, :, 4:] = 2  # one of two sees an end here


def item(layers: np.ndarray) -> Item:
    nothing = np.zeros((0, 2), np.int64)
    return Item("a", Transform.fit((8, 8), side=8, pad=16), layers, nothing, nothing[:, 0])


ALL = np.zeros((8, 8), np.bool_)


def test_targets_are_shares_of_layers() -> None:
    share, known = targets(LAYERS, ALL)
    assert share.tolist() == [[0, 0.5], [0, 0.5]]
    assert known.all()


def test_cells_that_nobody_labelled_are_unknown_but_where_masks_end() -> None:
    layers = np.zeros((1, 8, 12), np.uint8)
    layers[0, :, :4] = 3
    share, known = targets(layers, np.zeros((8, 12), np.bool_))
    assert share.tolist() == [[0, 1, 0], [0, 1, 0]]
    assert known.tolist() == [[1, 1, 0], [1, 1, 0]]


def test_masks_that_are_cut_off_do_not_end_there() -> None:
    outside = ALL.copy()
    outside[:, 4:] = True
    share, known = targets(np.where(outside, 0, LAYERS), outside)
    assert not share.any()
    assert known.tolist() == [[1, 0], [1, 0]]


def test_the_frame_is_filled_with_unknown() -> None:
    framed = framed_layers(item(LAYERS))
    assert framed.shape == (2, 16, 16)
    assert np.array_equal(framed[:, :8, :8], LAYERS)
    assert not framed[:, 8:].any() and not framed[:, :, 8:].any()


def test_the_loss_is_least_where_logits_say_the_shares() -> None:
    share = np.zeros((4, 4), np.float32)  # nothing ends where the photo does
    share[:2, 1] = 0.5
    right = torch.from_numpy(np.clip(share, 0.01, 0.99)).logit()[None, None]
    best = boundary_loss(right, [item(LAYERS)])
    for other in (right + 1, right - 1, -right):
        assert boundary_loss(other, [item(LAYERS)]) > best + 0.01
    unknown = right.clone()
    unknown[..., 3:, 3:] += 5
    assert boundary_loss(unknown, [item(LAYERS)]) == best

"""The original's arithmetic around masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anymask.compat.utils import amg
from anymask.errors import InputError
from anymask.masks import rle

MASK = torch.zeros(2, 5, 7, dtype=torch.bool)
MASK[0, 1:4, 2:6] = True
MASK[0, 0, 0] = True


def test_boxes_of_masks() -> None:
    boxes = amg.batched_mask_to_box(MASK)
    assert boxes.dtype == torch.int64
    assert boxes.tolist() == [[0, 0, 5, 3], [0, 0, 0, 0]]
    assert amg.batched_mask_to_box(MASK[0]).tolist() == [0, 0, 5, 3]
    assert amg.batched_mask_to_box(MASK[:, None]).shape == (2, 1, 4)
    assert amg.box_xyxy_to_xywh(boxes[0]).tolist() == [0, 0, 5, 3]
    assert amg.box_xyxy_to_xywh(np.array([2, 3, 7, 5])).tolist() == [2, 3, 5, 2]


def test_run_lengths_go_there_and_back() -> None:
    first, empty = amg.mask_to_rle_pytorch(MASK)
    assert first["size"] == [5, 7] and first["counts"][0] == 0  # the first pixel is set
    assert empty == {"size": [5, 7], "counts": [35]}
    np.testing.assert_array_equal(amg.rle_to_mask(first), MASK[0].numpy())
    assert amg.area_from_rle(first) == 13
    string = amg.coco_encode_rle(first)
    assert isinstance(string["counts"], str)
    assert rle.from_string(string["counts"]).tolist() == first["counts"]


def test_crops() -> None:
    boxes, layers = amg.generate_crop_boxes((40, 60), n_layers=1, overlap_ratio=0.25)
    assert boxes[:2] == [[0, 0, 60, 40], [0, 0, 35, 25]]
    assert layers == [0, 1, 1, 1, 1]
    near = torch.tensor([[0, 0, 34, 10], [0, 0, 10, 10]])
    cut_off = amg.is_box_near_crop_edge(near, boxes[1], [0, 0, 60, 40], atol=2)
    assert cut_off.tolist() == [True, False]


def test_grids_stability_and_regions_are_ours() -> None:
    assert amg.build_point_grid(2).tolist() == [
        [0.25, 0.25],
        [0.75, 0.25],
        [0.25, 0.75],
        [0.75, 0.75],
    ]
    assert [len(grid) for grid in amg.build_all_layer_point_grids(4, 1, 2)] == [16, 4]
    logits = torch.tensor([[[-3.0, 0.5, 2.0, 4.0]]])
    torch.testing.assert_close(
        amg.calculate_stability_score(logits, 0.0, 1.0), torch.tensor([2 / 3])
    )
    mask, changed = amg.remove_small_regions(MASK[0].numpy(), 2, "islands")
    assert changed and mask.sum() == 12


def test_batches() -> None:
    numbers, letters = torch.arange(5), list("abcde")
    batches = list(amg.batch_iterator(2, numbers, letters))
    assert [b[0].tolist() for b in batches] == [[0, 1], [2, 3], [4]]
    assert [b[1] for b in batches] == [["a", "b"], ["c", "d"], ["e"]]
    for unequal in (([1, 2, 3], [1]), ()):
        with pytest.raises(InputError, match="sequences of one length"):
            list(amg.batch_iterator(2, *unequal))


def test_a_box_keeps_its_form() -> None:
    assert amg.box_xyxy_to_xywh([1, 2, 5, 7]) == [1, 2, 4, 5]
    assert amg.box_xyxy_to_xywh(np.array([1, 2, 5, 7])).tolist() == [1, 2, 4, 5]
    assert amg.box_xyxy_to_xywh(torch.tensor([1, 2, 5, 7])).tolist() == [1, 2, 4, 5]


@pytest.mark.parametrize("shape", [(0, 5, 5), (3, 0, 5), (2, 3, 5, 0)])
def test_boxes_of_masks_without_a_pixel(shape: tuple[int, ...]) -> None:
    boxes = amg.batched_mask_to_box(torch.zeros(shape, dtype=torch.bool))
    assert boxes.shape == (*shape[:-2], 4) and not boxes.any()

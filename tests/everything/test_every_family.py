"""Everything mode with a small network of every family that takes points: as clicks on a grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.adapted import lively
from tests.models.tiny import tiny

from anymask.errors import CapabilityError
from anymask.models.variants import VARIANTS, find
from anymask.predict.segmenter import Segmenter

# Of families with more than one network, such as SAM-HQ's, each.
NAMES = ("sam-vit-b", "sam2.1-tiny", "sam2-tiny", "sam-hq-vit-b", "sam-hq-vit-tiny-only")
NAMES += ("efficientvit-sam-l0", "efficientvit-sam-xl0", "slimsam-77", "micro-sam-t", "tinysam")
EVERYTHING = {
    "points_per_side": 3,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
}


def model_of(name: str) -> Segmenter:
    network = lively(name)
    with torch.no_grad():  # else some answers would have a predicted IoU below 0
        network.mask_decoder.iou_prediction_head.layers[-1].bias.add_(30)
    return Segmenter(tiny(find(name)), network, "0" * 64)


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_what_clicks_on_the_grid_find(name: str, photo: np.ndarray) -> None:
    torch.set_num_threads(1)
    model = model_of(name)
    found = model.generate(photo, **EVERYTHING)
    embedding = model.embed(photo)
    wanted = []
    for y in (40 / 6, 20, 40 * 5 / 6):
        for x in (10, 30, 50):
            wanted += list(model.predict(embedding, points=[(x, y)], multimask=True).dense())
    assert len(wanted) == 27
    sets = {mask.tobytes() for mask in wanted if mask.any()}
    assert {mask.tobytes() for mask in found.dense()} == sets
    assert len(sets) > 1


def test_what_takes_no_points_says_so(photo: np.ndarray) -> None:
    with pytest.raises(CapabilityError, match="medsam does not know points"):
        model_of("medsam").generate(photo)


def test_every_family_was_tried() -> None:
    tried = {find(name).family for name in NAMES}
    asked = {row.family for row in VARIANTS if {"points", "multimask"} <= row.capabilities}
    own = {"compact", "fastsam", "mobile-sam", "efficient-sam"}  # which have tests of their own
    assert asked - tried <= own

"""Heads of one class on the bundled trunk: their targets, and that they learn where things are."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from anymask import Image
from anymask.models import ssd
from anymask.train.config import LoopConfig
from anymask.train.detector_heads import start_heads, targets, train_heads

LOOP = LoopConfig(steps=30, batch_size=4, lr=2e-3, warmup=2, seed=1)


def test_every_box_has_an_anchor_and_near_ones_do_not_count() -> None:
    boxes = np.array([[0.1, 0.1, 0.12, 0.12], [0.3, 0.2, 0.9, 0.8], [0.5, 0.5, 0.5, 0.7]])
    state, codes = targets(boxes.astype(np.float32))
    assert set(np.unique(state)) == {-1, 0, 1}
    found = ssd.decode(codes)[state == 1]
    for box in boxes[:2]:  # the third is empty
        assert np.isclose(found, box, atol=1e-5).all(axis=1).any()
    assert np.isclose(found[:, None], boxes[:2], atol=1e-5).all(axis=2).any(axis=1).all()
    nothing, _ = targets(np.empty((0, 4), np.float32))
    assert nothing.shape == (1917,) and not nothing.any()


def squares(seed: int) -> tuple[Image, np.ndarray]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 110, (96, 128, 3)).astype(np.uint8)
    boxes = []
    for left in (int(rng.integers(4, 24)), int(rng.integers(64, 84))):
        top = int(rng.integers(4, 52))
        pixels[top : top + 36, left : left + 36] = rng.choice([20, 230])
        boxes.append([left, top, left + 36, top + 36])
    return Image.open(pixels), np.array(boxes, np.float32)


def test_they_learn_what_has_a_box() -> None:
    torch.manual_seed(0)
    detector = start_heads()
    trunk = {key: value.clone() for key, value in detector.trunk.state_dict().items()}
    data = [squares(seed) for seed in range(6)]
    images = [(functools.partial(Image.open, image.pixels), boxes) for image, boxes in data]
    steps: list[int] = []
    image, boxes = squares(100)
    find = functools.partial(ssd.detect, detector, image, min_score=0.0, known=("object",))
    before = find(max_detections=2)
    train_heads(detector, images, LOOP, steps.append)
    after = find(max_detections=2)
    assert steps == list(range(1, 31)) and after.labels == ("object", "object")
    overlap = [ssd.geometry.box_iou(boxes, found.boxes).max(axis=1) for found in (before, after)]
    assert overlap[1].min() > 0.5 > overlap[0].min()
    assert all(torch.equal(value, trunk[key]) for key, value in detector.trunk.state_dict().items())


def test_only_what_the_detector_knows_may_be_looked_for() -> None:
    with pytest.raises(ValueError, match="labels out of object, got Cat"):
        ssd.detect(start_heads(), squares(0)[0], labels=("Cat",), known=("object",))

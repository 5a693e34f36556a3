"""PerSAM-F: two numbers find out which of three answers was meant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny
from torch import nn

from anymask.errors import CapabilityError, InputError
from anymask.models.torch_network import TorchNetwork
from anymask.models.variants import find
from anymask.predict.personal.mask_weights import MaskWeights, learn_weights
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

RADII = (26.0, 16.0, 7.0)
QUICK = {"lr": 2e-2, "steps": 60}  # as far as 1000 steps at the usual rate


class Discs(TorchNetwork):
    """Answers whatever it is asked with three discs in the middle of its frame of 64 x 64."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def mask_hw(self, frame_hw):
        return 32, 32

    def encode(self, pixels, resized_hw):
        return {"image": torch.zeros(len(pixels), 1, 4, 4)}

    def prepare(self, features):
        return features

    def decode(self, features, prompts, multimask):
        assert multimask
        cells = torch.arange(32) * 2 + 0.5 - 31.5
        away = (cells[:, None] ** 2 + cells[None] ** 2).sqrt()
        logits = torch.stack([4 * torch.tanh((r - away) / 3) for r in RADII])
        n = len(prompts.points_xy)
        return logits.expand(n, -1, -1, -1), torch.tensor([0.9, 0.8, 0.7]).expand(n, -1)


@pytest.fixture
def model() -> Segmenter:
    return Segmenter(tiny(find("sam-vit-b")), Discs().eval(), "0" * 64)


def disc(radius: float) -> np.ndarray:
    away = np.hypot(*(np.mgrid[:64, :64] - 31.5))
    return away < radius


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("meant", [0, 1, 2])
def test_the_answer_that_was_shown_is_found(model: Segmenter, meant: int) -> None:
    photo = np.zeros((64, 64, 3), np.uint8)
    mask = disc(RADII[meant])
    before = MaskWeights().predict(model, photo, Prompt(points_xy=[(32, 32)]))
    learned = learn_weights(model, photo, mask, **QUICK)
    found = [learned.whole, learned.part, learned.subpart]
    assert int(np.argmax(found)) == meant
    assert sum(found) == pytest.approx(1)
    after = learned.predict(model, photo, Prompt(points_xy=[(32, 32)]))
    assert len(after) == 1
    assert iou(after.dense()[0], mask) > 0.75
    assert meant == 1 or iou(after.dense()[0], mask) > iou(before.dense()[0], mask) + 0.3
    assert after.scores[0] == pytest.approx(np.dot(found, [0.9, 0.8, 0.7]), abs=1e-6)


def test_a_size_between_two_answers_is_mixed(model: Segmenter) -> None:
    learned = learn_weights(model, np.zeros((64, 64, 3), np.uint8), disc(21), **QUICK)
    found = learned.predict(model, np.zeros((64, 64, 3), np.uint8), Prompt(points_xy=[(32, 32)]))
    assert iou(found.dense()[0], disc(21)) > 0.85


def test_padding_does_not_count(model: Segmenter) -> None:
    """Of a wide photo the lower half of the frame is empty, and the discs reach into it."""
    learned = learn_weights(model, np.zeros((32, 64, 3), np.uint8), disc(RADII[1])[:32], **QUICK)
    assert learned.part == max(learned.whole, learned.part, learned.subpart)
    assert learned.part > 0.6


def test_bad_input(model: Segmenter) -> None:
    photo = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="that holds something"):
        learn_weights(model, photo, np.zeros((64, 64), bool))
    with pytest.raises(InputError, match="like the image"):
        learn_weights(model, photo, disc(5)[:60])
    with pytest.raises(InputError, match="at least 1 step"):
        learn_weights(model, photo, disc(5), steps=0)
    single = replace(model.variant, capabilities=frozenset({"points"}))
    with pytest.raises(CapabilityError):
        learn_weights(replace(model, variant=single), photo, disc(5))

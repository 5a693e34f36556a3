"""Where everything mode asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tests.everything.test_generate import SceneModel
from tests.parity.amg.fake_scene import FakeScene

from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError
from anymask.everything.generate import generate
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

SCENE = {"height": 120, "width": 160, "seed": 7}


def run(model: SceneModel, **settings: object) -> Masks:
    usual = {"pred_iou_thresh": 0.5, "stability_score_thresh": 0.5, "points_per_side": 16}
    return generate(model, model.scene.image, GenerateConfig(**usual | settings))


def test_coarse_to_fine_asks_less_and_finds_most() -> None:
    grid, fine = SceneModel(FakeScene(**SCENE)), SceneModel(FakeScene(**SCENE))
    wanted, found = run(grid), run(fine, sampler="hierarchical")
    assert sum(grid.calls) == 256
    assert fine.calls[0] == 16
    assert sum(fine.calls) < 0.8 * 256
    best = rle.iou(wanted.counts, found.counts).max(axis=1)
    assert (best > 0.75).mean() > 0.45


@pytest.mark.parametrize("points", [[(0.5, 0.5)], [(0.1, 0.2), (0.9, 0.3), (0.4, 0.8)]])
def test_coarse_to_fine_takes_own_points(points: list[tuple[float, float]]) -> None:
    model = SceneModel(FakeScene(**SCENE))
    run(model, sampler="hierarchical", points_per_side=None, point_grids=[points])
    assert sum(model.calls) <= len(points)


class Rooms:
    """A model that sees the walls between four rooms, and notes where it is asked."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []

    def embed(self, image: Image) -> Embedding:
        walls = torch.full((1, 1, 24, 32), -9.0)
        walls[:, :, 11:13] = walls[:, :, :, 15:17] = 9.0
        return Embedding({"boundary": walls}, Transform.fit(image.size_hw, side=128, pad=32), "")

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += [prompt.points_xy[0] for prompt in prompts]
        return torch.zeros(len(prompts), 3, 24, 32), torch.zeros(len(prompts), 3)


def test_each_thing_is_asked_for_in_its_middle() -> None:
    model = Rooms()
    generate(model, np.zeros((240, 320, 3), np.uint8), GenerateConfig(sampler="boxes"))
    asked = np.array(model.asked)
    assert 4 <= len(asked) <= 12
    rooms = {(x > 160, y > 120) for x, y in asked}
    assert len(rooms) == 4
    for x, y in asked:
        assert abs(x - 160) > 30 or abs(y - 120) > 30


def test_another_model_may_see_the_boundaries() -> None:
    model = SceneModel(FakeScene(**SCENE))
    config = GenerateConfig(sampler="boxes", pred_iou_thresh=0.5)
    with pytest.raises(CapabilityError, match="that sees boundaries for the sampler 'boxes', got"):
        generate(model, model.scene.image, config)
    generate(model, model.scene.image, config, scout=Rooms)
    assert sum(model.calls) >= 4


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(InputError, match="out of grid, hierarchical, boxes, got 'random'"):
        GenerateConfig(sampler="random")  # type: ignore[arg-type]

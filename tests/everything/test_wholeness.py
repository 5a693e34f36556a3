"""Things before splinters, and boxes that a detector proposes."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn import functional

from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError
from anymask.everything import wholeness
from anymask.everything.generate import generate
from anymask.everything.wholeness import outline_strength, thing_boxes
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.models import companions
from anymask.prompt import Prompt

IMAGE = np.zeros((48, 64, 3), np.uint8)
THING = (slice(8, 40), slice(8, 56))
HALF = (slice(8, 40), slice(8, 32))


def masks(*places: tuple[slice, slice]) -> torch.Tensor:
    logits = torch.full((len(places), 48, 64), -9.0)
    for mask, place in zip(logits, places, strict=True):
        mask[place] = 9
    return logits


def walls() -> torch.Tensor:
    """Draw the outline of the thing, over cells of 2 by 2 pixels."""
    inside = torch.zeros(24, 32)
    inside[4:20, 4:28] = 1
    inside[5:19, 5:27] = 0
    return inside


def test_a_whole_has_more_of_its_outline_on_boundaries_than_its_half() -> None:
    whole, half = outline_strength(masks(THING, HALF).numpy(), walls().numpy()).tolist()
    assert whole == pytest.approx(1)
    # Of the 52 cells round the half of 12 x 16, the cut has 16, of which 4 touch a wall.
    assert half == pytest.approx((52 - 12) / 52)


@pytest.mark.parametrize("times", [(2, 2), (4, 2), (3, 3), (1, 1), (1.5, 2.5)])
def test_cells_of_any_size_count_if_half_of_them_is_inside(times: tuple[float, float]) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3, int(12 * times[0]), int(16 * times[1]), generator=random)
    shares = functional.interpolate((logits > 0).double()[:, None], (12, 16), mode="area")[:, 0]
    found = wholeness._half_inside(logits.numpy(), (12, 16))
    np.testing.assert_array_equal(found, shares >= 0.5)


def test_the_edge_of_the_frame_is_no_outline() -> None:
    everything, nothing, side = outline_strength(
        masks(
            (slice(0, 48), slice(0, 64)), (slice(0, 0), slice(0, 0)), (slice(0, 48), slice(0, 32))
        ).numpy(),
        np.ones((24, 32), np.float32),
    ).tolist()
    assert (everything, nothing, side) == (0, 0, 1)


class Halves:
    """Trusts the half of the thing most, and answers boxes with the whole."""

    def __init__(self, boundary: torch.Tensor | None = None) -> None:
        self.boundary, self.boxes = boundary, []

    def embed(self, image: Image) -> Embedding:
        features = {"image": torch.zeros(1, 1, 1, 1)}
        if self.boundary is not None:
            features["boundary"] = torch.logit(self.boundary, eps=1e-3)[None, None]
        return Embedding(features, Transform((48, 64), (48, 64), (48, 64)), "")

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        n = len(prompts)
        if not multimask:
            self.boxes += [prompt.box for prompt in prompts]
            return masks(THING).repeat(n, 1, 1, 1), torch.full((n, 1), 0.92)
        found = masks(HALF, THING, (slice(20, 24), slice(20, 24)))
        return found.repeat(n, 1, 1, 1), torch.tensor([[0.95, 0.9, 0.89]]).repeat(n, 1)


def areas(model: Halves, **settings: object) -> list[int]:
    config = GenerateConfig(points_per_side=2, **settings)  # type: ignore[arg-type]
    return [int(area) for area in generate(model, IMAGE, config).areas]


def test_things_come_before_splinters_of_them() -> None:
    model = Halves(walls())
    assert areas(model) == [32 * 24, 32 * 48, 16]
    assert areas(model, ranking="outline") == [32 * 48, 32 * 24, 16]


def test_scores_stay_the_predicted_iou() -> None:
    config = GenerateConfig(points_per_side=1, ranking="outline", mask_nms_thresh=0.9)
    found = generate(Halves(walls()), IMAGE, config)
    assert found.scores.tolist() == pytest.approx([0.9, 0.95, 0.89])


def test_duplicates_by_masks_follow_the_ranking() -> None:
    model = Halves(walls())
    assert areas(model, ranking="outline", mask_nms_thresh=0.4) == [32 * 48, 16]
    assert areas(model, mask_nms_thresh=0.4) == [32 * 24, 16]
    assert areas(model, ranking="outline", containment_nms_thresh=0.9) == [32 * 48]


def test_what_is_far_from_the_best_goes() -> None:
    model = Halves(walls())
    # The ranks: 0.9 of the whole, 0.95 x 40 / 52 of the half, next to nothing inside.
    settings = {"ranking": "outline", "points_per_side": 2}
    found = generate(model, IMAGE, GenerateConfig(**settings, ranking_thresh=0.5))  # type: ignore[arg-type]
    assert [int(area) for area in found.areas] == [32 * 48, 32 * 24]
    assert found.dropped["ranking_thresh"] == 4
    assert sum(found.dropped.values()) + len(found) == 4 * 3
    assert areas(model, ranking="outline", ranking_thresh=0.9) == [32 * 48]
    assert areas(model, ranking_thresh=0.95) == [32 * 24]


def test_less_memory_changes_nothing() -> None:
    model = Halves(walls())
    small = generate(model, IMAGE, GenerateConfig(points_per_side=4, ranking="outline", memory=209))
    assert small == generate(model, IMAGE, GenerateConfig(points_per_side=4, ranking="outline"))


def test_a_model_without_boundaries_cannot_rank_by_them() -> None:
    with pytest.raises(CapabilityError, match="boundaries for the ranking 'outline', got one with"):
        areas(Halves(), ranking="outline")


def test_boxes_of_the_detector_are_prompts_for_one_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def propose(image: Image, limit: int) -> np.ndarray:
        shown.append((image.size_hw, limit))
        return np.array([[8, 8, 56, 40]], np.float32)

    # The module's name is the function's, too.
    module = importlib.import_module("anymask.everything.generate")
    monkeypatch.setattr(module, "thing_boxes", propose)
    model = Halves()
    told: list[tuple[int, int]] = []
    config = GenerateConfig(points_per_side=2, thing_boxes=7)
    found = generate(model, IMAGE, config, progress=lambda *done: told.append(done))
    assert shown == [((48, 64), 7)]
    assert [box.tolist() for box in model.boxes] == [[8, 8, 56, 40]]
    assert found.scores.max() == pytest.approx(0.95) and found.scores[1] == pytest.approx(0.92)
    assert max(told) == (5, 11)


def test_boxes_are_inside_and_no_more_than_asked_for() -> None:
    rng = np.random.default_rng(0)
    image = np.full((90, 120, 3), 60, np.uint8)
    image[20:70, 30:90] = rng.integers(0, 255, (50, 60, 3))
    boxes = thing_boxes(Image.open(image), 5)
    assert boxes.dtype == np.float32 and 1 <= len(boxes) <= 5
    assert (boxes >= 0).all() and (boxes[:, 2] <= 120).all() and (boxes[:, 3] <= 90).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 2).all()
    assert np.array_equal(boxes, thing_boxes(Image.open(image), 9)[:5])
    assert companions.detector("cpu") is companions.detector("cpu")


@pytest.mark.parametrize(
    "options",
    [{"ranking": "best"}, {"ranking_thresh": 1.5}, {"ranking_thresh": -0.1}, {"thing_boxes": -1}],
)
def test_wrong_settings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected"):
        GenerateConfig(**options)  # type: ignore[arg-type]


def test_masks_keep_their_ranking_where_it_is_not_their_score() -> None:
    config = GenerateConfig(points_per_side=4, ranking="outline")
    rankings = [meta["ranking"] for meta in generate(Halves(walls()), IMAGE, config).meta]
    assert rankings == sorted(rankings, reverse=True) and 0 < rankings[-1] < rankings[0] < 1
    plain = generate(Halves(walls()), IMAGE, GenerateConfig(points_per_side=4))
    assert set(map(str, plain.meta)) == {"{}"}

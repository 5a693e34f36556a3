"""Everything mode through the original's class: the recorded runs, and what they do not cover."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.parity.amg.fake_scene import FakeScene
from torch import Tensor

from anymask.compat import ResizeLongestSide, Sam, SamAutomaticMaskGenerator, SamPredictor
from anymask.errors import InputError
from anymask.image.transform import Transform

RUNS = Path(__file__).parents[1] / "parity/amg"
CASES = sorted(path.stem for path in RUNS.glob("*.json") if path.stem != "helpers")
SLOW = {"crop_layers_1", "crop_layers_2_downscale_2", "crop_layers_2_overlap", "defaults_32"}
SLOW |= {"min_region_100", "min_region_100_crops", "loose_16", "odd_size"}


class ScenePredictor:
    """A stand-in that answers from a `FakeScene`, with what the original asks of a predictor."""

    def __init__(self, scene: FakeScene) -> None:
        self.scene = scene
        self.model = SimpleNamespace(mask_threshold=0.0)
        self.transform = ResizeLongestSide(1024)
        self.device = torch.device("cpu")
        self.calls: list[int] = []
        self.window: tuple[int, int, int, int] | None = None

    def set_image(self, image: np.ndarray[Any, Any], image_format: str = "RGB") -> None:
        self.window = self.scene.window(image)

    def reset_image(self) -> None:
        self.window = None

    def predict_torch(
        self,
        point_coords: Tensor,
        point_labels: Tensor,
        boxes: None = None,
        mask_input: None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, None]:
        assert point_coords.shape[1:] == (1, 2) and point_labels.shape == point_coords.shape[:2]
        assert multimask_output and return_logits and bool((point_labels == 1).all())
        self.calls.append(len(point_coords))
        x0, y0, x1, y1 = self.window or (0, 0, 0, 0)
        frame = Transform.fit((y1 - y0, x1 - x0), side=1024)
        points = frame.points_to_image(point_coords[:, 0].double().numpy()) + np.array([x0, y0])
        logits, scores = self.scene.predict(points, self.window)
        return torch.from_numpy(logits), torch.from_numpy(scores), None


def scene_generator(
    sam: Sam, scene: dict[str, Any], **options: Any
) -> tuple[SamAutomaticMaskGenerator, ScenePredictor]:
    predictor = ScenePredictor(FakeScene(**scene))
    generator = SamAutomaticMaskGenerator(sam, **options)
    generator.predictor = predictor  # type: ignore[assignment]
    return generator, predictor


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES]
)
def test_recorded_runs(sam: Sam, name: str) -> None:
    case = json.loads((RUNS / f"{name}.json").read_text())
    options = case["parameters"] | {"output_mode": case["output_mode"]}
    generator, predictor = scene_generator(sam, case["scene"], **options)
    hopeless = generator.pred_iou_thresh >= 1
    with pytest.warns(UserWarning, match="hardly any") if hopeless else nullcontext():
        records = generator.generate(predictor.scene.image)
    assert predictor.calls == case["decoder_calls"]
    assert predictor.window is None  # forgotten at the end
    assert len(records) == case["count"]
    for found, expected in zip(records, case["records"] or [], strict=True):
        assert same(found, expected), (found, expected)
        whole = [found["area"], *found["bbox"], *found["crop_box"]]
        assert {type(number) for number in whole} == {int}
        json.dumps(found)


def same(found: Any, expected: Any) -> bool:
    """Compare two records; fractions may differ in the last digits."""
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[k], expected[k]) for k in found)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, str):
        return found == expected
    return abs(found - expected) <= 1e-6


def test_all_runs_are_there() -> None:
    assert len(CASES) == 13


SCENE = {"height": 120, "width": 160, "seed": 7}
LOOSE = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}


def test_the_output_modes_say_the_same(sam: Sam) -> None:
    modes = ("binary_mask", "uncompressed_rle", "coco_rle")
    runs = [scene_generator(sam, SCENE, **LOOSE, output_mode=mode) for mode in modes]
    dense, runs_of, strings = (g.generate(p.scene.image) for g, p in runs)
    assert len(dense) == len(runs_of) == len(strings) > 3
    for mask, lengths, string in zip(dense, runs_of, strings, strict=True):
        pixels = mask["segmentation"]
        assert pixels.dtype == np.bool_ and pixels.shape == (120, 160)
        counts = lengths["segmentation"]["counts"]
        assert all(type(count) is int for count in counts) and sum(counts) == 120 * 160
        again = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(160, 120).T
        np.testing.assert_array_equal(again, pixels)
        assert lengths["segmentation"]["size"] == string["segmentation"]["size"] == [120, 160]
        assert isinstance(string["segmentation"]["counts"], str)


def test_settings_may_change_afterwards(sam: Sam) -> None:
    generator, predictor = scene_generator(sam, SCENE, **LOOSE)
    before = len(generator.generate(predictor.scene.image))
    generator.pred_iou_thresh = 0.9
    assert 0 < len(generator.generate(predictor.scene.image)) < before


def test_point_grids_can_be_read_and_replaced(sam: Sam, image: np.ndarray[Any, Any]) -> None:
    loose = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    options: dict[str, Any] = {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2}
    generator = SamAutomaticMaskGenerator(sam, points_per_side=4, **options)
    assert generator.point_grids is not None
    assert [grid.shape for grid in generator.point_grids] == [(16, 2), (4, 2)]
    generator = SamAutomaticMaskGenerator(sam, points_per_side=4, **loose)
    generator.point_grids = [np.array([[0.25, 0.75]])]
    h, w = image.shape[:2]
    points = [record["point_coords"][0] for record in generator.generate(image)]
    assert points
    np.testing.assert_allclose(points, [[0.25 * w, 0.75 * h]] * len(points))


@pytest.mark.parametrize("name", ["pred_iou_thresh", "stability_score_thresh"])
def test_thresholds_below_0_keep_all(sam: Sam, name: str) -> None:
    found = []
    for value in (0.0, -1.0):
        generator, predictor = scene_generator(sam, SCENE, **LOOSE | {name: value})
        found.append(len(generator.generate(predictor.scene.image)))
    assert found[0] == found[1] > 3


def test_the_threshold_of_the_model_counts(sam: Sam) -> None:
    generator, predictor = scene_generator(sam, SCENE, **LOOSE, box_nms_thresh=1.0)
    areas = [record["area"] for record in generator.generate(predictor.scene.image)]
    predictor.model.mask_threshold = 4.0
    smaller = [record["area"] for record in generator.generate(predictor.scene.image)]
    assert 0 < np.mean(smaller) < np.mean(areas)


def test_a_subclass_is_heard_and_finds_the_same(sam: Sam, image: np.ndarray[Any, Any]) -> None:
    class Louder(SamPredictor):
        asked = 0

        def predict_torch(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
            self.asked += 1
            return super().predict_torch(*args, **kwargs)

    options = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    usual = SamAutomaticMaskGenerator(sam, **options, box_nms_thresh=1.0, crop_n_layers=1)
    louder = SamAutomaticMaskGenerator(sam, **options, box_nms_thresh=1.0, crop_n_layers=1)
    louder.predictor = Louder(sam)
    wanted, found = usual.generate(image), louder.generate(image)
    assert louder.predictor.asked == 5
    assert len(wanted) == len(found) > 0
    for a, b in zip(wanted, found, strict=True):
        assert (a["segmentation"] != b["segmentation"]).mean() < 1e-3
        assert a["point_coords"] == b["point_coords"]
        assert a["stability_score"] == pytest.approx(b["stability_score"], abs=1e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_mode": "polygon"}, "output_mode out of binary_mask, .* got 'polygon'"),
        ({"points_per_side": None}, "got neither"),
        ({"point_grids": [[(0.5, 0.5)]]}, "got both"),
        ({"box_nms_thresh": -1}, "box_nms_thresh as a number from 0 to 1"),
        ({"crop_n_layers": 1, "crop_n_points_downscale_factor": 0}, "downscale_factor as a whole"),
    ],
)
def test_wrong_settings_are_refused_early(sam: Sam, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SamAutomaticMaskGenerator(sam, **options)


@pytest.mark.parametrize(
    ("options", "same_as"),
    [
        ({"crop_n_points_downscale_factor": 0}, {}),
        ({"crop_n_points_downscale_factor": 2.5}, {}),
        (
            {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2.0},
            {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2},
        ),
        ({"box_nms_thresh": 1.5}, {"box_nms_thresh": 1.0}),
        ({"crop_nms_thresh": 2}, {"crop_nms_thresh": 1.0}),
        ({"pred_iou_thresh": -1.0}, {"pred_iou_thresh": 0.0}),
        ({"min_mask_region_area": 24.5}, {"min_mask_region_area": 25}),
        ({"min_mask_region_area": -3}, {}),
        ({"points_per_side": 3.0}, {}),
    ],
)
def test_settings_that_the_original_takes(
    sam: Sam, image: np.ndarray[Any, Any], options: dict[str, Any], same_as: dict[str, Any]
) -> None:
    common = {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    found = SamAutomaticMaskGenerator(sam, **{**common, **options}).generate(image)
    wanted = SamAutomaticMaskGenerator(sam, **{**common, **same_as}).generate(image)
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        assert (a["segmentation"] == b["segmentation"]).all()

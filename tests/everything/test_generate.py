"""Everything mode: recorded runs on a made-up scene, settings, bounds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.parity.amg.fake_scene import FakeScene

from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.everything.generate import generate
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.masks.masks import Masks
from anymask.plain import sentences
from anymask.prompt import Prompt

RUNS = Path(__file__).resolve().parents[1] / "parity" / "amg"
CASES = sorted(path.stem for path in RUNS.glob("*.json") if path.stem != "helpers")
SLOW = {
    "crop_layers_1",
    "crop_layers_2_downscale_2",
    "crop_layers_2_overlap",
    "defaults_32",
    "min_region_100",
    "min_region_100_crops",
}


class SceneModel:
    """A model that answers from a `FakeScene`: its frame is the image itself."""

    def __init__(self, scene: FakeScene) -> None:
        self.scene = scene
        self.calls: list[int] = []
        self.embedded: list[tuple[int, int]] = []

    def embed(self, image: Image) -> Embedding:
        self.embedded.append(image.size_hw)
        window = torch.tensor(self.scene.window(image.pixels), dtype=torch.float32)
        same = Transform(image.size_hw, image.size_hw, image.size_hw)
        return Embedding({"window": window.reshape(1, 4, 1, 1)}, same, "scene")

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert multimask
        self.calls.append(len(prompts))
        window = tuple(int(v) for v in embedding.features["window"].flatten())
        points = np.concatenate([prompt.points_xy for prompt in prompts])
        logits, scores = self.scene.predict(points + window[:2], window)
        return torch.from_numpy(logits), torch.from_numpy(scores)


def run(scene: dict[str, Any], **parameters: Any) -> tuple[Masks, SceneModel]:
    model = SceneModel(FakeScene(**scene))
    config = GenerateConfig(**parameters)
    hopeless = config.pred_iou_thresh >= 1
    with pytest.warns(UserWarning, match="hardly any") if hopeless else nullcontext():
        return generate(model, model.scene.image, config), model


def records(masks: Masks) -> list[dict[str, Any]]:
    """Write masks as the original's records: boxes as xywh of inclusive pixel indices."""
    assert masks.crop_boxes is not None
    return [
        {
            "segmentation": segmentation,
            "area": int(masks.areas[i]),
            "bbox": xywh(masks.boxes[i]),
            "predicted_iou": float(masks.scores[i]),
            "point_coords": prompt.points_xy.tolist() if prompt else None,
            "stability_score": float(masks.stability[i]),
            "crop_box": xywh(masks.crop_boxes[i]),
        }
        for i, (segmentation, prompt) in enumerate(zip(masks.rle(), masks.prompts, strict=True))
    ]


def xywh(box: np.ndarray) -> list[float]:
    x0, y0, x1, y1 = box.tolist()
    return [x0, y0, x1 - x0, y1 - y0]


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if key == "segmentation":
            assert found[key] == value
        else:
            np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-6, err_msg=key)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES]
)
def test_recorded_runs(name: str) -> None:
    case = json.loads((RUNS / f"{name}.json").read_text())
    masks, model = run(case["scene"], **case["parameters"])
    assert model.calls == case["decoder_calls"]
    assert len(masks) == case["count"]
    if len(masks):
        for found, expected in zip(records(masks), case["records"], strict=True):
            assert_same(found, expected)


def test_all_runs_are_there() -> None:
    assert len(CASES) == 13


SCENE = {"height": 120, "width": 160, "seed": 7}


@pytest.mark.parametrize(
    "extra", [{}, {"crop_n_layers": 1}, {"min_mask_region_area": 50, "crop_n_layers": 1}]
)
def test_nothing_found_is_no_error(extra: dict[str, int]) -> None:
    masks, _ = run(SCENE, points_per_side=4, pred_iou_thresh=1.5, **extra)
    assert len(masks) == 0
    assert masks.size_hw == (120, 160)


def test_thresholds_of_zero_filter_nothing() -> None:
    scene = {**SCENE, "empty_masks": True}
    masks, _ = run(
        scene,
        points_per_side=8,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
    )
    assert len(masks) == 3 * 64
    assert np.isnan(masks.stability[masks.areas == 0]).all()
    assert (masks.areas == 0).any()


def test_the_result_does_not_depend_on_how_much_is_done_at_once() -> None:
    options = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    whole, _ = run(SCENE, **options)
    one_by_one, _ = run(SCENE, **options, points_per_batch=1)
    assert len(whole) > 3
    assert one_by_one == whole


def test_masks_know_where_they_come_from() -> None:
    model = SceneModel(FakeScene(**SCENE))
    config = GenerateConfig(points_per_side=4, pred_iou_thresh=0.5, stability_score_thresh=0.5)
    masks = generate(model, Image(model.scene.image, "scene.png"), config)
    assert len(masks)
    assert masks.source == "scene.png"
    assert model.embedded == [(120, 160)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"min_area": 1000}, lambda masks: masks.filter(min_area=1000)),
        ({"max_area": 0.02}, lambda masks: masks.filter(max_area=0.02)),
        ({"mask_nms_thresh": 0.5}, lambda masks: masks.nms(0.5, "mask")),
        ({"containment_nms_thresh": 0.5}, lambda masks: masks.nms(0.5, "containment")),
        ({"min_area": 99999}, lambda masks: masks[:0]),
    ],
)
def test_what_the_original_lacks_comes_last(options: dict[str, float], expected: Any) -> None:
    usual = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    masks, _ = run(SCENE, **usual)
    refined, _ = run(SCENE, **usual, **options)
    assert len(refined) < len(masks)
    assert refined == expected(masks)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (40, 1)])
def test_tiny_images(size_hw: tuple[int, int]) -> None:
    model = SceneModel(FakeScene(40, 40))
    pixels = model.scene.image[: size_hw[0], : size_hw[1]]
    for layers in range(3):
        config = GenerateConfig(points_per_side=2, pred_iou_thresh=0.0, crop_n_layers=layers)
        assert generate(model, pixels, config).size_hw == size_hw


# ------------------------------------------------------------------- settings


def test_every_setting_has_a_sentence() -> None:
    said = sentences(GenerateConfig)
    for field in fields(GenerateConfig):
        assert said[field.name].endswith("."), field.name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_side": 0}, "points_per_side as a whole number of at least 1, got 0"),
        ({"points_per_side": 8.5}, r"a whole number of at least 1, got 8\.5"),
        ({"crop_n_layers": "2"}, "a whole number of at least 0, got '2'"),
        ({"box_nms_thresh": None}, "a number from 0 to 1, got None"),
        ({"points_per_side": None}, "got neither"),
        ({"point_grids": [[(0.5, 0.5)]]}, "got both"),
        ({"points_per_side": None, "point_grids": [[]]}, "at least one point for each of 1"),
        ({"points_per_side": None, "point_grids": [0.5]}, r"sequence of \(x, y\) pairs"),
        ({"points_per_side": None, "point_grids": [[(50, 20)]]}, "from 0 to 1"),
        (
            {"points_per_side": None, "point_grids": [[(0.5, 0.5)]], "crop_n_layers": 1},
            r"each of 2 crop layers, got \[1\]",
        ),
        (
            {"points_per_side": 4, "crop_n_layers": 3, "crop_n_points_downscale_factor": 2},
            "got 0 in layer 3",
        ),
        ({"points_per_batch": 0}, "points_per_batch as a whole number of at least 1, got 0"),
        ({"crop_n_layers": -1}, "crop_n_layers as a whole number of at least 0, got -1"),
        ({"crop_n_points_downscale_factor": 0}, "crop_n_points_downscale_factor as"),
        ({"min_mask_region_area": -1}, "min_mask_region_area as"),
        ({"pred_iou_thresh": float("nan")}, "pred_iou_thresh as a number of at least 0, got nan"),
        ({"stability_score_offset": -1.0}, "stability_score_offset as"),
        (
            {"box_nms_thresh": 1.1},
            r"box_nms_thresh as a number from 0 to 1, got 1\.1; the default is 0\.7",
        ),
        ({"mask_nms_thresh": 1.5}, "mask_nms_thresh as a number from 0 to 1, got 1.5"),
        ({"containment_nms_thresh": -1}, "containment_nms_thresh as a number from 0 to 1, got -1"),
        ({"min_area": -1}, "min_area as a number of at least 0, got -1"),
        ({"max_area": float("nan")}, "max_area as a number of at least 0, got nan"),
        ({"min_area": 50, "max_area": 40}, "max_area of at least min_area, 50, got 40"),
        ({"min_area": 0.5, "max_area": 0.4}, r"max_area of at least min_area, 0\.5, got 0\.4"),
        ({"crop_nms_thresh": -0.1}, "crop_nms_thresh as a number from 0 to 1, got -0.1"),
        ({"crop_overlap_ratio": -0.5}, "crop_overlap_ratio as"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        GenerateConfig(**options)


def test_settings_are_values() -> None:
    grid = np.array([[0.25, 0.5], [0.75, 0.5]])
    config = GenerateConfig(points_per_side=None, point_grids=(grid,))  # type: ignore[arg-type]
    assert config.point_grids == (((0.25, 0.5), (0.75, 0.5)),)
    assert replace(config) == config
    assert hash(replace(config)) == hash(config)


# -------------------------------------------------------------------- dropped


@pytest.mark.parametrize(
    ("parameters", "setting"),
    [
        ({"pred_iou_thresh": 2.0}, "pred_iou_thresh"),
        ({"pred_iou_thresh": 0, "stability_score_thresh": 1.01}, "stability_score_thresh"),
        ({"min_area": 0.99}, "min_area"),
        ({"max_area": 1}, "max_area"),
    ],
)
def test_a_search_without_results_says_what_dropped_them(
    parameters: dict[str, Any], setting: str
) -> None:
    hopeless = any("thresh" in name and value > 1 for name, value in parameters.items())
    scene = FakeScene(**SCENE)
    with pytest.warns(UserWarning, match="hardly any") if hopeless else nullcontext():
        masks = generate(
            SceneModel(scene), scene.image, GenerateConfig(points_per_side=6, **parameters)
        )
    assert len(masks) == 0
    assert masks.dropped[setting] > 0
    assert masks.dropped.total() == 6 * 6 * 3


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("memory", [1024, 210])
def test_every_answer_is_kept_or_dropped_once(layers: int, memory: int) -> None:
    scene = FakeScene(**SCENE)
    model = SceneModel(scene)
    settings = {"mask_nms_thresh": 0.5, "containment_nms_thresh": 0.9, "min_mask_region_area": 9}
    config = GenerateConfig(
        points_per_side=8, crop_n_layers=layers, min_area=20, memory=memory, **settings
    )
    masks = generate(model, scene.image, config)
    assert len(masks) + masks.dropped.total() == (1 + 4 * layers) * 8 * 8 * 3
    assert all(count > 0 for count in masks.dropped.values())
    assert masks == replace(masks, dropped=masks.dropped.__class__()), "no part of what is equal"
    assert masks[:1].dropped == masks.dropped


def test_more_crops_than_make_sense_are_a_warning() -> None:
    config = GenerateConfig(points_per_side=1, crop_n_layers=5, pred_iou_thresh=0.9)
    scene = FakeScene(**SCENE)
    with pytest.warns(UserWarning, match="which means 1,365 crops and 1,365 prompts; 1 or 2"):
        generate(SceneModel(scene), scene.image, config)

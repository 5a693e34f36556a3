"""The automatic stage with the bundled model: its settings; the same masks from every engine."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.label.farm.conftest import contents

import anymask
from anymask import GenerateConfig, InputError, InstanceConfig, Masks
from anymask.label.farm.automatic import Automatic, automatic_settings, find_masks
from anymask.label.farm.run import farm
from anymask.label.farm.task import Labelling, Task, content_digest
from anymask.models.variants import find

COFFEE = Path(__file__).resolve().parents[3] / "docs/pictures/coffee.jpg"
FEW = {"points_per_side": 3, "crop_n_layers": 0, "thing_boxes": 0}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    with PIL.Image.open(COFFEE) as image:
        for i, box in enumerate([(0, 0, 150, 100), (200, 50, 350, 200)]):
            image.crop(box).save(folder / f"{i}.png")
    return folder


def test_every_engine_gives_the_same_bytes(photos: Path, tmp_path: Path, one_thread: None) -> None:
    model = anymask.load("bundled", "cpu")
    whole, pool = tmp_path / "threads", tmp_path / "pool"
    farm(photos, whole, model, workers=2, **FEW)
    found = farm(photos, pool, "bundled", device="cpu", workers=1, **FEW)
    assert found.masks > 3
    assert contents(whole) == contents(pool)
    content = (photos / "0.png").read_bytes()
    attempt = Labelling(Automatic("bundled", "cpu", options=FEW), lambda name: content).open()
    outcome = attempt(Task(1, "0.png", content_digest(content)))
    settings = automatic_settings(model.variant.generate, FEW)
    plain = find_masks(model, content, settings)
    annotations = json.loads(zlib.decompress(outcome.record))["annotations"]
    assert [one["area"] for one in annotations] == plain.areas.tolist()
    assert outcome.masks == len(plain)


def test_settings_are_those_of_the_stage_with_the_thresholds_of_the_model() -> None:
    sam = automatic_settings(find("sam-vit-h").generate)
    assert isinstance(sam, GenerateConfig)
    assert (sam.pred_iou_thresh, sam.stability_score_thresh) == (0.88, 0.95)
    assert (sam.points_per_side, sam.crop_n_layers, sam.min_mask_region_area) == (32, 2, 100)
    own = automatic_settings(find("bundled").generate, {"crop_n_layers": 0})
    assert isinstance(own, GenerateConfig)
    assert own.pred_iou_thresh == find("bundled").generate.pred_iou_thresh
    assert own.crop_n_layers == 0
    fast = find("fastsam-s").generate
    assert automatic_settings(fast) == fast
    with pytest.raises(InputError, match="expected settings that this model knows"):
        automatic_settings(fast, {"crop_n_layers": 1})


class Fixed:
    """Answers with masks that are known."""

    def __init__(self, masks: Masks) -> None:
        self.masks = masks

    def generate(self, image: object, settings: object) -> Masks:
        return self.masks


def test_what_covers_the_image_goes_and_what_is_small_of_instances(tmp_path: Path) -> None:
    dense = np.zeros((3, 40, 50), bool)
    dense[0] = True
    dense[0, :2] = False  # 95 % of it
    dense[1] = True
    dense[1, :2] = dense[1, 2, 0] = False  # a pixel less
    dense[2, 5:25, 5:25] = True
    dense[2, 30:33, 40:43] = True  # an island
    dense[2, 10:12, 10:12] = False  # a hole
    model = Fixed(Masks.from_dense(dense, scores=[0.9, 0.8, 0.7]))
    content = COFFEE.read_bytes()
    kept = find_masks(model, content, GenerateConfig())  # type: ignore[arg-type]
    assert kept.areas.tolist() == [40 * 50 * 0.95 - 1, 400 + 9 - 4]
    cleaned = find_masks(model, content, InstanceConfig())  # type: ignore[arg-type]
    assert cleaned.areas.tolist()[-1] == 400

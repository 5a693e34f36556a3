"""The recipes of fine-tuning, at tiny size."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.train.conftest import photos, tiny_model

import anymask
from anymask.data.readers.notes import DataWarning
from recipes import finetune_facades, finetune_voc

__all__ = ["photos", "tiny_model"]

pytest.importorskip("cv2", reason="training needs the extra 'image'")


@pytest.fixture
def voc(tmp_path: Path, photos: Path) -> Path:
    """A year of VOC: five images to learn from, one for validation; one has no instances."""
    root = tmp_path / "VOC2012"
    for part in ("JPEGImages", "SegmentationObject", "ImageSets/Segmentation"):
        (root / part).mkdir(parents=True)
    for image in (photos / "images").iterdir():
        PIL.Image.open(image).save(root / "JPEGImages" / f"{image.stem}.jpg")
        labels = np.array(PIL.Image.open(photos / "masks" / image.name))
        labels[25:27] = 255
        PIL.Image.fromarray(labels).save(root / "SegmentationObject" / image.name)
    lists = root / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("0\n1\n2\n3\n4\n")
    (lists / "val.txt").write_text("5\n6\n")
    return root


def test_voc(tmp_path: Path, voc: Path, tiny_model: Callable[[str], str]) -> None:
    loop = replace(finetune_voc.LOOP, steps=2, batch_size=2, evaluate_every=1, workers=0)
    config = finetune_voc.Config(
        voc, tmp_path / "run", tiny_model("sam-vit-b"), rounds=3, loop=loop
    )
    with pytest.warns(DataWarning, match="instances were not drawn are left out: 1 in"):
        report = finetune_voc.main(config)
    assert (report.train_images, report.val_images, report.outcome.steps) == (5, 1, 2)
    assert anymask.load(tmp_path / "run").variant.name == "run"


def test_facades(tmp_path: Path, photos: Path, tiny_model: Callable[[str], str]) -> None:
    for part in ("facades-train", "facades-val"):
        (tmp_path / part).symlink_to(photos)
    out = tmp_path / "run"
    config = finetune_facades.Config(
        tmp_path, out, tiny_model("bundled"), images=4, masks=3, steps=2
    )
    finetune_facades.main(config)
    for protocol in ("points", "boxes"):
        rows = json.loads((out / protocol / "results.json").read_text())
        assert "run" in json.dumps(rows)

"""The recipes of distillation, at tiny size."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.train.conftest import photos, tiny_model

import anymask
from recipes import distill_coupled, distill_mobile_sam, pretrain_sami

__all__ = ["photos", "tiny_model"]

pytest.importorskip("cv2", reason="training needs the extra 'image'")

Make = Callable[[str], str]
SHORT = {"batch_size": 2, "warmup": 0, "workers": 0, "evaluate_every": 100}


def test_mobile_sam(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    loop = replace(distill_mobile_sam.LOOP, steps=12, lr=4e-3, ema_decay=0, **SHORT)
    config = distill_mobile_sam.Config(
        photos, tmp_path / "run", tiny_model("sam-vit-b"), tiny_model("mobile-sam"), 1, loop
    )
    taught, tuned = distill_mobile_sam.main(config)
    assert taught.after["iou"] > taught.before["iou"]
    assert tuned.outcome.steps == 1
    for folder in ("run", "run/tuned"):
        assert anymask.load(tmp_path / folder).variant.family == "mobile-sam"


def test_coupled(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    loop = replace(distill_coupled.LOOP, steps=1, **SHORT)
    out, teacher, student = tmp_path / "run", tiny_model("sam-vit-b"), tiny_model("bundled")
    config = distill_coupled.Config(photos, out, teacher, student, 2, 2, loop)
    assert distill_coupled.main(config).outcome.steps == 1
    assert anymask.load(out).variant.family == "compact"


def test_sami(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    out, teacher = tmp_path / "run", tiny_model("sam-vit-b")
    config = pretrain_sami.Config(
        photos, photos, out, teacher, tiny_model("efficient-sam-ti"), 64,
        replace(pretrain_sami.PRETRAINING, steps=4, **SHORT),
        replace(pretrain_sami.TEACHING, steps=1, **SHORT),
    )  # fmt: skip
    seen, answered = pretrain_sami.main(config)
    assert seen.after["similarity"] > seen.before["similarity"]
    assert answered.outcome.steps == 1
    assert anymask.load(out).variant.family == "efficient-sam"


@pytest.mark.parametrize("recipe", [distill_coupled, distill_mobile_sam, pretrain_sami])
def test_each_says_what_to_expect(recipe: object) -> None:
    said = inspect.getdoc(recipe) or ""
    for word in ("recipes/", "hours", "estimate", "mean IoU"):
        assert word in said

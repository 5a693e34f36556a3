"""Distillation end to end, on tiny networks: students come to agree with their teachers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import anymask
from anymask.errors import CapabilityError, InputError, WeightsError
from anymask.train.config import LoopConfig
from anymask.train.distillation.config import (
    CoupledConfig,
    DecoupledConfig,
    DistillConfig,
    SamiConfig,
)
from anymask.train.distillation.distill import distill

pytest.importorskip("cv2", reason="training needs the extra 'image'")

Make = Callable[[str], str]
LOOP = LoopConfig(
    batch_size=3, lr=4e-3, warmup=3, ema_decay=0, evaluate_every=1000, record_every=5, workers=0
)
TINY = {"side": 64, "width": 32, "depth": 1, "heads": 2}


@pytest.fixture
def pair(photos: Path, tiny_model: Make) -> dict:
    """Settings that all ways share: photos, and a teacher."""
    return {"data": (photos,), "val": (photos,), "teacher": tiny_model("sam-vit-b"), "loop": LOOP}


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    return dict(anymask.load(path).network.state_dict())


def changed(before: str | Path, after: str | Path) -> list[str]:
    old, new = weights(before), weights(after)
    return [name for name in old if not torch.equal(old[name], new[name])]


def test_decoupled(tmp_path: Path, pair: dict, tiny_model: Make) -> None:
    student, loop = tiny_model("mobile-sam"), replace(LOOP, steps=20)
    config = DecoupledConfig(**{**pair, "loop": loop}, student=student, from_scratch=True)
    report = distill(config, tmp_path / "run", quiet=True)
    found = losses(tmp_path / "run")
    assert found[-1] < 0.5 * found[0]
    assert report.after["iou"] > report.before["iou"] + 0.1
    assert report.after["click"] > report.before["click"]
    taught, teacher = weights(tmp_path / "run"), weights(pair["teacher"])
    decoder = [name for name in teacher if not name.startswith("image_encoder.")]
    assert all(torch.equal(taught[name], teacher[name]) for name in decoder)
    assert anymask.load(tmp_path / "run").variant.family == "mobile-sam"
    assert (tmp_path / "run" / "previews" / "step-000020.jpg").exists()


@pytest.mark.parametrize(
    ("student", "steps"),
    [
        ("mobile-sam", 24),
        pytest.param("efficient-sam-ti", 40, marks=pytest.mark.slow),
        ("bundled", 1),  # its kind needs longer to learn something
    ],
)
def test_coupled(tmp_path: Path, pair: dict, tiny_model: Make, student: str, steps: int) -> None:
    loop = replace(LOOP, steps=steps, batch_size=2)
    config = CoupledConfig(
        **{**pair, "loop": loop}, student=tiny_model(student), masks=2, rounds=2, from_scratch=True
    )
    report = distill(config, tmp_path / "run", quiet=True)
    if steps > 1:
        found = losses(tmp_path / "run")
        assert found[-1] < 0.9 * found[0]
        assert report.after["iou"] > report.before["iou"] + 0.03
    assert anymask.load(tmp_path / "run").variant.name == "run"


@pytest.mark.parametrize(
    ("learn", "parts"),
    [("decoder", ("mask_decoder.", "prompt_encoder.")), ("encoder", ("image_encoder.",))],
)
def test_coupled_can_be_about_one_part(
    tmp_path: Path, pair: dict, tiny_model: Make, learn: str, parts: tuple[str, ...]
) -> None:
    student = tiny_model("mobile-sam")
    loop = replace(LOOP, steps=1, batch_size=2)
    config = CoupledConfig(
        **{**pair, "loop": loop}, student=student, masks=2, rounds=3, learn=learn
    )
    distill(config, tmp_path / "run", quiet=True)
    moved = changed(student, tmp_path / "run" / "last")
    assert moved
    assert all(name.startswith(parts) for name in moved)


def test_sami(tmp_path: Path, pair: dict, tiny_model: Make) -> None:
    student, loop = tiny_model("efficient-sam-ti"), replace(LOOP, steps=40)
    config = SamiConfig(**{**pair, "loop": loop}, student=student, **TINY)
    report = distill(config, tmp_path / "run", quiet=True)
    found = losses(tmp_path / "run")
    assert found[-1] < 0.7 * found[0]
    assert report.after["similarity"] > report.before["similarity"] + 0.3
    moved = changed(student, tmp_path / "run")
    assert any(".blocks." in name for name in moved)
    assert all(name.startswith("image_encoder.") for name in moved)
    assert not any(".neck." in name for name in moved)  # what follows the tokens comes later


def test_a_pre_trained_encoder_can_be_taught_further(
    tmp_path: Path, pair: dict, tiny_model: Make
) -> None:
    loop = replace(LOOP, steps=1)
    config = SamiConfig(
        **{**pair, "loop": loop}, student=tiny_model("efficient-sam-ti"), from_scratch=True, **TINY
    )
    distill(config, tmp_path / "sami", quiet=True)
    further = CoupledConfig(
        **{**pair, "loop": loop}, student=str(tmp_path / "sami"), masks=2, rounds=1,
        store=tmp_path / "sami" / "embeddings",
    )  # fmt: skip
    report = distill(further, tmp_path / "run", quiet=True)
    assert report.outcome.steps == 1
    assert not (tmp_path / "run" / "embeddings").exists()


def test_a_run_goes_on_to_the_same_end(tmp_path: Path, pair: dict, tiny_model: Make) -> None:
    usual = {
        **pair,
        "val": (),
        "val_images": 0,
        "student": tiny_model("mobile-sam"),
        "from_scratch": True,
    }
    loop = replace(LOOP, batch_size=2, schedule="constant", warmup=0)
    for name, steps in (("whole", [4]), ("parts", [2, 4])):
        for upto in steps:
            config = DecoupledConfig(**{**usual, "loop": replace(loop, steps=upto)})
            distill(config, tmp_path / name, allow_changes=upto == 4, quiet=True)
    whole, parts = weights(tmp_path / "whole" / "last"), weights(tmp_path / "parts" / "last")
    assert all(torch.allclose(whole[name], parts[name], atol=1e-6) for name in whole)

    shutil.rmtree(tmp_path / "parts" / "embeddings")
    with pytest.raises(InputError, match=r"loop\.lr: .*, now 1\.0; .*--allow-changes"):
        other = replace(config, loop=replace(config.loop, lr=1.0))
        distill(other, tmp_path / "parts", quiet=True)
    assert not (tmp_path / "parts" / "embeddings").exists()  # the teacher was not asked in vain


def test_who_cannot_teach_whom(tmp_path: Path, pair: dict, tiny_model: Make) -> None:
    loop = replace(LOOP, steps=1)

    def refused(kind: type[DistillConfig], **settings: object) -> str:
        config = kind(**{**pair, "loop": loop, **settings})
        with pytest.raises(CapabilityError) as caught:
            distill(config, tmp_path / "run", quiet=True)
        return str(caught.value)

    bundled, plain = tiny_model("bundled"), tiny_model("efficient-sam-ti")
    assert "learn from answers (coupled)" in refused(DecoupledConfig, student=bundled)
    assert "learn from answers (coupled)" in refused(DecoupledConfig, student=plain)
    assert "expected an EfficientSAM as student" in refused(SamiConfig, student=bundled)
    finds = tiny_model("fastsam-s")
    assert "expected two models that answer" in refused(CoupledConfig, student=finds)


def test_bad_input(tmp_path: Path, pair: dict, tiny_model: Make) -> None:
    student = tiny_model("mobile-sam")
    with pytest.raises(InputError, match="got none; name a folder of them"):
        distill(DecoupledConfig(**{**pair, "data": ()}, student=student), tmp_path, quiet=True)
    with pytest.raises(WeightsError, match="expected the name of a model"):
        distill(
            DecoupledConfig(**pair, student="mobile-sm", from_scratch=True), tmp_path, quiet=True
        )
    plain = tiny_model("efficient-sam-ti")
    with pytest.raises(InputError, match="multiple of 16"):
        distill(SamiConfig(**pair, student=plain, **{**TINY, "side": 60}), tmp_path, quiet=True)
    with pytest.raises(InputError, match="between 0 and 1"):
        SamiConfig(mask_ratio=1.0)
    with pytest.raises(InputError, match="learn out of"):
        CoupledConfig(learn="nothing")
    with pytest.raises(InputError, match="expected masks as"):
        CoupledConfig(masks=0)


def test_a_store_of_another_teacher_is_refused(
    tmp_path: Path, pair: dict, tiny_model: Make
) -> None:
    loop = replace(LOOP, steps=1)
    usual = {**pair, "loop": loop, "student": tiny_model("mobile-sam"), "from_scratch": True}
    distill(DecoupledConfig(**usual, store=tmp_path / "store"), tmp_path / "one", quiet=True)
    other = {**usual, "teacher": usual["student"], "store": tmp_path / "store"}
    with pytest.raises(InputError, match="got others in model"):
        distill(DecoupledConfig(**other), tmp_path / "two", quiet=True)

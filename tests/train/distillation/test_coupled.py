"""Coupled distillation: both are asked the same, and the student learns where they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from anymask.data.dataset import LabelMapFolder
from anymask.data.embeddings import EmbeddingStore, fill
from anymask.errors import CapabilityError
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import find
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter
from anymask.train.distillation.coupled import Coupled
from anymask.train.distillation.sample import DistillSample, DistillSamples
from anymask.train.objective import Step

pytest.importorskip("cv2", reason="training needs the extra 'image'")


@pytest.fixture
def teacher(tiny_model) -> Segmenter:
    return load(tiny_model("sam-vit-b"))


@pytest.fixture
def samples(
    tmp_path: Path, photos: Path, teacher: Segmenter
) -> Callable[[Segmenter], DistillSamples]:
    data = LabelMapFolder(photos)
    list(fill(tmp_path / "store", teacher, data))
    store = EmbeddingStore(tmp_path / "store", teacher)
    return lambda student: DistillSamples(data, student.variant.preprocessing, store)


def step() -> Step:
    return Step(0, np.random.default_rng(0), torch.device("cpu"), lambda loss: loss.backward())


def learn(
    teacher: Segmenter, student: Segmenter, batch: list[DistillSample], **options: int
) -> dict:
    student.network.requires_grad_(True)
    return dict(Coupled(teacher, student.variant, **options)(student.network, batch, step()))


def gradients(student: Segmenter) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in student.network.named_parameters() if p.grad is not None}


def test_a_model_has_little_to_learn_from_itself(teacher: Segmenter, samples, tmp_path) -> None:
    student = load(tmp_path / "sam-vit-b")
    batch = [samples(student)[i] for i in range(2)]
    itself = learn(teacher, student, batch, masks=3, rounds=3)
    # What is read from disk has half precision: some pixels fall on the other side.
    assert min(itself["first"], itself["last"]) > 0.95
    with torch.no_grad():
        for weights in student.network.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    other = learn(teacher, student, batch, masks=3, rounds=3)
    assert other["loss"] > itself["loss"]
    assert other["first"] < 0.9


@pytest.mark.parametrize("name", ["mobile-sam", "efficient-sam-ti", "bundled"])
def test_every_part_learns(teacher: Segmenter, samples, tiny_model, name: str) -> None:
    student = load(tiny_model(name))
    found = learn(teacher, student, [samples(student)[0]], masks=2, rounds=2)
    assert np.isfinite(list(found.values())).all()
    moved = {key.partition(".")[0] for key, grad in gradients(student).items() if grad.any()}
    parts = {
        "mobile-sam": {"image_encoder", "prompt_encoder", "mask_decoder"},
        "efficient-sam-ti": {"image_encoder", "prompt_encoder", "mask_decoder"},
        "bundled": {"encoder", "decoder", "image4", "image8", "image16", "image32"},
    }
    assert moved >= parts[name]
    assert all(weights.grad is None for weights in teacher.network.parameters())


def test_a_batch_is_the_mean_of_its_photos(teacher: Segmenter, samples, tiny_model) -> None:
    """So two processes learn what one with twice the batch does."""
    student = load(tiny_model("efficient-sam-ti"))
    batch = [samples(student)[i] for i in range(2)]
    together = learn(teacher, student, batch, masks=2, rounds=2)
    whole = gradients(student)
    student.network.zero_grad()
    apart = [learn(teacher, student, [sample], masks=2, rounds=2) for sample in batch]
    for key, value in together.items():
        assert value == pytest.approx(np.mean([facts[key] for facts in apart]), abs=1e-5)
    for name, grad in gradients(student).items():
        assert torch.allclose(grad / 2, whole[name], atol=1e-5, rtol=1e-3)


def asked(
    monkeypatch: pytest.MonkeyPatch, student: Segmenter
) -> list[tuple[PromptBatch, torch.Tensor]]:
    """Remember what a student is asked."""
    calls = []
    answer = type(student.network).decode_all

    def listen(self, features, prompts, *args):
        if self is student.network:
            calls.append(prompts)
        return answer(self, features, prompts, *args)

    monkeypatch.setattr(type(student.network), "decode_all", listen)
    return calls


@pytest.mark.parametrize(("name", "remembers"), [("mobile-sam", True), ("efficient-sam-ti", False)])
def test_prompts_are_in_the_loop(
    monkeypatch, teacher: Segmenter, samples, tiny_model, name: str, remembers: bool
) -> None:
    student = load(tiny_model(name))
    calls = asked(monkeypatch, student)
    begins = set()
    for number in range(6):
        calls.clear()
        learn(teacher, student, [samples(student)[number]], masks=3, rounds=3)
        by_box = calls[0].boxes is not None
        begins.add(by_box)
        assert [c.points_xy.shape[1] for c in calls] == [n + (not by_box) for n in range(3)]
        assert [c.mask_logits is not None for c in calls] == [False, remembers, remembers]
        for before, after in pairwise(calls):
            said = before.points_xy.shape[1]
            assert torch.equal(after.points_xy[:, :said], before.points_xy)
        if name == "efficient-sam-ti":
            assert (calls[-1].labels == 1).all()
    assert begins == {True, False}


def test_a_student_that_listens_to_few_points_is_asked_less(
    monkeypatch, teacher: Segmenter, samples, tiny_model
) -> None:
    student = load(tiny_model("efficient-sam-ti"))
    calls = asked(monkeypatch, student)
    learn(teacher, student, [samples(student)[0]], masks=1, rounds=9)
    last = calls[-1]
    assert last.points_xy.shape[1] + 2 * (last.boxes is not None) == student.variant.max_points
    assert len(calls) < 9


def test_both_must_answer_prompts(teacher: Segmenter) -> None:
    with pytest.raises(CapabilityError, match="got fastsam-s"):
        Coupled(teacher, find("fastsam-s"))
    with pytest.raises(CapabilityError, match="got fastsam-s"):
        Coupled(replace(teacher, variant=find("fastsam-s")), teacher.variant)

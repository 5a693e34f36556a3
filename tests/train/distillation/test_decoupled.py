"""Decoupled distillation: embeddings come together, wherever they lie in their frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from anymask.data.dataset import LabelMapFolder
from anymask.data.embeddings import EmbeddingStore, fill
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter
from anymask.train.distillation.decoupled import Decoupled, take_over
from anymask.train.distillation.sample import DistillSample, DistillSamples
from anymask.train.objective import Step


@pytest.fixture
def teacher(tiny_model) -> Segmenter:
    return load(tiny_model("sam-vit-b"))


def lesson_of(
    tmp_path: Path, photos: Path, teacher: Segmenter, student: Segmenter
) -> DistillSample:
    data = LabelMapFolder(photos)
    list(fill(tmp_path / "store", teacher, data))
    store = EmbeddingStore(tmp_path / "store", teacher)
    return DistillSamples(data, student.variant.preprocessing, store)[0]


def learn(student: Segmenter, sample: DistillSample) -> tuple[dict, torch.Tensor]:
    """Give what is recorded, and the gradient of the student's embedding."""
    kept: list[torch.Tensor] = []
    encode = student.network.encode

    def watched(pixels, resized_hw):
        made = encode(pixels, resized_hw)["image"]
        made.retain_grad()
        kept.append(made)
        return {"image": made}

    student.network.encode = watched
    step = Step(0, np.random.default_rng(0), torch.device("cpu"), lambda loss: loss.backward())
    facts = Decoupled(student.variant.preprocessing)(student.network, [sample], step)
    return dict(facts), kept[0].grad


def test_a_model_has_nothing_to_learn_from_itself(tmp_path, photos, teacher) -> None:
    student = load(tmp_path / "sam-vit-b")
    facts, _ = learn(student, lesson_of(tmp_path, photos, teacher, student))
    assert facts["loss"] < 1e-5
    assert facts["similarity"] > 0.9999


def test_the_same_frame_counts_with_its_padding(tmp_path, photos, teacher, tiny_model) -> None:
    student = load(tiny_model("mobile-sam"))
    facts, grad = learn(student, lesson_of(tmp_path, photos, teacher, student))
    assert facts["loss"] > 0.1
    assert grad.any(dim=1).all()


def test_another_frame_counts_where_the_photo_is(tmp_path, photos, tiny_model) -> None:
    """The teacher sees the photo squashed, the student above padding."""
    teacher, student = load(tiny_model("efficient-sam-ti")), load(tiny_model("mobile-sam"))
    _, grad = learn(student, lesson_of(tmp_path, photos, teacher, student))
    assert grad.any(dim=1)[0].tolist() == [[True] * 4] * 3 + [[False] * 4]


def test_the_decoder_is_taken_over_and_the_encoder_learns(teacher, tiny_model) -> None:
    student = load(tiny_model("mobile-sam"))
    take_over(student.network, teacher)
    mine, theirs = student.network.state_dict(), teacher.network.state_dict()
    decoder = [name for name in mine if not name.startswith("image_encoder.")]
    assert decoder
    assert all(torch.equal(mine[name], theirs[name]) for name in decoder)
    learns = {n for n, weights in student.network.named_parameters() if weights.requires_grad}
    assert learns
    assert all(name.startswith("image_encoder.") for name in learns)

"""A model agrees with itself, and less with others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from anymask.data.dataset import LabelMapFolder
from anymask.data.embeddings import EmbeddingStore, fill
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter
from anymask.train.distillation.agreement import Agreement


@pytest.fixture
def judge(tmp_path: Path, photos: Path, tiny_model):
    teacher, data = load(tiny_model("sam-vit-b")), LabelMapFolder(photos)
    list(fill(tmp_path / "store", teacher, data))
    store = EmbeddingStore(tmp_path / "store", teacher)
    return lambda student: Agreement(student.variant, teacher, data, store)


def test_a_model_agrees_with_itself(judge, tmp_path: Path) -> None:
    student = load(tmp_path / "sam-vit-b")
    found = judge(student)(student.network)
    assert set(found) == {"click", "box", "iou"}
    assert min(found.values()) > 0.95  # the teacher's embeddings come from disk, in half precision


def test_it_agrees_less_with_others(judge, tmp_path: Path) -> None:
    student = load(tmp_path / "sam-vit-b")
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in student.network.image_encoder.parameters():
            weights.add_(0.3 * torch.randn_like(weights))
    assert judge(student)(student.network)["iou"] < 0.9


@pytest.mark.parametrize("name", ["mobile-sam", "efficient-sam-ti", "bundled"])
def test_any_model_can_be_compared(judge, tiny_model, name: str) -> None:
    student: Segmenter = load(tiny_model(name))
    agreement = judge(student)
    found = agreement(student.network)
    assert all(0 <= value <= 1 for value in found.values())
    assert found["iou"] == pytest.approx((found["click"] + found["box"]) / 2)
    assert agreement(student.network) == found
    assert agreement.draw(student.network).size == (6 * 256, 512)

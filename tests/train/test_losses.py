"""The losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from anymask.train.losses import dice_loss, focal_loss, mask_iou, mask_loss


def test_focal_by_hand() -> None:
    logits, target = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[1.0, 0.0]]])
    hard = 0.25 * math.log(2)  # (1/2)^2 of the cross entropy log 2
    assert focal_loss(logits, target).item() == pytest.approx((0.25 * hard + 0.75 * hard) / 2)


def test_focal_fades_where_the_answer_is_right() -> None:
    target = torch.ones(1, 4, 4)
    right, wrong = (focal_loss(torch.full((1, 4, 4), v), target).item() for v in (4.0, -4.0))
    assert right < 1e-4 * wrong


def test_dice_by_hand() -> None:
    target = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    assert dice_loss(torch.full((1, 1, 4), 100.0), target).item() == pytest.approx(1 - 5 / 7)
    assert dice_loss(target * 200 - 100, target).item() == pytest.approx(0.0, abs=1e-6)


def test_mask_loss_is_20_to_1() -> None:
    logits, target = torch.randn(3, 5, 5), (torch.rand(3, 5, 5) > 0.5).float()
    total = 20 * focal_loss(logits, target) + dice_loss(logits, target)
    assert torch.allclose(mask_loss(logits, target), total)


def test_iou_by_hand_and_of_nothing() -> None:
    target = torch.tensor([[[1.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0]]])
    logits = torch.tensor([[[1.0, -1.0, 1.0, -1.0]], [[-1.0, -1.0, -1.0, -1.0]]])
    assert mask_iou(logits, target).tolist() == pytest.approx([1 / 3, 0.0])


def test_gradients_point_towards_the_target() -> None:
    logits = torch.zeros(1, 4, 4, requires_grad=True)
    target = torch.eye(4)[None]
    mask_loss(logits, target).sum().backward()
    assert logits.grad is not None
    assert ((logits.grad < 0) == (target > 0)).all()

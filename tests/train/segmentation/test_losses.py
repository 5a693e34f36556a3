"""The losses against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from anymask.train.segmentation.losses import (
    dice_loss,
    focal_loss,
    mask_iou,
    mask_loss,
    multimask_loss,
)


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


@pytest.mark.parametrize("loss", [focal_loss, dice_loss, mask_loss, mask_iou])
def test_pixels_without_weight_do_not_count(loss: Callable[..., torch.Tensor]) -> None:
    logits, target = torch.randn(2, 6, 8), (torch.rand(2, 6, 8) > 0.5).float()
    weight = torch.zeros(2, 6, 8)
    weight[:, 1:5, 2:7] = 1
    part = loss(logits[:, 1:5, 2:7], target[:, 1:5, 2:7])
    assert torch.allclose(loss(logits, target, weight), part, atol=1e-6)
    assert torch.allclose(loss(logits, target, torch.ones(2, 6, 8)), loss(logits, target))
    assert loss(logits, target, torch.zeros(2, 6, 8)).isfinite().all()


def test_half_a_weight_is_half_a_pixel() -> None:
    target = torch.tensor([[[1.0, 0.0]]])
    logits, weight = torch.tensor([[[2.0, 2.0]]]), torch.tensor([[[1.0, 0.5]]])
    assert mask_iou(logits, target, weight).item() == pytest.approx(1 / 1.5)
    sure = torch.full((1, 1, 2), 100.0)
    assert dice_loss(sure, target, weight).item() == pytest.approx(1 - 3 / (2.5 + 1))


def test_alpha_weighs_the_object_against_the_rest() -> None:
    wrong = torch.tensor([[[-3.0, 3.0]]]), torch.tensor([[[1.0, 0.0]]])
    both = focal_loss(*wrong, alpha=0.5).item()
    for alpha, share in ((0.25, 0.5), (0.75, 1.5)):
        missing = focal_loss(*(x[..., :1] for x in wrong), alpha=alpha).item()
        assert missing == pytest.approx(share * both)
        much = focal_loss(*(x[..., 1:] for x in wrong), alpha=alpha).item()
        assert much == pytest.approx((2 - share) * both)


def test_only_the_best_of_three_masks_learns() -> None:
    losses = torch.tensor([[3.0, 1.0, 2.0], [0.5, 4.0, 4.0]], requires_grad=True)
    predicted_iou = torch.tensor([[0.1, 0.2, 0.9], [0.8, 0.1, 0.1]])
    loss = multimask_loss(losses, predicted_iou)
    assert loss.tolist() == [1.0, 0.5]
    loss.sum().backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == [[0, 1, 0], [1, 0, 0]]
    whole = multimask_loss(losses, predicted_iou, mean_weight=0.3, top_weight=0.5)
    assert whole.tolist() == pytest.approx([1 + 0.3 * 2 + 0.5 * 2, 0.5 + 0.3 * 8.5 / 3 + 0.25])

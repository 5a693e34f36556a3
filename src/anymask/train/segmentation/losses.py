"""The loss of a mask in SAM (paper, appendix A): 20 focal + 1 dice; and its real IoU.

Where a weight is given, (..., h, w) from 0 to 1, it says how much each pixel counts: 0 where it is
not known whether it belongs to the mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["dice_loss", "focal_loss", "mask_iou", "mask_loss", "multimask_loss"]


def focal_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Tensor:
    """Weigh the cross entropy of each pixel down where it is already right (Lin et al., 2017).

    Args:
        logits: float (..., h, w).
        target: The same shape, 0 or 1 (or a share between).
        weight: How much each pixel counts; None: all alike.
        alpha: Weight of the foreground against the background's 1 - alpha.
        gamma: How fast easy pixels fade.

    Returns:
        Mean over the pixels, (...).
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    miss = (torch.sigmoid(logits) - target).abs()
    losses = (alpha * target + (1 - alpha) * (1 - target)) * miss**gamma * entropy
    if weight is None:
        return losses.mean(dim=(-2, -1))
    return (losses * weight).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1)).clamp(min=1e-6)


def dice_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """One minus the soft Dice overlap of each mask: (..., h, w) to (...)."""
    soft = torch.sigmoid(logits)
    if weight is not None:
        soft = soft * weight
    both = (soft * target).sum(dim=(-2, -1))
    true = (target if weight is None else target * weight).sum(dim=(-2, -1))
    total = soft.sum(dim=(-2, -1)) + true
    return 1 - (2 * both + 1) / (total + 1)


def mask_loss(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, *, alpha: float = 0.25
) -> Tensor:
    """Add 20 focal to 1 dice for each mask: (..., h, w) to (...)."""
    focal = focal_loss(logits, target, weight, alpha=alpha)
    return 20 * focal + dice_loss(logits, target, weight)


def multimask_loss(
    losses: Tensor, predicted_iou: Tensor, *, mean_weight: float = 0.0, top_weight: float = 0.0
) -> Tensor:
    """Take the lowest of the losses of several masks, so that they may mean different things.

    Args:
        losses: Of each mask, (n, k).
        predicted_iou: Of each mask, (n, k).
        mean_weight: Weight of the mean of the losses beside their lowest.
        top_weight: Weight of the loss of the mask with the highest predicted IoU.

    Returns:
        (n,).
    """
    loss = losses.amin(dim=1)
    if mean_weight:
        loss = loss + mean_weight * losses.mean(dim=1)
    if top_weight:
        top = predicted_iou.argmax(dim=1, keepdim=True)
        loss = loss + top_weight * losses.gather(1, top).squeeze(1)
    return loss


def mask_iou(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Measure the IoU of the thresholded masks with the truth: (..., h, w) to (...)."""
    prediction, truth = logits.detach() > 0, target > 0.5
    counted = torch.ones_like(target) if weight is None else weight
    both = ((prediction & truth) * counted).sum(dim=(-2, -1))
    either = ((prediction | truth) * counted).sum(dim=(-2, -1))
    return both / either.clamp(min=1e-6)

"""The loss of SAM (paper, appendix A): 20 focal + 1 dice, lowest of the nested answers, and IoU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["dice_loss", "focal_loss", "mask_iou", "mask_loss"]


def focal_loss(logits: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Weigh the cross entropy of each pixel down where it is already right (Lin et al., 2017).

    Args:
        logits: float (..., h, w).
        target: The same shape, 0 or 1 (or a share between).
        alpha: Weight of the foreground against the background's 1 - alpha.
        gamma: How fast easy pixels fade.

    Returns:
        Mean over the pixels, (...).
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    miss = (torch.sigmoid(logits) - target).abs()
    weight = alpha * target + (1 - alpha) * (1 - target)
    return (weight * miss**gamma * entropy).mean(dim=(-2, -1))


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the soft Dice overlap of each mask: (..., h, w) to (...)."""
    soft = torch.sigmoid(logits)
    both = (soft * target).sum(dim=(-2, -1))
    total = soft.sum(dim=(-2, -1)) + target.sum(dim=(-2, -1))
    return 1 - (2 * both + 1) / (total + 1)


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Add 20 focal to 1 dice for each mask: (..., h, w) to (...)."""
    return 20 * focal_loss(logits, target) + dice_loss(logits, target)


def mask_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Measure the IoU of the thresholded masks with the truth: (..., h, w) to (...)."""
    answer, truth = logits.detach() > 0, target > 0.5
    both = (answer & truth).sum(dim=(-2, -1)).float()
    either = (answer | truth).sum(dim=(-2, -1)).float()
    return both / either.clamp(min=1)

"""PerSAM-F: learn from one example which of the three masks is meant (Zhang et al., 2023).

A click on a dog's head can mean the head or the dog. Whoever shows one mask of what is wanted has
said which: two numbers, learned in seconds, mix the three masks into one, and the same mixture
serves every other image (paper, section 3.4). The model itself does not change.

weights = learn_weights(model, "my-dog.jpg", mask)
masks = weights.predict(model, "another.jpg", Prompt(points_xy=[(320, 200)]))

Where to click in other images is up to the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.image.image import ImageLike
from anymask.masks.masks import Masks
from anymask.predict.implied import deepest_points
from anymask.predict.personal.model import Model
from anymask.prompt import Prompt

__all__ = ["MaskWeights", "learn_weights"]

_MOST_PIXELS = 2**19  # at which the loss is taken; the reference takes it at any size


@dataclass(frozen=True)
class MaskWeights:
    """How much each of the three masks of multimask output counts; together 1."""

    whole: float = 1 / 3
    """Weight of the first of them, ..."""
    part: float = 1 / 3
    """... the second ..."""
    subpart: float = 1 / 3
    """... and the third, in the network's order."""

    def predict(self, model: Model, image: Embedding | ImageLike, prompt: Prompt) -> Masks:
        """Answer a prompt with one mask, mixed of the three.

        Args:
            model: One that gives three masks (multimask).
            image: What it embedded; an image is embedded on the fly.
            prompt: What to cut out.

        Returns:
            One mask; its score is the same mixture of the three predicted IoUs.

        Raises:
            InputError: The prompt does not fit the image.
            CapabilityError: The model does not give three masks, or does not know the prompt.
        """
        embedding = image if isinstance(image, Embedding) else model.embed(image)
        answers = model.decode(embedding, [prompt], multimask=True)
        logits, predicted_iou = map(torch.as_tensor, answers)
        weights = logits.new_tensor([self.whole, self.part, self.subpart])
        mixed = torch.einsum("k,nkhw->nhw", weights, logits)
        return Masks.from_dense(
            (embedding.transform.masks_to_image(mixed) > 0).cpu().numpy(),
            scores=(predicted_iou @ weights).clamp(0, 1).cpu().numpy(),
            prompts=(prompt,),
            logits=mixed.cpu().numpy(),
            source=embedding.source,
            model=model.variant.name,
        )


def learn_weights(
    model: Model,
    image: Embedding | ImageLike,
    mask: np.ndarray,
    prompt: Prompt | None = None,
    *,
    lr: float = 1e-3,
    steps: int = 1000,
) -> MaskWeights:
    """Learn which mixture of the three masks is nearest to a mask.

    The loss is focal + dice at the size of the image, or of half a million pixels of a larger one.

    Args:
        model: One that gives three masks (multimask).
        image: What it embedded, or an image.
        mask: What is wanted, bool (h, w) of the image.
        prompt: How it is prompted for; None: a click in its middle.
        lr: Highest learning rate; it falls along a cosine.
        steps: How often the weights are changed.

    Raises:
        InputError: The mask is empty or of another size, or a number is too small.
        CapabilityError: The model does not give three masks, or does not know the prompt.

    Examples:
        >>> learn_weights(model, "my-dog.jpg", mask)  # doctest: +SKIP
        MaskWeights(whole=0.87, part=0.24, subpart=-0.11)
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != np.bool_ or not mask.any():
        raise InputError(
            f"expected a mask of bool (h, w) that holds something, got {mask.dtype} {mask.shape} "
            f"with {np.count_nonzero(mask)} pixels; show what is wanted"
        )
    if not 0 < lr < math.inf or steps < 1:
        raise InputError(
            f"expected lr above 0 and at least 1 step, got {lr} and {steps}; 1e-3, 1000 are usual"
        )
    embedding = image if isinstance(image, Embedding) else model.embed(image)
    prompt = prompt or Prompt(points_xy=deepest_points(mask, 1))
    logits, _ = model.decode(embedding, [prompt], multimask=True)
    return _fit(*_at_size(embedding, torch.as_tensor(logits[0]), mask), lr, steps)


def _at_size(embedding: Embedding, logits: Tensor, mask: np.ndarray) -> tuple[Tensor, Tensor]:
    """Bring three masks and the wanted one to the size of the image: (3, h, w), (h, w)."""
    transform = embedding.transform
    if mask.shape != transform.original_hw:
        raise InputError(
            f"expected a mask of (h, w) = {transform.original_hw} like the image, got "
            f"{mask.shape}; resize it first"
        )
    wanted = torch.from_numpy(mask).float()
    shrink = math.sqrt(_MOST_PIXELS / mask.size)
    if shrink < 1:
        h, w = (max(1, round(side * shrink)) for side in mask.shape)
        transform = replace(transform, original_hw=(h, w))
        wanted = F.interpolate(wanted[None, None], (h, w), mode="area")[0, 0]
    return transform.masks_to_image(logits), wanted.to(logits.device)


def _fit(logits: Tensor, truth: Tensor, lr: float, steps: int) -> MaskWeights:
    """Fit the last two weights, of which the first follows."""
    two = torch.full((2,), 1 / 3, device=logits.device, requires_grad=True)
    optimizer = torch.optim.AdamW([two], lr=lr, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        dice, focal = _losses(torch.einsum("k,khw->hw", _three(two), logits), truth)
        optimizer.zero_grad()
        (dice + focal).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return MaskWeights(*_three(two.detach()).tolist())


def _losses(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Give dice and focal loss of a mask (h, w), as in SAM."""
    soft = logits.sigmoid()
    dice = 1 - (2 * (soft * truth).sum() + 1) / (soft.sum() + truth.sum() + 1)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    focal = (0.75 - 0.5 * truth) * (soft - truth) ** 2 * entropy
    return dice, focal.mean()


def _three(two: Tensor) -> Tensor:
    """Complete the weights of the last two masks to a sum of 1."""
    return torch.cat([1 - two.sum(dim=0, keepdim=True), two])

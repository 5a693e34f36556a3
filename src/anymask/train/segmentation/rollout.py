"""Prompts of a simulated user for masks while a model learns them, round after round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.data.item import Item
from anymask.data.simulate import Click, SimulatedUser
from anymask.image.transform import Transform
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant

__all__ = ["InteractiveRollout", "MaskTarget", "targets_of"]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MaskTarget:
    """One mask that the network should predict."""

    image_index: int
    """Which of the images that are encoded together it belongs to."""
    mask: Bools
    """(h, w) of ``transform.resized_hw``."""
    transform: Transform
    """Of its image."""
    soft_mask: Tensor
    """The mask at the resolution of the predictions, float32 (h', w'): share of each cell inside,
    0 to 1."""
    weight: Tensor
    """Share of each of those cells, (h', w'), that is neither void nor padding."""
    rng: np.random.Generator
    """Random generator of its own."""
    by_box: bool
    """Whether the first prompt is a box, not a click."""
    loss_weight: float
    """How much it counts among all masks of a batch."""


def targets_of(
    item: Item,
    image_index: int,
    mask_hw: tuple[int, int],
    *,
    box_prob: float,
    loss_weight: float,
) -> list[MaskTarget]:
    """Turn the masks of an item into targets.

    Args:
        item: An image and its masks.
        image_index: Which of the images that are encoded together it is.
        mask_hw: Size of the network's predictions, which cover the frame.
        box_prob: Probability of a box as the first prompt instead of a click.
        loss_weight: How much the item counts among those of the batch; its masks share that.
    """
    masks = item.masks
    known = np.ones(masks.shape[1:], bool) if item.void is None else ~item.void
    maps = torch.from_numpy(np.concatenate([known[None], masks]))
    (top, left), (h, w) = item.transform.offset_hw, masks.shape[1:]
    frames = torch.zeros(len(maps), *item.transform.frame_hw)
    frames[:, top : top + h, left : left + w] = maps
    shares = F.adaptive_avg_pool2d(frames, mask_hw)
    weight, soft_masks = shares[0], shares[1:] / shares[0].clamp(min=1e-6)
    each = loss_weight / max(1, len(masks))
    targets = []
    for mask, soft_mask, seed in zip(masks, soft_masks, item.seeds, strict=True):
        rng = np.random.default_rng(seed)
        by_box = rng.random() < box_prob
        targets.append(
            MaskTarget(image_index, mask, item.transform, soft_mask, weight, rng, by_box, each)
        )
    return targets


class InteractiveRollout:
    """All prompts so far for some masks, each of which was first prompted in the same way."""

    def __init__(
        self,
        targets: Sequence[MaskTarget],
        variant: Variant,
        device: torch.device,
        *,
        center_prob: float = 0.0,
        tight_box_prob: float = 0.0,
    ) -> None:
        """Begin, without a prompt yet.

        Args:
            targets: At least one, of one frame.
            variant: Of the network; it decides which prompts are understood, and how many.
            device: Where it computes.
            center_prob: Probability of a click in the middle of what is wrong, see `SimulatedUser`.
            tight_box_prob: Probability of a box that fits exactly.
        """
        self.targets, self.variant, self.device = targets, variant, device
        negative = "negative_points" in variant.capabilities
        self.users = [
            SimulatedUser(target.rng, center_prob, tight_box_prob, negative) for target in targets
        ]
        self.soft_mask = torch.stack([target.soft_mask for target in targets]).to(device)
        self.weight = torch.stack([target.weight for target in targets]).to(device)
        self.loss_weight = torch.tensor([t.loss_weight for t in targets], device=device)
        self._points = np.zeros((len(targets), 0, 2), np.float32)
        self._labels = np.zeros((len(targets), 0), np.int64)
        self._boxes: npt.NDArray[np.float32] | None = None
        self._logits: Tensor | None = None

    @property
    def single_prompt(self) -> bool:
        """Whether each mask was prompted for by one click or one box alone so far."""
        return self._points.shape[1] + (self._boxes is not None) == 1

    def next_prompts(self, *, new: bool = True, with_mask: bool = True) -> PromptBatch | None:
        """Give all prompts so far, for the next prediction.

        Args:
            new: Add a prompt for each mask, unless the model takes no more.
            with_mask: Feed the latest prediction back, if there is one and the model takes masks.

        Returns:
            The prompts; None where the model would only see the same ones again.
        """
        takes_masks = "mask" in self.variant.capabilities
        if not (new and self._add_prompt()) and not takes_masks:
            return None
        logits = self._logits if with_mask and takes_masks else None
        return PromptBatch(
            torch.from_numpy(self._points).to(self.device),
            torch.from_numpy(self._labels).to(self.device),
            None if self._boxes is None else torch.from_numpy(self._boxes).to(self.device),
            None if logits is None else logits[:, None],
            self.targets[0].transform.frame_hw,
        )

    def observe(self, logits: Tensor) -> None:
        """Take a prediction, (n, h', w'), to correct it next."""
        self._logits = logits.detach().float()

    def _add_prompt(self) -> bool:
        """Add one prompt for each mask; False when the model takes no more."""
        if self._logits is None:
            self._begin()
            return True
        if "points" not in self.variant.capabilities:
            return False
        count = self._points.shape[1] + (0 if self._boxes is None else 2)
        if count == self.variant.max_points:
            return False
        self._correct(self._logits)
        return True

    def _begin(self) -> None:
        """Click on each mask, or draw a box around it."""
        pairs = list(zip(self.users, self.targets, strict=True))
        offsets = np.array([target.transform.offset_hw[::-1] for target in self.targets])
        if self.targets[0].by_box:
            boxes = np.stack([user.first_box(target.mask) for user, target in pairs])
            self._boxes = boxes + np.tile(offsets, 2).astype(np.float32)
            return
        clicks = np.array([user.first_click(target.mask) for user, target in pairs])
        self._add_points(clicks + offsets, np.ones(len(clicks), np.int64))

    def _correct(self, logits: Tensor) -> None:
        """Click on what is wrong with each prediction; where nothing is, on the mask once more."""
        truths = self._truths.cpu().numpy()
        shown = torch.where(self.weight > 0, logits > 0, self._truths).cpu().numpy()
        clicks: list[Click] = [
            user.correction(truth, prediction) or (user.first_click(truth), 1)
            for user, truth, prediction in zip(self.users, truths, shown, strict=True)
        ]
        points, labels = zip(*clicks, strict=True)
        cell_hw = np.divide(self.targets[0].transform.frame_hw, logits.shape[1:])
        self._add_points((np.array(points) + 0.5) * cell_hw[::-1] - 0.5, np.array(labels))

    @property
    def _truths(self) -> Tensor:
        """The masks as bool (n, h', w') of the predictions; of thin ones the fullest cell."""
        fullest = self.soft_mask.amax(dim=(1, 2), keepdim=True)
        return (self.soft_mask > 0.5) | (self.soft_mask == fullest)

    def _add_points(
        self, points_xy: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
    ) -> None:
        """Append a click, in pixels of the frame, for each mask: (n, 2) and (n,)."""
        more = points_xy[:, None].astype(np.float32)
        self._points = np.concatenate([self._points, more], axis=1)
        self._labels = np.concatenate([self._labels, labels[:, None]], axis=1)

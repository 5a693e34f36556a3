"""What a simulated user says about masks while a model learns them, round after round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.data.item import Item
from anymask.data.simulate import (
    farthest_inside,
    next_click,
    noisy_box,
    random_error,
    random_inside,
    tight_box,
)
from anymask.image.transform import Transform
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant

__all__ = ["Conversation", "Wish", "wishes_of"]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Wish:
    """One mask that a user wants to get."""

    owner: int
    """Which image of those that are worked on together it is about."""
    mask: Bools
    """(h, w) of ``transform.resized_hw``."""
    transform: Transform
    """Of its image."""
    target: Tensor
    """The same as the network answers, float32 (h', w'): share of each pixel inside, 0 to 1."""
    weight: Tensor
    """Share of each pixel of the target, (h', w'), that is neither void nor padding."""
    rng: np.random.Generator
    """Chance of its own."""
    by_box: bool
    """Asked for by a box at first, not by a click."""
    share: float
    """How much it counts among all masks of a batch."""


def wishes_of(
    item: Item, owner: int, mask_hw: tuple[int, int], boxes: float, share: float
) -> list[Wish]:
    """Turn the masks of an item into wishes.

    Args:
        item: A photo and its masks.
        owner: Which image of those that are worked on together it is.
        mask_hw: Size of the network's answers, which cover the frame.
        boxes: Chance of a box as the first prompt instead of a click.
        share: How much the item counts among those of the batch; its masks share that.
    """
    masks = item.masks
    known = np.ones(masks.shape[1:], bool) if item.void is None else ~item.void
    maps = torch.from_numpy(np.concatenate([known[None], masks]))
    (top, left), (h, w) = item.transform.offset_hw, masks.shape[1:]
    frames = torch.zeros(len(maps), *item.transform.frame_hw)
    frames[:, top : top + h, left : left + w] = maps
    shares = F.adaptive_avg_pool2d(frames, mask_hw)
    weight, targets = shares[0], shares[1:] / shares[0].clamp(min=1e-6)
    wishes = []
    for mask, target, seed in zip(masks, targets, item.seeds, strict=True):
        rng = np.random.default_rng(seed)
        by_box = rng.random() < boxes
        each = share / len(masks)
        wishes.append(Wish(owner, mask, item.transform, target, weight, rng, by_box, each))
    return wishes


class Conversation:
    """What has been said about some masks, all of which were first asked for in the same way."""

    def __init__(
        self,
        wishes: Sequence[Wish],
        variant: Variant,
        device: torch.device,
        middle: float = 0.0,
        tight: float = 0.0,
    ) -> None:
        """Begin, without saying anything yet.

        Args:
            wishes: At least one, of one frame.
            variant: Who is asked; it decides which prompts are understood, and how many.
            device: Where it computes.
            middle: Chance of a click in the middle of what is wrong instead of anywhere in it.
            tight: Chance of a box that fits exactly instead of a noisy one.
        """
        self.wishes, self.variant, self.device = wishes, variant, device
        self.middle, self.tight = middle, tight
        self.target = torch.stack([wish.target for wish in wishes]).to(device)
        self.weight = torch.stack([wish.weight for wish in wishes]).to(device)
        self.share = torch.tensor([wish.share for wish in wishes], device=device)
        self._points = np.zeros((len(wishes), 0, 2), np.float32)
        self._labels = np.zeros((len(wishes), 0), np.int64)
        self._boxes: npt.NDArray[np.float32] | None = None
        self._answer: Tensor | None = None

    @property
    def alone(self) -> bool:
        """Whether a single prompt was given so far."""
        return self._points.shape[1] + (self._boxes is not None) == 1

    def prompts(self, *, remember: bool) -> PromptBatch:
        """Say everything so far, with the latest answer if it shall be remembered and is known."""
        logits = self._answer if remember and "mask" in self.variant.capabilities else None
        return PromptBatch(
            torch.from_numpy(self._points).to(self.device),
            torch.from_numpy(self._labels).to(self.device),
            None if self._boxes is None else torch.from_numpy(self._boxes).to(self.device),
            None if logits is None else logits[:, None],
            self.wishes[0].transform.frame_hw,
        )

    def hear(self, logits: Tensor) -> None:
        """Take an answer, (n, h', w'), to correct it next."""
        self._answer = logits.detach().float()

    def speak(self) -> bool:
        """Say one thing more about each mask; False when the model listens to no more."""
        if self._answer is None:
            self._begin()
            return True
        said = self._points.shape[1] + (0 if self._boxes is None else 2)
        if said == self.variant.most_points:
            return False
        self._correct(self._answer)
        return True

    def _begin(self) -> None:
        """Draw a click or a noisy box around each mask."""
        if self.wishes[0].by_box:
            self._boxes = np.stack([_box(wish, self.tight) for wish in self.wishes])
            return
        clicks = [_inside(wish.mask, wish.rng, self.middle) for wish in self.wishes]
        offsets = [wish.transform.offset_hw[::-1] for wish in self.wishes]
        self._add(np.array(clicks) + offsets, np.ones(len(clicks), np.int64))

    def _correct(self, answer: Tensor) -> None:
        """Click on what is wrong with each answer; where nothing is, on the mask once more."""
        shown = torch.where(self.weight > 0, answer > 0, self._truth).cpu().numpy()
        clicks = [
            self._click(wish.rng, *pair)
            for wish, *pair in zip(self.wishes, self._truth.cpu().numpy(), shown, strict=True)
        ]
        points, labels = zip(*clicks, strict=True)
        cell_hw = np.divide(self.wishes[0].transform.frame_hw, answer.shape[1:])
        self._add((np.array(points) + 0.5) * cell_hw[::-1] - 0.5, np.array(labels))

    def _click(
        self, rng: np.random.Generator, truth: Bools, shown: Bools
    ) -> tuple[tuple[float, float], int]:
        negative = "negative_points" in self.variant.capabilities
        if rng.random() < self.middle:
            click = next_click(truth, shown, negative=negative)
        else:
            click = random_error(truth, shown, rng, negative=negative)
        return click or (_inside(truth, rng, self.middle), 1)

    @property
    def _truth(self) -> Tensor:
        """The masks at the size of the answers, bool (n, h', w'); of thin ones the fullest cell."""
        fullest = self.target.amax(dim=(1, 2), keepdim=True)
        return (self.target > 0.5) | (self.target == fullest)

    def _add(self, points_xy: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> None:
        """Append a click, in pixels of the frame, to each prompt: (n, 2) and (n,)."""
        more = points_xy[:, None].astype(np.float32)
        self._points = np.concatenate([self._points, more], axis=1)
        self._labels = np.concatenate([self._labels, labels[:, None]], axis=1)


def _inside(mask: Bools, rng: np.random.Generator, middle: float) -> tuple[float, float]:
    """Click in the middle of a mask or anywhere in it."""
    return farthest_inside(mask) if rng.random() < middle else random_inside(mask, rng, power=0)


def _box(wish: Wish, tight: float) -> npt.NDArray[np.float32]:
    """Draw a noisy box around a mask, or one that fits exactly, in pixels of the frame."""
    top, left = wish.transform.offset_hw
    box = tight_box(wish.mask)
    if wish.rng.random() >= tight:
        box = noisy_box(box, wish.transform.resized_hw, wish.rng)
    return box + np.array([left, top, left, top], np.float32)

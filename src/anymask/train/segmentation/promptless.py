"""Learning to find one kind of thing by itself, as a network with a SAM-Adapter does.

The network is asked nothing, and its single answer to that learns to be all there is of the thing
in a photo. The loss is that of the authors (Chen et al., 2023): cross entropy plus one minus the
IoU, here at the size of the network's answers. Besides it learns to tell how good its answer is, as
everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import cast

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.data.dataset import Dataset, Sample
from anymask.data.item import Item
from anymask.data.truths import Truth
from anymask.errors import InputError
from anymask.image.image import Image
from anymask.models.network import Network
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant
from anymask.predict.segmenter import Segmenter
from anymask.train.objective import Step
from anymask.train.segmentation.conversation import wishes_of
from anymask.train.segmentation.losses import mask_iou
from anymask.train.segmentation.scene import Scene, of_one_frame
from anymask.train.segmentation.validate import DRAWN, side_by_side

__all__ = ["OneKind", "Promptless", "Unprompted"]


class OneKind:
    """A data set with one mask per image: all there is of one kind of thing."""

    def __init__(self, dataset: Dataset, names: Sequence[str] = ()) -> None:
        """Prepare.

        Args:
            dataset: Images with masks.
            names: Which of the masks count, by `Sample.names`; none: all.
        """
        self.dataset, self.names = dataset, frozenset(names)

    def __len__(self) -> int:
        """Count the images, also those without the thing."""
        return len(self.dataset)

    def key(self, index: int) -> str:
        """Name an image."""
        return self.dataset.key(index)

    def __getitem__(self, index: int) -> Sample:
        """Read an image; it has no mask if nothing of the kind is in it.

        Raises:
            InputError: The data set does not name its masks, but names are wanted.
        """
        sample = self.dataset[index]
        masks = sample.masks()
        if self.names:
            if len(sample.names) != len(masks):
                raise InputError(
                    f"expected masks with names, to find {' and '.join(sorted(self.names))}, got "
                    f"{len(masks)} without in {self.key(index)!r}; leave the names out to take all"
                )
            named = zip(masks, sample.names, strict=True)
            masks = [mask for mask, name in named if name in self.names]
        layers = (np.any(masks, axis=0).astype(np.uint8),) if masks else ()
        return replace(sample, layers=layers, names=())


class Promptless:
    """The objective; a batch is a sequence of items of one mask each."""

    def __init__(self, variant: Variant) -> None:
        """Prepare for the network of a variant."""
        self.variant = variant

    def __call__(self, model: nn.Module, batch: Sequence[Item], step: Step) -> dict[str, float]:
        """Set the gradients of a batch; return ``loss`` and ``iou``, the mean of the answers'."""
        tally = torch.zeros(2, device=step.device)
        for items in of_one_frame(batch):
            scene = Scene(model, items, self.variant.preprocessing, step.device)
            facts = self._learn(scene, items, 1 / len(batch), step)
            tally += torch.stack(facts).detach()
            scene.teach_encoder()
        loss, iou = tally.tolist()
        return {"loss": loss, "iou": iou}

    def _learn(
        self, scene: Scene, items: Sequence[Item], share: float, step: Step
    ) -> tuple[Tensor, Tensor]:
        """Ask about photos of one frame; shares of the batch's loss and of its mean IoU."""
        wishes = [
            wish
            for owner, item in enumerate(items)
            for wish in wishes_of(item, owner, scene.mask_hw, boxes=0.0, share=share)
        ]
        target, weight = (
            torch.stack(maps).to(step.device)[:, None]
            for maps in zip(*((wish.target, wish.weight) for wish in wishes), strict=True)
        )
        counts = torch.tensor([wish.share for wish in wishes], device=step.device)
        with scene.about([wish.owner for wish in wishes]) as features:
            prompts = _nothing(len(wishes), scene.frame_hw, step.device)
            logits, quality = scene.model.decode_all(features, prompts, slice(1))
            iou = mask_iou(logits, target, weight)
            cost = _mask_loss(logits.float(), target, weight) + (quality.float() - iou) ** 2
            loss = (cost[:, 0] * counts).sum()
            step.backward(loss)
        return loss, (iou[:, 0] * counts).sum()


class Unprompted:
    """How well the thing is found in images that the model does not learn from; `Validation`."""

    metric = "iou"
    chance = 0.0

    def __init__(self, variant: Variant, data: Dataset) -> None:
        """Prepare.

        Args:
            variant: What the network is.
            data: Images with at most one mask each.
        """
        self.variant, self.data = variant.unprompted(), data

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        """Measure ``iou``, the mean over the images that have the thing.

        Raises:
            InputError: None has it.
        """
        segmenter, overlaps = self._segmenter(model), []
        for i in range(len(self.data)):
            sample = self.data[i]
            for mask in sample.masks():
                answer = segmenter.predict(Image(sample.image)).dense()[0]
                overlaps.append(Truth(0, mask, sample.void).overlap(answer))
        if not overlaps:
            raise InputError(
                f"expected the thing in some of {len(self.data)} images to validate on, got none "
                "with a mask of it; give others with --val"
            )
        return {"iou": fmean(overlaps)}

    def draw(self, model: nn.Module) -> PIL.Image.Image | None:
        """Draw the answers for a few images."""
        segmenter = self._segmenter(model)
        images = [Image(self.data[i].image) for i in range(min(DRAWN, len(self.data)))]
        cases = [segmenter.predict(image).draw(image) for image in images]
        return side_by_side(cases) if cases else None

    def _segmenter(self, model: nn.Module) -> Segmenter:
        return Segmenter(self.variant, cast(Network, model), "")


def _nothing(count: int, frame_hw: tuple[int, int], device: torch.device) -> PromptBatch:
    """Say nothing, so many times."""
    points = torch.zeros(count, 0, 2, device=device)
    labels = torch.zeros(count, 0, dtype=torch.int64, device=device)
    return PromptBatch(points, labels, None, None, frame_hw)


def _mask_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Add cross entropy and one minus the soft IoU for each mask: (..., h, w) to (...)."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (entropy * weight).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1)).clamp(min=1e-6)
    soft = torch.sigmoid(logits)
    both = (soft * target * weight).sum(dim=(-2, -1))
    either = ((soft + target - soft * target) * weight).sum(dim=(-2, -1))
    return entropy + 1 - both / either.clamp(min=1e-6)

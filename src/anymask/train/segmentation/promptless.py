"""Learning to find one kind of thing by itself, as a network with a SAM-Adapter does.

The network takes no prompt, and its single mask learns to be all there is of the thing in an image.
The loss is that of the authors (Chen et al., 2023): cross entropy plus one minus the IoU, here at
the size of the network's predictions. Besides it learns to predict the IoU of its mask, as
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
from anymask.train.segmentation.encoded_batch import EncodedBatch, group_by_frame
from anymask.train.segmentation.losses import mask_iou
from anymask.train.segmentation.rollout import targets_of
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
        """Set the gradients of a batch; return ``loss`` and the mean ``iou``."""
        tally = torch.zeros(2, device=step.device)
        for items in group_by_frame(batch):
            encoded = EncodedBatch(model, items, self.variant.preprocessing, step.device)
            metrics = self._learn(encoded, items, 1 / len(batch), step)
            tally += torch.stack(metrics).detach()
            encoded.backward_encoder()
        loss, iou = tally.tolist()
        return {"loss": loss, "iou": iou}

    def _learn(
        self, encoded: EncodedBatch, items: Sequence[Item], loss_weight: float, step: Step
    ) -> tuple[Tensor, Tensor]:
        """Learn images of one frame; shares of the batch's loss and of its mean IoU."""
        targets = [
            target
            for i, item in enumerate(items)
            for target in targets_of(
                item, i, encoded.mask_hw, box_prob=0.0, loss_weight=loss_weight
            )
        ]
        soft_mask = torch.stack([target.soft_mask for target in targets]).to(step.device)[:, None]
        weight = torch.stack([target.weight for target in targets]).to(step.device)[:, None]
        shares = torch.tensor([target.loss_weight for target in targets], device=step.device)
        with encoded.features_of([target.image_index for target in targets]) as features:
            prompts = _no_prompts(len(targets), encoded.frame_hw, step.device)
            logits, predicted_iou = encoded.model.decode_all(features, prompts, slice(1))
            iou = mask_iou(logits, soft_mask, weight)
            cost = (
                _mask_loss(logits.float(), soft_mask, weight) + (predicted_iou.float() - iou) ** 2
            )
            loss = (cost[:, 0] * shares).sum()
            step.backward(loss)
        return loss, (iou[:, 0] * shares).sum()


class Unprompted:
    """How well the thing is found in images that the model does not learn from; `Validation`."""

    metric = "iou"
    noise_tolerance = 0.0

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
                mask_found = segmenter.predict(Image(sample.image)).dense()[0]
                overlaps.append(Truth(0, mask, sample.void).overlap(mask_found))
        if not overlaps:
            raise InputError(
                f"expected the thing in some of {len(self.data)} images to validate on, got none "
                "with a mask of it; give others with --val"
            )
        return {"iou": fmean(overlaps)}

    def draw(self, model: nn.Module) -> PIL.Image.Image | None:
        """Draw the masks of a few images."""
        segmenter = self._segmenter(model)
        images = [Image(self.data[i].image) for i in range(min(DRAWN, len(self.data)))]
        cases = [segmenter.predict(image).draw(image) for image in images]
        return side_by_side(cases) if cases else None

    def _segmenter(self, model: nn.Module) -> Segmenter:
        return Segmenter(self.variant, cast(Network, model), "")


def _no_prompts(count: int, frame_hw: tuple[int, int], device: torch.device) -> PromptBatch:
    """Prompt with nothing, so many times."""
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

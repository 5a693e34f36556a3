"""Learning from prompts as SAM does: prompt, look at the prediction, correct it, prompt again.

Each image is encoded once. Each of its masks is first prompted for by a click or a noisy box, and
then by clicks on what is wrong, with the logits of the prediction before fed back; in two of the
rounds there is no new prompt, so that the network learns to make more of its own prediction (SAM
paper, appendix A).

To a single prompt the three masks of multimask output are taken and only the best of them learns;
with more prompts it is the single mask that learns. A box alone teaches both, for it is the single
mask that `Segmenter.predict` takes then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from anymask.data.item import Item
from anymask.errors import CapabilityError, InputError
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant
from anymask.plain import check_number
from anymask.train.objective import Step
from anymask.train.segmentation.encoded_batch import EncodedBatch, Features, group_by_frame
from anymask.train.segmentation.losses import mask_iou, mask_loss, multimask_loss
from anymask.train.segmentation.rollout import InteractiveRollout, MaskTarget, targets_of

__all__ = ["FeatureLoss", "Interactive", "InteractiveConfig", "Round"]

MULTIMASK = 3
"""Masks beside the single one, which is in slot 0."""

FeatureLoss: TypeAlias = Callable[[Features, Sequence[Item]], Tensor]
"""A further loss: of the features of some images, each (b, c, h', w'), and their items; the mean
over the images."""


class Round(NamedTuple):
    """What the user does in a round."""

    new_prompt: bool
    """Whether there is a new prompt."""
    with_mask: bool
    """Whether the prediction before is fed back."""


@dataclass(frozen=True)
class InteractiveConfig:
    """How a network is prompted for masks, and what its masks cost. The defaults are SAM's."""

    rounds: int = 11
    """Rounds of prompts for each mask."""
    silent_rounds: int = 2
    """Rounds without a new prompt: the last one, and the others anywhere in between."""
    round_probs: tuple[float, ...] = ()
    """Probability of only 1, 2, 3 ... rounds in a step; empty: always all rounds."""
    mask_prompt_prob: float = 1.0
    """Probability in each round that the logits of the prediction before are fed back."""
    box_prob: float = 0.5
    """Probability of a noisy box as the first prompt instead of a click."""
    center_prob: float = 0.0
    """Probability of a click in the middle of what is wrong, where people click, instead of
    anywhere in it."""
    tight_box_prob: float = 0.0
    """Probability of a box that fits exactly instead of a noisy one."""
    focal_alpha: float = 0.25
    """Weight of the object against the rest in the focal loss; more makes larger masks."""
    mean_loss_weight: float = 0.0
    """Weight of the mean loss of the three masks beside that of their best. Little of it makes
    masks that differ, much of it makes masks of which each is a good guess."""
    top_loss_weight: float = 0.0
    """Weight of the loss of that one of the three masks whose predicted IoU is the highest."""
    iou_loss_weight: float = 1.0
    """Weight of the squared error of the predicted IoU."""
    single_weight: float = 0.0
    """Weight of the single mask where the three are taken."""
    multi_weight: float = 0.0
    """Weight of the three masks where the single one is taken."""
    prompts_per_batch: int = 16
    """At most so many go through the decoder together, which bounds the memory."""

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("rounds", "prompts_per_batch"):
            check_number(self, name, 1, whole=True)
        check_number(self, "silent_rounds", 0, whole=True)
        for name in ("mask_prompt_prob", "box_prob", "center_prob", "tight_box_prob"):
            check_number(self, name, 0, 1)
        for name in ("mean_loss_weight", "top_loss_weight", "iou_loss_weight"):
            check_number(self, name, 0)
        for name in ("focal_alpha", "single_weight", "multi_weight"):
            check_number(self, name, 0)
        probs = self.round_probs
        if probs and not (all(0 <= p <= 1 for p in probs) and np.isclose(sum(probs), 1)):
            raise InputError(
                f"expected round_probs from 0 to 1 that add up to 1, got {probs}; correct them"
            )

    @property
    def expected_rounds(self) -> float:
        """Mean number of rounds."""
        if not self.round_probs:
            return float(self.rounds)
        return sum(n * prob for n, prob in enumerate(self.round_probs, 1))

    def draw_rounds(self, rng: np.random.Generator) -> list[Round]:
        """Draw what the user does in each round of a step."""
        count = self.rounds
        if self.round_probs:
            count = 1 + int(rng.choice(len(self.round_probs), p=self.round_probs))
        repeats = max(0, min(self.silent_rounds, count - 2))
        silent = {count - 1} if repeats else set()
        if repeats > 1:
            between = rng.choice(np.arange(1, count - 1), repeats - 1, replace=False)
            silent |= {int(place) for place in between}
        return [Round(i not in silent, rng.random() < self.mask_prompt_prob) for i in range(count)]


class SlotWeights(NamedTuple):
    """How much the single mask and the three of multimask output learn from a prompt."""

    single: float
    multi: float

    @property
    def slots(self) -> slice:
        """The slots to predict, those of weight 0 left out."""
        return slice(0 if self.single else 1, 1 + MULTIMASK if self.multi else 1)

    def top(self, predicted_iou: Tensor, multimask: bool) -> Tensor:
        """Find the mask that the network ranks first.

        Args:
            predicted_iou: (n, k) of ``slots``.
            multimask: Whether it is one of the three.

        Returns:
            Its place in ``slots``, int64 (n,).
        """
        if not multimask:
            return torch.zeros(len(predicted_iou), dtype=torch.long, device=predicted_iou.device)
        return predicted_iou[:, -MULTIMASK:].argmax(1) + predicted_iou.shape[1] - MULTIMASK


class Interactive:
    """The objective of SAM; a batch is a sequence of items.

    All that is random about a mask comes from its item, and all that is random about the rounds
    from the step, so that it does not matter in how many processes a batch is worked on. Every
    image counts the same, however many masks it has.
    """

    def __init__(
        self,
        variant: Variant,
        config: InteractiveConfig | None = None,
        feature_loss: FeatureLoss | None = None,
    ) -> None:
        """Prepare.

        Args:
            variant: Of the network; it tells which prompts that understands.
            config: How it is prompted; None: as SAM was.
            feature_loss: A further loss that shapes the features.

        Raises:
            CapabilityError: The network does not take prompts.
        """
        if variant.kind == "instances":
            raise CapabilityError(
                f"expected a model that answers prompts, got {variant.name}, which finds all "
                "objects at once and only chooses among them; train another model"
            )
        self.variant, self.config = variant, config or InteractiveConfig()
        self.feature_loss = feature_loss

    def __call__(self, model: nn.Module, batch: Sequence[Item], step: Step) -> dict[str, float]:
        """Set the gradients of a batch.

        Returns:
            ``loss``; ``first`` and ``best``: mean IoU of the mask for the first prompt that the
            network ranks first, and of its best one; ``last``: that after the last round;
            ``feature_loss``: the further loss, if there is one.
        """
        rounds = self.config.draw_rounds(step.rng)
        tally: dict[str, Tensor] = {}
        for items in group_by_frame(batch):
            encoded = EncodedBatch(model, items, self.variant.preprocessing, step.device)
            if self.feature_loss is not None:
                loss = self.feature_loss(encoded.leaves, items) * (len(items) / len(batch))
                step.backward(loss)
                _add(tally, loss=loss, feature_loss=loss)
            for targets in self._groups(items, encoded.mask_hw, 1 / len(batch)):
                rollout = InteractiveRollout(
                    targets,
                    self.variant,
                    step.device,
                    center_prob=self.config.center_prob,
                    tight_box_prob=self.config.tight_box_prob,
                )
                with encoded.features_of([target.image_index for target in targets]) as features:
                    self._run(encoded.model, features, rollout, rounds, step, tally)
            encoded.backward_encoder()
        return {name: float(value) for name, value in tally.items()}

    def iou_loss(self, predicted_iou: Tensor, iou: Tensor) -> Tensor:
        """Average the squared error of the predicted IoU over masks: (n, k) each to (n,)."""
        return ((predicted_iou - iou) ** 2).mean(1)

    def _groups(
        self, items: Sequence[Item], mask_hw: tuple[int, int], loss_weight: float
    ) -> Iterator[list[MaskTarget]]:
        """Sort the masks of images of one frame into groups that are prompted for together."""
        box_prob = self.config.box_prob if "points" in self.variant.capabilities else 1.0
        targets = [
            target
            for i, item in enumerate(items)
            for target in targets_of(item, i, mask_hw, box_prob=box_prob, loss_weight=loss_weight)
        ]
        for by_box in (False, True):
            some = [target for target in targets if target.by_box == by_box]
            for start in range(0, len(some), self.config.prompts_per_batch):
                yield some[start : start + self.config.prompts_per_batch]

    def _run(
        self,
        model: Any,
        features: Features,
        rollout: InteractiveRollout,
        rounds: Sequence[Round],
        step: Step,
        tally: dict[str, Tensor],
    ) -> None:
        """Go through the rounds of a group."""
        for number, (new, with_mask) in enumerate(rounds):
            prompts = rollout.next_prompts(new=new, with_mask=with_mask)
            if prompts is not None:
                loss, top, best = self._predict(model, features, rollout, prompts)
                step.backward(loss)
                _add(tally, loss=loss)
            if number == 0:
                _add(tally, first=top, best=best)
        _add(tally, last=top)

    def _predict(
        self, model: Any, features: Features, rollout: InteractiveRollout, prompts: PromptBatch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict each mask once; the user observes the mask that the network ranks first.

        Returns:
            Shares of the batch's loss, of the mean IoU of those masks, and of the best ones.
        """
        multimask = rollout.single_prompt and prompts.mask_logits is None
        weights = self._weights(multimask, by_box=prompts.boxes is not None)
        logits, predicted_iou = model.decode_all(features, prompts, weights.slots)
        logits, predicted_iou = logits.float(), predicted_iou.float()
        target, weight = rollout.soft_mask[:, None].expand_as(logits), rollout.weight[:, None]
        iou = mask_iou(logits, target, weight)
        losses = mask_loss(logits, target, weight, alpha=self.config.focal_alpha)
        three = weights.multi > 0 and (multimask or self.variant.always_three)
        top = weights.top(predicted_iou, three)
        cost = self._cost(losses, predicted_iou, weights)
        cost = cost + self.config.iou_loss_weight * self.iou_loss(predicted_iou, iou)
        rows, share = torch.arange(len(logits), device=logits.device), rollout.loss_weight
        rollout.observe(logits[rows, top])
        loss = (cost * share).sum() / self.config.expected_rounds
        return loss, (iou[rows, top] * share).sum(), (iou.amax(1) * share).sum()

    def _weights(self, multimask: bool, by_box: bool) -> SlotWeights:
        """Decide which masks learn."""
        if "multimask" not in self.variant.capabilities:
            return SlotWeights(1.0, 0.0)  # the three would never be asked for
        if multimask:
            return SlotWeights(max(self.config.single_weight, float(by_box)), 1.0)
        return SlotWeights(1.0, max(self.config.multi_weight, float(self.variant.always_three)))

    def _cost(self, losses: Tensor, predicted_iou: Tensor, weights: SlotWeights) -> Tensor:
        """Weigh the losses of the masks, (n, k) of ``weights.slots``: (n,)."""
        cost = losses.new_zeros(len(losses))
        if weights.single:
            cost = cost + weights.single * losses[:, 0]
        if weights.multi:
            cost = cost + weights.multi * multimask_loss(
                losses[:, -MULTIMASK:],
                predicted_iou[:, -MULTIMASK:],
                mean_weight=self.config.mean_loss_weight,
                top_weight=self.config.top_loss_weight,
            )
        return cost


def _add(tally: dict[str, Tensor], **values: Tensor) -> None:
    for name, value in values.items():
        tally[name] = tally.get(name, value.new_zeros(())) + value.detach()

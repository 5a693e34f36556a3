"""Learning from prompts as SAM does: ask, look at the answer, correct it, ask again.

Each photo is encoded once. Each of its masks is first asked for by a click or a noisy box, and then
by clicks on what is wrong, with the logits of the answer before fed back; in two of the rounds
nothing new is said, so that the network learns to make more of its own answer (SAM paper, appendix
A).

To one prompt alone the three nested answers are taken and only the best of them learns; when more
is said, it is the single answer that learns. A box alone teaches both, for it is the single answer
that `Segmenter.predict` takes then.
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
from anymask.models.variants import Variant
from anymask.train.objective import Step
from anymask.train.segmentation.conversation import Conversation, Wish, wishes_of
from anymask.train.segmentation.losses import mask_iou, mask_loss, nested_loss
from anymask.train.segmentation.scene import Features, Scene, of_one_frame

__all__ = ["Extra", "Interactive", "InteractiveConfig", "Turn"]

NESTED = 3
"""Answers beside the single one, which is in slot 0."""

Extra: TypeAlias = Callable[[Features, Sequence[Item]], Tensor]
"""A further loss: of the features of some photos, each (b, c, h', w'), and their items; the mean
over the photos."""


class Turn(NamedTuple):
    """What happens in a round."""

    speak: bool
    """Whether something new is said."""
    remember: bool
    """Whether the answer before is fed back."""


@dataclass(frozen=True)
class InteractiveConfig:
    """How a network is asked for masks, and what its answers cost. The defaults are SAM's."""

    rounds: int = 11
    """Rounds of each conversation."""
    repeats: int = 2
    """Rounds in which nothing new is said: the last one, and the others anywhere in between."""
    lengths: tuple[float, ...] = ()
    """Chance of only 1, 2, 3 ... rounds in a step; empty: always all rounds."""
    remember: float = 1.0
    """Chance of each round that the logits of the answer before are fed back."""
    boxes: float = 0.5
    """Chance of a noisy box as the first prompt instead of a click."""
    middle: float = 0.0
    """Chance of a click in the middle of what is wrong, where people click, instead of anywhere."""
    tight: float = 0.0
    """Chance of a box that fits exactly instead of a noisy one."""
    alpha: float = 0.25
    """Weight of the object against the rest in the focal loss; more makes larger masks."""
    agreement: float = 0.0
    """Weight of the mean loss of the nested answers beside that of their best. Little of it makes
    answers that differ, much of it makes answers of which each is a good guess."""
    ranked: float = 0.0
    """Weight of the loss of that nested answer which the network itself ranks first."""
    judgement: float = 1.0
    """Weight of the squared error of the predicted IoU."""
    single: float = 0.0
    """Weight of the single answer where the nested ones are taken."""
    nested: float = 0.0
    """Weight of the nested answers where the single one is taken."""
    prompts: int = 16
    """At most so many go through the decoder together, which bounds the memory."""

    def __post_init__(self) -> None:
        """Check the numbers of rounds and the chances."""
        if self.rounds < 1 or self.repeats < 0 or self.prompts < 1:
            raise InputError(
                f"expected rounds and prompts of at least 1 and repeats of at least 0, got "
                f"{self.rounds}, {self.prompts} and {self.repeats}; correct them"
            )
        chances = (self.remember, self.boxes, self.middle, self.tight, *self.lengths)
        if not all(0 <= chance <= 1 for chance in chances):
            raise InputError(f"expected chances from 0 to 1, got {chances}; correct them")
        if self.lengths and not np.isclose(sum(self.lengths), 1):
            raise InputError(
                f"expected lengths whose chances add up to 1, got {self.lengths}; correct them"
            )

    @property
    def expected(self) -> float:
        """Mean number of rounds."""
        lengths = enumerate(self.lengths, 1)
        return sum(n * chance for n, chance in lengths) if self.lengths else float(self.rounds)

    def turns(self, rng: np.random.Generator) -> list[Turn]:
        """Draw what happens in each round of a step."""
        count = self.rounds
        if self.lengths:
            count = 1 + int(rng.choice(len(self.lengths), p=self.lengths))
        repeats = max(0, min(self.repeats, count - 2))
        silent = {count - 1} if repeats else set()
        if repeats > 1:
            between = rng.choice(np.arange(1, count - 1), repeats - 1, replace=False)
            silent |= {int(place) for place in between}
        return [Turn(i not in silent, rng.random() < self.remember) for i in range(count)]


class Weights(NamedTuple):
    """How much the two kinds of answers learn from a prompt."""

    single: float
    nested: float

    @property
    def slots(self) -> slice:
        """The slots to answer in, those of weight 0 left out."""
        return slice(0 if self.single else 1, 1 + NESTED if self.nested else 1)

    def first(self, quality: Tensor, three: bool) -> Tensor:
        """Find the answer that the network ranks first.

        Args:
            quality: (n, k) of ``slots``.
            three: Whether it is asked for the nested answers.

        Returns:
            Its place in ``slots``, int64 (n,).
        """
        if not three:
            return torch.zeros(len(quality), dtype=torch.long, device=quality.device)
        return quality[:, -NESTED:].argmax(1) + quality.shape[1] - NESTED


class Interactive:
    """The objective of SAM; a batch is a sequence of items.

    All that is left to chance about a mask comes from its item, and all that is left to chance
    about the rounds from the step, so that it does not matter in how many processes a batch is
    worked on. Every photo counts the same, however many masks it has.
    """

    def __init__(
        self,
        variant: Variant,
        config: InteractiveConfig | None = None,
        extra: Extra | None = None,
    ) -> None:
        """Prepare.

        Args:
            variant: Of the network; it tells which prompts that understands.
            config: How it is asked; None: as SAM was.
            extra: A further loss that shapes the features.

        Raises:
            CapabilityError: The network is not asked by prompts.
        """
        if variant.kind == "instances":
            raise CapabilityError(
                f"expected a model that answers prompts, got {variant.name}, which finds all "
                "objects at once and only chooses among them; train another model"
            )
        self.variant, self.config, self.extra = variant, config or InteractiveConfig(), extra

    def __call__(self, model: nn.Module, batch: Sequence[Item], step: Step) -> dict[str, float]:
        """Set the gradients of a batch.

        Returns:
            ``loss``; ``first`` and ``best``: mean IoU of the answer to the first prompt that the
            network ranks first, and of its best one; ``last``: that after the last round;
            ``extra``: the further loss, if there is one.
        """
        turns = self.config.turns(step.rng)
        tally: dict[str, Tensor] = {}
        for items in of_one_frame(batch):
            scene = Scene(model, items, self.variant.preprocessing, step.device)
            if self.extra is not None:
                loss = self.extra(scene.leaves, items) * (len(items) / len(batch))
                step.backward(loss)
                _add(tally, loss=loss, extra=loss)
            for wishes in self._groups(items, scene.mask_hw, 1 / len(batch)):
                chances = self.config.middle, self.config.tight
                talk = Conversation(wishes, self.variant, step.device, *chances)
                with scene.about([wish.owner for wish in wishes]) as features:
                    self._converse(scene.model, features, talk, turns, step, tally)
            scene.teach_encoder()
        return {name: float(value) for name, value in tally.items()}

    def judgement_loss(self, quality: Tensor, iou: Tensor) -> Tensor:
        """Average the squared error of the predicted IoU over answers: (n, k) each to (n,)."""
        return ((quality - iou) ** 2).mean(1)

    def _groups(
        self, items: Sequence[Item], mask_hw: tuple[int, int], share: float
    ) -> Iterator[list[Wish]]:
        """Sort the masks of photos of one frame into groups that are asked for together."""
        wishes = [
            wish
            for owner, item in enumerate(items)
            for wish in wishes_of(item, owner, mask_hw, self.config.boxes, share)
        ]
        for by_box in (False, True):
            some = [wish for wish in wishes if wish.by_box == by_box]
            for start in range(0, len(some), self.config.prompts):
                yield some[start : start + self.config.prompts]

    def _converse(
        self,
        model: Any,
        features: Features,
        talk: Conversation,
        turns: Sequence[Turn],
        step: Step,
        tally: dict[str, Tensor],
    ) -> None:
        """Go through the rounds of a group."""
        remembers = "mask" in self.variant.capabilities
        for number, turn in enumerate(turns):
            new = turn.speak and talk.speak()
            if new or remembers:  # else the question would be the one before
                loss, chosen, best = self._ask(model, features, talk, turn.remember)
                step.backward(loss)
                _add(tally, loss=loss)
            if number == 0:
                _add(tally, first=chosen, best=best)
        _add(tally, last=chosen)

    def _ask(
        self, model: Any, features: Features, talk: Conversation, remember: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ask for each mask once; the user hears the answer that the network ranks first.

        Returns:
            Shares of the batch's loss, of the mean IoU of those answers, and of the best ones.
        """
        prompts = talk.prompts(remember=remember)
        alone = talk.alone and prompts.mask_logits is None
        weights = self._weights(alone, by_box=prompts.boxes is not None)
        logits, quality = model.decode_all(features, prompts, weights.slots)
        logits, quality = logits.float(), quality.float()
        target, weight = talk.target[:, None].expand_as(logits), talk.weight[:, None]
        iou = mask_iou(logits, target, weight)
        losses = mask_loss(logits, target, weight, alpha=self.config.alpha)
        first = weights.first(quality, three=alone or self.variant.always_three)
        cost = self._cost(losses, quality, weights)
        cost = cost + self.config.judgement * self.judgement_loss(quality, iou)
        rows = torch.arange(len(logits), device=logits.device)
        talk.hear(logits[rows, first])
        loss = (cost * talk.share).sum() / self.config.expected
        return loss, (iou[rows, first] * talk.share).sum(), (iou.amax(1) * talk.share).sum()

    def _weights(self, alone: bool, by_box: bool) -> Weights:
        """Decide which answers learn."""
        if alone:
            return Weights(max(self.config.single, float(by_box)), 1.0)
        return Weights(1.0, max(self.config.nested, float(self.variant.always_three)))

    def _cost(self, losses: Tensor, quality: Tensor, weights: Weights) -> Tensor:
        """Weigh the losses of the answers, (n, k) of ``weights.slots``: (n,)."""
        cost = losses.new_zeros(len(losses))
        if weights.single:
            cost = cost + weights.single * losses[:, 0]
        if weights.nested:
            agreement, ranked = self.config.agreement, self.config.ranked
            three = losses[:, -NESTED:], quality[:, -NESTED:]
            nested = nested_loss(*three, agreement=agreement, ranked=ranked)
            cost = cost + weights.nested * nested
        return cost


def _add(tally: dict[str, Tensor], **facts: Tensor) -> None:
    for name, value in facts.items():
        tally[name] = tally.get(name, value.new_zeros(())) + value.detach()

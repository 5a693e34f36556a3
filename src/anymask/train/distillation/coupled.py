"""Coupled distillation: a student learns to answer as its teacher does, with prompts in the loop.

Both are asked about the same places in a photo, by a click or by a noisy box, and then corrected
where they differ, by the same clicks, each with its own answer before fed back. In every round the
student learns the teacher's masks, and how sure the teacher is of them: slot by slot, 20 focal +
dice and the squared error of the predicted IoU. No label is needed, and the student may be built
like its teacher or in any other way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anymask.data.simulate import noisy_box, random_error, random_inside, tight_box
from anymask.errors import CapabilityError
from anymask.image.transform import Transform
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt
from anymask.train.distillation.lesson import Lesson, carry, inside, places
from anymask.train.objective import Step
from anymask.train.segmentation.losses import mask_iou, mask_loss
from anymask.train.segmentation.scene import Features, Scene, of_one_frame

__all__ = ["Coupled"]

_ALPHA = 0.5  # object and rest alike: the student shall not make smaller masks than its teacher
_FARTHEST = 20  # pixels of the frame by which a side of a box is moved at most


class Coupled:
    """The objective: the student's answers become those of its teacher."""

    def __init__(
        self, teacher: Segmenter, variant: Variant, masks: int = 8, rounds: int = 3
    ) -> None:
        """Prepare.

        Args:
            teacher: Who answers first; its embeddings come with the lessons.
            variant: What the student is.
            masks: Places in each photo that the two are asked about.
            rounds: How often about each.

        Raises:
            CapabilityError: One of the two does not answer prompts.
        """
        for one in (teacher.variant, variant):
            if one.kind == "instances":
                raise CapabilityError(
                    f"expected two models that answer prompts, got {one.name}, which finds all "
                    "objects at once and only chooses among them; choose another one"
                )
        self.teacher, self.variant, self.masks, self.rounds = teacher, variant, masks, rounds

    def __call__(
        self, model: nn.Module, batch: Sequence[Lesson], step: Step
    ) -> Mapping[str, float]:
        """Set the gradients of one batch.

        Returns:
            ``loss``; ``first`` and ``last``: mean IoU of the student's answers to the first prompts
            and to the last ones with its teacher's.
        """
        tally = np.zeros(3)
        for lessons in of_one_frame(batch):
            scene = Scene(model, lessons, self.variant.preprocessing, step.device)
            for owner, lesson in enumerate(lessons):
                with scene.about([owner]) as features:
                    student = _Side(model, self.variant, features, lesson.transform)
                    tally += self._converse(student, lesson, step, 1 / len(batch))
            scene.teach_encoder()
        return dict(zip(("loss", "first", "last"), tally.tolist(), strict=True))

    def _converse(
        self, student: _Side, lesson: Lesson, step: Step, share: float
    ) -> npt.NDArray[np.float64]:
        """Ask both about one photo, round after round.

        Returns:
            Its share of the loss, and of the mean IoU of the first answers and of the last ones.
        """
        talk = _Talk(self._side(lesson), student, np.random.default_rng(lesson.seed))
        talk.begin(self.masks)
        found = []
        for number in range(self.rounds):
            if number and not talk.correct():
                break
            loss, iou = talk.ask()
            loss = loss * (share / self.rounds)
            step.backward(loss)
            found.append((loss.item(), iou * share))
        return np.array([sum(loss for loss, _ in found), found[0][1], found[-1][1]])

    @torch.no_grad()
    def _side(self, lesson: Lesson) -> _Side:
        """Get the teacher ready to be asked about a photo."""
        model, seen = self.teacher, lesson.seen.to(self.teacher.device, self.teacher.dtype)
        features = model.network.prepare(seen.features)
        return _Side(model.network, model.variant, features, seen.transform)


@dataclass
class _Side:
    """One of the two, and what it sees of a photo."""

    network: Any
    variant: Variant
    features: Features
    transform: Transform
    memory: Tensor | None = field(default=None, init=False)
    """Its latest answers, (n, h', w'), where it takes them as prompts."""

    @property
    def mask_hw(self) -> tuple[int, int]:
        """Size of its answers, which cover its frame."""
        size_hw: tuple[int, int] = self.network.mask_hw(self.transform.frame_hw)
        return size_hw

    def answer(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Answer prompts of one form: logits (n, 4, h', w') and predicted IoU (n, 4)."""
        device = next(iter(self.features.values())).device
        batch = PromptBatch.of(prompts, self.transform, self.mask_hw, device)
        if self.memory is not None:
            batch = replace(batch, mask_logits=self.memory[:, None])
        logits, quality = self.network.decode_all(self.features, batch)
        return logits.float(), quality.float()

    def hear(self, logits: Tensor) -> None:
        """Remember answers, (n, h', w'), for those that follow."""
        if "mask" in self.variant.capabilities:
            self.memory = logits.detach()


class _Talk:
    """What both are asked about one photo. Places are pixels of the photo."""

    def __init__(self, teacher: _Side, student: _Side, rng: np.random.Generator) -> None:
        self.teacher, self.student, self.rng = teacher, student, rng
        self.size_hw = student.transform.original_hw
        self._middles = places(student.transform, student.mask_hw) - 0.5
        self._inside = inside(student.transform, student.mask_hw)
        self._prompts: list[Prompt] = []
        self._shown: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None = None

    def begin(self, count: int) -> None:
        """Draw clicks at random places; or boxes around what the teacher finds there."""
        height, width = self.size_hw
        clicks = self.rng.integers(0, (width, height), (count, 2))
        self._prompts = [Prompt(points_xy=[place]) for place in clicks]
        if self.rng.random() < 0.5:
            with torch.no_grad():
                logits, quality = self.teacher.answer(self._prompts)
            masks = self._bring(logits[_rows(logits), self._first(quality)])
            boxes = [self._box(mask) for mask in masks.cpu().numpy() if mask.any()]
            self._prompts = [Prompt(box=box) for box in boxes] or self._prompts

    def ask(self) -> tuple[Tensor, float]:
        """Ask both; the loss of the student, and the mean IoU of the answers that users get."""
        with torch.no_grad():
            wanted, sure = self.teacher.answer(self._prompts)
        logits, quality = self.student.answer(self._prompts)
        target, weight = self._bring(wanted), self._inside.to(logits.device).float()
        losses = mask_loss(logits, target.float(), weight, alpha=_ALPHA).mean(1)
        loss = (losses + ((quality - sure.to(quality.device)) ** 2).mean(1)).mean()
        rows, first = _rows(logits), self._first(sure)
        self.teacher.hear(wanted[rows, first])
        self.student.hear(logits[rows, first])
        truth, answer = target[rows, first], logits[rows, first]
        self._shown = truth.cpu().numpy(), ((answer > 0) & (weight > 0)).cpu().numpy()
        return loss, mask_iou(answer, truth.float(), weight).mean().item()

    def correct(self) -> bool:
        """Click where the two differ, or anywhere; False when one of them listens to no more."""
        assert self._shown is not None
        known = self._prompts[0].points_xy.shape[0] + 2 * (self._prompts[0].box is not None)
        sides = self.teacher.variant, self.student.variant
        if known in [side.most_points for side in sides]:
            return False
        negative = all("negative_points" in side.capabilities for side in sides)
        self._prompts = [
            self._corrected(prompt, truth, answer, negative)
            for prompt, truth, answer in zip(self._prompts, *self._shown, strict=True)
        ]
        return True

    def _corrected(
        self,
        prompt: Prompt,
        truth: npt.NDArray[np.bool_],
        answer: npt.NDArray[np.bool_],
        negative: bool,
    ) -> Prompt:
        click = random_error(truth, answer, self.rng, negative=negative)
        if click is None:
            where = truth if truth.any() else self._inside.numpy()
            click = random_inside(where, self.rng, power=0), 1
        (x, y), label = click
        height, width = self.size_hw
        place = np.clip(self._middles[int(y), int(x)], 0, (width - 1, height - 1))
        points, labels = [*prompt.points_xy, place], [*prompt.labels, label]
        return Prompt(points_xy=points, labels=labels, box=prompt.box)

    def _first(self, quality: Tensor) -> Tensor:
        """Find the answer that a user of the teacher gets first, (n, 4) to (n,)."""
        alone = self._prompts[0].key() == (1, False, False)
        if alone or self.teacher.variant.always_three:
            return quality[:, 1:].argmax(1) + 1
        return torch.zeros(len(quality), dtype=torch.long, device=quality.device)

    def _bring(self, logits: Tensor) -> Tensor:
        """Bring the teacher's masks to where the student's are: bool (..., h', w')."""
        there, here = self.teacher.transform, self.student.transform
        masks = carry(logits, there, here, self.student.mask_hw) > 0
        return masks & self._inside.to(masks.device)

    def _box(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Draw a noisy box around a mask (h', w') of the student's frame."""
        transform = self.student.transform
        cells = np.divide(transform.frame_hw, mask.shape)[::-1]
        corners = transform.boxes_to_image(tight_box(mask) * np.tile(cells, 2))
        height, width = self.size_hw
        box = np.clip(corners, 0, (width, height, width, height)).astype(np.float32)
        most = _FARTHEST * width / transform.resized_hw[1]
        return noisy_box(box, self.size_hw, self.rng, most=most)


def _rows(answers: Tensor) -> Tensor:
    return torch.arange(len(answers), device=answers.device)

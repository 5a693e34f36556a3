"""Coupled distillation: a student learns its teacher's masks, with prompts in the loop.

Both are prompted at the same places in an image, by a click or by a noisy box, and then corrected
where they differ, by the same clicks, each with its own prediction before fed back. In every round
the student learns the teacher's masks, and the IoU that the teacher predicts for them: slot by
slot, 20 focal + dice and the squared error of the predicted IoU. No label is needed, and the
student may be built like its teacher or in any other way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anymask.data.simulate import SimulatedUser, noisy_box, tight_box
from anymask.errors import CapabilityError
from anymask.image.transform import Transform
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt
from anymask.train.distillation.sample import DistillSample, cell_centers, covers_image, resample
from anymask.train.objective import Step
from anymask.train.segmentation.encoded_batch import EncodedBatch, Features, group_by_frame
from anymask.train.segmentation.losses import mask_iou, mask_loss

__all__ = ["Coupled"]

_ALPHA = 0.5  # object and rest alike: the student should not make smaller masks than its teacher
_MAX_SHIFT = 20  # pixels of the frame by which a side of a box is moved at most


class Coupled:
    """The objective: the student's masks become those of its teacher."""

    def __init__(
        self, teacher: Segmenter, variant: Variant, masks: int = 8, rounds: int = 3
    ) -> None:
        """Prepare.

        Args:
            teacher: Who predicts first; its embeddings come with the samples.
            variant: What the student is.
            masks: Places in each image at which the two are prompted.
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
        self, model: nn.Module, batch: Sequence[DistillSample], step: Step
    ) -> Mapping[str, float]:
        """Set the gradients of one batch.

        Returns:
            ``loss``; ``first`` and ``last``: mean IoU of the student's masks for the first prompts
            and for the last ones with its teacher's.
        """
        tally = np.zeros(3)
        for samples in group_by_frame(batch):
            encoded = EncodedBatch(model, samples, self.variant.preprocessing, step.device)
            for index, sample in enumerate(samples):
                with encoded.features_of([index]) as features:
                    student = _Peer(model, self.variant, features, sample.transform)
                    tally += self._run(student, sample, step, 1 / len(batch))
            encoded.backward_encoder()
        return dict(zip(("loss", "first", "last"), tally.tolist(), strict=True))

    def _run(
        self, student: _Peer, sample: DistillSample, step: Step, share: float
    ) -> npt.NDArray[np.float64]:
        """Prompt both in one image, round after round.

        Returns:
            Its share of the loss, and of the mean IoU of the first masks and of the last ones.
        """
        rollout = _Rollout(self._teacher_peer(sample), student, np.random.default_rng(sample.seed))
        rollout.begin(self.masks)
        found = []
        for number in range(self.rounds):
            if number and not rollout.correct():
                break
            loss, iou = rollout.predict()
            loss = loss * (share / self.rounds)
            step.backward(loss)
            found.append((loss.item(), iou * share))
        return np.array([sum(loss for loss, _ in found), found[0][1], found[-1][1]])

    @torch.no_grad()
    def _teacher_peer(self, sample: DistillSample) -> _Peer:
        """Get the teacher ready to be prompted in an image."""
        model, seen = (
            self.teacher,
            sample.teacher_embedding.to(self.teacher.device, self.teacher.dtype),
        )
        features = model.network.prepare(seen.features)
        return _Peer(model.network, model.variant, features, seen.transform)


@dataclass
class _Peer:
    """One of the two, and what it sees of an image."""

    network: Any
    variant: Variant
    features: Features
    transform: Transform
    previous: Tensor | None = field(default=None, init=False)
    """Its latest predictions, (n, h', w'), where it takes them as prompts."""

    @property
    def mask_hw(self) -> tuple[int, int]:
        """Size of its predictions, which cover its frame."""
        size_hw: tuple[int, int] = self.network.mask_hw(self.transform.frame_hw)
        return size_hw

    def decode(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Decode prompts of one form: logits (n, 4, h', w') and predicted IoU (n, 4)."""
        device = next(iter(self.features.values())).device
        batch = PromptBatch.of(prompts, self.transform, self.mask_hw, device)
        if self.previous is not None:
            batch = replace(batch, mask_logits=self.previous[:, None])
        logits, predicted_iou = self.network.decode_all(self.features, batch)
        return logits.float(), predicted_iou.float()

    def observe(self, logits: Tensor) -> None:
        """Take predictions, (n, h', w'), for those that follow."""
        if "mask" in self.variant.capabilities:
            self.previous = logits.detach()


class _Rollout:
    """The prompts for both in one image. Places are pixels of the image."""

    def __init__(self, teacher: _Peer, student: _Peer, rng: np.random.Generator) -> None:
        self.teacher, self.student, self.rng = teacher, student, rng
        self.size_hw = student.transform.original_hw
        self._centers = cell_centers(student.transform, student.mask_hw) - 0.5
        self._counted = covers_image(student.transform, student.mask_hw)
        self._prompts: list[Prompt] = []
        self._shown: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None = None

    def begin(self, count: int) -> None:
        """Draw clicks at random places; or boxes around what the teacher finds there."""
        height, width = self.size_hw
        clicks = self.rng.integers(0, (width, height), (count, 2))
        self._prompts = [Prompt(points_xy=[place]) for place in clicks]
        if self.rng.random() < 0.5:
            with torch.no_grad():
                logits, predicted_iou = self.teacher.decode(self._prompts)
            masks = self._resample(logits[_rows(logits), self._top(predicted_iou)])
            boxes = [self._box(mask) for mask in masks.cpu().numpy() if mask.any()]
            self._prompts = [Prompt(box=box) for box in boxes] or self._prompts

    def predict(self) -> tuple[Tensor, float]:
        """Predict by both: the student's loss, and the mean IoU of the masks that users get."""
        with torch.no_grad():
            wanted, teacher_iou = self.teacher.decode(self._prompts)
        logits, predicted_iou = self.student.decode(self._prompts)
        target, weight = self._resample(wanted), self._counted.to(logits.device).float()
        losses = mask_loss(logits, target.float(), weight, alpha=_ALPHA).mean(1)
        loss = (
            losses + ((predicted_iou - teacher_iou.to(predicted_iou.device)) ** 2).mean(1)
        ).mean()
        rows, top = _rows(logits), self._top(teacher_iou)
        self.teacher.observe(wanted[rows, top])
        self.student.observe(logits[rows, top])
        truth, prediction = target[rows, top], logits[rows, top]
        self._shown = truth.cpu().numpy(), ((prediction > 0) & (weight > 0)).cpu().numpy()
        return loss, mask_iou(prediction, truth.float(), weight).mean().item()

    def correct(self) -> bool:
        """Click where the two differ, or anywhere; False when one of them takes no more."""
        assert self._shown is not None
        known = self._prompts[0].points_xy.shape[0] + 2 * (self._prompts[0].box is not None)
        sides = self.teacher.variant, self.student.variant
        if known in [side.max_points for side in sides]:
            return False
        negative = all("negative_points" in side.capabilities for side in sides)
        self._prompts = [
            self._corrected(prompt, truth, prediction, negative)
            for prompt, truth, prediction in zip(self._prompts, *self._shown, strict=True)
        ]
        return True

    def _corrected(
        self,
        prompt: Prompt,
        truth: npt.NDArray[np.bool_],
        prediction: npt.NDArray[np.bool_],
        negative: bool,
    ) -> Prompt:
        user = SimulatedUser(self.rng, negative=negative)
        click = user.correction(truth, prediction)
        if click is None:
            click = user.first_click(truth if truth.any() else self._counted.numpy()), 1
        (x, y), label = click
        height, width = self.size_hw
        place = np.clip(self._centers[int(y), int(x)], 0, (width - 1, height - 1))
        points, labels = [*prompt.points_xy, place], [*prompt.labels, label]
        return Prompt(points_xy=points, labels=labels, box=prompt.box)

    def _top(self, predicted_iou: Tensor) -> Tensor:
        """Find the mask that a user of the teacher gets first, (n, 4) to (n,)."""
        alone = self._prompts[0].form == (1, False, False)
        if alone or self.teacher.variant.always_three:
            return predicted_iou[:, 1:].argmax(1) + 1
        return torch.zeros(len(predicted_iou), dtype=torch.long, device=predicted_iou.device)

    def _resample(self, logits: Tensor) -> Tensor:
        """Bring the teacher's masks to where the student's are: bool (..., h', w')."""
        there, here = self.teacher.transform, self.student.transform
        masks = resample(logits, there, here, self.student.mask_hw) > 0
        return masks & self._counted.to(masks.device)

    def _box(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Draw a noisy box around a mask (h', w') of the student's frame."""
        transform = self.student.transform
        cells = np.divide(transform.frame_hw, mask.shape)[::-1]
        corners = transform.boxes_to_image(tight_box(mask) * np.tile(cells, 2))
        height, width = self.size_hw
        box = np.clip(corners, 0, (width, height, width, height)).astype(np.float32)
        max_shift = _MAX_SHIFT * width / transform.resized_hw[1]
        return noisy_box(box, self.size_hw, self.rng, max_shift=max_shift)


def _rows(logits: Tensor) -> Tensor:
    return torch.arange(len(logits), device=logits.device)

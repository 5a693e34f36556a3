"""Decoupled distillation: an encoder learns to see what its teacher sees (Zhang et al., 2023).

The loss is the mean squared error between the two embeddings, and neither decoder takes part: the
student takes over its teacher's, which understands it the better the nearer they come (MobileSAM's
paper, section 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.errors import CapabilityError
from anymask.models.sam import Promptable
from anymask.models.sam2 import Detailed
from anymask.models.variants import Preprocessing
from anymask.predict.segmenter import Segmenter
from anymask.train.distillation.sample import DistillSample, covers_image, frames, resample
from anymask.train.objective import Step

__all__ = ["Decoupled", "similarity", "take_over"]


class Decoupled:
    """The objective: the student's embedding becomes that of its teacher."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        """Prepare.

        Args:
            preprocessing: How the student wants its images.
        """
        self.preprocessing = preprocessing

    def __call__(
        self, model: Any, batch: Sequence[DistillSample], step: Step
    ) -> Mapping[str, float]:
        """Set the gradients of one batch.

        Returns:
            ``loss``; and ``similarity``, the mean cosine between the embeddings' cells.
        """
        pixels = frames(batch, self.preprocessing, step.device)
        made = model.encode(pixels, tuple(pixels.shape[2:]))["image"].float()
        targets, counts = zip(*(_target(x, made.shape[2:]) for x in batch), strict=True)
        target = torch.stack(targets).to(step.device)
        counted = torch.stack(counts).to(step.device).float()
        errors = ((made - target) ** 2).mean(dim=1)
        loss = (errors * counted).sum() / counted.sum()
        step.backward(loss)
        cosine = similarity(made.detach(), target)
        return {
            "loss": loss.item(),
            "similarity": ((cosine * counted).sum() / counted.sum()).item(),
        }


def take_over(student: nn.Module, teacher: Segmenter) -> None:
    """Give a student its teacher's prompt encoder and mask decoder, and let its encoder learn.

    Args:
        student: A network; changed in place.
        teacher: Whose decoder it gets.

    Raises:
        CapabilityError: One of the two has no such decoder, or theirs differ in shape.
    """
    own, others = cast(Promptable, student), cast(Promptable, teacher.network)
    plain = all(isinstance(n, Promptable) and not isinstance(n, Detailed) for n in (own, others))
    if not plain:
        raise CapabilityError(
            f"expected a SAM, MobileSAM or EfficientSAM as teacher and as student, got "
            f"{teacher.variant.name} and {type(student).__name__}; let it learn from answers "
            "(coupled)"
        )
    for name in ("prompt_encoder", "mask_decoder"):
        mine, theirs = own.get_submodule(name), others.get_submodule(name)
        if _shapes(mine) != _shapes(theirs):
            raise CapabilityError(
                f"expected a student with the decoder of its teacher {teacher.variant.name}, got "
                f"one whose {name} differs; let it learn from answers (coupled)"
            )
        mine.load_state_dict(theirs.state_dict())
    own.requires_grad_(False)
    own.image_encoder.requires_grad_(True)


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """Compare two embeddings (b, c, h, w) by the cosine of each cell: (b, h, w)."""
    return F.cosine_similarity(one, other, dim=1)


def _target(sample: DistillSample, size_hw: torch.Size) -> tuple[Tensor, Tensor]:
    """Find what the student should see, (c, h, w), and which cells count, (h, w)."""
    rows, columns = size_hw
    seen, transform = sample.teacher_embedding, sample.transform
    target = resample(seen.features["image"][0], seen.transform, transform, (rows, columns))
    if seen.transform == transform:  # the teacher has seen the padding, too, and so will decoders
        return target, torch.ones(rows, columns, dtype=torch.bool)
    return target, covers_image(transform, (rows, columns))


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}

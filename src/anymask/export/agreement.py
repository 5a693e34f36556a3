"""How alike the masks of quantized graphs are to those of the model in float32, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anymask.batch.inputs import find_images
from anymask.errors import InputError, WeightsError
from anymask.image.image import Image
from anymask.prompt import Prompt

if TYPE_CHECKING:
    from anymask.embedding import Embedding
    from anymask.models.variants import Variant
    from anymask.predict.segmenter import Segmenter

__all__ = [
    "Agreement",
    "check_least",
    "compare_masks",
    "frames_of",
    "read_images",
    "time_calls",
]

_IMAGES = 32  # the most that are looked at
_SHARES = (0.2, 0.5, 0.8)  # of the sides: where the clicks are
_ROUNDS = 3


def check_least(least: float) -> None:
    """Check the least mean IoU that is asked for, before anything takes long.

    Raises:
        InputError: It is none.
    """
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
        raise InputError(
            f"expected min_agreement as a mean IoU of 0 to 1, got {least!r}; 0.95 is usual"
        )


@dataclass(frozen=True)
class Agreement:
    """What came out of the comparison."""

    runtime: str
    """What ran the graphs."""
    images: int
    """How many images were looked at."""
    masks: int
    """How many masks were compared."""
    clicks: float
    """Mean IoU over the answers to clicks."""
    boxes: float | None
    """The same of boxes; None: the model takes none."""
    least: float
    """The least mean that was asked for."""
    bytes: int
    """Of the encoder."""
    bytes_float32: int
    """Of the same encoder in float32."""
    seconds: float
    """Median processor time of the encoder for one image."""
    seconds_float32: float
    """The same in float32, by the same runtime in the same run."""

    @property
    def mean(self) -> float:
        """Mean over clicks and boxes."""
        return self.clicks if self.boxes is None else (self.clicks + self.boxes) / 2

    def check(self) -> None:
        """Check that it is enough.

        Raises:
            WeightsError: It is not.
        """
        if not self.mean >= self.least:
            raise WeightsError(
                f"expected masks that agree with those in float32 by a mean IoU of {self.least}, "
                f"got {self.mean:.3f} by {self.runtime} over {self.images} images; quantize to "
                "fp16 or int8-dynamic, calibrate with more images, or allow less (min_agreement)"
            )

    def to_text(self) -> str:
        """Write for people to read."""
        boxes = "" if self.boxes is None else f", boxes {self.boxes:.4f}"
        return (
            f"agreement with float32 by {self.runtime}: mean IoU {self.mean:.4f} "
            f"(clicks {self.clicks:.4f}{boxes}) over {self.masks} masks of {self.images} images; "
            f"at least {self.least} was wanted\n"
            f"encoder: {self.bytes / 1e6:.1f} MB instead of {self.bytes_float32 / 1e6:.1f}, "
            f"{1e3 * self.seconds:.0f} ms of processor time instead of "
            f"{1e3 * self.seconds_float32:.0f}"
        )


def read_images(folder: Path) -> list[Image]:
    """Read the images of a folder, spread evenly over it if they are many.

    Raises:
        InputError: There is none, or one cannot be read.
    """
    found = find_images([str(folder)], folder / "anymask-out")
    chosen = np.linspace(0, len(found) - 1, min(len(found), _IMAGES)).astype(int)
    return [Image.open(found[i].source) for i in chosen]


def frames_of(images: Sequence[Image], variant: Variant) -> list[npt.NDArray[np.float32]]:
    """Bring images into a model's frame, (1, 3, h, w) each."""
    wanted = variant.preprocessing.for_encoder
    frames = []
    for image in images:
        transform = wanted.fit(image.size_hw)
        resized = transform.resize(image, wanted.resize)[None]
        frames.append(np.asarray(wanted.frames(resized, transform, "cpu"), np.float32))
    return frames


def compare_masks(
    model: Segmenter, encode: Callable[[Image], Embedding], images: Sequence[Image]
) -> tuple[float, float | None, int]:
    """Ask a model the same about its own embeddings and about those of a quantized encoder.

    Returns:
        Mean IoU over the answers to clicks, over those to boxes, and the number of masks.
    """
    ask = _instances if model.variant.kind == "instances" else _answers
    clicks: list[float] = []
    boxes: list[float] = []
    for image in images:
        both = model.embed(image), encode(image)
        h, w = image.size_hw
        points = [Prompt([(w * x, h * y)]) for x in _SHARES for y in _SHARES]
        wanted, found = (ask(model, embedding, points) for embedding in both)
        clicks += _ious(wanted, found)
        around = _boxes(wanted[:, 0], image.size_hw, both[0].transform)
        if around and "box" in model.variant.capabilities:
            boxes += _ious(*(ask(model, embedding, around) for embedding in both))
    mean_boxes = float(np.mean(boxes)) if boxes else None
    return float(np.mean(clicks)), mean_boxes, len(clicks) + len(boxes)


def _answers(
    model: Segmenter, embedding: Embedding, prompts: Sequence[Prompt]
) -> npt.NDArray[np.bool_]:
    """Ask for masks at low resolution, the one answer and the three: bool (n, 4, h, w)."""
    several = (False, True) if "multimask" in model.variant.capabilities else (False,)
    logits = [np.asarray(model.decode(embedding, prompts, three)[0]) for three in several]
    found: npt.NDArray[np.bool_] = np.concatenate(logits, axis=1) > 0
    return found


def _instances(
    model: Segmenter, embedding: Embedding, prompts: Sequence[Prompt]
) -> npt.NDArray[np.bool_]:
    """Ask for the best instance, at the size of the image; nothing where there is none."""
    answers = model.predict(embedding, prompts=prompts)
    empty = np.zeros((1, *embedding.size_hw), np.bool_)
    return np.stack([masks.best().dense() if len(masks) else empty for masks in answers])


def _ious(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> list[float]:
    both, either = (a & b).sum(axis=(2, 3)), (a | b).sum(axis=(2, 3))
    ious: list[float] = np.where(either > 0, both / np.maximum(either, 1), 1.0).ravel().tolist()
    return ious


def _boxes(masks: npt.NDArray[np.bool_], size_hw: tuple[int, int], transform: Any) -> list[Prompt]:
    """Make boxes around masks (n, h, w) that cover the frame, in pixels of the image."""
    prompts = []
    h, w = size_hw
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            continue
        # Low resolution covers the frame; instances have the size of the image already.
        covered = transform.frame_hw if mask.shape != tuple(size_hw) else size_hw
        scale = np.array(covered) / mask.shape
        low = np.array([columns[0] * scale[1], rows[0] * scale[0]])
        high = np.array([(columns[-1] + 1) * scale[1], (rows[-1] + 1) * scale[0]])
        box = np.concatenate([low, high])
        if mask.shape != tuple(size_hw):
            box = transform.boxes_to_image(box)
        box = box.clip(0, [w, h, w, h])
        if (box[2:] - box[:2] >= 1).all():
            prompts.append(Prompt(box=box))
    return prompts


def time_calls(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Time calls in turns: median seconds of processor time of each."""
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(1 + _ROUNDS):
        for call, times in zip(calls, taken, strict=True):
            start = time.process_time()
            call()
            if turn:
                times.append(time.process_time() - start)
    return [float(np.median(times)) for times in taken]

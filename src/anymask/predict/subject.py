"""What an image is of, its main subject: roughly by a saliency network, exactly by the model.

Salient object detection knows what stands out and sees it at 320 x 320; a promptable model does not
know what is meant, but where things end. So the saliency map, looked at twice, the second time from
closer, becomes a prompt, and the answer is weighed against it: each decides where it is surer. The
edge is then laid where the image has it (`masks.matting`). What of this pays is measured by
``benchmarks/subject.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from anymask.arrays import Device, floats, sigmoid
from anymask.embedding import Embedding
from anymask.errors import CapabilityError
from anymask.image import resampling
from anymask.image.image import Image, ImageLike
from anymask.image.transform import Transform
from anymask.masks.masks import Masks
from anymask.masks.matting import soften
from anymask.models import companions
from anymask.models.network import Network
from anymask.models.salient import SaliencyNetwork, saliency_logits
from anymask.models.variants import Variant
from anymask.parallel import threads_work
from anymask.predict.implied import deepest_points
from anymask.prompt import Prompt

__all__ = ["LABEL", "check_subject", "find_subject", "rough_logits"]

FloatArray = npt.NDArray[np.float32]

LABEL = "subject"
"""What the mask is called, see `Masks.labels`."""

_SURE = 8.0  # logits beyond are no surer
_CLOSER = 0.3  # of the subject's sides: how much around it the second look shows
_LARGE = 0.8  # of the image: a subject's surroundings so large need no second look
_LEAST = 0.001  # of the image: less than this is no subject
_LEAST_IOU = 0.5  # to expect: patterns may get as much, things rather more
_BACKGROUND = -3.0  # logits below this are background for sure
_POINTS, _BACKGROUND_POINTS = 3, 2  # at most


class Promptable(Protocol):
    """What a model must have: boxes as prompts."""

    @property
    def variant(self) -> Variant:
        """Which model it is."""
        ...

    @property
    def network(self) -> Network:
        """What computes."""
        ...

    @property
    def device(self) -> Device:
        """Where it computes."""
        ...

    def embed(self, image: ImageLike, /) -> Embedding:
        """Encode an image."""
        ...

    def predict(self, embedding: Embedding, /, *, prompts: Prompt, multimask: bool | None) -> Masks:
        """Answer a prompt."""
        ...


def check_subject(variant: Variant) -> None:
    """Check that a model can say where a subject ends.

    Raises:
        CapabilityError: It takes no boxes.
    """
    if "box" not in variant.capabilities:
        raise CapabilityError(
            f"expected a model that takes boxes, to cut out the main subject, got {variant.name}, "
            "which takes none; load another one"
        )


@threads_work()
def find_subject(model: Promptable, image: ImageLike) -> Masks:
    """Cut out what an image is of; see `Segmenter.subject`."""
    check_subject(model.variant)
    photo = Image.open(image)
    rough = rough_logits(companions.saliency(model.device), photo)
    found = Masks.empty(photo.size_hw, source=photo.source, model=model.variant.name)
    if (rough > 0).mean() < _LEAST:
        return found
    embedding = model.embed(photo)
    frame = _Frame.of(model, embedding.transform)
    seen = frame.resized(rough)
    answer = frame.ask(model, embedding, seen)
    fused = seen if answer is None else floats((seen + answer) / 2)
    score = _expected_iou(fused)
    if score < _LEAST_IOU:
        return found
    mask = resampling.enlarged(fused, photo.size_hw) > 0
    mask = soften(photo.pixels, mask).alpha >= 128
    if mask.mean() < _LEAST:
        return found
    return Masks.from_dense(
        mask,
        labels=[LABEL],
        scores=[score],
        logits=frame.logits(fused)[None] if frame.mask_hw else None,
        source=photo.source,
        model=model.variant.name,
    )


def rough_logits(network: SaliencyNetwork, image: Image) -> FloatArray:
    """Look at an image, and once more at the part of it that matters: float32 (h, w), small."""
    logits = saliency_logits(network, image).clip(-_SURE, _SURE)
    box = _box_of(logits > 0)
    if box is None:
        return logits
    x0, y0, x1, y1 = box
    margin_x, margin_y = _CLOSER * (x1 - x0), _CLOSER * (y1 - y0)
    rows, columns = logits.shape
    x0, x1 = max(0, int(x0 - margin_x)), min(columns, int(x1 + margin_x) + 1)
    y0, y1 = max(0, int(y0 - margin_y)), min(rows, int(y1 + margin_y) + 1)
    if (x1 - x0) * (y1 - y0) > _LARGE * rows * columns:
        return logits
    height, width = image.size_hw
    left, right = x0 * width // columns, -(-x1 * width // columns)
    top, bottom = y0 * height // rows, -(-y1 * height // rows)
    closer = saliency_logits(network, image.crop((left, top, right, bottom)))
    # On a grid on which the second look loses nothing, unless it is much finer than models see.
    finer = min(4, max(1, round(min(columns / (x1 - x0), rows / (y1 - y0)))))
    whole = resampling.enlarged(logits, (rows * finer, columns * finer))
    second = np.full_like(whole, -_SURE)
    window = second[y0 * finer : y1 * finer, x0 * finer : x1 * finer]
    window[:] = resampling.enlarged(closer, (window.shape[0], window.shape[1]))
    return floats((whole + second.clip(-_SURE, _SURE)) / 2)


@dataclass(frozen=True)
class _Frame:
    """The part of a model's frame that the image fills, without the padding.

    Attributes:
        transform: From the image into the frame.
        mask_hw: Of the model's logits, which cover the frame; None: it takes none.
    """

    transform: Transform
    mask_hw: tuple[int, int] | None

    @classmethod
    def of(cls, model: Promptable, transform: Transform) -> _Frame:
        takes_masks = "mask" in model.variant.capabilities
        return cls(transform, model.network.mask_hw(transform.frame_hw) if takes_masks else None)

    def resized(self, rough: FloatArray) -> FloatArray:
        """Bring a map of the whole image to this size."""
        larger = rough.shape[0] > self.transform.resized_hw[0]
        resize = resampling.means if larger else resampling.enlarged
        return resize(rough, self.transform.resized_hw)

    def logits(self, seen: FloatArray) -> FloatArray:
        """Bring a map of this size to that of the model's logits."""
        assert self.mask_hw is not None
        (top, left), (height, width) = self.transform.offset_hw, self.transform.resized_hw
        whole = np.full(self.transform.frame_hw, -_SURE, np.float32)
        whole[top : top + height, left : left + width] = seen
        return resampling.means(whole, self.mask_hw)

    def ask(self, model: Promptable, embedding: Embedding, seen: FloatArray) -> FloatArray | None:
        """Let the model say what a map of this size means, again as logits; None: it can't."""
        prompt = self._prompt(seen, model.variant)
        if prompt is None:
            return None
        answers = model.predict(embedding, prompts=prompt, multimask=model.variant.always_three)
        maps = [self._map_of(answer) for answer in answers]
        if not maps:
            return None
        return max(maps, key=lambda one: _iou(one > 0, seen > 0))

    def _prompt(self, seen: FloatArray, variant: Variant) -> Prompt | None:
        """Say the same in the words that the model understands."""
        box = _box_of(seen > 0)
        if box is None:
            return None
        x0, y0, x1, y1 = box
        points = deepest_points(seen > 0, _POINTS)
        labels = np.ones(len(points), np.int64)
        if "negative_points" in variant.capabilities:
            beside = deepest_points(seen[y0:y1, x0:x1] < _BACKGROUND, _BACKGROUND_POINTS)
            points = np.concatenate([points, beside + np.array([x0, y0])])
            labels = np.repeat([1, 0], [len(labels), len(beside)])
        height, width = self.transform.original_hw
        scale = np.array([width, height]) / self.transform.resized_hw[::-1]
        points = np.clip((points + 0.5) * scale - 0.5, 0, (width - 1, height - 1))
        # Instances are looked for as one thing that all of it fits.
        if variant.kind == "instances" or "points" not in variant.capabilities:
            points, labels = points[:0], labels[:0]
        return Prompt(
            points,
            labels,
            np.array(box, dtype=np.float64) * np.tile(scale, 2),
            mask_logits=None if self.mask_hw is None else self.logits(seen),
        )

    def _map_of(self, answer: Masks) -> FloatArray:
        """Bring an answer to this size, as logits."""
        (top, left), (height, width) = self.transform.offset_hw, self.transform.resized_hw
        if answer.logits is None:
            mask = answer.dense()[0].astype(np.float32)
            return floats(_SURE * (2 * resampling.means(mask, (height, width)) - 1))
        logits = answer.logits[0].clip(-_SURE, _SURE)
        whole = resampling.enlarged(logits, self.transform.frame_hw)
        return whole[top : top + height, left : left + width]


def _box_of(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Give the box that runs round a mask (h, w), xyxy; None round nothing."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _expected_iou(logits: FloatArray) -> float:
    """Say which IoU a mask of the positive pixels would have if each were as likely as they say."""
    likely, mask = sigmoid(logits), logits > 0
    return float((likely * mask).sum() / max(1.0, mask.sum() + (likely * ~mask).sum()))

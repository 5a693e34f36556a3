"""Heads of the bundled detector that say where things are, not which: learned from boxes.

A class-agnostic detector as in the semi-automatic stage of the Segment Anything paper (section 4):
trained on the boxes of all masks so far, with one class, "object". The trunk rests, so each view of
an image goes through it once, and what is learned is a few layers on its maps. Losses are those of
SSD (Liu et al., ECCV 2016), with a focal loss (Lin et al., ICCV 2017) in place of the search for
hard negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask import geometry
from anymask.image.image import Image
from anymask.models import ssd
from anymask.models.detector import Detector, load_detector
from anymask.models.vocabulary import LABELS
from anymask.train.config import LoopConfig

__all__ = ["Boxed", "start_heads", "targets", "train_heads"]

FloatArray: TypeAlias = npt.NDArray[np.float32]
Boxed: TypeAlias = tuple[Callable[[], Image], FloatArray]
"""Opens an image; and the boxes of its things, float32 (n, 4) xyxy in its pixels."""

_VIEWS = 6  # of an image: as it is, and cut-outs, mirrored or not
_MOST_VIEWS = 3000  # in memory together, with 0.7 MB each
_LEAST_LEFT = 0.6  # share of a box that a cut-out must hold, or it is no box there
_POSITIVE, _NEGATIVE = 0.5, 0.4  # IoU of an anchor with a box; between, it counts for nothing
_FOCAL_ALPHA, _FOCAL_GAMMA = 0.25, 2.0


def start_heads() -> Detector:
    """Give the bundled detector with one class: what all of its classes have in common."""
    many = load_detector()
    one = Detector(many.trunk, classes=1)
    state = many.state_dict()
    for key, value in state.items():
        if ".score." in key:
            rows = value.unflatten(0, (-1, 1 + len(LABELS)))
            state[key] = torch.stack([rows[:, 0], rows[:, 1:].mean(1)], dim=1).flatten(0, 1)
    one.load_state_dict(state)
    one.trunk.requires_grad_(False)
    return one.eval()


def train_heads(
    detector: Detector,
    images: Sequence[Boxed],
    loop: LoopConfig,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Let the heads of a detector of one class learn the boxes of images, in place.

    Args:
        detector: See `start_heads`; its trunk stays as it is.
        images: At least one.
        loop: ``steps``, ``batch_size``, ``lr``, ``weight_decay``, ``warmup`` and ``seed`` count.
        progress: Called with the number of steps so far.
    """
    rng = np.random.default_rng(loop.seed)
    views = [_encode(detector, *view) for view in _views(images, rng)]
    learned = [value for value in detector.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=loop.lr, weight_decay=loop.weight_decay)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, loop))
    device = detector.device
    for step in range(loop.steps):
        chosen = rng.choice(len(views), min(loop.batch_size, len(views)), replace=False)
        batch = [views[i] for i in chosen]
        c16, c32 = (torch.stack([view[k] for view in batch]).float().to(device) for k in (0, 1))
        wanted = [targets(view[2]) for view in batch]
        state, codes = (torch.from_numpy(np.stack(v)).to(device) for v in zip(*wanted, strict=True))
        loss = _loss(*detector.read(c16, c32), state, codes)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(learned, loop.grad_clip or float("inf"))
        optimizer.step()
        rate.step()
        if progress is not None:
            progress(step + 1)


def _share(step: int, loop: LoopConfig) -> float:
    """Warm up, then fall as a cosine."""
    if step < loop.warmup:
        return (step + 1) / loop.warmup
    gone = (step - loop.warmup) / max(1, loop.steps - loop.warmup)
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, gone))))


# ------------------------------------------------------------------------------- views


def _views(
    images: Sequence[Boxed], rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.uint8], FloatArray]]:
    """Give pixels and boxes (shares of the frame) of each image and of parts of it."""
    most = max(1, min(_VIEWS, _MOST_VIEWS // len(images)))
    order: Iterable[int] = range(len(images))
    if len(images) > _MOST_VIEWS:
        order = np.sort(rng.choice(len(images), _MOST_VIEWS, replace=False)).tolist()
    for i in order:
        opened, boxes = images[i]
        pixels = opened().pixels
        for number in range(most):
            part, inside = (pixels, boxes) if number < 2 else _cut(pixels, boxes, rng)
            if len(inside) or number < 2:
                yield _framed(part, inside, mirrored=bool(number % 2))


def _cut(
    pixels: npt.NDArray[np.uint8], boxes: FloatArray, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Take a part of an image, and the boxes of which enough is in it."""
    h, w = pixels.shape[:2]
    scale = rng.uniform(0.5, 0.9)
    ph, pw = max(1, round(h * scale)), max(1, round(w * scale))
    top, left = int(rng.integers(h - ph + 1)), int(rng.integers(w - pw + 1))
    moved = boxes - np.array([left, top, left, top], np.float32)
    inside = moved.clip(0, np.array([pw, ph, pw, ph], np.float32))
    kept = _areas(inside) >= _LEAST_LEFT * _areas(boxes)
    return pixels[top : top + ph, left : left + pw], inside[kept]


def _areas(boxes: FloatArray) -> FloatArray:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float32)


def _framed(
    pixels: npt.NDArray[np.uint8], boxes: FloatArray, *, mirrored: bool
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Bring a part to the frame of the detector, its boxes to shares of that."""
    photo = Image.open(np.ascontiguousarray(pixels))
    h, w = photo.size_hw
    transform = ssd.PREPROCESSING.fit(photo.size_hw)
    resized = transform.resize(photo, ssd.PREPROCESSING.resize)
    shares: FloatArray = (boxes / np.array([w, h, w, h], np.float32)).astype(np.float32)
    if mirrored:
        resized = np.ascontiguousarray(resized[:, ::-1])
        left, top, right, bottom = shares.T
        shares = np.stack([1 - right, top, 1 - left, bottom], axis=1).astype(np.float32)
    return resized, shares


def _encode(
    detector: Detector, resized: npt.NDArray[np.uint8], boxes: FloatArray
) -> tuple[Tensor, Tensor, FloatArray]:
    transform = ssd.PREPROCESSING.fit(resized.shape[:2])
    with torch.no_grad():
        frames = ssd.PREPROCESSING.frames(resized[None], transform, detector.device)
        *_, c16, c32 = detector.trunk(frames)
    return c16[0].half().cpu(), c32[0].half().cpu(), boxes


# ------------------------------------------------------------------------------- losses


def targets(boxes: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Say what each anchor should answer.

    Args:
        boxes: float32 (n, 4) xyxy, as shares of the frame.

    Returns:
        int64 (1917,): 1 where a box is, 0 where none is, -1 where it does not count; and the codes,
        float32 (1917, 4), of the box that each of the first kind stands for.

    Examples:
        >>> state, codes = targets(np.array([[0.4, 0.4, 0.6, 0.6]], np.float32))
        >>> found = ssd.decode(codes)[state == 1]
        >>> bool(np.allclose(found, [0.4, 0.4, 0.6, 0.6], atol=1e-6))
        True
    """
    y, x, height, width = np.moveaxis(ssd.anchors(), -1, 0)
    state = np.zeros(len(y), np.int64)
    boxes = boxes[_areas(boxes) > 0]
    if not len(boxes):
        return state, np.zeros((len(y), 4), np.float32)
    corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    ious = np.asarray(geometry.box_iou(np.stack(corners, axis=-1), boxes))
    of, best = ious.argmax(axis=1), ious.max(axis=1)
    state[best >= _NEGATIVE] = -1
    state[best >= _POSITIVE] = 1
    nearest = ious.argmax(axis=0)  # or small boxes would have no anchor at all
    state[nearest], of[nearest] = 1, np.arange(len(boxes))
    return state, ssd.encode(boxes[of])


def _loss(codes: Tensor, logits: Tensor, state: Tensor, wanted: Tensor) -> Tensor:
    """Focal loss of the scores and smooth L1 of the boxes, over the number of good anchors."""
    positive = state == 1
    number = positive.sum().clamp(min=1)
    said, truth = logits[..., 1], positive.to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(said, truth, reduction="none")
    wrong = torch.where(positive, 1 - said.sigmoid(), said.sigmoid())
    weight = torch.where(positive, _FOCAL_ALPHA, 1 - _FOCAL_ALPHA) * wrong**_FOCAL_GAMMA
    scores = (each * weight)[state >= 0].sum()
    boxes = F.smooth_l1_loss(codes[positive], wanted[positive], reduction="sum")
    return (scores + boxes) / number

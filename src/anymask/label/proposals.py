"""Where things are, whatever they are: boxes for the semi-automatic stage, learned from its masks.

In the Segment Anything paper (section 4), a detector of one class, "object", was trained on the
boxes of all masks that people had made, and filled in confident masks for them. Ours is the bundled
detector with heads of one class (`anymask.train.detector_heads`).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask import geometry
from anymask.arrays import Device
from anymask.atomic import atomic_write, make_folder
from anymask.detections import Detections
from anymask.device import device_name
from anymask.formats import coco
from anymask.image.image import Image
from anymask.models import ssd
from anymask.optional import optional
from anymask.train.config import LoopConfig

if TYPE_CHECKING:
    from anymask.label.store import Store

__all__ = [
    "BUNDLED",
    "HEADS",
    "MEASURE",
    "ProposalsReport",
    "Propose",
    "load_proposals",
    "measure",
    "proposals_of",
    "train_proposals",
]

BUNDLED = "anymask-detector"
"""What the store calls the detector that a first one of its own learned from."""

HEADS = "heads.safetensors"
"""File of the heads, in the folder of the version."""

MEASURE = "average_precision"
"""What decides which of two detectors is better: it falls with what is missed and with what is not
there."""

Propose: TypeAlias = Callable[[Image], Detections]
"""Finds boxes of things in an image, without names, best first."""

_OBJECT = ("object",)
_MOST = 100  # boxes of an image
_FOUND = 0.5  # IoU of a box that counts as found
_LEAST = 0.02  # score of boxes that are measured; what comes below changes nothing
_FILLED = 0.3  # score of boxes that are filled in; precision is measured there


def load_proposals(
    path: Path | None, device: Device = "cpu", min_score: float = _FILLED
) -> Propose:
    """Load a detector of boxes.

    Args:
        path: Folder of a version; None: the bundled detector, whatever it calls what it finds.
        device: Where to compute.
        min_score: Least score, 0 to 1.

    Raises:
        WeightsError: The file is missing or damaged.

    Examples:
        >>> from anymask import Image
        >>> found = load_proposals(None)(Image.open("docs/pictures/coffee.jpg"))
        >>> found.labels, len(found.boxes)
        ((None,), 1)
    """
    from anymask.models import companions

    computes = device_name(device)
    if path is None:
        return functools.partial(_find, companions.detector(computes), ssd.LABELS, min_score)
    optional("torch")  # says how to install it
    from anymask.models.detector import load_detector

    return functools.partial(_find, load_detector(computes, path / HEADS), _OBJECT, min_score)


def _find(
    network: ssd.DetectorNetwork, known: Sequence[str], min_score: float, image: Image
) -> Detections:
    found = ssd.detect(network, image, min_score=min_score, known=known)
    alone = replace(found, labels=(None,) * len(found))
    return alone.nms(0.5, per_label=False)


def proposals_of(store: Store, device: Device = "cpu") -> tuple[str, Propose] | None:
    """Load the detector of boxes that a store has in use, and say its name; None without one."""
    used = next((one for one in store.versions() if one.promoted and one.kind == "detector"), None)
    if used is None or used.name == BUNDLED:  # it was better than what learned from it
        return None
    return used.name, load_proposals(store.root / used.path, device)


# ----------------------------------------------------------------------------- learning


@dataclass(frozen=True)
class ProposalsReport:
    """How a detector of boxes was before and after it learned, on images that it did not see.

    Attributes:
        train_images: Number of images that it learned from.
        val_images: Number of the others.
        before: See `measure`.
        after: The same.
    """

    train_images: int
    val_images: int
    before: Mapping[str, float]
    after: Mapping[str, float]


def train_proposals(
    train: Path,
    val: Path,
    output: Path,
    loop: LoopConfig,
    start: Path | None = None,
    device: str = "auto",
    *,
    quiet: bool = True,
) -> ProposalsReport:
    """Let a detector of boxes learn from the masks of images, and measure it on others.

    Args:
        train: File of COCO of the images to learn from, which lie beside it.
        val: The same, to measure on.
        output: Folder of the version, for `load_proposals`; made when missing.
        loop: How, see `anymask.train.detector_heads.train_heads`.
        start: Folder of the version that it starts from; None: the bundled detector.
        device: Where to compute.
        quiet: Say nothing meanwhile.

    Raises:
        InputError: A file is damaged, or an image cannot be read.
        OutputError: The version cannot be written.
    """
    from safetensors.torch import save_file

    from anymask.models.detector import load_detector
    from anymask.train.detector_heads import start_heads, train_heads

    computes = device_name(device)
    some, others = _boxed(train), _boxed(val)
    before = _measured(load_proposals(start, computes, _LEAST), others)
    detector = start_heads() if start is None else load_detector("cpu", start / HEADS)
    detector.to(computes)
    train_heads(detector, some, loop, None if quiet else _ticker(loop.steps))
    state = {k: v.contiguous() for k, v in detector.cpu().state_dict().items()}
    make_folder(output)
    with atomic_write(output / HEADS) as draft:
        save_file({k: v for k, v in state.items() if not k.startswith("trunk.")}, draft)
    after = _measured(load_proposals(output, computes, _LEAST), others)
    return ProposalsReport(len(some), len(others), before, after)


def _boxed(annotations: Path) -> list[tuple[Callable[[], Image], npt.NDArray[np.float32]]]:
    found: list[tuple[Callable[[], Image], npt.NDArray[np.float32]]] = []
    for masks in coco.read_all(annotations):
        path = annotations.parent / str(masks.source)
        boxes = Detections.from_masks(masks[masks.areas > 0]).boxes
        found.append((functools.partial(Image.open, path), boxes))
    return found


def _measured(
    propose: Propose, images: Sequence[tuple[Callable[[], Image], npt.NDArray[np.float32]]]
) -> dict[str, float]:
    return measure([propose(opened()) for opened, _ in images], [boxes for _, boxes in images])


def _ticker(steps: int) -> Callable[[int], None]:
    def tick(number: int) -> None:
        if number % 20 == 0 or number == steps:
            print(f"anymask: step {number:,d} of {steps:,d}", file=sys.stderr, flush=True)

    return tick


# ------------------------------------------------------------------------------ quality


def measure(
    found: Sequence[Detections], truths: Sequence[npt.NDArray[np.float32]]
) -> dict[str, float]:
    """Measure boxes of several images against the true ones, at IoU 0.5.

    Args:
        found: Boxes of each image with their scores.
        truths: float32 (n, 4) xyxy of each image.

    Returns:
        ``recall``: share of the true boxes that are among the 100 best ones of their image;
        ``precision``: share of the boxes of a score of 0.3 or more that are true, 0 without any;
        ``average_precision``: area under the curve of both, over all scores.

    Examples:
        >>> box = np.array([[0, 0, 4, 4]], np.float32)
        >>> other = np.array([[0, 0, 4, 4], [5, 5, 9, 9]], np.float32)
        >>> one = Detections((9, 9), box, np.array([0.9], np.float32))
        >>> measure([one], [other])
        {'recall': 0.5, 'precision': 1.0, 'average_precision': 0.5}
    """
    scores, hits = [np.empty(0)], [np.empty(0, bool)]
    for boxes, truth in zip(found, truths, strict=True):
        best = boxes.sort()[:_MOST]
        scores.append(best.scores.astype(np.float64))
        hits.append(_hits(best.boxes, truth))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    ranked, right = np.concatenate(scores)[order], np.concatenate(hits)[order]
    number = sum(len(truth) for truth in truths)
    recall = right.cumsum() / max(1, number)
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    sure = int((ranked >= _FILLED).sum())
    return {
        "recall": float(recall[-1]) if len(recall) else 0.0,
        "precision": float(precision[sure - 1]) if sure else 0.0,
        MEASURE: float((np.diff(recall, prepend=0) * envelope).sum()),
    }


def _hits(boxes: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Say which boxes, best first, find a true one that no better box has found."""
    ious = np.asarray(geometry.box_iou(boxes, truth)).copy()
    right = np.zeros(len(boxes), bool)
    for i in range(len(boxes) if len(truth) else 0):
        best = int(ious[i].argmax())
        if ious[i, best] >= _FOUND:
            right[i] = True
            ious[:, best] = 0
    return right

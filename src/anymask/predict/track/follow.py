"""One frame further: where each thing is now, or that it is not seen.

Each thing's last answer is moved to where its cells went, and asked for again: as logits, with the
box and points that lie in it, and with points in other things as background. What the model then
answers has to look like the thing. If it does not, the thing is lost, and the frame is searched
for its look until it is found again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.embedding import Embedding
from anymask.predict.implied import deepest_points
from anymask.predict.track.cells import Cells, Model, array, pool
from anymask.predict.track.look import Look, distances, margin
from anymask.predict.track.track import Followed
from anymask.prompt import Prompt

__all__ = ["Answer", "Frame", "follow", "place_points", "share_out", "shares"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

# Chosen on the clips with even numbers of `benchmarks/track.py`.
_REACH = 10  # cells that a thing may move from one frame to the next, each way
_INERTIA = 0.004  # what a cell beside the expected place costs, squared, in units of a distance
_GROW = 0.06  # of its sides, how much larger the box is that is asked for
_POINTS = 2  # in the thing, for each question
_DROP = 0.2  # how much less like the thing than usual an answer may be
_LEAST_IOU = 0.5  # predicted, of an answer that counts
_STEADY = 0.3  # how much one frame counts in what is usual
_CLICKS = 3  # places where a lost thing is looked for
_FOUND_IOU = 0.6
_FOUND_DROP = 0.1
_SIZES = (0.2, 4.0)  # times the last area that a thing may have when it is found again


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame, as it is looked at."""

    model: Model
    embedding: Embedding
    cells: Cells

    @property
    def low_hw(self) -> tuple[int, int]:
        """Size of the model's logits."""
        h, w = self.model.network.mask_hw(self.embedding.transform.frame_hw)
        return int(h), int(w)

    @property
    def cell(self) -> FloatArray:
        """Size of a cell in pixels of the logits, x before y."""
        (h, w), (rows, columns) = self.low_hw, self.cells.grid_hw
        return np.array([w / columns, h / rows], np.float32)

    def image_xy(self, low_xy: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Carry places in the logits, (n, 2), to pixels of the image, kept inside of it."""
        transform = self.embedding.transform
        (h, w), (frame_h, frame_w) = self.low_hw, transform.frame_hw
        in_frame = (np.asarray(low_xy, np.float64) + 0.5) * (frame_w / w, frame_h / h) - 0.5
        height, width = transform.original_hw
        return np.clip(transform.points_to_image(in_frame), 0, (width - 1, height - 1))

    def image_box(self, low_box: npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
        """Carry a box round pixels of the logits to the image; None: it is outside of it."""
        transform = self.embedding.transform
        (h, w), (frame_h, frame_w) = self.low_hw, transform.frame_hw
        scale = np.array([frame_w / w, frame_h / h] * 2)
        box = transform.boxes_to_image(np.asarray(low_box, np.float64) * scale)
        height, width = transform.original_hw
        box = np.clip(box, 0, (width, height, width, height))
        return box if box[2] - box[0] >= 1 and box[3] - box[1] >= 1 else None

    def decode(self, prompts: list[Prompt], multimask: bool) -> tuple[FloatArray, FloatArray]:
        """Ask the model: logits (n, k, h', w') and predicted IoU (n, k)."""
        logits, predicted_iou = self.model.decode(self.embedding, prompts, multimask)
        return array(logits), array(predicted_iou)


@dataclass(frozen=True, eq=False)
class Answer:
    """Where a thing is in a frame.

    Attributes:
        logits: float32 (h', w').
        predicted_iou: As the model says.
        fit: How much more what it covers is like the thing than like what is around it.
        moved: By how much the thing has moved, pixels of the logits, x before y.
    """

    logits: FloatArray
    predicted_iou: float
    fit: float
    moved: FloatArray


def follow(
    frame: Frame, one: Followed, others: list[npt.NDArray[np.float64]]
) -> tuple[Answer | None, FloatArray]:
    """Look for a thing near where it was.

    Args:
        frame: The next one.
        one: The thing.
        others: Points in other things, in pixels of the image.

    Returns:
        Where it is, or None; and its margin map, see `look.margin`.
    """
    alike = margin(frame.cells, [one.reference, one.recent])
    moved = _motion(frame, one)
    before = _moved(one.logits.astype(np.float32), moved)
    candidates = _ask(frame, before, alike, others)
    best = None
    for logits, predicted_iou in candidates:
        answer = judge(frame, one, logits, predicted_iou, alike, moved)
        if answer is not None and (best is None or _rank(answer) > _rank(best)):
            best = answer
    if best is None or best.predicted_iou < _LEAST_IOU or best.fit < one.level - _DROP:
        return None, alike
    return best, alike


def _rank(answer: Answer) -> float:
    return answer.predicted_iou + answer.fit


def _motion(frame: Frame, one: Followed) -> FloatArray:
    """Find how far the thing's cells have moved: by the best match of all of them together."""
    h, w = frame.cells.grid_hw
    expected = one.velocity / frame.cell * (one.missing == 0)
    apart = distances(one.recent.on, frame.cells.vectors)  # (n, h * w)
    usual = float(np.median(apart))
    apart[:, ~frame.cells.shown] = usual
    wide = np.full((len(apart), h + 2 * _REACH, w + 2 * _REACH), usual, np.float32)
    wide[:, _REACH : _REACH + h, _REACH : _REACH + w] = apart.reshape(-1, h, w)
    columns, rows = one.recent.places.astype(np.int64).T
    steps = np.arange(2 * _REACH + 1)
    numbers = np.arange(len(apart))[:, None, None]
    near = wide[numbers, (rows[:, None] + steps)[:, :, None], (columns[:, None] + steps)[:, None, :]]
    cost = near.mean(axis=0) / max(usual, 1e-6)  # (2r + 1, 2r + 1)
    off = steps - _REACH
    far = (off[:, None] - expected[1]) ** 2 + (off[None, :] - expected[0]) ** 2
    cost = cost + _INERTIA * np.minimum(far, 25)
    y, x = np.unravel_index(int(cost.argmin()), cost.shape)
    fine = np.array([_between(cost[y], int(x)), _between(cost[:, x], int(y))], np.float32)
    moved: FloatArray = (np.array([x, y], np.float32) - _REACH + fine) * frame.cell
    return moved


def _between(cost: npt.NDArray[Any], place: int) -> float:
    """Find the lowest point of a parabola through three costs, from -0.5 to 0.5."""
    if not 0 < place < len(cost) - 1:
        return 0.0
    left, middle, right = (float(value) for value in cost[place - 1 : place + 2])
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend > 0 else 0.0


def _moved(logits: FloatArray, by: FloatArray) -> FloatArray:
    """Move logits by whole pixels; what comes in from outside is surely not the thing."""
    x, y = (round(float(value)) for value in by)
    h, w = logits.shape
    out = np.full_like(logits, min(-10.0, float(logits.min())))
    if abs(x) < w and abs(y) < h:
        out[max(0, y) : h + min(0, y), max(0, x) : w + min(0, x)] = logits[
            max(0, -y) : h - max(0, y), max(0, -x) : w - max(0, x)
        ]
    return out


def _ask(
    frame: Frame,
    before: FloatArray,
    alike: FloatArray,
    others: list[npt.NDArray[np.float64]],
) -> list[tuple[FloatArray, float]]:
    """Ask for what was in one place before, with what was there and without."""
    mask = before > 0
    if not mask.any():
        return []
    box = frame.image_box(_grown(mask))
    if box is None:
        return []
    points = place_points(frame, mask, alike)
    labels = [1] * len(points)
    knows = frame.model.variant.capabilities
    near = [p for p in others if box[0] <= p[0] <= box[2] and box[1] <= p[1] <= box[3]]
    if near and "negative_points" in knows:
        points = np.concatenate([points, near])
        labels += [0] * len(near)
    prompts = [Prompt(points, labels, box)]
    if "mask" in knows:
        prompts.append(Prompt(points, labels, box, mask_logits=before))
    logits, predicted_iou = frame.decode(prompts, False)
    return [(logits[i, 0], float(predicted_iou[i, 0])) for i in range(len(prompts))]


def _grown(mask: BoolArray) -> npt.NDArray[np.float64]:
    """Give the box round a mask's pixels, and a little more."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    by = _GROW * np.array([x1 - x0, y1 - y0])
    return np.array([x0 - by[0], y0 - by[1], x1 + by[0], y1 + by[1]])


def place_points(frame: Frame, mask: BoolArray, alike: FloatArray | None = None) -> Any:
    """Find points deep in a mask of the logits, in pixels of the image: (n, 2)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    inside = mask[y0:y1, x0:x1]
    if alike is not None:  # rather where it looks like the thing, or something may be before it
        h, w = frame.low_hw
        sure = np.repeat(np.repeat(alike, -(-h // alike.shape[0]), 0), -(-w // alike.shape[1]), 1)
        sure = inside & (sure[:h, :w][y0:y1, x0:x1] > 0)
        if sure.sum() > 0.2 * inside.sum():
            inside = sure
    return frame.image_xy(deepest_points(inside, _POINTS) + (x0, y0))


def shares(frame: Frame, logits: FloatArray) -> FloatArray:
    """Say how much of each cell an answer covers: float32 (h, w) of the grid."""
    covered = pool((logits > 0)[None], frame.cells.grid_hw)[0]
    return covered * frame.cells.shown.reshape(covered.shape)


def judge(
    frame: Frame,
    one: Followed,
    logits: FloatArray,
    predicted_iou: float,
    alike: FloatArray,
    moved: FloatArray,
) -> Answer | None:
    """Say how well an answer fits a thing; None: it is empty."""
    share = shares(frame, logits)
    total = float(share.sum())
    if total <= 0:
        return None
    return Answer(logits, predicted_iou, float((share * alike).sum()) / total, moved)


def search(
    frame: Frame, one: Followed, taken: FloatArray
) -> Answer | None:
    """Look for a lost thing in all of a frame.

    Args:
        frame: The frame.
        one: The thing.
        taken: How much of each cell other things cover, float32 (h, w) of the grid.
    """
    alike = margin(frame.cells, [one.reference, one.recent])
    near = _smooth(np.where(taken > 0.5, -1, alike))
    clicks = _peaks(near, _CLICKS)
    if not clicks:
        return None
    places = [(np.array([x, y]) + 0.5) * frame.cell - 0.5 for y, x in clicks]
    prompts = [Prompt(frame.image_xy(place[None])) for place in places]
    several = "multimask" in frame.model.variant.capabilities
    logits, predicted_iou = frame.decode(prompts, several)
    last = pool((one.logits > 0)[None].astype(np.float32), frame.cells.grid_hw)[0]
    before = _middle(last)
    best: Answer | None = None
    for low, iou in zip(logits.reshape(-1, *frame.low_hw), predicted_iou.reshape(-1), strict=True):
        share = shares(frame, low)
        moved = (_middle(share) - before) * frame.cell if share.any() else np.zeros(2, np.float32)
        answer = judge(frame, one, low, float(iou), alike, moved.astype(np.float32))
        if answer is None or not _believable(one, answer, share, taken):
            continue
        if best is None or _whole(one, answer, share, alike) > _whole(one, best, shares(frame, best.logits), alike):
            best = answer
    return best


def _believable(one: Followed, answer: Answer, share: FloatArray, taken: FloatArray) -> bool:
    area = float(share.sum())
    return (
        answer.predicted_iou >= _FOUND_IOU
        and answer.fit >= one.level - _FOUND_DROP
        and _SIZES[0] * one.area <= area <= _SIZES[1] * one.area
        and float((share * taken).sum()) < 0.3 * area
    )


def _whole(one: Followed, answer: Answer, share: FloatArray, alike: FloatArray) -> float:
    """Rank answers to a search: all that looks like the thing, and nothing else."""
    likely = np.clip(0.5 + 2.0 * (alike - one.level), 0, 1)
    both = float(np.minimum(share, likely).sum())
    return both / float(np.maximum(share, likely).sum()) + 0.5 * answer.predicted_iou


def _middle(share: FloatArray) -> FloatArray:
    rows, columns = np.mgrid[: share.shape[0], : share.shape[1]]
    total = max(float(share.sum()), 1e-6)
    return np.array([(columns * share).sum(), (rows * share).sum()], np.float32) / total


def _smooth(values: FloatArray) -> FloatArray:
    """Average each cell with its eight neighbours."""
    h, w = values.shape
    wide = np.pad(values, 1, mode="edge")
    return sum((wide[y : y + h, x : x + w] for y in range(3) for x in range(3)), np.zeros_like(values)) / 9


def _peaks(values: FloatArray, count: int, apart: float = 4.0) -> list[tuple[int, int]]:
    """Find the highest cells, none near one before."""
    left = values.copy()
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    found: list[tuple[int, int]] = []
    for _ in range(count):
        y, x = (int(v) for v in np.unravel_index(int(left.argmax()), left.shape))
        if left[y, x] <= -1:
            break
        found.append((y, x))
        left[(rows - y) ** 2 + (columns - x) ** 2 <= apart**2] = -1
    return found


def share_out(logits: list[FloatArray]) -> list[FloatArray]:
    """Give each pixel to the thing that is surest of it."""
    if len(logits) < 2:
        return logits
    stacked = np.stack(logits)
    first = stacked.argmax(axis=0)
    return [np.where(first == i, one, np.minimum(one, -0.1)) for i, one in enumerate(stacked)]

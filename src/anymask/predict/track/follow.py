"""One thing in the next frame: where it is now, or that it is not seen.

The cells of the thing as it was last seen are matched with those of the frame, all of them
together, which says how far it has moved. Its last answer is moved by as much and asked for again:
as logits, with the box and points that lie in it, and with points in other things as background.
What the model then answers has to look like the thing, and match it cell by cell. If it does not,
the thing is lost, and all of each frame is searched for it until it is found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from anymask.predict.implied import deepest_points
from anymask.predict.track.frame import Frame
from anymask.predict.track.look import Look, distances, margin
from anymask.predict.track.track import Followed
from anymask.prompt import Prompt

__all__ = ["Answer", "Motion", "follow", "inner_points", "judge", "motion", "moved", "search"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

# Chosen on the clips with even numbers of `benchmarks/track.py`.
_REACH = 10  # cells that a thing may move from one frame to the next, each way
_INERTIA = 0.004  # what a cell beside the expected place costs, squared, in shares of a distance
_OUTSIDE = 0.6  # what a cell costs that has left the image
_GROW = 0.06  # of its sides, how much larger the box is that is asked for
_POINTS = 2  # in the thing, for each question
_MATCH = 0.5  # cost of a match from which on it counts against an answer
_MATCH_WEIGHT = 0.5
_STEEPNESS = 12.0
_LEAST_FIT = -0.05  # of an answer that counts
_LEAST_STEADY = -0.2  # of one with the shape that was there before, and
_SAME, _STEADY_COST = 0.7, 0.6  # the overlap and the cost that make it so
_LEAST_LOOKS = -0.25  # how like the thing in the frames with prompts it must look
_MOST_GROWN = 1.6  # times the usual area that it may have
_LEAST_FOUND = 0.06  # how well an answer to a search must fit
_TAKEN = 0.3  # share of an answer to a search that may be another thing's
_LEFT = 0.2  # share of a thing that must be left when others are in front of it
_PLACES = 2  # where a lost thing is looked for as it was
_CLICKS = 2  # where it is clicked on
_SUREST = 6.0  # logits that an answer is worth at most
_WHOLE = 0.6  # overlap of an answer with what looks like the thing below which it is doubted
_CHANGE = 0.1  # how much better another answer must be
_TRUST = 0.75  # logits that what was there before is worth, away from its edge
_BORDER = 0.06  # of the square root of its area: so near to its edge it is worth less
_SHARP = 2.0  # how fast a look turns from unlikely to likely
_SIZES = (0.25, 4.0)  # times the last area that a thing may have when it is found again


@dataclass(frozen=True, eq=False)
class Motion:
    """How far a thing has moved: float32 (2,), x and y in pixels of the logits; and at what cost.

    The cost is how unlike the thing's cells are to those where they went, in shares of how unlike
    cells of the frame usually are to it.
    """

    by: FloatArray
    cost: float


@dataclass(frozen=True, eq=False)
class Answer:
    """Where a thing is in a frame.

    Attributes:
        logits: float32 (h', w').
        predicted_iou: As the model says.
        fit: How much more what it covers is like the thing than like what is around it, and how
            well it matches cell by cell; 0 is the least for the thing to be there.
        motion: How it came here.
        share: How much of each cell it covers, float32 (h, w) of the grid.
        looks: How much more it is like the thing in the frames with prompts alone.
    """

    logits: FloatArray
    predicted_iou: float
    fit: float
    motion: Motion
    share: FloatArray
    looks: float = 1.0

    @property
    def confidence(self) -> float:
        """How sure it is that this is the thing, and well cut out: 0 to 1."""
        return self.predicted_iou / (1 + float(np.exp(-_STEEPNESS * (self.fit + 0.05))))


def follow(
    frame: Frame, one: Followed, motion: Motion, taken: BoolArray, others: Sequence[Points]
) -> Answer | None:
    """Look for a thing where it must have gone.

    Args:
        frame: The next one.
        one: The thing.
        motion: Of the thing.
        taken: Where things are that are in front of it, bool (h', w') of the logits.
        others: Points in other things, float64 (2,) each, in pixels of the image.

    Returns:
        Where it is, or None: it is not seen.
    """
    before = moved(one.logits, motion.by)
    there = int((before > 0).sum())
    before = np.where(taken, np.minimum(before, -_SUREST), before).astype(np.float32)
    if not there or (before > 0).sum() < _LEFT * there:
        return None
    alike = margin(frame.cells, [one.reference, one.recent])
    for with_mask in (True, False):
        answer = _ask(frame, before, motion, alike, taken, others, with_mask)
        if answer is not None and _counts(one, answer, before):
            own = margin(frame.cells, [one.reference])
            whole = _completed(frame, answer, before, np.maximum(alike, own), taken, others)
            answer = whole if whole is not None and _counts(one, whole, before) else answer
            looks = float((answer.share * own).sum()) / float(answer.share.sum())
            return replace(answer, looks=looks) if looks > _LEAST_LOOKS else None
    return None


def _counts(one: Followed, answer: Answer, before: FloatArray) -> bool:
    """Return whether an answer may be the thing: by its size, and by how well it fits.

    It must fit less well if it has the shape that was there before and matches as it should.
    """
    now, then = answer.logits > 0, before > 0
    same = (now & then).sum() / max(1, (now | then).sum())
    steady = same >= _SAME and answer.motion.cost < _STEADY_COST
    usual = max(one.area, float(answer.share.sum()) * then.sum() / max(1, now.sum()))
    fits = answer.fit > (_LEAST_STEADY if steady else _LEAST_FIT)
    return bool(fits and float(answer.share.sum()) <= _MOST_GROWN * usual)


def _completed(
    frame: Frame,
    answer: Answer,
    before: FloatArray,
    alike: FloatArray,
    taken: BoolArray,
    others: Sequence[Points],
) -> Answer | None:
    """Ask again where much around an answer looks like the thing, or much of it does not.

    So what was a part, as of a thing that comes in from the side, becomes the whole again.
    """
    if not frame.share(before > 0).any():
        return answer  # it was expected outside of the image, where nothing tells what it was
    likely = _near(frame, before) * np.clip(0.5 + _SHARP * alike, 0, 1)
    likely[frame.share(taken) > 0.5] = 0
    overlap = _overlap(answer.share, likely)
    core = frame.spread(likely > 0.5) & ~taken
    if overlap > _WHOLE or not core.any():
        return answer
    again = np.where(core, _SUREST, -_SUREST).astype(np.float32)
    other = _ask(frame, again, answer.motion, alike, taken, others, with_mask=False)
    better = other is not None and (
        _overlap(other.share, likely) + other.predicted_iou / 2
        > overlap + answer.predicted_iou / 2 + _CHANGE
    )
    return other if better else answer


def _near(frame: Frame, mask: FloatArray) -> FloatArray:
    """Mark the cells in and around the box of an answer: 1, else 0."""
    prior = frame.share(mask > 0)
    rows, columns = np.flatnonzero(prior.any(axis=1)), np.flatnonzero(prior.any(axis=0))
    near = np.zeros_like(prior)
    y, x = ((side[-1] - side[0]) // 3 + 2 for side in (rows, columns))
    near[max(0, rows[0] - y) : rows[-1] + y + 1, max(0, columns[0] - x) : columns[-1] + x + 1] = 1
    return near


def _ask(
    frame: Frame,
    before: FloatArray,
    motion: Motion,
    alike: FloatArray,
    taken: BoolArray,
    others: Sequence[Points],
    with_mask: bool,
) -> Answer | None:
    """Ask for what must be in one place; None: there is nothing, or it cannot be asked for."""
    prompt = _question(frame, before, alike, others, with_mask)
    if prompt is None:
        return None
    logits, predicted_iou = frame.decode([prompt], False)
    low = logits[0, 0]
    if with_mask:
        # From frame to frame little changes away from edges, and the model would drift.
        low = np.clip(low, -_SUREST, _SUREST) + _TRUST * (2 * _soft(before > 0) - 1)
    return judge(frame, low, float(predicted_iou[0, 0]), alike, motion, taken)


def motion(frame: Frame, one: Followed, taken: BoolArray | None = None) -> Motion:
    """Find how far a thing has moved, by the best match of all of its cells together."""
    expected = one.velocity / frame.cell
    cost, reach = _match(frame, one.recent, taken, (_REACH, _REACH))
    rows, columns = (np.arange(2 * r + 1) - r for r in reach)
    far = (rows[:, None] - expected[1]) ** 2 + (columns[None, :] - expected[0]) ** 2
    y, x = np.unravel_index(int((cost + _INERTIA * np.minimum(far, 25)).argmin()), cost.shape)
    return _motion_at(frame, cost, reach, int(y), int(x))


def _motion_at(frame: Frame, cost: FloatArray, reach: tuple[int, int], y: int, x: int) -> Motion:
    fine = np.array([_between(cost[y], x), _between(cost[:, x], y)], np.float32)
    by = (np.array([x - reach[1], y - reach[0]], np.float32) + fine) * frame.cell
    return Motion(by.astype(np.float32), float(cost[y, x]))


def _match(
    frame: Frame,
    look: Look,
    taken: BoolArray | None,
    reach: tuple[int, int],
    outside: float = _OUTSIDE,
) -> tuple[FloatArray, tuple[int, int]]:
    """Say what it costs to move a thing's cells by so many rows and columns each way."""
    h, w = frame.cells.grid_hw
    apart = distances(look.on, frame.cells.vectors)  # (n, h * w)
    usual = max(float(np.median(apart[:, frame.cells.shown])), 1e-6)
    apart = np.minimum(apart / usual, 1)
    apart[:, ~frame.cells.shown] = outside
    if taken is not None:
        apart[:, frame.share(taken).reshape(-1) > 0.5] = 1
    down, across = reach
    wide = np.full((len(apart), h + 2 * down, w + 2 * across), outside, np.float32)
    wide[:, down : down + h, across : across + w] = apart.reshape(-1, h, w)
    cost = np.zeros((2 * down + 1, 2 * across + 1), np.float32)
    # What has been carried out of the image by now counts as if it were just beside it.
    places = np.clip(np.rint(look.places), 0, (w - 1, h - 1)).astype(np.int64)
    for cell, (column, row) in zip(wide, places, strict=True):
        cost += cell[row : row + 2 * down + 1, column : column + 2 * across + 1]
    return (cost / len(apart)).astype(np.float32), reach


def _between(cost: FloatArray, place: int) -> float:
    """Find the lowest point of a parabola through three costs, from -0.5 to 0.5."""
    if not 0 < place < len(cost) - 1:
        return 0.0
    left, middle, right = (float(value) for value in cost[place - 1 : place + 2])
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend > 0 else 0.0


def moved(logits: npt.NDArray[np.floating], by: FloatArray) -> FloatArray:
    """Move logits by whole pixels; what comes in from outside is surely not the thing."""
    x, y = (round(float(value)) for value in by)
    h, w = logits.shape
    out = np.full((h, w), -_SUREST, np.float32)
    if abs(x) < w and abs(y) < h:
        out[max(0, y) : h + min(0, y), max(0, x) : w + min(0, x)] = logits[
            max(0, -y) : h - max(0, y), max(0, -x) : w - max(0, x)
        ]
    return out


def _question(
    frame: Frame, before: FloatArray, alike: FloatArray, others: Sequence[Points], with_mask: bool
) -> Prompt | None:
    """Ask for what was in one place before; None: that is outside of the image."""
    knows = frame.model.variant.capabilities
    if with_mask and "mask" not in knows:
        return None
    mask = before > 0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    by = _GROW * np.array([x1 - x0, y1 - y0])
    box = frame.image_box(np.array([x0 - by[0], y0 - by[1], x1 + by[0], y1 + by[1]]))
    if box is None:
        return None
    if "points" not in knows:
        return Prompt(box=box, mask_logits=before if with_mask else None)
    points = inner_points(frame, mask, alike)
    labels = [1] * len(points)
    if "negative_points" in knows:
        near = [p for p in others if (box[:2] <= p).all() and (p <= box[2:]).all()]
        points, labels = (
            np.concatenate([points, *(p[None] for p in near)]),
            labels + [0] * len(near),
        )
    return Prompt(points, labels, box, mask_logits=before if with_mask else None)


def inner_points(
    frame: Frame, mask: BoolArray, alike: FloatArray | None = None, count: int = _POINTS
) -> Points:
    """Find points deep in a mask of the logits, in pixels of the image: (n, 2)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    inside = mask[y0:y1, x0:x1]
    if alike is not None:  # rather where it looks like the thing: something may be before it
        sure = inside & frame.spread(alike > 0)[y0:y1, x0:x1]
        if sure.sum() > 0.2 * inside.sum():
            inside = sure
    return frame.image_xy(deepest_points(inside, count) + np.array([x0, y0]))


def judge(
    frame: Frame,
    logits: FloatArray,
    predicted_iou: float,
    alike: FloatArray,
    motion: Motion,
    taken: BoolArray,
) -> Answer | None:
    """Say how well an answer fits a thing; None: nothing of it is left beside other things."""
    free = np.where(taken, np.minimum(logits, -0.1), logits)
    share = frame.share(free > 0)
    total = float(share.sum())
    if total <= 0:
        return None
    fit = float((share * alike).sum()) / total - _MATCH_WEIGHT * (motion.cost - _MATCH)
    return Answer(free, predicted_iou, fit, motion, share)


def search(frame: Frame, one: Followed, taken: BoolArray) -> Answer | None:
    """Look for a lost thing in all of a frame: as it was, and by clicks on what looks like it.

    Args:
        frame: The frame.
        one: The thing.
        taken: Where other things are, bool (h', w') of the logits.
    """
    alike = margin(frame.cells, [one.reference, one.recent])
    cost, reach = _match(frame, one.recent, taken, frame.cells.grid_hw, outside=1.0)
    found: list[Answer | None] = []
    for y, x in _lowest(cost, _PLACES, 4.0):
        motion = _motion_at(frame, cost, reach, y, x)
        before = np.where(taken, -_SUREST, moved(one.logits, motion.by)).astype(np.float32)
        if (before > 0).any():
            with_mask = "mask" in frame.model.variant.capabilities
            found.append(_ask(frame, before, motion, alike, taken, (), with_mask))
    found += _clicked(frame, one, alike, taken)
    covered = frame.share(taken)
    good = [a for a in found if a is not None and _is_believable(one, a, covered)]
    likely = np.clip(0.5 + _SHARP * alike, 0, 1)
    return max(good, key=lambda a: _overlap(a.share, likely) + a.predicted_iou / 2, default=None)


def _clicked(
    frame: Frame, one: Followed, alike: FloatArray, taken: BoolArray
) -> list[Answer | None]:
    """Click on what looks most like a thing."""
    if "points" not in frame.model.variant.capabilities:
        return []
    near = np.where(frame.share(taken) > 0.5, np.float32(-1), _smooth(alike))
    places = np.array(_lowest(-near, _CLICKS, 3.0), np.float64)[:, ::-1]  # x before y
    points = frame.image_xy((places + 0.5) * frame.cell - 0.5)
    several = "multimask" in frame.model.variant.capabilities
    logits, predicted_iou = frame.decode([Prompt(point) for point in points], several)
    before = _middle(frame.share(one.logits > 0))
    found = []
    answers = zip(logits.reshape(-1, *frame.low_hw), predicted_iou.ravel(), strict=True)
    for low, iou in answers:
        share = frame.share(low > 0)
        motion = Motion((_middle(share) - before) * frame.cell, _MATCH)
        found.append(judge(frame, low, float(iou), alike, motion, taken))
    return found


def _is_believable(one: Followed, answer: Answer, taken: FloatArray) -> bool:
    area = float(answer.share.sum())
    return (
        answer.fit >= _LEAST_FOUND
        and _SIZES[0] * one.area <= area <= _SIZES[1] * one.area
        and float((answer.share * taken).sum()) < _TAKEN * area
    )


def _overlap(share: FloatArray, likely: FloatArray) -> float:
    """Intersection over union of two soft maps."""
    return float(np.minimum(share, likely).sum()) / max(
        float(np.maximum(share, likely).sum()), 1e-6
    )


def _middle(share: FloatArray) -> FloatArray:
    """Find the centroid, x before y, in cells."""
    rows, columns = np.mgrid[: share.shape[0], : share.shape[1]]
    total = max(float(share.sum()), 1e-6)
    return np.array([(columns * share).sum(), (rows * share).sum()], np.float32) / total


def _smooth(values: FloatArray) -> FloatArray:
    """Average each cell with its eight neighbours."""
    return _box_mean(values, 1)


def _soft(mask: BoolArray) -> FloatArray:
    """Blur a mask at its edge, as far as it is in doubt from one frame to the next."""
    return _box_mean(mask.astype(np.float32), max(1, round(_BORDER * float(mask.sum()) ** 0.5)))


def _box_mean(values: FloatArray, reach: int) -> FloatArray:
    """Average over squares, whose values beyond the border are those at it."""
    side = 2 * reach + 1
    wide = np.pad(values.astype(np.float64), reach, mode="edge")
    sums = np.pad(wide.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    total = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    mean: FloatArray = (total / side**2).astype(np.float32)
    return mean


def _lowest(cost: FloatArray, count: int, apart: float) -> list[tuple[int, int]]:
    """Find the lowest places, none near one before."""
    left = cost.copy()
    rows, columns = np.mgrid[: cost.shape[0], : cost.shape[1]]
    found: list[tuple[int, int]] = []
    for _ in range(count):
        y, x = (int(v) for v in np.unravel_index(int(left.argmin()), left.shape))
        found.append((y, x))
        left[(rows - y) ** 2 + (columns - x) ** 2 <= apart**2] = np.inf
    return found

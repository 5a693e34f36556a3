"""From one frame to the next: a `Track`, a frame and prompts give masks and a new `Track`.

Things do not swallow one another: those that match best come first and keep their pixels, and
others are asked for beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.masks.masks import Masks
from anymask.predict.track.cells import array
from anymask.predict.track.follow import (
    Answer,
    Motion,
    follow,
    inner_points,
    motion,
    moved,
    search,
)
from anymask.predict.track.frame import Frame
from anymask.predict.track.look import Look
from anymask.predict.track.track import Followed, Status, Track
from anymask.prompt import Prompt

__all__ = ["check_prompts", "model_of", "step"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_TURN = 0.5  # how much one frame says of how a thing moves
_GROWTH = 0.25  # how much one frame says of the usual area
_CLEAR_FIT = 0.08  # from which on what is seen is kept as the thing's look
_CLEAR_LOOKS = -0.1  # the same, of how it looked in the frames with prompts
_CLEAR_AREAS = (0.6, 1.5)  # times the usual area: else it is hidden in part, or more than it
_TOUCH = 0.1  # share of a thing that others cover from which on its place is looked for beside them
_FREE = 0.3  # share of a thing behind another one from which on that is told where it is
_MOST = 254  # things, for PNGs hold no more


@dataclass
class _Found:
    """What is known of a frame while it is worked on."""

    frame: Frame
    taken: BoolArray
    answers: dict[str, Answer | None] = field(default_factory=dict)
    status: dict[str, Status] = field(default_factory=dict)

    def covered(self, without: str | None = None) -> BoolArray:
        """Say where things are that were found, bool (h', w') of the logits."""
        covered = self.taken.copy()
        for name, answer in self.answers.items():
            if answer is not None and name != without:
                covered |= answer.logits > 0
        return covered

    def put(self, name: str, answer: Answer | None, status: Status) -> None:
        self.answers[name] = answer
        self.status[name] = status if answer is not None else "lost"


def step(
    frame: Frame,
    track: Track,
    prompts: Mapping[str, Prompt],
    index: int,
    taken: BoolArray | None = None,
    *,
    empty: bool = False,
) -> tuple[Track, Masks]:
    """Go on to a frame.

    Args:
        frame: It.
        track: What is known so far.
        prompts: What is said about things in this frame, by their names.
        index: Number of the frame.
        taken: Where things are that are not followed now but known, bool (h, w) of the image.
        empty: A new thing may have an empty mask: it is not followed then. Else that is an error.

    Returns:
        The new track, and the masks of all things in its order; see `Segmenter.follow`.
    """
    check_prompts(track, prompts, frame.embedding.size_hw)
    low = np.zeros(frame.low_hw, np.bool_) if taken is None else frame.low_mask(taken)
    found = _Found(frame, low)
    outright = {name: p for name, p in prompts.items() if p.box is not None or _is_mask(p)}
    for name, prompt in outright.items():
        found.put(name, _prompted(frame, prompt, None), "prompted")
    _follow_seen(
        found, [one for one in track.objects if not one.missing and one.name not in outright]
    )
    for one in track.objects:
        if found.answers.get(one.name) is None and one.name not in prompts:
            found.put(one.name, search(frame, one, found.covered()), "found")
    for name, prompt in prompts.items():
        if name not in outright:
            found.put(name, _prompted(frame, prompt, found.answers.get(name)), "prompted")
    _part(found, list(prompts))
    return _advanced(found, track, prompts, index, empty)


def model_of(model: Any) -> str:
    """Tell a model and its weights from others, in a few letters."""
    return f"{model.variant.name} {getattr(model, 'weights_digest', '')[:16]}"


def check_prompts(track: Track, prompts: Mapping[str, Prompt], size_hw: tuple[int, int]) -> None:
    """Check what is said about things in a frame.

    Raises:
        InputError: A prompt does not fit the frame, or cannot begin a thing.
    """
    for name, prompt in prompts.items():
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"expected a name for each thing, got {name!r}; call it 'cup', say")
        if not isinstance(prompt, Prompt):
            raise InputError(
                f"expected a Prompt for {name!r}, got {type(prompt).__name__}; make one with "
                "Prompt(points_xy=...)"
            )
        prompt.check_inside(size_hw)
        if prompt.text is not None:
            raise InputError(
                f"expected points, a box or a mask for {name!r}, got text; find it first with "
                "model.predict(frame, text=...), and give its mask"
            )
        begins = prompt.box is not None or _is_mask(prompt) or bool(prompt.labels.any())
        if name not in track.names and not begins:
            raise InputError(
                f"expected a point on {name!r}, a box or a mask to begin with, got background "
                "points alone; say where it is"
            )
    if len(set(track.names) | set(prompts)) > _MOST:
        raise InputError(f"expected at most {_MOST} things in a clip, got more; drop some")


def _is_mask(prompt: Prompt) -> bool:
    return prompt.mask is not None or prompt.mask_logits is not None


def _prompted(frame: Frame, prompt: Prompt, before: Answer | None) -> Answer | None:
    """Answer what a person says, of clicks as a correction of what was there by itself.

    A mask alone is not asked about but taken as it is.
    """
    still = Motion(np.zeros(2, np.float32), 0.0)
    if prompt.mask is not None and prompt.form == (0, False, True):
        low = array(frame.embedding.transform.masks_to_frame(prompt.mask, frame.low_hw))
        share = frame.share(low > 0)
        return Answer(low, 1.0, 1.0, still, share) if share.any() else None
    knows = frame.model.variant.capabilities
    if before is not None and "mask" in knows:
        prompt = Prompt(prompt.points_xy, prompt.labels, mask_logits=before.logits)
    several = prompt.form == (1, False, False) and "multimask" in knows
    logits, predicted_iou = frame.decode([prompt], several)
    best = int(predicted_iou[0].argmax())
    low = logits[0, best]
    share = frame.share(low > 0)
    if not share.any():
        return None
    return Answer(low, float(predicted_iou[0, best]), 1.0, still, share)


def _follow_seen(found: _Found, seen: list[Followed]) -> None:
    """Follow what was seen in the frame before, the best match first."""
    frame = found.frame
    motions = {one.name: motion(frame, one) for one in seen}
    places = {one.name: moved(one.logits, motions[one.name].by) > 0 for one in seen}
    seen = sorted(seen, key=lambda one: motions[one.name].cost)
    for rank, one in enumerate(seen):
        covered, mine = found.covered(), places[one.name]
        moving = motions[one.name]
        if (mine & covered).sum() > _TOUCH * mine.sum():
            moving = motion(frame, one, covered)
            mine = moved(one.logits, moving.by) > 0
        beside = [a.logits > 0 for a in found.answers.values() if a is not None]
        for other in seen[rank + 1 :]:
            rest = places[other.name] & ~mine
            if rest.sum() > _FREE * places[other.name].sum():
                beside.append(rest)
        points = [inner_points(frame, area, count=1)[0] for area in beside if area.any()]
        found.put(one.name, follow(frame, one, moving, covered, points), "tracked")


def _part(found: _Found, first: list[str]) -> None:
    """Take the pixels of what was prompted last away from all else."""
    for name in first:
        own = found.answers[name]
        for other, answer in found.answers.items():
            if own is None or answer is None or other in first:
                continue
            logits = np.where(own.logits > 0, np.minimum(answer.logits, -0.1), answer.logits)
            share = found.frame.share(logits > 0)
            left = share.sum() > 0
            found.answers[other] = replace(answer, logits=logits, share=share) if left else None
            found.status[other] = found.status[other] if left else "lost"


def _advanced(
    found: _Found, track: Track, prompts: Mapping[str, Prompt], index: int, empty: bool
) -> tuple[Track, Masks]:
    """Make the new track, and the masks."""
    known = {one.name: one for one in track.objects}
    number = max((one.id for one in track.objects), default=0)
    objects: list[Followed] = []
    for name in [*known, *(name for name in prompts if name not in known)]:
        answer, one = found.answers.get(name), known.get(name)
        if answer is None:
            if one is None and empty:
                continue
            if one is None:
                raise InputError(
                    f"expected {name!r} in frame {index} where its prompt is, got an empty mask; "
                    "say it with a box, or with more points"
                )
            still = np.zeros(2, np.float32)
            objects.append(replace(one, missing=one.missing + 1, velocity=still))
            continue
        others = found.frame.share(found.covered(without=name))
        if found.status[name] == "prompted":
            number += one is None
            objects.append(_begun(found, name, one, number, index, answer, others))
        else:
            assert one is not None
            objects.append(_gone_on(found.frame, one, answer, others))
    new = Track(tuple(objects), index, found.frame.embedding.size_hw, model_of(found.frame.model))
    return new, _masks(found, new)


def _begun(
    found: _Found,
    name: str,
    one: Followed | None,
    number: int,
    index: int,
    answer: Answer,
    others: FloatArray,
) -> Followed:
    """Begin to follow a thing, or go on with what a person says of it."""
    look = Look.of(found.frame.cells, answer.share, others)
    return Followed(
        name,
        number if one is None else one.id,
        index,
        answer.logits.astype(np.float16),
        np.zeros(2, np.float32) if one is None else one.velocity,
        look if one is None else one.reference.joined(look),
        look,
        float(answer.share.sum()),
    )


def _gone_on(frame: Frame, one: Followed, answer: Answer, others: FloatArray) -> Followed:
    """Go on with a thing; its look is renewed only while it is seen well."""
    area, by = float(answer.share.sum()), answer.motion.by
    low, high = (share * one.area for share in _CLEAR_AREAS)
    clear = answer.fit > _CLEAR_FIT and answer.looks > _CLEAR_LOOKS and low < area < high
    if clear:
        look = Look.of(frame.cells, answer.share, others)
        usual = one.area + _GROWTH * (area - one.area)
    else:
        places = (one.recent.places + by / frame.cell).astype(np.float32)
        look, usual = replace(one.recent, places=places), one.area
    turned = one.velocity + _TURN * (by - one.velocity)
    velocity = np.zeros(2, np.float32) if one.missing else turned.astype(np.float32)
    logits = answer.logits.astype(np.float16)
    return replace(one, logits=logits, velocity=velocity, recent=look, area=usual, missing=0)


def _masks(found: _Found, track: Track) -> Masks:
    answers = [found.answers.get(name) for name in track.names]
    seen = [answer for answer in answers if answer is not None]
    dense = np.zeros((len(answers), *found.frame.embedding.size_hw), np.bool_)
    dense[[answer is not None for answer in answers]] = found.frame.image_masks(
        [answer.logits for answer in seen]
    )
    meta = [
        {
            "status": found.status[one.name],
            "predicted_iou": None if answer is None else round(answer.predicted_iou, 4),
            "anchor": one.anchor,
        }
        for one, answer in zip(track.objects, answers, strict=True)
    ]
    return Masks.from_dense(
        dense,
        scores=[0.0 if answer is None else round(answer.confidence, 4) for answer in answers],
        labels=track.names,
        ids=[one.id for one in track.objects],
        meta=meta,
        image_meta={"frame": track.frame},
        source=found.frame.embedding.source,
        model=found.frame.model.variant.name,
    )

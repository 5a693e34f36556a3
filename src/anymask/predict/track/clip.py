"""A whole clip: prompts on any of its frames, carried on in both directions.

Frames are gone through once onwards, from the first new prompt on, and once backwards, for what
lies before a thing's first prompt and between two of its prompts. There two answers meet, one
carried on from either side: that of the nearer prompt counts, but for a frame in which it has lost
the thing and the other one has not.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from anymask.errors import InputError
from anymask.image.video import Clip, VideoFrame
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.predict.track.ahead import read_ahead
from anymask.predict.track.cells import Model
from anymask.predict.track.look_at import Looked
from anymask.predict.track.step import check_prompts
from anymask.predict.track.track import Track
from anymask.prompt import Prompt

__all__ = [
    "ClipPrompts",
    "Kept",
    "Place",
    "Plan",
    "Store",
    "TrackedFrame",
    "run",
    "without_corrections",
]

ClipPrompts: TypeAlias = Mapping[int, Mapping[str, Prompt]]
"""What is said about things: for each number of a frame, by the names of the things."""


class Store(Protocol):
    """Where the masks of frames are kept: in memory, or in a folder."""

    def get(self, index: int) -> Masks | None:
        """Give the masks of a frame; None: there are none yet."""
        ...

    def put(self, index: int, masks: Masks) -> None:
        """Keep the masks of a frame, instead of those before."""
        ...


class Kept:
    """Masks in memory, run-length encoded: about a kilobyte for each thing in each frame."""

    def __init__(self) -> None:
        self._masks: dict[int, Masks] = {}

    def get(self, index: int) -> Masks | None:
        """Give the masks of a frame."""
        return self._masks.get(index)

    def put(self, index: int, masks: Masks) -> None:
        """Keep the masks of a frame."""
        self._masks[index] = replace(masks, logits=None, prompts=())


@dataclass(frozen=True)
class Place:
    """How far the work on a clip is, to go on from there.

    Attributes:
        way: ``"onwards"`` or ``"backwards"``.
        track: After the last frame that was done that way.
    """

    way: Literal["onwards", "backwards"]
    track: Track


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """One frame, tracked.

    Attributes:
        index: Its number, from 0.
        seconds: When it is shown; None if nobody knows.
        name: What its results are called.
        image: What it shows.
        masks: Of all things known by then: ``labels`` their names, ``ids`` their numbers,
            ``scores`` how sure it is, 0 to 1. A thing that is not seen has an empty mask. ``meta``
            has ``status`` ("prompted", "tracked", "found" again, "lost"), ``predicted_iou``, and
            ``anchor``, the frame whose prompt the mask comes from.
        place: To go on from, should the work end here.
    """

    index: int
    seconds: float | None
    name: str
    image: Any
    masks: Masks
    place: Place

    @property
    def track(self) -> Track:
        """What `Segmenter.follow` goes on from, with the next frame."""
        return self.place.track


@dataclass(frozen=True)
class Plan:
    """Which frames of which thing are to be worked on, and from which prompts.

    Attributes:
        prompts: All of them, by frame.
        anchors: Frames with prompts of each thing, in order.
        new: Those whose prompts have not been carried on yet.
        numbers: The id of each thing, in rising order.
    """

    prompts: ClipPrompts
    anchors: Mapping[str, list[int]]
    new: Mapping[str, list[int]]
    numbers: Mapping[str, int]

    @classmethod
    def of(
        cls,
        prompts: ClipPrompts,
        length: int,
        carried: ClipPrompts | None = None,
        numbers: Mapping[str, int] | None = None,
    ) -> Plan:
        """Plan the work.

        Args:
            prompts: All of them.
            length: How many frames there are.
            carried: Those that have been carried on before, some of ``prompts``.
            numbers: Ids that things have from before; new ones come after these.

        Raises:
            InputError: A prompt is for a frame that does not exist, or there is none.
        """
        for index in prompts:
            whole = isinstance(index, int | np.integer) and not isinstance(index, bool)
            if not whole or not 0 <= index < length:
                raise InputError(
                    f"expected prompts for frames 0 to {length - 1}, got one for frame {index!r}; "
                    "frames count from 0"
                )
        if not any(prompts.values()):
            raise InputError("expected a prompt on some frame, got none; say what to follow")
        before = carried or {}
        anchors: dict[str, list[int]] = {}
        new: dict[str, list[int]] = {}
        for index in sorted(prompts):
            for name in prompts[index]:
                anchors.setdefault(name, []).append(index)
                new.setdefault(name, [])
                if name not in before.get(index, {}):
                    new[name].append(index)
        ids = {name: number for name, number in (numbers or {}).items() if name in anchors}
        for name in anchors:
            ids.setdefault(name, max(ids.values(), default=0) + 1)
        return cls(prompts, anchors, new, dict(sorted(ids.items(), key=lambda one: one[1])))

    def check(self, size_hw: tuple[int, int]) -> None:
        """Check all prompts before any work.

        Raises:
            InputError: One does not fit frames of this size, or cannot begin a thing.
        """
        for index, here in sorted(self.prompts.items()):
            begun = {name: p for name, p in here.items() if self.anchors[name][0] == index}
            check_prompts(Track(), begun, size_hw)
            for prompt in here.values():
                prompt.check_inside(size_hw)

    def check_read(self, clip: Clip) -> None:
        """Check that there is a frame for each prompt, once a clip has been read.

        Raises:
            InputError: A clip that is damaged turned out to end before one.
        """
        if lost := [index for index in sorted(self.prompts) if index >= len(clip)]:
            raise InputError(
                f"expected prompts on frames that can be read, up to {len(clip) - 1}, got one for "
                f"frame {lost[0]}: {clip.cut_off}; leave it out"
            )

    @property
    def first(self) -> int | None:
        """The first frame to work on, onwards; None: there is nothing to do."""
        return min((index for some in self.new.values() for index in some), default=None)

    @property
    def last(self) -> int | None:
        """The first frame to work on, backwards; None: nothing lies before a prompt."""
        found = [index for some in self.new.values() for index in some if index > 0]
        return max(found, default=None)

    def onwards(self, name: str, index: int) -> int | None:
        """Say which prompt a thing is carried on from to a later frame; None: it is not."""
        place = bisect_right(self.anchors[name], index)
        anchor = self.anchors[name][place - 1] if place else None
        return anchor if anchor in self.new[name] else None

    def backwards(self, name: str, index: int) -> int | None:
        """Say which prompt a thing is carried back from to an earlier frame; None: it is not."""
        place = bisect_left(self.anchors[name], index)
        anchor = self.anchors[name][place] if place < len(self.anchors[name]) else None
        return anchor if anchor in self.new[name] and anchor != index else None

    def said(self, index: int, *, new: bool = True) -> dict[str, Prompt]:
        """Give what is said in a frame, by name."""
        here = self.prompts.get(index, {})
        return {n: p for n, p in here.items() if not new or index in self.new[n]}


def run(
    model: Model, clip: Clip, plan: Plan, store: Store, place: Place | None = None
) -> Iterator[TrackedFrame]:
    """Work on a clip, frame by frame; a frame that comes again replaces the one before.

    Args:
        model: What follows.
        clip: The clip.
        plan: What to do.
        store: Where the masks are kept; after each frame they are there.
        place: Where earlier work on the same plan ended; None: begin.

    Raises:
        InputError: A prompt does not fit, or its frame turns out not to be readable.
    """
    plan.check(clip.size_hw)
    onwards = place is None or place.way == "onwards"
    if onwards and plan.first is not None:
        track = Track(frame=plan.first - 1, length=len(clip)) if place is None else place.track
        frames = clip.frames(track.frame + 1)
        for frame, looked in read_ahead(model, frames):
            active = [n for n in plan.anchors if plan.onwards(n, frame.index) is not None]
            if not active and not any(i > frame.index for some in plan.new.values() for i in some):
                break
            track, masks = _go(looked, track, plan, frame, active, store, back=False)
            yield _done(store, frame, masks, Place("onwards", track))
        place = None
    plan.check_read(clip)
    if plan.last is None:
        return
    track = Track(frame=plan.last + 1, length=len(clip)) if place is None else place.track
    for frame, looked in read_ahead(model, clip.backwards(track.frame - 1)):
        here = plan.said(frame.index)
        active = [
            n for n in plan.anchors if plan.backwards(n, frame.index) is not None or n in here
        ]
        if not active and not any(i < frame.index for some in plan.new.values() for i in some):
            break
        track, masks = _go(looked, track, plan, frame, active, store, back=True)
        yield _done(store, frame, masks, Place("backwards", track))


def without_corrections(prompts: ClipPrompts) -> ClipPrompts:
    """Keep of each thing what is said of it first."""
    known: set[str] = set()
    kept: dict[int, Mapping[str, Prompt]] = {}
    for index in sorted(prompts):
        new = {name: p for name, p in prompts[index].items() if name not in known}
        known |= set(new)
        if new:
            kept[index] = new
    return kept


def _go(
    looked: Looked,
    track: Track,
    plan: Plan,
    frame: VideoFrame,
    active: list[str],
    store: Store,
    back: bool,
) -> tuple[Track, Masks]:
    """Work on one frame: what is active moves, all else stays as it is known."""
    known = store.get(frame.index)
    ended = [name for name in track.names if name not in active]
    track = track.without(*ended)
    said = plan.said(frame.index)
    here = {n: p for n, p in said.items() if n in active}
    taken = None
    if known is not None:
        others = [i for i, name in enumerate(known.labels) if name not in active]
        if others:
            taken = rle.decode(rle.merge([known.counts[i] for i in others]), known.size_hw)
    if not track.names and not here:
        return replace(track, frame=frame.index), known or Masks.empty(looked.size_hw)
    here = {n: _with_known(p, n, known, back) for n, p in here.items() if n not in track.names}
    here |= {n: p for n, p in said.items() if n in active and n in track.names}
    # What others cover where it was prompted, or is said to be away, is not followed backwards.
    track, masks = looked.step(track, here, frame.index, taken, empty=back)
    return track, _merged(plan, frame.index, known, masks, back)


def _with_known(prompt: Prompt, name: str, known: Masks | None, back: bool) -> Prompt:
    """Begin with the mask that is known of a frame: onwards, clicks correct it."""
    place = known.labels.index(name) if known is not None and name in known.labels else None
    if known is None or place is None:
        return prompt
    clicks = prompt.box is None and prompt.mask is None and prompt.mask_logits is None
    mask = rle.decode(known.counts[place], known.size_hw)
    if back:
        return Prompt(mask=mask)
    return Prompt(prompt.points_xy, prompt.labels, mask=mask) if clicks and mask.any() else prompt


def _merged(plan: Plan, index: int, known: Masks | None, masks: Masks, back: bool) -> Masks:
    """Choose between what is known of a frame and what was found now, thing by thing."""
    chosen = {str(one.labels[0]): one for one in known or ()}
    for one in masks:
        name = str(one.labels[0])
        before = chosen.get(name)
        if back and before is not None and one.meta[0]["status"] == "prompted":
            continue  # it began with the mask that is known, as roughly as the model takes it
        if before is None or _counts_more(plan, name, index, one, before):
            chosen[name] = one
    names = [name for name in plan.numbers if name in chosen]
    if not names:
        return masks
    whole = Masks.concat([chosen[name] for name in names])
    # What came later lies on top where things met that were found at different times.
    ids = tuple(plan.numbers[name] for name in names)
    return replace(whole, ids=ids, image_meta={"frame": index})


def _counts_more(plan: Plan, name: str, index: int, one: Masks, before: Masks) -> bool:
    """Return whether a mask that was found now counts more than the one that is known."""
    anchor, other = int(one.meta[0]["anchor"]), int(before.meta[0]["anchor"])
    if one.meta[0]["status"] == "prompted":
        return index in plan.new[name]
    if min(index, other) < anchor < max(index, other) or anchor == other:
        return True  # the one before came through a frame that has been corrected since
    seen, was_seen = bool(one.areas[0]), bool(before.areas[0])
    if seen != was_seen:
        return seen  # whoever has not lost it
    return abs(anchor - index) < abs(other - index)


def _done(store: Store, frame: VideoFrame, masks: Masks, place: Place) -> TrackedFrame:
    about: dict[str, float] = {"frame": frame.index}
    about |= {} if frame.seconds is None else {"seconds": round(frame.seconds, 6)}
    masks = replace(masks, image_meta=about, source=frame.image.source or frame.name)
    store.put(frame.index, masks)
    return TrackedFrame(frame.index, frame.seconds, frame.name, frame.image, masks, place)

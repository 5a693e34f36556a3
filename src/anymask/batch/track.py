"""Following things through a clip, to a folder of results that can be resumed and corrected.

The folder holds, for a clip called NAME::

    Annotations/NAME/00000.png   masks of each frame as DAVIS has them (`formats.davis`)
    NAME.json                    all of them as YouTube-VIS has them (`formats.youtube_vis`)
    NAME-overlay.mp4             the clip with its masks

Work that was ended goes on where it stopped, and ends with the same results. With more prompts
than before, only what they change is worked on again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anymask import __version__
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import davis, youtube_vis
from anymask.image.video import Clip, ClipLike, open_clip
from anymask.masks.masks import Masks
from anymask.predict.track.clip import (
    ClipPrompts,
    Place,
    Plan,
    TrackedFrame,
    run,
    without_corrections,
)
from anymask.predict.track.track import Track
from anymask.prompt import Prompt

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter

__all__ = ["TrackProgress", "TrackResult", "track"]

_STATE = ".anymask/track"
_OFTEN = 20  # frames after which the state is saved


@dataclass(frozen=True)
class TrackProgress:
    """How far the work on a clip is.

    Attributes:
        done: Frames that were worked on in this run.
        frame: What was found in the latest; None while files are written at the end.
        total: Frames of the clip.
    """

    done: int
    frame: TrackedFrame | None
    total: int


@dataclass(frozen=True)
class TrackResult:
    """What was found in a clip, in files.

    Attributes:
        name: Of the clip.
        frames: Number of frames.
        names: What is followed.
        files: What was written: the folder of PNGs, the JSON file, the overlay if wanted.
        seen: In how many frames each thing is seen, by name.
        notes: What the user should know, such as that the clip is cut off.
        folder: Of the PNGs.
    """

    name: str
    frames: int
    names: tuple[str, ...]
    files: tuple[Path, ...]
    seen: Mapping[str, int]
    notes: tuple[str, ...]
    folder: Path
    _names: tuple[str, ...] = field(default=(), repr=False)

    def masks(self, index: int) -> Masks:
        """Read the masks of a frame.

        Raises:
            InputError: There is no such frame, or its file is gone.
        """
        if not 0 <= index < self.frames:
            raise InputError(
                f"expected a frame from 0 to {self.frames - 1}, got {index}; frames count from 0"
            )
        return davis.read(self.folder / f"{self._names[index]}.png")


def track(
    clip: ClipLike,
    prompts: ClipPrompts,
    *,
    output: str | os.PathLike[str] = "anymask-out",
    model: Segmenter | str = "bundled",
    overlay: bool | None = None,
    overwrite: bool = False,
    forget_corrections: bool = False,
    progress: Callable[[TrackProgress], None] | None = None,
) -> TrackResult:
    """Follow things through a clip and write their masks to a folder.

    Args:
        clip: A video file (extra ``video``), a folder of frames, or a list of images.
        prompts: ``{number of a frame: {name of a thing: Prompt}}``, see `Segmenter.track`.
        output: Folder for the results, made when missing. If it has results of the same clip and
            model, they are kept as far as the same prompts say them: what is unfinished goes on,
            and what is said anew is carried on from there in both directions.
        model: A model, or its name.
        overlay: Write the clip with its masks, too, which needs the extra ``video``; None: if that
            is installed.
        overwrite: Begin anew, also where results exist.
        forget_corrections: See `Segmenter.track`.
        progress: Told after each frame. What it raises ends the work, which can be resumed.

    Raises:
        InputError: The clip, a prompt or a frame is not as it should be; or the folder has results
            of another clip or model, or of prompts that are not said any more.
        OutputError: The results cannot be written.

    Examples:
        >>> import tempfile
        >>> from anymask import Image
        >>> photo = Image.open("docs/pictures/coffee.jpg").pixels
        >>> clip = [np.roll(photo, 8 * i, axis=1) for i in range(3)]
        >>> cup = Prompt(box=(170, 15, 412, 310))
        >>> out = tempfile.mkdtemp()
        >>> found = track(clip, {0: {"cup": cup}}, output=out, overlay=False)
        >>> found.frames, dict(found.seen)
        (3, {'cup': 3})
    """
    from anymask.optional import optional
    from anymask.predict.loading import load

    opened = open_clip(clip)
    notes = []
    wanted = find_spec("av") is not None if overlay is None else overlay
    if overlay is None and not wanted:
        notes.append("there is no overlay without PyAV; run: pip install 'anymask[video]'")
    if wanted:
        optional("av", extra="video")  # before work that takes long
    used = load(model) if isinstance(model, str) else model
    used._check_tracks(forget_corrections)
    job = _Job(opened, prompts, Path(output), used, overwrite, forget_corrections)
    found = job.run(wanted, progress or (lambda progress: None))
    return replace(found, notes=(*found.notes, *notes))


class _Pngs:
    """The masks of frames as files; see `predict.track.clip.Store`."""

    def __init__(self, folder: ResumableFolder, place: str, clip: Clip) -> None:
        self._folder, self._place, self._clip = folder, place, clip

    def name(self, index: int) -> str:
        return f"{self._place}/{self._clip.frame_name(index)}.png"

    def get(self, index: int) -> Masks | None:
        path = self._folder.path / self.name(index)
        return davis.read(path) if path.is_file() else None

    def put(self, index: int, masks: Masks) -> None:
        with self._folder.writing(self.name(index)) as draft:
            davis.write(draft, masks)


class _Job:
    """The work on one clip in one folder."""

    def __init__(
        self,
        clip: Clip,
        prompts: ClipPrompts,
        output: Path,
        model: Segmenter,
        overwrite: bool,
        forget_corrections: bool,
    ) -> None:
        Plan.of(prompts, len(clip)).check(clip.size_hw)  # also of those that are forgotten
        self.prompts = without_corrections(prompts) if forget_corrections else prompts
        self.clip, self.model, self.overwrite = clip, model, overwrite
        self.identity = {
            "command": "track",
            "clip": clip.name,
            "frames": len(clip),
            "size": list(clip.size_hw),
            "first_frame": _look(clip),
            "model": f"{model.variant.name} {model.weights_digest[:32]}",
            "dtype": str(model.dtype),
            "version": __version__,
        }
        if forget_corrections:
            self.identity["forget_corrections"] = True
        self.folder = ResumableFolder(
            output, self.identity, "masks of this clip", about=f"{clip.name}-run.json",
            free=("prompts", "version", "frames"),
        )  # fmt: skip
        self.place = f"Annotations/{clip.name}"
        self.state = f"{_STATE}/{clip.name}"
        self.store = _Pngs(self.folder, self.place, clip)

    def run(self, overlay: bool, tell: Callable[[TrackProgress], None]) -> TrackResult:
        with self.folder.at_work():
            if self.overwrite:
                self.folder.forget(self.place, self.state, *self._joined())
            self.folder.check()
            carried, place, numbers = self._before()
            plan = Plan.of(self.prompts, len(self.clip), carried, numbers)
            self.folder.begin()
            if place is None:
                self._forget_state()
            self._note(carried, self.prompts, plan)
            self._follow(plan, carried, place, tell)
            plan.check_read(self.clip)  # also if damage showed only on the way back
            self._note(self.prompts, self.prompts, plan)
            tell(TrackProgress(0, None, len(self.clip)))
            return self._finish(plan.numbers, overlay)

    def _joined(self) -> list[str]:
        return [f"{self.clip.name}.json", f"{self.clip.name}-overlay.mp4"]

    def _before(self) -> tuple[ClipPrompts, Place | None, dict[str, int]]:
        """Say which prompts have been carried on here, where work ended, and the things' ids."""
        saved = self.folder.saved() or {}
        wanted = _plain(self.prompts)
        carried = saved.get("prompts", {}).get("carried", {})
        begun = saved.get("prompts", {}).get("begun", {})
        for index, things in [*carried.items(), *begun.items()]:
            for name, digest in things.items():
                if wanted.get(index, {}).get(name) != digest:
                    raise InputError(
                        f"expected the prompts of {str(self.folder.path)!r} and perhaps more, got "
                        f"none like the one for {name!r} in frame {index}; say it again, start "
                        "anew (--overwrite), or choose another folder (-o)"
                    )
        some = {
            int(index): {name: self.prompts[int(index)][name] for name in things}
            for index, things in carried.items()
        }
        numbers = {str(n): int(i) for n, i in saved.get("prompts", {}).get("ids", {}).items()}
        return some, self._state() if begun == wanted else None, numbers

    def _state(self) -> Place | None:
        """Read where work ended; None: nowhere, or nobody knows any more."""
        for way in ("onwards", "backwards"):
            path = self.folder.path / self.state / f"{way}.safetensors"
            if path.is_file():
                with suppress(InputError):
                    return Place(way, Track.load(path))
        return None

    def _note(self, carried: ClipPrompts, begun: ClipPrompts, plan: Plan) -> None:
        about = {
            "carried": _plain(carried),
            "begun": _plain(begun),
            "ids": dict(plan.numbers),
        }
        self.folder.write_json(self.folder.about, {**self.identity, "prompts": about})

    def _follow(
        self,
        plan: Plan,
        carried: ClipPrompts,
        place: Place | None,
        tell: Callable[[TrackProgress], None],
    ) -> None:
        latest = place
        frames = run(self.model, self.clip, plan, self.store, place)
        try:
            for done, frame in enumerate(frames, start=1):
                if latest is not None and latest.way != frame.place.way:
                    self._save(frame.place)
                latest = frame.place
                if done % _OFTEN == 0:
                    self._save(latest)
                tell(TrackProgress(done, frame, len(self.clip)))
        except BaseException as error:
            if latest is not None:
                self._save(latest)
            if isinstance(error, InputError):
                self._take_back(plan, carried, latest)
            raise
        self._forget_state()

    def _take_back(self, plan: Plan, carried: ClipPrompts, latest: Place | None) -> None:
        """Note only what was said of frames that were reached, once a prompt or frame is refused.

        So the next run may leave the others out, or say them in another way.
        """
        if latest is not None and latest.way == "backwards":
            return  # all were
        reached = -1 if latest is None else latest.track.frame
        begun = {i: dict(carried.get(i, {})) for i in plan.prompts if i in carried or i <= reached}
        for index in begun:
            begun[index] |= plan.prompts[index] if index <= reached else {}
        if begun:
            names = {name for things in begun.values() for name in things}
            numbers = {name: number for name, number in plan.numbers.items() if name in names}
            self._note(carried, begun, replace(plan, numbers=numbers))
        else:
            self.folder.forget(self.place, self.state)
            with suppress(OSError):  # unless there is something else in it
                (self.folder.path / self.place).parent.rmdir()

    def _forget_state(self) -> None:
        for way in ("onwards", "backwards"):
            (self.folder.path / self.state / f"{way}.safetensors").unlink(missing_ok=True)

    def _save(self, place: Place) -> None:
        with self.folder.writing(f"{self.state}/{place.way}.safetensors") as draft:
            place.track.save(draft)
        other = "backwards" if place.way == "onwards" else "onwards"
        (self.folder.path / self.state / f"{other}.safetensors").unlink(missing_ok=True)

    # ------------------------------------------------------------------ the end

    def _finish(self, numbers: Mapping[str, int], overlay: bool) -> TrackResult:
        """Write what is of the whole clip."""
        clip = self.clip
        things = [(number, name) for name, number in numbers.items()]
        seen = dict.fromkeys(numbers, 0)
        file_names = [f"{clip.frame_name(i)}.png" for i in range(len(clip))]

        def frames() -> Iterator[Masks]:
            for i in range(len(clip)):
                masks = self._complete(i, numbers)
                for name, area in zip(masks.labels, masks.areas, strict=True):
                    seen[str(name)] += bool(area)
                yield masks

        json_name = f"{clip.name}.json"
        with self.folder.writing(json_name) as draft:
            times = [clip.seconds(i) for i in range(len(clip))]
            youtube_vis.write(
                draft,
                frames(),
                name=clip.name,
                size_hw=clip.size_hw,
                things=things,
                file_names=file_names,
                times=times,
            )
        files = [self.folder.path / self.place, self.folder.path / json_name]
        if overlay:
            files.append(self._overlay())
        return TrackResult(
            clip.name,
            len(clip),
            tuple(numbers),
            tuple(files),
            seen,
            () if clip.cut_off is None else (clip.cut_off,),
            self.folder.path / self.place,
            tuple(clip.frame_name(i) for i in range(len(clip))),
        )

    def _complete(self, index: int, numbers: Mapping[str, int]) -> Masks:
        """Read the masks of a frame; one that nothing was followed in gets a file, too.

        Each thing has one id in the whole clip, also in files in which it had another one.
        """
        masks = self.store.get(index)
        if masks is None:
            masks = Masks.empty(self.clip.size_hw, model=self.model.variant.name)
            self.store.put(index, masks)
        ids = tuple(numbers[str(name)] for name in masks.labels)
        if ids != masks.ids:
            masks = replace(masks, ids=ids)
            self.store.put(index, masks)
        return masks

    def _overlay(self) -> Path:
        from anymask.draw.video import write_overlay

        name = f"{self.clip.name}-overlay.mp4"
        shown = ((frame, self.store.get(frame.index)) for frame in self.clip.frames())
        with self.folder.draft(name) as draft:
            write_overlay(draft, ((f, m) for f, m in shown if m is not None), self.clip.size_hw)
            self.folder.publish(draft, name)
        return self.folder.path / name


def _look(clip: Clip) -> str:
    """Tell a clip from others of its name and size, by its first frame."""
    first = next(iter(clip.frames(0, 1)))
    return hashlib.sha256(first.image.pixels.tobytes()).hexdigest()[:16]


def _plain(prompts: ClipPrompts) -> dict[str, dict[str, str]]:
    """Tell prompts from others, by frame and name."""
    return {
        str(index): {name: _digest(prompt) for name, prompt in things.items()}
        for index, things in sorted(prompts.items())
    }


def _digest(prompt: Prompt) -> str:
    told = hashlib.sha256()
    for part in ("points_xy", "labels", "box", "mask", "mask_logits"):
        value = getattr(prompt, part)
        told.update(part.encode())
        if value is not None:
            told.update(str(value.shape).encode() + np.ascontiguousarray(value).tobytes())
    return told.hexdigest()[:16]

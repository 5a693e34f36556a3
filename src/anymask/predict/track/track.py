"""The value that tracking goes on from: what is followed, where it was, and what it looks like."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask import tensor_file
from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.predict.track.look import Look

__all__ = ["Followed", "Moment", "Remembered", "Status", "Track"]

FloatArray = npt.NDArray[np.float32]
Status: TypeAlias = Literal["prompted", "tracked", "found", "lost"]
"""How the mask of a frame came about: from a prompt, from the frame before, from a search of the
frame after it was lost; or there is none, because the thing is not seen."""

_FORMAT = "anymask-track"  # key of the file's header, whose value is JSON
_VERSION = 2


@dataclass(frozen=True, eq=False)
class Followed:
    """One thing that is followed, as it was last seen. Its size does not grow with the clip.

    Attributes:
        name: What the user calls it.
        id: Its number, from 1.
        anchor: Number of the frame whose prompt it was last told by.
        logits: What the model answered when it was last seen, float16 (h', w') of its frame.
        velocity: How it moves, float32 (2,): x and y, pixels of the logits per frame.
        reference: What it looked like in the frames with prompts.
        recent: What it looked like when it was last seen well.
        area: Cells that it covered when it was last seen.
        missing: Frames since it was last seen; 0: it is seen.
    """

    name: str
    id: int
    anchor: int
    logits: npt.NDArray[np.float16]
    velocity: FloatArray
    reference: Look
    recent: Look
    area: float
    missing: int = 0


@dataclass(frozen=True, eq=False)
class Moment:
    """What is remembered of one thing in one frame, by a model with a memory.

    Attributes:
        frame: Its number.
        map: What its network made of the frame and the mask in it, (c, h, w): bfloat16 as its bits,
            uint16, as the original stores it; or float32. None: too long ago, only the pointer is
            read.
        pointer: What the thing is like, float32 (c,).
    """

    frame: int
    map: npt.NDArray[np.uint16] | FloatArray | None
    pointer: FloatArray


@dataclass(frozen=True, eq=False)
class Remembered:
    """One thing that is followed by a model with a memory. Its size does not grow with the clip.

    Attributes:
        name: What the user calls it.
        id: Its number, from 1.
        anchor: Number of the frame whose prompt it was last told by.
        prompted: Moments of frames with prompts, at most sixteen: the first, and the latest.
        recent: Moments of the latest other frames, of which six have maps.
        missing: Frames since it was last seen; 0: it is seen.
    """

    name: str
    id: int
    anchor: int
    prompted: tuple[Moment, ...]
    recent: tuple[Moment, ...] = ()
    missing: int = 0


@dataclass(frozen=True, eq=False)
class Track:
    """How far tracking has come: all that the next frame needs, and nothing that grows.

    Steps leave it as it is and give a new one, so that any of them can be kept, saved, and gone
    on from.

    Attributes:
        objects: What is followed, in the order in which it was named.
        frame: Number of the frame that was looked at last; -1: none.
        size_hw: Height and width of the frames; None before the first one with a prompt.
        model: Tells the model and its weights from others; None before the first prompt.
        remembered: What a model with a memory follows, instead of ``objects``.
        length: How many frames the clip has; None for a stream, which is like a long one.

    Examples:
        >>> track = Track()
        >>> track.names, track.frame
        ((), -1)
    """

    objects: tuple[Followed, ...] = ()
    frame: int = -1
    size_hw: tuple[int, int] | None = None
    model: str | None = None
    remembered: tuple[Remembered, ...] = ()
    length: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the things are called."""
        return tuple(one.name for one in self._all)

    @property
    def _all(self) -> tuple[Followed | Remembered, ...]:
        return *self.objects, *self.remembered

    def __repr__(self) -> str:
        """Say how far it is and what is lost: ``Track(frame 12: cup, spoon (lost))``."""
        said = [f"{one.name}{' (lost)' if one.missing else ''}" for one in self._all]
        return f"Track(frame {self.frame}: {', '.join(said) or 'nothing'})"

    def without(self, *names: str) -> Track:
        """Follow some things no longer.

        Raises:
            InputError: There is nothing of that name.
        """
        for name in names:
            if name not in self.names:
                known = ", ".join(self.names) or "nothing"
                raise InputError(f"expected one of {known} to drop, got {name!r}; check the name")
        return replace(
            self,
            objects=tuple(one for one in self.objects if one.name not in names),
            remembered=tuple(one for one in self.remembered if one.name not in names),
        )

    def save(self, path: Target) -> None:
        """Write to a safetensors file.

        It takes some 150 kB for each thing with the bundled model; with a memory, half a MB for
        each of the six latest frames and of those with prompts.

        Raises:
            OutputError: It cannot be written.
        """
        arrays: dict[str, npt.NDArray[Any]] = {}
        things = []
        for i, one in enumerate(self.objects):
            arrays[f"{i}/logits"], arrays[f"{i}/velocity"] = one.logits, one.velocity
            for when in ("reference", "recent"):
                look: Look = getattr(one, when)
                for part in ("on", "off", "places"):
                    arrays[f"{i}/{when}/{part}"] = getattr(look, part)
            plain = ("name", "id", "anchor", "area", "missing")
            things.append({key: getattr(one, key) for key in plain})
        about = {
            "version": _VERSION,
            "objects": things,
            "remembered": [_pack(one, i, arrays) for i, one in enumerate(self.remembered)],
            "length": self.length,
            "frame": self.frame,
            "size_hw": self.size_hw,
            "model": self.model,
        }
        with output(path) as file:
            file.write(tensor_file.pack(arrays, {_FORMAT: json.dumps(about)}))

    @classmethod
    def load(cls, source: str | os.PathLike[str] | bytes | IO[bytes]) -> Track:
        """Read what `save` wrote: a path, bytes, or a file that is open for reading bytes.

        Raises:
            InputError: It is missing, damaged or of another kind.
        """
        try:
            if isinstance(source, str | os.PathLike):
                content = Path(source).read_bytes()
            else:
                content = source if isinstance(source, bytes) else source.read()
            arrays, header = tensor_file.unpack(content)
            about = _about(header)
            objects = tuple(
                _followed(
                    thing,
                    {k[len(f"{i}/") :]: v for k, v in arrays.items() if k.startswith(f"{i}/")},
                )
                for i, thing in enumerate(about["objects"])
            )
            size = about["size_hw"]
            return cls(
                objects,
                int(about["frame"]),
                None if size is None else (int(size[0]), int(size[1])),
                about["model"],
                tuple(_unpack(one, i, arrays) for i, one in enumerate(about["remembered"])),
                about["length"],
            )
        except (OSError, LookupError, TypeError, ValueError) as error:
            name = (
                repr(os.fsdecode(source)) if isinstance(source, str | os.PathLike) else "the data"
            )
            raise InputError(
                f"expected a track saved by anymask, but {name} cannot be read as one ({error}); "
                "track from the start"
            ) from error


def _about(header: Mapping[str, str]) -> dict[str, Any]:
    """Read what the file says of itself."""
    if _FORMAT not in header:
        raise ValueError("a file of another kind")
    found: dict[str, Any] = json.loads(header[_FORMAT])
    if found["version"] != _VERSION:
        raise ValueError(f"version {found['version']}, where this anymask reads {_VERSION}")
    return found


def _followed(plain: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Followed:
    looks = {
        when: Look(*(arrays[f"{when}/{part}"] for part in ("on", "off", "places")))
        for when in ("reference", "recent")
    }
    return Followed(
        logits=arrays["logits"],
        velocity=arrays["velocity"],
        reference=looks["reference"],
        recent=looks["recent"],
        **plain,
    )


def _pack(one: Remembered, place: int, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Put the arrays of a thing beside the others, and give the rest of it."""
    about: dict[str, Any] = {"name": one.name, "id": one.id, "anchor": one.anchor}
    for when in ("prompted", "recent"):
        moments: tuple[Moment, ...] = getattr(one, when)
        about[when] = [moment.frame for moment in moments]
        for moment in moments:
            beside = f"remembered/{place}/{when}/{moment.frame}"
            arrays[f"{beside}/pointer"] = moment.pointer
            if moment.map is not None:
                arrays[f"{beside}/map"] = moment.map
    return {**about, "missing": one.missing}


def _unpack(
    about: Mapping[str, Any], place: int, arrays: Mapping[str, npt.NDArray[Any]]
) -> Remembered:
    """Undo `_pack`."""
    moments = {}
    for when in ("prompted", "recent"):
        beside = f"remembered/{place}/{when}"
        moments[when] = tuple(
            Moment(frame, arrays.get(f"{beside}/{frame}/map"), arrays[f"{beside}/{frame}/pointer"])
            for frame in about[when]
        )
    return Remembered(
        about["name"], about["id"], about["anchor"], **moments, missing=about["missing"]
    )

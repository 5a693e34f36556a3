"""Clips: the frames of a video file or of a folder, in order or at random, a few in memory.

Frames count from 0 in the order in which they are shown, whatever their times are: a clip of
variable frame rate has a time for each. Video files are read by PyAV (extra ``video``); folders of
frames need nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import PIL.Image

from anymask.errors import InputError
from anymask.image.image import Image, ImageLike
from anymask.optional import optional

__all__ = ["Clip", "ClipLike", "Folder", "Listed", "VideoFile", "VideoFrame", "open_clip"]

_IMAGES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".jp2"),
    *(".avif", ".heic", ".heif", ".ppm", ".pgm", ".pnm", ".tga"),
)
_BACK = 24  # frames that are in memory at a time while a video is read backwards
_PEEK = 64  # frames that tell whether times that look doubtful are in order
_SLACK = 0.5  # seconds that a file may be shorter than it says
_EXIF_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame of a clip.

    Attributes:
        index: Its number, from 0.
        image: What it shows, upright.
        seconds: When it is shown, from the start of the clip; None if nobody knows.
        name: What its results are called: the name of its file, or its number.
    """

    index: int
    image: Image
    seconds: float | None
    name: str


class Clip(Protocol):
    """Frames that can be read in any order."""

    @property
    def name(self) -> str:
        """What its results are called."""
        ...

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of all frames."""
        ...

    @property
    def cut_off(self) -> str | None:
        """Why there are fewer frames than there should be, a sentence; None: all are there."""
        ...

    def __len__(self) -> int:
        """Count the frames that can be read."""
        ...

    def seconds(self, index: int) -> float | None:
        """Say when a frame is shown."""
        ...

    def frame_name(self, index: int) -> str:
        """Say what the results of a frame are called."""
        ...

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[VideoFrame]:
        """Read frames from ``start`` on, up to ``stop``, without it."""
        ...

    def backwards(self, start: int, stop: int = -1) -> Iterator[VideoFrame]:
        """Read frames from ``start`` down to ``stop``, without it."""
        ...


ClipLike: TypeAlias = "Clip | str | os.PathLike[str] | Sequence[ImageLike]"
"""A video file, a folder of frames, a list of images, or a `Clip`."""


def open_clip(source: ClipLike) -> Clip:
    """Open a clip.

    Args:
        source: A video file of any kind that FFmpeg reads; a folder of images of one size, which
            are taken in the order of their names, numbers in them by value; or a list of images.

    Raises:
        InputError: It is missing, damaged from the start, empty or no clip; or the images of a
            folder differ in size.
        MissingExtraError: PyAV is not installed, and the source is a video file.

    Examples:
        >>> clip = open_clip([np.zeros((4, 6, 3), np.uint8)] * 3)
        >>> len(clip), clip.size_hw
        (3, (4, 6))
        >>> [frame.index for frame in clip.backwards(2)]
        [2, 1, 0]
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            return Folder(path)
        if not path.exists():
            raise InputError(
                f"expected a video or a folder of frames, but {str(path)!r} does not exist; "
                "check the path"
            )
        return VideoFile(path)
    if isinstance(source, list | tuple):
        return Listed(source)
    if all(hasattr(source, name) for name in ("frames", "backwards", "size_hw")):
        return source  # type: ignore[return-value]
    raise InputError(
        f"expected a clip as a video file, a folder of frames or a list of images, got "
        f"{type(source).__name__}; for frames that come one by one, use model.follow"
    )


class Listed:
    """Images in memory, or named one by one, as a clip."""

    name = "frames"
    cut_off = None

    def __init__(self, images: Sequence[ImageLike]) -> None:
        if not images:
            raise InputError("expected at least one frame, got an empty list; add images")
        self._images = images
        self.size_hw = Image.open(images[0]).size_hw

    def __len__(self) -> int:
        return len(self._images)

    def seconds(self, index: int) -> float | None:
        """Say nothing: the images have no times."""
        return None

    def frame_name(self, index: int) -> str:
        """Number the frame."""
        return f"{index:05d}"

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[VideoFrame]:
        """Read frames from ``start`` on, up to ``stop``, without it."""
        return map(self._read, range(start, len(self) if stop is None else min(stop, len(self))))

    def backwards(self, start: int, stop: int = -1) -> Iterator[VideoFrame]:
        """Read frames from ``start`` down to ``stop``, without it."""
        return map(self._read, range(start, stop, -1))

    def _read(self, index: int) -> VideoFrame:
        image = Image.open(self._images[index])
        _check_size(image.size_hw, self.size_hw, f"frame {index}")
        return VideoFrame(index, image, None, self.frame_name(index))


class Folder:
    """A folder of images as a clip."""

    cut_off = None

    def __init__(self, path: Path) -> None:
        names = [n for n in os.listdir(path) if n.lower().endswith(_IMAGES) and n[0] != "."]
        if not names:
            raise InputError(
                f"expected a folder of frames, but there is no image in {str(path)!r}; name the "
                "folder that holds them"
            )
        self._paths = [path / name for name in sorted(names, key=_natural)]
        stems = {file.stem for file in self._paths}
        if len(stems) < len(self._paths):
            raise InputError(
                f"expected one file for each frame, got {len(self._paths)} files with "
                f"{len(stems)} names in {str(path)!r}; keep one suffix"
            )
        self.name = path.resolve().name or "frames"
        self.size_hw = Image.open(self._paths[0]).size_hw
        for file in self._paths[1:]:
            if (size := _peeked(file)) is not None:
                _check_size(size, self.size_hw, repr(str(file)), self._paths[0].name)

    def __len__(self) -> int:
        return len(self._paths)

    def seconds(self, index: int) -> float | None:
        """Say nothing: files have no times."""
        return None

    def frame_name(self, index: int) -> str:
        """Take the name of the file."""
        return self._paths[index].stem

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[VideoFrame]:
        """Read frames from ``start`` on, up to ``stop``, without it."""
        return map(self._read, range(start, len(self) if stop is None else min(stop, len(self))))

    def backwards(self, start: int, stop: int = -1) -> Iterator[VideoFrame]:
        """Read frames from ``start`` down to ``stop``, without it."""
        return map(self._read, range(start, stop, -1))

    def _read(self, index: int) -> VideoFrame:
        file = self._paths[index]
        image = Image.open(file)
        _check_size(image.size_hw, self.size_hw, repr(str(file)), self._paths[0].name)
        return VideoFrame(index, image, None, file.stem)


def _natural(name: str) -> list[Any]:
    """Sort numbers in names by value."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def _peeked(path: Path) -> tuple[int, int] | None:
    """Read the size of an image from its head, as it is shown; None: Pillow cannot."""
    try:
        with PIL.Image.open(path) as image:
            w, h = image.size
            return (w, h) if image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS else (h, w)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        return None


def _check_size(
    size_hw: tuple[int, int], wanted_hw: tuple[int, int], what: str, like: str = "frame 0"
) -> None:
    if size_hw != wanted_hw:
        (h, w), (height, width) = size_hw, wanted_hw
        raise InputError(
            f"expected frames of one size, {width} x {height} like {like}, got {what} of {w} x "
            f"{h}; resize it, or take it out"
        )


class VideoFile:
    """A video file as a clip: its first video stream, turned as the camera was held.

    What is in the file is counted once, without decoding it, so that frames have numbers and can
    be sought. Files without usable times, such as bare H.264 streams or AVI with frames out of
    order, are decoded once to count them, and from the start whenever they are read: frames are
    numbered as the decoder gives them, and shown at the average rate. A file that is cut off or
    damaged has the frames before that, and says so (`cut_off`).
    """

    def __init__(self, path: Path) -> None:
        self._av = optional("av", extra="video")
        self._path = path
        self.name = path.stem
        self.cut_off: str | None = None
        with self._opened() as (container, stream):
            self._base = Fraction(stream.time_base or Fraction(1, 1000))
            self._rate: Fraction | None = stream.average_rate or stream.guessed_rate
            self._pts, self._keys, damage = self._scan(container, stream)
            promised = stream.frames
            damage = damage or self._ends_early(container)
            doubtful = self._timeless or (self._rising and stream.codec_context.has_b_frames > 0)
        self._by_order = doubtful and not self._times_rise()
        if self._by_order:
            with self._opened() as (container, stream):
                self._pts = list(range(sum(1 for _ in self._decoded(container, stream))))
            self._base = 1 / self._rate if self._rate else Fraction(0)
        if not self._pts:
            raise self._no_video("there is no frame in it")
        self._first = self._one_frame()
        self.size_hw = self._first.size_hw
        if damage or promised > len(self._pts):
            of = f" of {promised}" if promised > len(self._pts) else ""
            self.cut_off = (
                f"{str(path)!r} is cut off or damaged after frame {len(self._pts) - 1}: "
                f"{len(self._pts)}{of} frames can be read"
            )

    def __len__(self) -> int:
        return len(self._pts)

    def seconds(self, index: int) -> float | None:
        """Say when a frame is shown, from the first one on."""
        return float((self._pts[index] - self._pts[0]) * self._base) if self._base else None

    @property
    def rate(self) -> Fraction | None:
        """Frames in a second, on average."""
        return self._rate

    def frame_name(self, index: int) -> str:
        """Number the frame."""
        return f"{index:05d}"

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[VideoFrame]:
        """Read frames from ``start`` on, up to ``stop``, without it."""
        stop = len(self) if stop is None else min(stop, len(self))
        if start >= stop:
            return
        wanted = {pts: i for i, pts in enumerate(self._pts[start:stop], start=start)}
        last = start - 1
        with self._opened() as (container, stream):
            if start and not self._by_order:
                container.seek(self._key_before(start), stream=stream, backward=True)
            for pts, frame in self._timed(container, stream):
                index = None if pts is None else wanted.get(pts)
                if index is None or index <= last:  # before the start, or shown twice
                    if index is not None and start <= index < last:
                        raise self._no_video("its frames are not in the order of their times")
                    if pts is not None and pts > self._pts[stop - 1]:
                        break
                    continue
                last = index
                yield VideoFrame(index, self._image(frame), self.seconds(index), f"{index:05d}")
                if index == stop - 1:
                    return
        if last < stop - 1:
            self._note_damage(last)

    def backwards(self, start: int, stop: int = -1) -> Iterator[VideoFrame]:
        """Read frames from ``start`` down to ``stop``, without it, a few in memory at a time."""
        high = start
        while high > stop:
            low = max(stop, high - _BACK)
            yield from reversed(list(self.frames(low + 1, high + 1)))
            high = low

    # ------------------------------------------------------------------ reading

    def _opened(self) -> _Opened:
        return _Opened(self._av, self._path, self._no_video)

    def _scan(self, container: Any, stream: Any) -> tuple[list[int], list[int], bool]:
        """List the times of all frames and of those where reading can begin, without decoding."""
        times: set[int] = set()
        keys: list[int] = []
        damaged = False
        self._end = 0.0
        self._timeless, self._rising, latest = False, True, None
        try:
            for packet in container.demux():
                if not packet.size:
                    continue
                if packet.pts is None:
                    self._timeless |= packet.stream_index == stream.index
                    continue
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._end = max(self._end, end)
                if packet.stream_index != stream.index:
                    continue
                damaged = damaged or packet.is_corrupt
                if packet.is_corrupt or packet.is_discard:
                    continue
                self._rising &= latest is None or packet.pts > latest
                latest = packet.pts
                times.add(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
        except (self._av.error.FFmpegError, OSError, ValueError):
            damaged = True
        return sorted(times), sorted(keys), damaged

    def _ends_early(self, container: Any) -> bool:
        """Return whether no stream lasts as long as the head of the file says."""
        said = (container.duration or 0) / self._av.time_base
        begins = (container.start_time or 0) / self._av.time_base
        return bool(said and self._end - begins < said - max(_SLACK, 0.05 * said))

    def _key_before(self, index: int) -> int:
        """Find where to begin to read a frame: one key before, for some are shown out of order."""
        before = [pts for pts in self._keys if pts <= self._pts[index]]
        return before[-1] if before else self._pts[0]

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        try:
            yield from container.decode(stream)
        except (self._av.error.FFmpegError, OSError, ValueError):
            return

    def _timed(self, container: Any, stream: Any) -> Iterator[tuple[int | None, Any]]:
        """Decode frames with their times, or with their numbers if the times are of no use."""
        for number, frame in enumerate(self._decoded(container, stream)):
            yield number if self._by_order else frame.pts, frame

    def _times_rise(self) -> bool:
        """Return whether the first frames that are decoded have times, each later than the last."""
        with self._opened() as (container, stream):
            times = [frame.pts for frame in islice(self._decoded(container, stream), _PEEK)]
        return None not in times and all(a < b for a, b in pairwise(times))

    def _one_frame(self) -> Image:
        """Read the first frame; what comes before it in the file cannot be shown."""
        known = set(self._pts)
        with self._opened() as (container, stream):
            for first, frame in self._timed(container, stream):
                if first is None or first not in known:
                    continue
                self._pts = [pts for pts in self._pts if pts >= first]
                return self._image(frame)
        raise self._no_video("no frame of it can be decoded")

    def _image(self, frame: Any) -> Image:
        pixels = frame.to_ndarray(format="rgb24")
        turns = round(frame.rotation / 90) % 4  # anticlockwise, as the camera noted
        return Image.open(np.ascontiguousarray(np.rot90(pixels, turns)))

    def _note_damage(self, last: int) -> None:
        """Forget the frames that turned out not to be readable."""
        self.cut_off = (
            f"{str(self._path)!r} is cut off or damaged after frame {last}: {last + 1} of "
            f"{len(self._pts)} frames can be read"
        )
        self._pts = self._pts[: last + 1]

    def _no_video(self, why: str) -> InputError:
        return InputError(
            f"expected a video in {str(self._path)!r}, but {why}; check that the file is whole, "
            "or name a folder of frames"
        )


class _Opened:
    """An open file and its first video stream, closed at the end."""

    def __init__(self, av: Any, path: Path, no_video: Callable[[str], InputError]) -> None:
        self._av, self._path, self._no_video = av, path, no_video

    def __enter__(self) -> tuple[Any, Any]:
        try:
            self._container = self._av.open(str(self._path))
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise self._no_video(f"FFmpeg cannot read it ({why})") from error
        if not self._container.streams.video:
            self._container.close()
            raise self._no_video("there are no pictures in it")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        return self._container, stream

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._container.close()

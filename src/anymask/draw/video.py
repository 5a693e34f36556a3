"""A clip with its masks laid over it, as a video file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from anymask.atomic import atomic_write
from anymask.draw.painting import overlay
from anymask.errors import OutputError
from anymask.image.video import VideoFrame
from anymask.masks.masks import Masks
from anymask.optional import optional

__all__ = ["write_overlay"]

_CODECS = ("libx264", "mpeg4")  # the first that this build of FFmpeg has
_TICKS = 90_000  # in a second, as in broadcasting: fine enough for any frame rate
_RATE = 25.0  # frames in a second of a clip whose frames have no times
_QUALITY = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"q": "4"}}


def write_overlay(
    path: str | os.PathLike[str],
    frames: Iterable[tuple[VideoFrame, Masks]],
    size_hw: tuple[int, int],
    *,
    rate: float = _RATE,
) -> None:
    """Write a clip with its masks laid over it.

    Args:
        path: The file to write; its suffix says of which kind, such as .mp4.
        frames: The frames in order, with their masks; they are not kept. Each is shown as long as
            in the clip, whose rate may vary.
        size_hw: Height and width of the frames; odd ones gain a row or column, for the codec.
        rate: Frames in a second where they have no times.

    Raises:
        MissingExtraError: PyAV is not installed.
        OutputError: The file cannot be written.
    """
    av = optional("av", extra="video")
    name = next(codec for codec in _CODECS if codec in av.codecs_available)
    h, w = (side + side % 2 for side in size_hw)
    with atomic_write(path) as draft:
        try:
            with av.open(str(draft), "w", format=_kind(path)) as container:
                stream = container.add_stream(name, rate=round(rate))
                stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
                stream.options = _QUALITY[name]
                ticks = Fraction(1, _TICKS)
                stream.time_base = stream.codec_context.time_base = ticks
                last = -1
                for frame, masks in frames:
                    seconds = frame.index / rate if frame.seconds is None else frame.seconds
                    last = max(last + 1, round(seconds * _TICKS))
                    container.mux(stream.encode(_drawn(av, frame, masks, (h, w), last, ticks)))
                container.mux(stream.encode())
        except av.error.FFmpegError as error:
            raise OutputError(
                f"cannot write {str(path)!r}: {error.strerror or error}; choose another place"
            ) from error


def _kind(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower().lstrip(".")
    return {"mkv": "matroska", "m4v": "mp4"}.get(suffix, suffix)


def _drawn(
    av: Any, frame: VideoFrame, masks: Masks, size_hw: tuple[int, int], time: int, ticks: Fraction
) -> Any:
    pixels = np.asarray(overlay(frame.image, masks, prompts=False))
    spare = [(0, wide - have) for wide, have in zip(size_hw, pixels.shape, strict=False)]
    drawn = av.VideoFrame.from_ndarray(
        np.pad(pixels, [*spare, (0, 0)], mode="edge"), format="rgb24"
    )
    drawn.pts, drawn.time_base = time, ticks
    return drawn

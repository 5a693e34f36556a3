"""Frames read and embedded while those before them are worked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from anymask.image.video import VideoFrame
from anymask.parallel import in_order
from anymask.predict.track.cells import Model
from anymask.predict.track.look_at import Looked, look_at

__all__ = ["read_ahead"]


def read_ahead(model: Model, frames: Iterable[VideoFrame]) -> Iterator[tuple[VideoFrame, Looked]]:
    """Yield frames along with how they are looked at.

    Frames need not wait for one another until here, so that two of them are embedded at a time
    while the masks of those before are worked out; at most four are in memory.
    """
    looked = in_order(lambda one: (one, look_at(model, one.image)), frames, workers=2)
    try:
        yield from looked
    finally:
        looked.close()

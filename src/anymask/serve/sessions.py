"""Images that were embedded: kept by what they are, the longest unused go first."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from anymask.serve.errors import ApiError

if TYPE_CHECKING:
    from anymask.embedding import Embedding
    from anymask.image.image import Image
    from anymask.predict.segmenter import Segmenter

__all__ = ["Session", "Sessions", "image_bytes", "name_of"]


@dataclass(frozen=True, eq=False)
class Session:
    """An image, and what the model saw in it.

    Attributes:
        id: Tells it from others: by the pixels, the model's weights and its preprocessing.
        image: The image.
        embedding: What the model's encoder made of it.
        model: Name of that model.
    """

    id: str
    image: Image
    embedding: Embedding
    model: str

    @cached_property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return image_bytes(self.image) + sum(
            int(maps.nbytes) for maps in self.embedding.features.values()
        )


def image_bytes(image: Image) -> int:
    """Count the bytes of an image in memory."""
    straight = image.straight if image.straight is not image.pixels else None
    parts = (image.pixels, image.alpha, straight)
    return sum(part.nbytes for part in parts if part is not None)


def name_of(model: Segmenter, image: Image) -> str:
    """Name a session by its content: 64 digits in hex, the same on any server of this model."""
    identity = f"{model.variant.name} {model.variant.preprocessing} {model.weights_digest} "
    content = hashlib.sha256(f"{identity}{model.dtype} {image.size_hw}".encode())
    for part in (image.pixels, image.alpha, image.straight):
        content.update(b"-" if part is None else part.data)
    return content.hexdigest()


class Sessions:
    """What is kept, within a limit of memory; used on the event loop alone.

    Args:
        limit: Bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = self.evicted = 0
        self.making: dict[str, asyncio.Task[Session]] = {}
        self._kept: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        """Count the sessions."""
        return len(self._kept)

    def __contains__(self, name: str) -> bool:
        """Return whether there is such a session, without using it."""
        return name in self._kept

    def get(self, name: str) -> Session:
        """Use a session.

        Raises:
            ApiError: There is none of that name, or it had to go.
        """
        if name not in self._kept:
            raise ApiError(
                404,
                f"expected the id of a session, got {name[:80]!r}, which is not here (any more); "
                "embed the image again",
                "no_session",
            )
        self._kept.move_to_end(name)
        return self._kept[name]

    def add(self, session: Session) -> None:
        """Keep a session, and let the longest unused go until it fits.

        Raises:
            ApiError: It alone is larger than the limit.
        """
        if session.nbytes > self.limit:
            raise ApiError(
                413,
                f"expected an image that fits into {self.limit / 1e6:g} MB with its embedding, got "
                f"one of {session.nbytes / 1e6:.1f} MB; shrink it, or raise session_mb "
                "of anymask serve",
            )
        self.drop(session.id)
        while self._kept and self.nbytes + session.nbytes > self.limit:
            self.drop(next(iter(self._kept)))
            self.evicted += 1
        self._kept[session.id] = session
        self.nbytes += session.nbytes

    def drop(self, name: str) -> bool:
        """Let a session go; return whether it was there."""
        session = self._kept.pop(name, None)
        if session is not None:
            self.nbytes -= session.nbytes
        return session is not None

"""Where the masks of a farm go: a sink writes them shard by shard.

A shard holds the images whose numbers lie in one range, so that what lies in it depends on nothing
but the source: not on the engine, the order of the work, or how often that was interrupted.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from anymask.errors import InputError
from anymask.label.farm.source import Reader
from anymask.label.farm.task import content_digest

__all__ = ["Labelled", "Left", "Sink"]

_MASKS_PER_IMAGE = 100_000  # numbers of masks are unique in all shards


@dataclass(frozen=True)
class Labelled:
    """An image and its masks.

    Attributes:
        number: Of the image, from 1.
        name: Where the source has it.
        sha256: Digest of its content, in bytes.
        record: The masks, see `Labelling`.
        read: Reads it by its name.
    """

    number: int
    name: str
    sha256: bytes
    record: bytes
    read: Reader

    def content(self) -> bytes:
        """Read the image again.

        Raises:
            InputError: It cannot be read any more, or has changed.
        """
        try:
            content = self.read(self.name)
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise InputError(
                f"cannot write {self.name!r} beside its masks: {reason}; put it back and run the "
                "same again"
            ) from error
        if content_digest(content) != self.sha256:
            raise InputError(
                f"cannot write {self.name!r} beside its masks: it changed since they were found; "
                "run the same again"
            )
        return content

    def document(self) -> dict[str, Any]:
        """Give the masks in SA-1B's layout, with numbers that are unique among all images."""
        document: dict[str, Any] = json.loads(zlib.decompress(self.record))
        document["image"] |= {
            "image_id": self.number,
            "file_name": f"sa_{self.number}.jpg",
            "sha256": self.sha256.hex(),
            "source": self.name,
        }
        for place, annotation in enumerate(document["annotations"], start=1):
            annotation["id"] = self.number * _MASKS_PER_IMAGE + place
        return document


@dataclass(frozen=True)
class Left:
    """Why an image was not written.

    Attributes:
        why: ``missing``: it cannot be written; ``finished``: people are done with it, and its masks
            stay as they are; ``leased``: somebody is at work on it now.
        sentence: The same in one sentence.
    """

    why: Literal["missing", "finished", "leased"]
    sentence: str


class Sink(Protocol):
    """Where masks go."""

    def files(self, shard: int) -> list[str]:
        """Name the files of a shard, below the folder of the results."""
        ...

    def write(self, shard: int, images: Iterator[Labelled]) -> Mapping[int, Left]:
        """Write a shard, whole or not at all, in the place of what was there before.

        Args:
            shard: Its number, from 0.
            images: All that belongs into it, by number.

        Returns:
            Why images are not in it, by their numbers; they are tried again by the next run.

        Raises:
            OutputError: It cannot be written.
        """
        ...

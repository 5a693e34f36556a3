"""What is done with one image: its content is told from others, or its masks are found.

Both are a `Job`, which an engine carries to its workers, and which each of these opens once. What
goes wrong with one image becomes its outcome; nothing is raised.
"""

from __future__ import annotations

import hashlib
import io
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from anymask.errors import AnymaskError, CapabilityError, MissingExtraError, WeightsError
from anymask.label.farm.automatic import Work
from anymask.label.farm.source import Reader
from anymask.parallel import LostThreadsError

__all__ = ["Fault", "Hashing", "Job", "Labelling", "Outcome", "Task", "content_digest", "killed"]

Fault = Literal["name", "content", "all"]
"""Whose an error is: that of the place where the image is, that of its content, whatever place it
has, or that of everything, so that no other image could be done either."""

# With these, the next image would fail in the same way.
_FINAL = (CapabilityError, MissingExtraError, WeightsError, LostThreadsError)


@dataclass(frozen=True)
class Task:
    """An image to do.

    Attributes:
        number: Of its name, see `Ledger`.
        name: Where it is, for the reader.
        sha256: Digest of its content, in bytes; none while that is unknown.
        data: The content, where only the caller's process can read it.
    """

    number: int
    name: str
    sha256: bytes = b""
    data: bytes | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    Attributes:
        number: That of the task.
        sha256: Digest of the content.
        record: The masks, see `Labelling`; none if they were not looked for.
        masks: Number of them.
        seconds: Time that it took.
        error: Why it failed, one sentence; nothing if it did not.
        fault: Whose the error is.
    """

    number: int
    sha256: bytes = b""
    record: bytes = b""
    masks: int = 0
    seconds: float = 0.0
    error: str = ""
    fault: Fault = "content"


class Job(Protocol):
    """What workers do with tasks; a picklable value."""

    @property
    def light(self) -> bool:
        """Whether it needs neither a process of its own nor a GPU."""
        ...

    def open(self) -> Callable[[Task], Outcome]:
        """Get ready in the process that does it."""
        ...


def content_digest(content: bytes) -> bytes:
    """Tell a content from all others: its SHA-256."""
    return hashlib.sha256(content).digest()


@dataclass(frozen=True)
class Hashing:
    """Tell the contents of images from each other.

    Attributes:
        read: Reads an image by its name.
    """

    read: Reader

    light = True

    def open(self) -> Callable[[Task], Outcome]:
        """Give what does it."""
        return self._attempt

    def _attempt(self, task: Task) -> Outcome:
        content = _content(task, self.read)
        if isinstance(content, Outcome):
            return content
        return Outcome(task.number, content_digest(content))


@dataclass(frozen=True)
class Labelling:
    """Find the masks of images.

    A record is the SA-1B file of an image without name and number, compressed by zlib: the same
    content gives the same bytes, whoever finds them and wherever the image is.

    Attributes:
        work: Finds them.
        read: Reads an image by its name.
    """

    work: Work
    read: Reader

    light = False

    def open(self) -> Callable[[Task], Outcome]:
        """Get ready to find masks; what cannot be done fails with the first task."""
        try:
            find = self.work.open()
        except _FINAL as error:
            sentence = str(error)
            return lambda task: Outcome(task.number, task.sha256, error=sentence, fault="all")

        def attempt(task: Task) -> Outcome:
            start = time.perf_counter()
            content = _content(task, self.read)
            if isinstance(content, Outcome):
                return content
            if content_digest(content) != task.sha256:
                return Outcome(task.number, error=_CHANGED.format(task.name), fault="name")
            try:
                record, masks = _record(find, content)
            except _FINAL as error:
                return Outcome(task.number, task.sha256, error=str(error), fault="all")
            except Exception as error:
                return Outcome(task.number, task.sha256, error=_sentence(error))
            seconds = time.perf_counter() - start
            return Outcome(task.number, task.sha256, record, masks, seconds)

        return attempt


_CHANGED = "cannot label {!r}: it changed while it waited; run the same again"


def _record(find: Callable[[bytes], object], content: bytes) -> tuple[bytes, int]:
    from anymask.formats import sa1b
    from anymask.masks.masks import Masks

    masks = find(content)
    assert isinstance(masks, Masks)
    file = io.BytesIO()
    sa1b.write(file, replace(masks, source=None))
    return zlib.compress(file.getvalue()), len(masks)


def _content(task: Task, read: Reader) -> bytes | Outcome:
    try:
        return read(task.name) if task.data is None else task.data
    except MissingExtraError as error:  # what reads the place
        return Outcome(task.number, task.sha256, error=str(error), fault="all")
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        sentence = f"cannot read {task.name!r}: {reason}; look whether it is still there"
        return Outcome(task.number, task.sha256, error=sentence, fault="name")


def _sentence(error: Exception) -> str:
    if isinstance(error, AnymaskError):
        return str(error)
    first_line = next(iter(str(error).splitlines()), "")
    return f"unexpected {type(error).__name__}: {first_line}"


def killed(task: Task, times: int) -> Outcome:
    """Tell that the processes which were at a task all died."""
    return Outcome(
        task.number,
        task.sha256,
        error=f"cannot label {task.name!r}: {times} processes in turn were killed while they were "
        "at it, as systems do when memory is short; give the workers more, or leave it out",
    )

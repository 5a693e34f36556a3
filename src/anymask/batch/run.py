"""Working through many images: skip what is finished, go on after failures, resume later.

Any number of processes may do the same to one folder of results, also on several machines: each
takes what no other one is at. See `folder`.
"""

from __future__ import annotations

import errno
import math
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from anymask import __version__, formats
from anymask.batch.inputs import Item
from anymask.batch.job import Job
from anymask.batch.results import Record, Results
from anymask.data.readers.notes import DataWarning
from anymask.errors import (
    AnymaskError,
    CapabilityError,
    InputError,
    MissingExtraError,
    OutputError,
    WeightsError,
)
from anymask.parallel import LostThreadsError, in_order

if TYPE_CHECKING:
    from anymask.detections import Detections
    from anymask.masks.masks import Masks

__all__ = ["Batch", "Cancelled", "ImageResult", "Progress"]

_JOIN = ".join"  # no key of an image: their results are not hidden
# With these, the next image would fail in the same way, unless they are of the image.
_FINAL = (CapabilityError, MissingExtraError, WeightsError)
# With other numbers, such as that of a full disk, the next one could not be written, either.
_OF_ONE_IMAGE = {
    *(None, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EACCES, errno.EPERM),
    *(errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ELOOP),
}
_NOTED = 1000  # images that the file of the run names


@dataclass(frozen=True)
class Progress:
    """How far a batch is.

    Attributes:
        done: Images that this run has done, or failed to do.
        total: Images that were not finished when it began.
        image: One that is being worked on.
        step: How far that one is, such as ", tile 3 of 12".
    """

    done: int
    total: int
    image: Path
    step: str = ""


@dataclass(frozen=True)
class ImageResult:
    """What became of one image.

    Attributes:
        image: Its path, as it was named.
        status: done; skipped, because an earlier run or another process has done it; or failed.
        files: What was written for it.
        summary: What is known of the masks, as plain JSON values: their number, the size, ...
        seconds: Time that it took; None if nothing was done.
        error: Why it failed, one sentence.
        exception: The error behind that.
    """

    image: Path
    status: Literal["done", "skipped", "failed"]
    files: list[Path] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    error: str | None = None
    exception: Exception | None = field(default=None, repr=False, compare=False)
    _file: Path | None = field(default=None, repr=False, compare=False)
    _format: str | None = field(default=None, repr=False, compare=False)

    @property
    def masks(self) -> Masks:
        """The masks, read from their file.

        Raises:
            InputError: The image failed, so there are none; or the file is gone or damaged.
        """
        file = self._found()
        if self._format is None:
            raise InputError(
                f"expected masks of {str(self.image)!r}, got boxes alone; ask for its detections"
            )
        return formats.read(file, self._format)

    @property
    def detections(self) -> Detections:
        """The boxes, read from their file, or those of the masks.

        Raises:
            InputError: See `masks`.
        """
        from anymask.detections import Detections

        file = self._found()
        return Detections.from_masks(self.masks) if self._format else Detections.load(file)

    def _found(self) -> Path:
        """Give the file of what was found."""
        if self._file is None:
            raise InputError(
                f"expected results of {str(self.image)!r}, got none: {self.error}; look at its "
                "status"
            )
        return self._file

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values; what is not known is left out."""
        values = {"image": str(self.image), "status": self.status, **self.summary}
        if self.seconds is not None:
            values["seconds"] = round(self.seconds, 3)
        if self.error:
            return values | {"error": self.error}
        return values | {"files": [str(file) for file in self.files]}


class Cancelled(Exception):
    """The work was given up: by the callback ``cancel``, or because something else ended it."""


class Batch:
    """One job for many images: a context manager that is iterated for the results.

    Results come in the order of the images, but for those that another process was at. What goes
    wrong with one image alone is told by its result; what would go wrong with the next one, too, is
    raised. When the block ends, by whatever error, what is being worked on ends within a batch of
    points, and nothing is left half written; the same batch goes on where it stopped.

    Args:
        job: What is done with each image.
        model: Who does it; None for a job that needs nobody.
        items: The images, from `find_images`.
        output: Folder of the results.
        workers: Images worked on at a time.
        overwrite: Do every image again, also where results exist.
        progress: Called from several threads, but by one at a time.
        cancel: Asked often, by several threads; true: end with `Cancelled`.
        note: Called with sentences that the user should know.

    Attributes:
        waiting: How many images were not finished when the block began.
    """

    def __init__(
        self,
        job: Job[Any, Any],
        model: Any,
        items: Sequence[Item],
        output: Path,
        *,
        workers: int = 2,
        overwrite: bool = False,
        progress: Callable[[Progress], None] | None = None,
        cancel: Callable[[], bool] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        if workers < 1:
            raise InputError(f"expected at least 1 worker, got {workers}; 2 is usual")
        self.job, self.items = job, items
        self.model = model
        self.results = Results(output, _settings(job, model))
        self.workers, self.overwrite, self.waiting = workers, overwrite, 0
        self._progress, self._cancel, self._note = progress, cancel, note
        self._ended = threading.Event()
        self._telling = threading.Lock()
        self._done, self._good = 0, False
        self._produced: frozenset[str] = frozenset()
        self._finished: dict[str, Record] = {}
        self._inputs = {os.path.realpath(item.path): item for item in items if item.origin}
        self._stack = ExitStack()
        self._open: list[dict[str, Path]] = []  # drafts of the images that are being written

    def __enter__(self) -> Batch:
        """Take the folder.

        Raises:
            InputError: It holds other results, or another process is making others there.
            OutputError: It cannot be written to.
        """
        with ExitStack() as stack:
            stack.enter_context(self.results.folder.at_work(alone=self.overwrite))
            good = [item for item in self.items if item.error is None]
            if not self.overwrite:
                for item in good:
                    names = [*self._names(item), *filter(None, [self.job.place])]
                    self.results.check_free(item, names)
                records = ((item.key, self.results.finished(item)) for item in good)
                self._finished = {key: record for key, record in records if record is not None}
            self._produced = self.results.produced()
            images = [str(item.path) for item in self.items[:_NOTED]]
            self.results.begin(anymask=__version__, images=images)
            self.waiting = len(self.items) - len(self._finished)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it to others."""
        self._ended.set()
        self._stack.close()

    def abandon(self) -> None:
        """Delete what is half written, for a process that ends without waiting for its threads."""
        for drafts in list(self._open):
            for draft in list(drafts.values()):
                draft.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[ImageResult]:
        """Do what is not finished.

        Raises:
            Cancelled: ``cancel`` said so.
            CapabilityError: The model cannot do this.
            OutputError: Nothing more can be written.
        """
        waiting = [item for item in self.items if item.error or item.key not in self._finished]
        others: list[Item] = []
        with closing(self._attempts(waiting)) as attempts:
            for item in self.items:
                record = self._finished.get(item.key) if item.error is None else None
                result = self._skipped(item, record) if record else next(attempts)
                if result is None:
                    others.append(item)
                else:
                    yield self._counted(item, result)
            next(attempts, None)  # it has ended by itself, not early
        for item, result in zip(others, self._attempts(others, math.inf), strict=True):
            yield self._counted(item, result)
        if self.job.place and self._good:
            self._join()

    def _attempts(
        self, items: Sequence[Item], patience: float = 0
    ) -> Generator[ImageResult | None]:
        # Not fewer workers for fewer items: each has as many threads as it had in an earlier run,
        # because how many they are can change the last bit of a score.
        workers = min(self.workers, max(1, len(self.items)))
        return in_order(lambda item: self._attempt(item, patience), items, workers, self._ended.set)

    # ---------------------------------------------------------------- one image

    def _attempt(self, item: Item, patience: float = 0) -> ImageResult | None:
        """Do an image; None: another process is at it."""
        if item.error is not None:
            return ImageResult(item.path, "failed", error=item.error)
        lock = self.results.folder.lock(item.key)
        if not lock.acquire(patience, self._check):
            return None
        try:
            record = None if self.overwrite else self.results.finished(item)
            return self._skipped(item, record) if record else self._result(item)
        finally:
            lock.release()

    def _result(self, item: Item) -> ImageResult:
        """Do an image; what goes wrong with it alone is told by its result."""
        start = time.perf_counter()
        try:
            record = self._do(item, _Watch(self, item))
        except Cancelled:
            raise
        except Exception as error:
            if _meets_the_next(error):
                raise
            return ImageResult(item.path, "failed", error=_sentence(error), exception=error)
        seconds = time.perf_counter() - start
        return replace(self._skipped(item, record), status="done", seconds=seconds)

    def _do(self, item: Item, watch: _Watch) -> Record:
        """Search an image, draw and write what was found."""
        from anymask.image.png import encode_png

        self.results.check_apart(item, self._names(item), self._inputs, self._produced)
        watch.step()
        stamp = item.stamp()  # before the image is read: it may change meanwhile
        found, image = self.job.work(self.model, item.source, watch)
        if item.data is not None:
            found = replace(found, source=item.path.name)
        folder = self.results.folder
        drafts: dict[str, Path] = {}
        with ExitStack() as stack:
            self._open.append(drafts)
            stack.callback(self._open.remove, drafts)
            for ending, drawn in self.job.draw(found, image) if image else ():
                watch.step(", writing")
                name = item.key + ending
                drafts[name] = stack.enter_context(folder.draft(name))
                drafts[name].write_bytes(encode_png(drawn))
            watch.step(", writing")
            for ending, content in self.job.further(found):
                name = item.key + ending
                drafts[name] = stack.enter_context(folder.draft(name))
                drafts[name].write_bytes(content)
            name = self._file_name(item.key)
            drafts[name] = stack.enter_context(folder.draft(name))
            self.job.save(found, drafts[name], self._image_path(item, name))
            self._check()
            h, w = found.size_hw
            size = {self.job.unit: len(found), "height": h, "width": w}
            summary = {**size, **self.job.describe(found)}
            return self.results.finish(item, stamp, drafts, summary)

    def _skipped(self, item: Item, record: Record) -> ImageResult:
        files = [self.results.path / name for name in record.files]
        # The file that the user wants, instead of the part that will be joined into it.
        joined = self.results.path / self.job.place
        shown = [joined if self.results.is_part(file) else file for file in files]
        file = self.results.path / self._file_name(item.key)
        return ImageResult(
            item.path, "skipped", shown, record.summary, _file=file, _format=self.job.written()
        )

    def _file_name(self, key: str) -> str:
        """Name the file of what was found in an image."""
        return self.results.part(key) if self.job.place else key + self.job.suffix()

    def _image_path(self, item: Item, name: str) -> str:
        """Say where an image is, from the folder of the file of what was found in it."""
        if not item.origin:
            return item.path.name
        folder = os.path.dirname(os.path.abspath(self.results.path / name))
        try:
            return Path(os.path.relpath(item.origin, folder)).as_posix()
        except ValueError:  # on another drive of Windows
            return item.origin

    def _names(self, item: Item) -> list[str]:
        """List the files that an image will get, as far as they are known beforehand."""
        ends = [*self.job.endings(), *self.job.further_endings()]
        return [*(item.key + end for end in ends), self._file_name(item.key)]

    # --------------------------------------------------------------- looking on

    def _check(self) -> None:
        """End the work if it was given up."""
        if self._ended.is_set() or (self._cancel is not None and self._cancel()):
            self._ended.set()
            raise Cancelled

    def _tell(self, item: Item, step: str = "") -> None:
        if self._progress is not None:
            with self._telling:
                self._progress(Progress(self._done, self.waiting, item.path, step))

    def _say(self, text: str) -> None:
        if self._note is not None:
            with self._telling:
                self._note(text)

    def _counted(self, item: Item, result: ImageResult | None) -> ImageResult:
        assert result is not None
        self._good = self._good or result.status != "failed"
        if item.error or item.key not in self._finished:
            self._done += 1
            self._tell(item)
        return result

    # ------------------------------------------------------------------ joining

    def _join(self) -> None:
        """Write what was found in all finished images to one place, one of them at a time."""
        place = self.results.path / self.job.place
        lock = self.results.folder.lock(_JOIN)
        lock.acquire(math.inf, self._check)  # or an older list might replace a newer one
        try:
            pairs, left_out = self.results.to_join(self.items)
            with (
                warnings.catch_warnings(record=True) as warned,
                self.job.joining(self.results.folder) as add,
            ):
                warnings.simplefilter("always", DataWarning)
                for key, record in pairs:
                    self._check()
                    part = self.results.path / self.results.part(key)
                    image = Path(record.source) if record.source else None
                    add(key, part, _name_of(key, record), image)
        finally:
            lock.release()
        for warning in warned:  # such as what the format cannot hold
            self._say(str(warning.message))
        for why in left_out:
            self._say(f"{place} leaves out what is out of date: {why}")
        nameless = sum(not record.source for _, record in pairs)
        if nameless and self.job.copies_images:
            self._say(f"{nameless} images have no file that could lie beside their labels")


class _Watch:
    """Looks on while an image is worked on; ends the work if it was given up."""

    def __init__(self, batch: Batch, item: Item) -> None:
        self._batch, self._item = batch, item
        self._said: str | None = None

    def step(self, text: str = "") -> None:
        self._batch._check()
        if text != self._said:
            self._said = text
            self._batch._tell(self._item, text)

    def note(self, text: str) -> None:
        self._batch._say(f"{self._item.path}: {text}")


def _settings(job: Job[Any, Any], model: Any) -> dict[str, Any]:
    return {"command": job.name, **job.identity(model), **job.settings(model)}


def _name_of(key: str, record: Record) -> str:
    """Name an image in the file of all masks: by its place below the folder of all images."""
    place, name = PurePosixPath(key), Path(record.source or key).name
    plain = re.sub(r"~\d+$", "", place.name)  # of names that differ in case alone
    if {place.name, plain} & {name, Path(name).stem}:
        return str(place.with_name(name))
    return f"{key}{Path(name).suffix}"


def _meets_the_next(error: Exception) -> bool:
    """Return whether the next image would fail in the same way."""
    if isinstance(error, OutputError):
        return error.errno not in _OF_ONE_IMAGE
    if isinstance(error, InputError):  # of this image, as a missing reader of HEIC is
        return isinstance(error, LostThreadsError)
    return isinstance(error, _FINAL)


def _sentence(error: Exception) -> str:
    if isinstance(error, AnymaskError):
        return str(error)
    first_line = next(iter(str(error).splitlines()), "")
    return f"unexpected {type(error).__name__}: {first_line}"

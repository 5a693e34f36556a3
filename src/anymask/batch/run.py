"""Working through many pictures: skip what is finished, go on after failures, resume later."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from anymask import __version__
from anymask.atomic import atomic_write
from anymask.batch.inputs import Item, find_images
from anymask.batch.results import Record, Results
from anymask.cli.options import PictureOptions
from anymask.errors import CapabilityError, InputError, MissingExtraError, OutputError, WeightsError
from anymask.parallel import in_order

if TYPE_CHECKING:
    import PIL.Image

    from anymask.cli.report import Outcome, Report
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["Job", "run"]

_COCO_FILE = "annotations.json"
_ENDINGS = {"sa1b": ".json", "png": "-labels.png"}

# With these, the next picture would fail in the same way.
_FINAL = (CapabilityError, MissingExtraError, OutputError, WeightsError)


@dataclass(frozen=True)
class Job:
    """What a command does with each picture."""

    command: str
    options: PictureOptions
    settings: Callable[[Segmenter], dict[str, Any]]
    """What of the options decides how the results look, as plain JSON values."""
    work: Callable[[Segmenter, Path, Report], tuple[Masks, Image | None]]
    """Find the masks of a picture; None takes the place of a picture that is too large to draw."""
    draw: Callable[[Masks, Image], Iterator[tuple[str, PIL.Image.Image]]]
    """Make pictures of them, each with the end of its file name."""
    endings: Sequence[str]
    """The ends of those names that are known beforehand."""
    describe: Callable[[Masks], dict[str, Any]]
    """Say what is worth knowing about the masks, as plain JSON values."""


def run(job: Job) -> int:
    """Do a job for every picture that the options name.

    Returns:
        The exit code: 0 if all is well, 1 if some pictures failed, 2 if all did.
    """
    options = job.options
    if options.workers < 1:
        raise InputError(f"expected at least 1 worker, got {options.workers}; 2 is usual")
    items = find_images(options.images, options.output)
    from anymask.cli.report import Outcome, Report
    from anymask.predict import loading

    model = loading.load(options.model, options.device, options.dtype, offline=options.offline)
    results = Results.open(options.output, _settings(job, model))
    if not options.overwrite:
        results.check_free(items, [_names(job, item) for item in items])
    results.begin(anymask=__version__, images=list(options.images))
    finished = {} if options.overwrite else _finished(results, items)

    waiting = [item for item in items if item.key not in finished]
    report = Report(len(items), len(waiting), lines=options.json, quiet=options.quiet)
    # While one picture is read, tidied up or written, the model works on another one.
    workers = min(options.workers, max(1, len(waiting)))
    attempts = in_order(lambda item: _attempt(job, model, item, results, report), waiting, workers)
    with _tidy_end(), report, closing(attempts):
        for item in items:
            if record := finished.get(item.key):
                files = [options.output / name for name in record.files]
                report.add(Outcome(item.path, "skipped", _shown(files, results), record.summary))
            else:
                report.add(next(attempts))
        if options.format == "coco" and report.count("failed") < len(items):
            _join_coco(results)
    report.conclude(options.output)
    failed = report.count("failed")
    return 0 if not failed else 2 if failed == len(items) else 1


def _settings(job: Job, model: Segmenter) -> dict[str, Any]:
    identity = {
        "model": model.variant.name,
        "weights": model.weights_digest[:16],
        "dtype": job.options.dtype,
    }
    return {"command": job.command, **identity, **job.settings(model)}


def _finished(results: Results, items: Sequence[Item]) -> dict[str, Record]:
    records = {item.key: results.finished(item) for item in items}
    return {key: record for key, record in records.items() if record is not None}


def _attempt(job: Job, model: Segmenter, item: Item, results: Results, report: Report) -> Outcome:
    """Do one picture; what goes wrong with it alone becomes part of the report."""
    from anymask.cli.report import Outcome

    start = time.perf_counter()
    report.working_on(item.path)
    stamp = results.stamp(item)  # before the picture is read: it may change meanwhile
    try:
        files, summary = _do(job, model, item, results, report)
    except _FINAL:
        raise
    except Exception as error:
        if job.options.debug:
            report.note(traceback.format_exc())
        return Outcome(item.path, "failed", error=_sentence(error))
    results.finish(item, stamp, files, summary)
    seconds = time.perf_counter() - start
    return Outcome(item.path, "done", _shown(files, results), summary, seconds)


def _sentence(error: Exception) -> str:
    from anymask.errors import AnymaskError

    if isinstance(error, AnymaskError):
        return str(error)
    first_line = next(iter(str(error).splitlines()), "")
    return f"unexpected {type(error).__name__}: {first_line} (--debug shows where)"


def _do(
    job: Job, model: Segmenter, item: Item, results: Results, report: Report
) -> tuple[list[Path], dict[str, Any]]:
    masks, image = job.work(model, item.path, report)
    files = []
    for ending, picture in job.draw(masks, image) if image else ():
        files.append(results.path(item.key + ending))
        with atomic_write(files[-1]) as draft:
            picture.save(draft)
    if job.options.format == "coco":
        files.append(results.part(item.key))
        masks.save(files[-1], format="sa1b")
    else:
        files.append(results.path(item.key + _ENDINGS[job.options.format]))
        masks.save(files[-1], format=job.options.format)
    h, w = masks.size_hw
    return files, {"masks": len(masks), "height": h, "width": w, **job.describe(masks)}


def _names(job: Job, item: Item) -> list[str]:
    """List the files that a picture will get, as far as they are known beforehand."""
    masks = _ENDINGS.get(job.options.format)
    return [item.key + end for end in [*job.endings, *([masks] if masks else [])]]


def _shown(files: list[Path], results: Results) -> list[Path]:
    """Name the file that the user wants instead of the part that will be joined into it."""
    return [results.folder / _COCO_FILE if results.is_part(file) else file for file in files]


def _join_coco(results: Results) -> None:
    """Write the masks of all finished pictures to one file, one picture in memory at a time."""
    from anymask.formats import coco, sa1b

    with coco.writer(results.folder / _COCO_FILE) as add:
        for key, record in results.all_finished():
            name = PurePosixPath(key).parent / Path(record.source).name
            add(replace(sa1b.read(results.part(key)), source=str(name)))


@contextmanager
def _tidy_end() -> Iterator[None]:
    """Let a polite request to end clean up half-written files, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""A job for all images that a command line names: what is told, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from anymask.batch.inputs import find_images
from anymask.cli.options import PictureOptions
from anymask.errors import AnymaskError

if TYPE_CHECKING:
    from anymask.batch.job import Job
    from anymask.batch.run import ImageResult, Progress
    from anymask.predict.segmenter import Segmenter

__all__ = ["process"]


def process(
    options: PictureOptions, job: Job, check: Callable[[Segmenter], None] = lambda model: None
) -> int:
    """Do a job for every image that the options name.

    Args:
        options: What the user said.
        job: What to do with each image.
        check: Refuses a model that the job is not for.

    Returns:
        The exit code: 0 if all is well, 1 if some images failed, 2 if all did.
    """
    from anymask.batch.results import known_keys
    from anymask.batch.run import Batch
    from anymask.cli.report import Report
    from anymask.predict import loading

    items = find_images(options.images, options.output, known_keys(options.output))
    with _ending_politely():
        model = loading.load(options.model, options.device, options.dtype, offline=options.offline)
        check(model)
        report: Report | None = None

        def tell(progress: Progress) -> None:
            if report is not None:
                report.working_on(progress.image, progress.step)

        batch = Batch(
            job,
            model,
            items,
            options.output,
            workers=options.workers,
            overwrite=options.overwrite,
            progress=tell,
            note=lambda text: report.note(text) if report is not None else None,
        )
        with batch:
            report = Report(len(items), batch.waiting, lines=options.json, quiet=options.quiet)
            with report:
                for result in batch:
                    report.add(_explained(result))
                    if options.debug and result.exception is not None:
                        report.note("".join(traceback.format_exception(result.exception)))
    report.conclude(options.output)
    failed = report.count("failed")
    return 0 if not failed else 2 if failed == len(items) else 1


def _explained(result: ImageResult) -> ImageResult:
    """Say how to learn more of an error that is not meant to happen."""
    if result.exception is None or isinstance(result.exception, AnymaskError):
        return result
    return replace(result, error=f"{result.error} (--debug shows where)")


@contextmanager
def _ending_politely() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the work, and the second one the process at once.

    What is half written by then lies among the drafts, which the next run deletes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def end(number: int, _: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)
        asked = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

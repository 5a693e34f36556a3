"""A job for all images that a command line names: what is told, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from anymask.batch.inputs import find_images
from anymask.cli.options import ImageOptions
from anymask.errors import AnymaskError

if TYPE_CHECKING:
    from anymask.batch.job import Job
    from anymask.batch.run import ImageResult, Progress

__all__ = ["process"]

_MOMENT = 1.5  # seconds that work has to end by itself


def process(options: ImageOptions, job: Job[Any, Any] | Callable[[Any], Job[Any, Any]]) -> int:
    """Do a job for every image that the options name.

    Args:
        options: What the user said.
        job: What to do with each image; or what makes it once the model is known.

    Returns:
        The exit code: 0 if all is well, 1 if some images failed, 2 if all did.
    """
    from anymask.batch.results import known_keys
    from anymask.batch.run import Batch
    from anymask.cli.report import Report
    from anymask.models.cache import kept_offline

    items = find_images(options.images, options.output, known_keys(options.output))
    with _Ending() as ending, kept_offline(options.compute.offline):
        model = options.load()
        report: Report | None = None

        def tell(progress: Progress) -> None:
            if report is not None:
                report.working_on(progress.image, progress.step)

        batch = Batch(
            job(model) if callable(job) else job,
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
            ending.last = [batch.abandon, report.__exit__]
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


class _Ending:
    """Ends the process when it is asked to, by Ctrl-C or SIGTERM, with nothing half written.

    The first request raises, so that the work ends by itself. What then does not end in a moment,
    such as an encoder that needs long, is left behind; a second request does not even wait for
    that.
    """

    def __init__(self) -> None:
        self.last: list[Callable[[], None]] = []
        """What to do at the very end, should the work not end by itself."""
        self._asked = False
        self._before: dict[int, Any] = {}
        self._leaving = threading.Lock()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            signals = (signal.SIGINT, signal.SIGTERM)
            self._before = {number: signal.signal(number, self._hear) for number in signals}
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.acquire(blocking=False)  # it did end by itself: no timer may interfere now
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self._asked:
            self._leave(number)
        self._asked = True
        timer = threading.Timer(_MOMENT, self._leave, [number])
        timer.daemon = True
        timer.start()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    def _leave(self, number: int) -> None:
        if not self._leaving.acquire(blocking=False):
            return
        for action in self.last:
            with suppress(Exception):
                action()
        if number == signal.SIGINT:
            print(
                "anymask: interrupted; the same command goes on where it stopped", file=sys.stderr
            )
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(128 + number)

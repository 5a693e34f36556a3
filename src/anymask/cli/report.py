"""What a run tells the user: progress, one line of JSON for each image, and how it ended.

Results go to standard output; progress and errors go to standard error.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from anymask.batch.subject import SUBJECT

if TYPE_CHECKING:
    from anymask.batch.run import ImageResult

__all__ = ["Report", "explain_nothing", "progress_bar"]

_SINGULAR = {"masks": "mask", "boxes": "box"}


class _Rate(ProgressColumn):
    """Images per second, or seconds per image."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


def progress_bar(*, hidden: bool) -> Progress:
    """Make a bar on standard error that goes away at the end; hidden also where nobody looks.

    What is printed to standard error meanwhile, warnings say, appears above it.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=hidden or not console.is_terminal,
        redirect_stdout=False,
    )


class Report:
    """Follows a run; a context manager, so that the progress bar is always taken away again."""

    def __init__(self, total: int, waiting: int, *, lines: bool, quiet: bool) -> None:
        """Prepare the bar.

        Args:
            total: Number of images.
            waiting: How many of them are not finished yet.
            lines: Print JSON.
            quiet: Print nothing else.
        """
        self.results: list[ImageResult] = []
        self._total = total
        self._lines = lines
        self._quiet = quiet
        crowded = lines and sys.stdout.isatty()  # bar and lines would land on the same screen
        self._progress = progress_bar(hidden=quiet or crowded or not waiting)
        self._task = self._progress.add_task("starting", total=waiting)

    def __enter__(self) -> Report:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._progress.stop()

    def working_on(self, image: Path, step: str = "") -> None:
        """Show which image is next, and which step of it."""
        self._progress.update(self._task, description=_shortened(image.name) + step)

    def add(self, result: ImageResult) -> None:
        """Count an image, and print its line."""
        self.results.append(result)
        if result.status != "skipped":
            self._progress.advance(self._task)
        if self._lines:
            print(json.dumps(result.as_dict()), flush=True)
        if _number(result)[0] == 0 and not self._quiet:
            why = explain_nothing(result.summary.get("dropped", {}))
            if text := result.summary.get("text"):
                from anymask.text.phrases import shown

                why += f" for {shown([text] if isinstance(text, str) else text)}"
            if _is_subject(result):
                why = "no main subject found; say what to cut out (--point, --box, --text)"
            self.note(f"anymask: {result.image}: {why}")

    def note(self, text: str) -> None:
        """Print to standard error, above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def count(self, status: str) -> int:
        """Count the images with this result."""
        return sum(result.status == status for result in self.results)

    def conclude(self, folder: Path) -> None:
        """Say how it went: details of a single image, numbers of many, and every failure."""
        self._say_failures()
        if self._quiet or self._lines:
            return
        if self._total == 1:
            for result in self.results:
                _say_details(result)
            return
        numbers = [f"{self.count('done')} done"]
        if skipped := self.count("skipped"):
            numbers.append(f"{skipped} already there")
        if failed := self.count("failed"):
            numbers.append(f"{failed} failed")
        print(f"{self._total} images: {', '.join(numbers)}; results in {folder}/")

    def _say_failures(self) -> None:
        failures = [result for result in self.results if result.status == "failed"]
        if self._total > 1 and failures:
            self.note(f"anymask: {len(failures)} of {self._total} images failed:")
        lead = "  " if self._total > 1 else "anymask: error: "
        for result in failures:
            message = result.error or ""
            named = str(result.image) in message
            self.note(lead + (message if named else f"{result.image}: {message}"))


def explain_nothing(dropped: Mapping[str, int]) -> str:
    """Say which setting dropped how many answers, the most harmful first; see `Masks.dropped`.

    Examples:
        >>> explain_nothing({"box_nms_thresh": 2, "pred_iou_thresh": 1000})
        'nothing found; of 1,002 answers, --pred-iou-thresh dropped 1,000, --box-nms-thresh 2'
    """
    numbers = sorted(((n, name) for name, n in dropped.items() if n), reverse=True)
    if not numbers:
        return "nothing found"
    parts = [f"--{name.replace('_', '-')} {n:,}" for n, name in numbers]
    parts[0] = parts[0].replace(" ", " dropped ")
    return f"nothing found; of {sum(n for n, _ in numbers):,} answers, {', '.join(parts)}"


def _is_subject(result: ImageResult) -> bool:
    return result.summary.get("prompt") == SUBJECT


def _shortened(name: str, width: int = 24) -> str:
    return name if len(name) <= width else f"{name[: width - 12]}…{name[-11:]}"


def _counted(names: Mapping[str, int], most: int = 5) -> str:
    """List names by how many masks have them: ``3 dog, 1 cat``."""
    shown = [f"{number} {name}" for name, number in list(names.items())[:most]]
    more = [f"{len(names) - most} more names"] if len(names) > most else []
    return ", ".join(shown + more) or "none of them has a name"


def _number(result: ImageResult) -> tuple[int | None, str]:
    """Tell how many of what were found; None: the image failed."""
    for unit in _SINGULAR:
        if unit in result.summary:
            return result.summary[unit], unit
    return None, ""


def _say_details(result: ImageResult) -> None:
    if result.status == "failed":
        return
    number, unit = _number(result)
    said = f"{number} {unit if number != 1 else _SINGULAR[unit]}"
    if number and _is_subject(result):
        said = SUBJECT
    answers = result.summary.get("answers", [])
    names = Counter(one["label"] for one in answers if one.get("label") is not None)
    if names:
        said += f" ({', '.join(f'{n} {name}' for name, n in names.items())})"
    elif len(answers) == 1:
        pixels = result.summary["height"] * result.summary["width"]
        share = 100 * answers[0]["area"] / pixels
        said += f", {answers[0]['area']:,} pixels ({share:.1f} % of the image)"
        if answers[0]["score"] is not None:
            said += f", predicted IoU {answers[0]['score']:.2f}"
    if "labels" in result.summary:
        said += f" ({_counted(result.summary['labels'])})"
    end = "" if result.seconds is None else f", {result.seconds:.1f} s"
    if result.status == "skipped":
        end = "; already there, made with the same settings"
    print(f"{result.image}: {said}{end}")
    for file in result.files:
        print(f"  {file}")

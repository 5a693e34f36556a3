"""The folder of a run: settings, metrics, previews, weights; and the line that shows progress."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import PIL.Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from anymask.atomic import DRAFT, atomic_write, make_folder
from anymask.errors import OutputError
from anymask.folder import ResumableFolder
from anymask.plain import write_yaml
from anymask.train.run.checkpoint import CHECKPOINT, Place

__all__ = ["Record"]

_SETTINGS, _METRICS = "config.yaml", "metrics.jsonl"
_PREVIEWS = "previews"


class Record:
    """Writes what a run leaves behind; a context manager that shows a line of progress."""

    def __init__(self, out: Path, *, quiet: bool) -> None:
        self.out, self.checkpoint = out, out / CHECKPOINT
        self._folder = ResumableFolder(out, about=_SETTINGS)
        self._claim = ExitStack()
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("step {task.fields[steps]}"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=1.0, steps=0)

    def __enter__(self) -> Record:
        """Show the line."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away, and leave the folder to others."""
        self._progress.stop()
        self._claim.close()

    def claim(self) -> None:
        """Keep other runs out of the folder until the end.

        Raises:
            InputError: Another process is at work there.
            OutputError: The folder cannot be written to.
        """
        self._claim.enter_context(self._folder.at_work())

    def forget(self) -> None:
        """Delete what an earlier run left, and nothing else."""
        self._folder.forget(_METRICS, CHECKPOINT, _PREVIEWS, "best", "last")

    def begin(self, settings: Mapping[str, Any], place: Place) -> None:
        """Write the settings, and drop what was recorded after the checkpoint.

        Raises:
            OutputError: The folder cannot be written to.
        """
        make_folder(self.out / _PREVIEWS)
        write_yaml(self.out / _SETTINGS, settings)
        path = self.out / _METRICS
        lines = path.read_text().splitlines() if path.exists() else []
        with atomic_write(path) as draft:
            draft.write_text("".join(f"{line}\n" for line in lines if _is_past(line, place)))

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        path = self.out / _METRICS
        try:
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write {str(path)!r}: {error.strerror}; make room") from error

    def preview(self, image: PIL.Image.Image, steps: int) -> None:
        """Keep an image of some masks."""
        with atomic_write(self.out / _PREVIEWS / f"step-{steps:06d}.jpg") as draft:
            image.convert("RGB").save(draft, predicted_iou=90)

    def weights(self, name: str, write: Callable[[Path], None]) -> None:
        """Put a new folder in the place of an old one, when it is complete."""
        draft, old, folder = (self.out / n for n in (f"{DRAFT}{name}", f"{DRAFT}old", name))
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)
        write(draft)
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
        shutil.rmtree(old, ignore_errors=True)

    def validating(self) -> None:
        """Say that a validation is going on."""
        self._progress.update(self._task, description="validating")

    def show(self, steps: int, progress: float, metrics: Mapping[str, float]) -> None:
        """Renew the line of progress."""
        said = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self._progress.update(self._task, completed=progress, steps=steps, description=said)


def _is_past(line: str, place: Place) -> bool:
    """Return whether a line of metrics belongs to what a checkpoint knows."""
    try:
        found = json.loads(line)
    except ValueError:  # written while the power went
        return False
    return bool(found["step"] <= (place.validated if "validation" in found else place.steps))

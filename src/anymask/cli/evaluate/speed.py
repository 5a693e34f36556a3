"""``anymask evaluate speed``: how long models take, and how much memory they need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from anymask.cli.evaluate.options import EvaluateOptions, Models
from anymask.cli.options import Flag, RuntimeName

if TYPE_CHECKING:
    from anymask.image.image import Image

__all__ = ["Speed"]


@dataclass(frozen=True, kw_only=True)
class Speed(EvaluateOptions):
    """Time embed, predict and everything mode by several runtimes; report memory and size."""

    image: Annotated[Path | None, arg(metavar="IMAGE", help_behavior_hint="")] = None
    """An image; without it, random noise of 640 x 480."""
    model: Models = ("bundled",)
    """Names from `anymask models`; or paths, addresses or hub ids (org/name) of weights."""
    dtypes: tuple[Literal["float32", "bfloat16", "float16"], ...] = ("float32",)
    """What is computed with, by each runtime that can: onnx in float32 alone, openvino not in
    float16."""
    runtime: tuple[RuntimeName | Literal["published"], ...] = ("auto",)
    """What computes, several to compare them with the first: torch for weights; onnx or openvino
    for the bundled model and for folders that `anymask export` wrote; published for weights of
    SAM's family by PyTorch in the order of work in which they were published; auto is what each
    model is usually run by."""
    threads: tuple[int, ...] = (1,)
    """Numbers of threads of the processor."""
    tasks: tuple[Literal["embed", "predict", "segment", "everything"], ...] = (
        "embed",
        "predict",
        "everything",
    )
    """What to time; segment is embed and predict."""
    repeats: Annotated[int, arg(metavar="INT")] = 20
    """Runs of embed and predict."""
    repeats_everything: Annotated[int, arg(metavar="INT")] = 3
    """Runs of everything mode."""
    points_per_side: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Of the grid of everything mode; without it, what suits each model."""
    no_memory: Flag = False
    """Do not measure the memory, which takes a fresh process for every task."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where to compute: cpu, cuda, mps, or auto for the fastest there is."""
    offline: Flag = False
    """Download no weights; use only what is here."""

    def run(self) -> int:
        """Measure, write the report, and return the exit code."""
        import sys

        from rich.console import Console

        from anymask.evaluate.report.page import Page
        from anymask.evaluate.report.report import markdown, write_page
        from anymask.evaluate.speed import measure, setups

        ways = setups(
            self.model, self.dtypes, self.threads, self.device, self.offline, self.runtime
        )
        console = Console(stderr=True, quiet=self.quiet)
        with console.status("starting") as status:
            speed = measure(
                ways,
                self._image(),
                self.tasks,
                self.repeats,
                self.repeats_everything,
                memories=not self.no_memory and sys.platform == "linux",
                points_per_side=self.points_per_side,
                on_step=status.update,
            )
        summary = speed.summary()
        write_page(self.output, Page("Speed", speed.describe(), summary))
        if not self.quiet:
            print(f"{markdown(summary)}\nThe report is {self.output / 'index.html'}.")
        return 0

    def _image(self) -> Image:
        from anymask.image.image import Image

        if self.image is not None:
            return Image.open(self.image)
        import numpy as np

        return Image.open(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8))

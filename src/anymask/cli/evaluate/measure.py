"""``anymask evaluate PROTOCOL``: models on data sets, image by image."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.evaluate.options import EvaluateOptions, Models
from anymask.cli.options import Flag, RuntimeName
from anymask.cli.terminal import say
from anymask.data.subset import SubsetSpec
from anymask.errors import InputError
from anymask.evaluate.protocols import protocol_of

if TYPE_CHECKING:
    from anymask.data.dataset import Dataset
    from anymask.evaluate.protocol import EvaluationProtocol, Summary
    from anymask.evaluate.run import Evaluation
    from anymask.predict.segmenter import Segmenter

__all__ = ["Measure"]

Options = TypeVar("Options")  # a class of `protocols.options`


@dataclass(frozen=True, kw_only=True)
class Measure(EvaluateOptions, Generic[Options]):
    """Measure models on data sets whose masks are known."""

    data: Annotated[tuple[Path, ...], arg(aliases=["-d"], metavar="PATH...")]
    """Data sets: folders, or files with the annotations of many images."""
    layout: Annotated[str, arg(metavar="NAME")] = "auto"
    """How the data sets are laid out, see docs/evaluation.md; auto: the first that fits."""
    image_folder: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Where the images of such files are; without it, looked for in and beside their folder."""
    model: Models = ("bundled",)
    """Names from `anymask models`; or paths, addresses or hub ids (org/name) of weights."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where to compute: cpu, cuda, mps, or auto for the fastest there is."""
    runtime: RuntimeName = "auto"
    """What computes: torch; or onnx or openvino, for the bundled model and for a folder that
    `anymask export` wrote."""
    offline: Flag = False
    """Download no weights; use only what is here."""
    cases: Annotated[int, arg(metavar="INT")] = 12
    """How many of the worst and of the best cases to draw; 0: none."""
    overwrite: Flag = False
    """Measure every image again, also where results exist."""
    subset: OmitArgPrefixes[SubsetSpec] = field(default_factory=SubsetSpec)
    """Which part of each data set is measured."""
    options: OmitArgPrefixes[Options]
    """What to measure, and how."""

    def run(self) -> int:
        """Measure, write the report, and return the exit code."""
        from rich.console import Console

        from anymask.evaluate.report.report import markdown, write_joint_report, write_report
        from anymask.predict import loading

        if not self.data or not self.model:
            raise InputError("expected at least one --data and one --model, got none; name them")
        protocol = protocol_of(self.options)
        with Console(stderr=True, quiet=self.quiet).status("reading the data sets"):
            sets = self._sets()
        # All of them before the first is measured: a wrong name should not show after hours.
        models = [
            loading.load(one, self.device, offline=self.offline, runtime=self.runtime)
            for one in self.model
        ]
        summaries: dict[str, Summary] = {}
        folders: dict[str, Path] = {}
        for model in models:
            name = model.variant.name
            if name in summaries:
                name += f"-{model.weights_digest[:8]}"
            folders[name] = self.output / name if len(models) > 1 else self.output
            evaluation = self._evaluation(protocol, model, sets, folders[name])
            self._measure(evaluation, name)
            summaries[name] = summary = write_report(evaluation, self.cases)
        if len(models) > 1:
            summary = write_joint_report(self.output, protocol.name, summaries, folders)
        if not self.quiet:
            print(f"{markdown(summary)}\nThe report is {self.output / 'index.html'}.")
        return 0

    def _sets(self) -> dict[str, Dataset]:
        """Open the data sets, by the names under which they are reported."""
        from anymask.data.open import layout_of, open_dataset

        mask_filter = getattr(self.options, "mask_filter", None)
        sets: dict[str, Dataset] = {}
        for path in self.data:
            name = path.resolve().stem if path.is_file() else path.resolve().name
            if name in sets:
                name = f"{path.resolve().parent.name}-{name}"
            if name in sets:
                raise InputError(
                    f"expected data sets with different names, got {name!r} twice; rename a folder"
                )
            layout = layout_of(path, self.layout)
            if self.layout == "auto" and not self.quiet:
                say(f"{path} is read in the layout {layout}")
            data = open_dataset(path, layout, self.image_folder)
            sets[name] = self.subset.take(data, mask_filter)
        return sets

    def _evaluation(
        self,
        protocol: EvaluationProtocol,
        model: Segmenter,
        sets: Mapping[str, Dataset],
        folder: Path,
    ) -> Evaluation:
        from anymask.evaluate.run import Evaluation

        evaluation = Evaluation(protocol, model, sets, folder, asdict(self.subset))
        if self.overwrite:
            evaluation.forget()
        evaluation.begin()
        return evaluation

    def _measure(self, evaluation: Evaluation, name: str) -> None:
        """Measure what is not finished, and name the data sets with nothing to measure."""
        from anymask.cli.report import progress_bar

        waiting = len(evaluation.todo())
        with progress_bar(hidden=self.quiet or not waiting) as progress:
            task = progress.add_task(name, total=waiting)
            for data, _ in evaluation.steps():
                progress.update(task, advance=1, description=f"{name}, {data}")
        for data, rows in evaluation.rows().items():
            if not any(rows.values()) and not self.quiet:
                words = f"nothing to measure in {data!r}: its images have no masks that take part"
                print(f"anymask: {words}", file=sys.stderr)

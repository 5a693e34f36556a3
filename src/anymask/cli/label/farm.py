"""``anymask label farm``: the automatic stage over any number of images."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from anymask.cli.options import Flag, RuntimeName
from anymask.cli.search import Search
from anymask.cli.terminal import say

if TYPE_CHECKING:
    from anymask.label.farm.progress import FarmProgress
    from anymask.label.farm.run import FarmResult

__all__ = ["ABOUT", "Farm"]

_PAUSE = 0.1  # seconds between two looks at the progress

ABOUT = """Find everything in any number of images, on one machine or a cluster.

The automatic stage of SAM's data engine: everything mode, also in 4 and 16 crops of each image,
with the model's own thresholds; masks of 95 % of the image or more go, as do islands and holes of
fewer than 100 pixels. Each content is looked at once, however many names it has; the masks are the
same on every engine. A run that was interrupted goes on where it stopped, and tries again what
failed. index.jsonl says what became of every file.

Examples:
  anymask label farm photos/ -o labelled/
  anymask label farm photos/ -o labelled/ --format sa1b parquet --workers 4
  anymask label farm photos/ -o labelled/ --format store     # of a project: masks for review
  anymask label farm s3://bucket/photos -o labelled/ --model sam-vit-h
  anymask label farm photos/ -o labelled/ --engine ray --address auto"""


@dataclass(frozen=True, kw_only=True)
class Farm:
    """Find everything in any number of images, on one machine or a cluster."""

    source: Annotated[str, Positional, arg(metavar="SOURCE", help_behavior_hint="")]
    """A folder, with all that is in it; or an address that fsspec knows, such as
    s3://bucket/prefix."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-out")
    """Folder for the results; made when missing."""
    format: Annotated[tuple[Literal["sa1b", "parquet", "store"], ...], arg(aliases=["-f"])] = (
        "sa1b",
    )
    """What is written. sa1b: tar files with JSON and JPEG beside each other, as in SA-1B; parquet:
    a table of masks and one of images; store: masks for review in the store of the project that
    SOURCE is the folder of, whose images are taken then; or several of these."""
    engine: Literal["local", "ray"] = "local"
    """Who does the work. local: processes on this machine; ray: Ray Data, on a cluster."""
    workers: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Images worked on at a time; by itself one for each GPU, or each processor if there are
    none."""
    address: Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """With ray: where the cluster is, such as auto; by itself a new one on this machine."""
    shard_images: Annotated[int, arg(metavar="INT")] = 1000
    """Files of the source whose masks go into one shard."""
    model: Annotated[str, arg(aliases=["-m"], metavar="MODEL")] = "bundled"
    """A name from `anymask models`; or a path, an address or a hub id (org/name) of weights."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where to compute: cpu, cuda, mps, or auto for the fastest there is."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Dtype to compute in; the 16-bit ones are faster on GPUs and on some newer CPUs."""
    runtime: RuntimeName = "auto"
    """What computes: torch; or onnx or openvino, for the bundled model and for a folder that
    `anymask export` wrote."""
    offline: Flag = False
    """Download no weights; use only what is here."""
    overwrite: Flag = False
    """Do every image again, also where results exist."""
    json: Flag = False
    """Print what it came to as a line of JSON."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""
    search: OmitArgPrefixes[Search] = field(default_factory=Search)
    """What to look for and what to drop; what is not given is what suits the model, with the crops
    of the stage."""

    def run(self) -> int:
        """Do it and return the exit code: 0, 1 if some images are still to do, 2 if all failed."""
        from anymask.cli.report import progress_bar
        from anymask.label.farm.run import farm
        from anymask.label.store import Store

        names = ("engine", "workers", "address", "shard_images", "overwrite")
        how = ("device", "dtype", "runtime", "offline")
        given = {name: getattr(self, name) for name in (*names, *how)}
        with ExitStack() as stack:
            # A folder that is a project is one only if its store is to get the masks.
            source: str | Store = self.source
            if "store" in self.format:
                source = stack.enter_context(Store.open(self.source))
            bar = stack.enter_context(progress_bar(hidden=self.quiet))
            task, told = bar.add_task("listing", total=None), 0.0

            def tell(progress: FarmProgress) -> None:
                nonlocal told
                now = time.monotonic()
                if now - told < _PAUSE and progress.done:
                    return  # listing is much faster than anybody reads
                told = now
                bar.update(
                    task,
                    description=_described(progress),
                    completed=progress.done,
                    total=progress.total,
                )

            found = farm(
                source,
                self.output,
                self.model,
                format=self.format,
                progress=tell,
                **given,
                **self.search.given(),
            )
        self._conclude(found)
        undone = found.failed or found.missing or found.leased
        return 2 if not found.images else 1 if undone else 0

    def _conclude(self, found: FarmResult) -> None:
        """Say what it came to."""
        if self.json:
            print(json.dumps(asdict(found) | {"output": str(found.output)}))
        if self.quiet:
            return
        numbers = {said: getattr(found, name) for name, said in _BESIDE.items()}
        told = "".join(f", {number:,} {said}" for said, number in numbers.items() if number)
        unwritten = found.failed or found.missing or found.finished or found.leased
        where = "; see index.jsonl there" if unwritten else ""
        say(f"{found.images:,} images with {found.masks:,} masks in {found.output}{told}{where}")


_BESIDE = {
    "duplicates": "duplicates",
    "failed": "failed",
    "missing": "missing",
    "finished": "left as people finished them",
    "leased": "that somebody is at work on (run the same again)",
}


def _described(progress: FarmProgress) -> str:
    """Describe where a farm is, in a few words."""
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    masks = f", {progress.masks:,} masks" if progress.masks else ""
    return f"{progress.stage}{masks}{failed}"

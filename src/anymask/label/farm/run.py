"""The farm: the automatic stage over all images of a source, once for each content."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.label.farm.automatic import Automatic, GivenModel, Work
from anymask.label.farm.ledger import Ledger
from anymask.label.farm.outputs import make_sink
from anymask.label.farm.progress import FarmProgress, Meter
from anymask.label.farm.source import Source, find_source
from anymask.label.farm.task import Hashing, Job, Labelling, Outcome, Task
from anymask.label.farm.writer import Writer, write_index

if TYPE_CHECKING:
    from anymask.label.store import Store
    from anymask.predict.segmenter import Segmenter

__all__ = ["Engine", "EngineName", "FarmResult", "farm"]

EngineName = Literal["local", "ray"]
_LEDGER = ".anymask/farm.sqlite"
_INDEX = "index.jsonl"
_AT_ONCE = 256  # contents that are noted together


class Engine(Protocol):
    """Who does the work: `Local` or `Cluster`."""

    def map(self, job: Job, tasks: Iterator[Task]) -> Iterator[Outcome]:
        """Do a job with each task, taking these as they are needed; outcomes in any order."""
        ...

    def close(self) -> None:
        """Give back what it has started."""
        ...


@dataclass(frozen=True)
class FarmResult:
    """What a farm came to.

    Attributes:
        output: Folder of the results.
        names: Files that the source has or had.
        images: Different contents among them that are labelled.
        masks: In all of these.
        duplicates: Files with the content of another one.
        failed: Files that could not be read, or whose masks could not be found.
        missing: Images that are labelled, but could not be written.
        finished: Images that people had finished in the store, where they stay as they are.
        leased: Images that somebody was at work on in the store; run the same again to add masks.
        done: Contents that this run looked at.
        seconds: Time that it took.
    """

    output: Path
    names: int
    images: int
    masks: int
    duplicates: int
    failed: int
    missing: int
    finished: int
    leased: int
    done: int
    seconds: float


def farm(
    source: str | os.PathLike[str] | Source | Store,
    output: str | os.PathLike[str],
    model: str | Segmenter | Work = "bundled",
    *,
    engine: EngineName | Engine = "local",
    format: str | Sequence[str] = "sa1b",
    workers: int | None = None,
    address: str | None = None,
    shard_images: int = 1000,
    device: str = "auto",
    dtype: str = "float32",
    runtime: str = "auto",
    offline: bool = False,
    overwrite: bool = False,
    progress: Callable[[FarmProgress], None] | None = None,
    **options: Any,
) -> FarmResult:
    """Find the masks of all images of a source, without anybody watching.

    This is the automatic stage of SAM's data engine (Kirillov et al., 2023, section 4): everything
    mode with crops, in which confident and stable masks stay, none of which covers 95 % of the
    image; islands and holes of fewer than 100 pixels go. The masks are the same whatever the
    engine. Every content is looked at once, under however many names it is there. What is done is
    kept in the folder, so that the same call goes on after whatever ended the last one; what failed
    is tried again.

    Args:
        source: A folder; an address that fsspec knows, such as ``s3://bucket/prefix``; a `Store`,
            whose images are taken; or a `Source` of one's own.
        output: Folder of the results: ``shards/`` or ``parquet/``, and ``index.jsonl``, which says
            of every file what became of it.
        model: A name from `anymask models`, a path, an address or a hub id; a loaded model, which
            threads of this process share; or a `Work` of one's own.
        engine: "local": processes on this machine; "ray": Ray Data on a cluster; or one's own.
        format: "sa1b": tar files with JSON and JPEG, as in SA-1B; "parquet": tables of the records;
            "store": masks in the store of the images, to be reviewed, but for images that people
            have finished or are at work on; or several of these.
        workers: How many images are worked on at a time; None: one for each GPU, or for each
            processor if there are none.
        address: Of the Ray cluster; None: the one that is there, or a new one on this machine.
        shard_images: Names that go into one shard.
        device: Where to compute.
        dtype: What to compute in.
        runtime: What computes.
        offline: Download nothing.
        overwrite: Forget the results that are there.
        progress: Is told how far it is.
        **options: Settings of everything mode that differ from those of the stage.

    Raises:
        InputError: The source does not exist or holds no image, the folder holds other results,
            or another process is at work there.
        OutputError: The folder cannot be written to, or the disk is full; what is done is kept.
        MissingExtraError: What reads the source, writes the format or runs the cluster is not
            installed.

    Examples:
        >>> import anymask, shutil, tempfile
        >>> photos, out = tempfile.mkdtemp(), tempfile.mkdtemp()
        >>> for name in ("a.jpg", "b.jpg"):
        ...     _ = shutil.copy("docs/pictures/coffee.jpg", f"{photos}/{name}")
        >>> few = {"points_per_side": 4, "crop_n_layers": 0}
        >>> found = farm(photos, out, anymask.load(), **few)
        >>> found.images, found.duplicates, found.failed
        (1, 1, 0)
    """
    start = time.monotonic()
    output = Path(output)
    if shard_images < 1:
        raise InputError(f"expected at least 1 image in a shard, got {shard_images}; try 1000")
    found = _source(source, output)
    if isinstance(model, str):
        work: Work = Automatic(model, device, dtype, runtime, offline, options)
    else:
        loaded = hasattr(model, "variant")  # what has the members of a Segmenter may be one
        work = GivenModel(cast("Segmenter", model), options) if loaded else cast(Work, model)
    doer = _engine(engine, work, workers, address, device)
    entries = found.entries()
    first = next(entries, None)
    if first is None:
        raise InputError(
            f"expected images in {found.place!r}, got none; JPEG, PNG, WebP, TIFF and the like are "
            "looked for by their suffix"
        )
    about = {"source": found.place, "shard_images": shard_images}
    identity = {"command": "label farm", **work.identity(), **about}
    folder = ResumableFolder(output, json.loads(json.dumps(identity)))
    formats = [format] if isinstance(format, str) else format
    sinks = {name: make_sink(name, folder, found) for name in dict.fromkeys(formats)}
    with folder.at_work(), closing(doer):
        if overwrite:
            kept = [_LEDGER, f"{_LEDGER}-wal", f"{_LEDGER}-shm"]
            folder.forget("shards", "parquet", _INDEX, *kept)
        folder.begin()
        with Ledger(output / _LEDGER) as ledger:
            meter = Meter("listing", None, progress)
            ledger.scan(_counted(chain([first], entries), meter))
            stages = _Stages(ledger, found, work, doer, shard_images, progress)
            stages.read()
            with Writer(folder, _LEDGER, found.reader, sinks, shard_images) as writer:
                done = stages.label(writer)
                left = stages.finish(writer)
            write_index(folder, _INDEX, ledger, list(sinks), shard_images)
            counts = asdict(ledger.counts())
    seconds = time.monotonic() - start
    why = {name: left[name] for name in ("missing", "finished", "leased")}
    return FarmResult(output, **counts, **why, done=done, seconds=seconds)


def _source(source: str | os.PathLike[str] | Source | Store, output: Path) -> Source:
    if not hasattr(source, "open_image"):  # nobody else has a store, and needs what it needs
        return find_source(source, output)
    from anymask.label.farm.project import Project

    return Project(cast("Store", source))


def _engine(
    engine: EngineName | Engine, work: Work, workers: int | None, address: str | None, device: str
) -> Engine:
    """Make what does the work."""
    from anymask.label.farm.local import Local, cores, gpus

    if address is not None and engine != "ray":
        raise InputError(
            f"expected no address of a cluster for the engine {engine!r}, got {address!r}; choose "
            "the engine 'ray', or leave it out"
        )
    shared = isinstance(work, GivenModel)
    if engine == "local":
        number = gpus(device)
        return Local(max(1, number or cores()) if workers is None else workers, shared, number)
    if engine == "ray":
        if shared:
            raise InputError(
                "expected the name of a model for the engine 'ray', got a loaded one, which stays "
                "in this process; give its name or the path of its weights"
            )
        from anymask.label.farm.cluster import Cluster

        return Cluster(workers, address, device in ("auto", "cuda"))
    if isinstance(engine, str):
        raise InputError(f"expected an engine out of local, ray, got {engine!r}; name one")
    return engine


def _counted(entries: Iterator[Any], meter: Meter) -> Iterator[Any]:
    for entry in entries:
        meter.add(failed=bool(entry.error))
        yield entry


@dataclass(frozen=True)
class _Stages:
    """What is done once the source is listed."""

    ledger: Ledger
    source: Source
    work: Work
    engine: Engine
    size: int
    tell: Callable[[FarmProgress], None] | None

    def read(self) -> None:
        """Tell the contents of new names apart."""
        meter = Meter("reading", self.ledger.count_unread(), self.tell)
        job = Hashing(self.source.reader)
        with closing(self._map(job, self.ledger.unread())) as outcomes:
            while some := list(islice(outcomes, _AT_ONCE)):
                self.ledger.note_content(some)
                for outcome in some:
                    meter.add(failed=bool(outcome.error))

    def label(self, writer: Writer) -> int:
        """Find masks; give of how many contents."""
        done = 0
        while total := self.ledger.match():
            # More than once only where a file has gone whose content has another name.
            done += self._label(total, writer)
        return done

    def _label(self, total: int, writer: Writer) -> int:
        """Find masks; shards are written as soon as nothing is missing in them."""
        meter = Meter("labelling", total, self.tell)
        waiting = self.ledger.todo_by_shard(self.size)
        done = 0
        job = Labelling(self.work, self.source.reader)
        with closing(self._map(job, self.ledger.todo())) as outcomes:
            for outcome in outcomes:
                if outcome.fault == "all" and outcome.error:
                    raise InputError(outcome.error)
                done += self.ledger.note_result(outcome)
                meter.add(failed=bool(outcome.error), masks=outcome.masks)
                shard = (outcome.number - 1) // self.size
                waiting[shard] -= 1
                if not waiting[shard]:
                    writer.begin(shard)
        return done

    def _map(self, job: Job, tasks: Iterator[Task]) -> Any:
        return self.engine.map(job, self._with_data(tasks) if self.source.here_only else tasks)

    def _with_data(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """Read for workers what they cannot read; the few that are under way lie in memory."""
        for task in tasks:
            with suppress(Exception):  # the worker will meet the same and say so
                task = replace(task, data=self.source.reader(task.name))
            yield task

    def finish(self, writer: Writer) -> Counter[str]:
        """Write all that is not written, or not as it is now; give how many images were left."""
        shards = -(-self.ledger.last_number() // self.size)
        meter = Meter("writing", shards, self.tell)
        return writer.finish(shards, meter.add)

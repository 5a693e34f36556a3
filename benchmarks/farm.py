"""Measure `anymask label farm`: what it costs beside plain calls, and what its results take.

    python benchmarks/farm.py engines                            # a stand-in that sleeps
    python benchmarks/farm.py engines --photos ../shared/data/coco128-val/images
    python benchmarks/farm.py ledger --names 200000
    python benchmarks/farm.py outputs --photos ../shared/data/coco128-val/images --images 8
    python benchmarks/farm.py scale --image-seconds 12 --image-bytes 950000 --masks 100 ...

*engines* gives the processor time of all processes together: once, until the first result, and per
image, when all are at work; and it tells which processes take it. The stand-in sleeps, so that what
is counted is what is beside the work, whatever else the machine does. *outputs* gives bytes per
mask in each format, *ledger* what names and records cost the driver. *scale* multiplies what was
measured, and what is assumed, by the eleven million images of SA-1B.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hashlib
import io
import math
import resource
import shutil
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import tyro
from measure import machine

from anymask.formats import sa1b
from anymask.label.farm.automatic import Automatic, Work
from anymask.label.farm.ledger import Ledger
from anymask.label.farm.run import farm
from anymask.label.farm.source import Entry
from anymask.label.farm.task import Outcome
from anymask.masks.masks import Masks

_TICK = os.sysconf("SC_CLK_TCK")


# ------------------------------------------------------------------------- engines


@dataclass(frozen=True)
class Nap:
    """A stand-in for a model that sleeps, so that all processor time is what is beside the work."""

    seconds: float

    def identity(self) -> dict[str, Any]:
        """Tell it from others."""
        return {"model": f"nap {self.seconds}"}

    def open(self) -> Callable[[bytes], Masks]:
        """Get ready."""
        dense = np.zeros((100, 120, 160), bool)
        for i, mask in enumerate(dense):
            mask[i : i + 20, i : i + 30] = True
        masks = Masks.from_dense(dense, scores=np.linspace(0.9, 0.5, len(dense)), model="nap")

        def find(content: bytes) -> Masks:
            time.sleep(self.seconds)
            return masks

        return find


@dataclass(frozen=True)
class Costs:
    """What an engine took: once, and for each image while the work goes on."""

    once_seconds: float
    """By the clock, until the first result, without the image itself."""
    once: Counter[str]
    """Processor seconds until then, by process."""
    wall: float
    """Seconds by the clock for an image."""
    each: Counter[str]
    """Processor seconds for an image, by process."""


@dataclass(frozen=True)
class Engines:
    """Compare a plain loop, a pool of this machine and Ray."""

    photos: Path | None = None
    """JPEG files for the bundled model; none: a stand-in that sleeps, and small images."""
    images: int = 40
    """How many."""
    settled: int = 10
    """Images at the start that are not counted, while servers and workers begin."""
    seconds: float = 3.0
    """What the stand-in sleeps for an image; an image of the model is taken to cost as much."""
    points_per_side: int | None = None
    """Points of the bundled model along each side; none: its own. There are no crops."""
    workers: int = 1
    """Workers of pool and Ray."""
    engine: tuple[str, ...] = ("plain", "local", "ray")
    """What to compare, with the first."""

    def run(self) -> None:
        """Measure and print tables."""
        options: dict[str, Any] = {"crop_n_layers": 0}
        if self.points_per_side is not None:
            options["points_per_side"] = self.points_per_side
        real = self.photos is not None
        work: Work = Automatic("bundled", "cpu", options=options) if real else Nap(self.seconds)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "photos"
            self._fill(source)
            found = {
                one: self._measure(one, source, Path(folder) / one, work) for one in self.engine
            }
        print(
            f"{machine()}; load {os.getloadavg()[0]:.0f}; {self.images} images, {self.workers} workers; {work}"
        )
        first = found[self.engine[0]]
        # The stand-in's sleep is what a model would compute meanwhile.
        base = first.each.total() + (0 if real else self.seconds)
        print(f"an image costs {base:.2f} s of a processor, and {first.wall:.2f} s by the clock")
        print("| | CPU ms per image | beyond the first | by the clock | once: s | CPU s | images |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name, one in found.items():
            more = one.each.total() - first.each.total()
            once = one.once.total() - first.once.total()
            print(
                f"| {name} | {1e3 * one.each.total():.1f} | {100 * more / base:+.1f} % | "
                f"{100 * (one.wall / first.wall - 1):+.1f} % | {one.once_seconds:.1f} | "
                f"{one.once.total():.1f} | {max(0, math.ceil(once / (0.05 * base)))} |"
            )
        print("(the last: images after which what is done once is less than 5 % of their work)")
        for name, one in found.items():
            print(f"\n| {name} | once, CPU s | each image, CPU ms |\n| --- | ---: | ---: |")
            for process in sorted(one.once | one.each):
                print(f"| {process} | {one.once[process]:.2f} | {1e3 * one.each[process]:.1f} |")

    def _fill(self, source: Path) -> None:
        source.mkdir()
        if self.photos is not None:
            for i, path in enumerate(sorted(self.photos.rglob("*.jpg"))[: self.images]):
                shutil.copy(path, source / f"{i:04}.jpg")
            return
        rng = np.random.default_rng(0)
        for i in range(self.images):
            pixels = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(source / f"{i:04}.jpg")

    def _measure(self, engine: str, source: Path, output: Path, work: Work) -> Costs:
        """Look at the clock and at all processes before, after the first image, and so on."""
        at: dict[int, tuple[float, Counter[str]]] = {0: (time.perf_counter(), processor_times())}
        images = len(list(source.iterdir()))

        def note(done: int) -> None:
            if done in (1, self.settled, images):
                at[done] = time.perf_counter(), processor_times()

        if engine == "plain":
            plain_loop(source, output, work, note)
        else:
            farm(
                source,
                output,
                work,
                engine=engine,  # type: ignore[arg-type]
                workers=self.workers,
                format="sa1b",
                progress=lambda p: note(p.done) if p.stage == "labelling" else None,
            )
        (start, none), (first, once), (clock, settled), (end, all_of_it) = (
            at[one] for one in (0, 1, self.settled, images)
        )
        counted = images - self.settled
        spent = all_of_it - settled
        each = Counter({name: seconds / counted for name, seconds in spent.items()})
        wall = (end - clock) / counted
        return Costs(first - start - wall, once - none, wall, each)


def plain_loop(source: Path, output: Path, work: Work, note: Callable[[int], None]) -> None:
    """Do what a farm does with each image, and nothing else: find masks, and put both in a tar."""
    find = work.open()
    output.mkdir()
    with tarfile.open(output / "all.tar", "w") as tar:
        for done, path in enumerate(sorted(source.iterdir()), start=1):
            content = path.read_bytes()
            file = io.BytesIO()
            sa1b.write(file, find(content))
            for name, what in ((path.name, content), (f"{path.stem}.json", file.getvalue())):
                info = tarfile.TarInfo(name)
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what))
            note(done)


def processor_times() -> Counter[str]:
    """Add up the processor seconds of this process and all that stem from it, by what they are."""
    parents: dict[int, int] = {}
    times: dict[int, float] = {}
    names: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            process = int(path.parent.name)
            line = (path.parent / "cmdline").read_text().replace("\0", " ")
            parents[process] = int(fields[1])
            times[process] = (int(fields[11]) + int(fields[12])) / _TICK
            names[process] = next((one for one in _SERVERS if one in line), "workers")
    own, found = os.getpid(), Counter[str]()
    for process, seconds in times.items():
        above = process
        while above in parents and above != own:
            above = parents[above]
        if above == own:
            found["driver" if process == own else names[process]] += seconds
    return found


# What Ray starts besides workers, and its actors, by a part of their command line.
_SERVERS = ("gcs_server", "raylet", "dashboard", "monitor.py", "log_monitor", "Agent", "_Attempts")
_SERVERS += ("ActorLocationTracker", "AutoscalingCoordinator", "StatsActor", "ray::IDLE")


# -------------------------------------------------------------------------- ledger


@dataclass(frozen=True)
class LedgerCosts:
    """Measure what names and records cost the driver, with names as long as those of SA-1B."""

    names: int = 200_000
    """How many."""
    record: int = 15_000
    """Bytes of a record."""
    results: int = 5_000
    """How many of the names get one."""

    def run(self) -> None:
        """Measure and print a table."""
        rng = np.random.default_rng(0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "farm.sqlite"
            with Ledger(path) as ledger:
                listing = (
                    Entry(f"photos/{i // 1000:06}/sa_{i}.jpg", f"950000 {i * 10**9}")
                    for i in range(self.names)
                )
                scan = _timed(lambda: ledger.scan(listing))
                reading = _timed(lambda: self._note_contents(ledger))
                match = _timed(ledger.match)
                names = _size(path)
                records = [rng.bytes(self.record) for _ in range(50)]
                noting = _timed(lambda: self._note_results(ledger, records))
                both = _size(path)
                shard = _timed(lambda: list(ledger.rows(1, 1001, records=True)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        each = 1e6 / self.names
        print(
            f"{machine()}; {self.names:,} names, {self.results:,} records of {self.record:,} bytes"
        )
        print("| | |\n| --- | ---: |")
        print(f"| listing a name, CPU µs | {scan * each:.1f} |")
        print(f"| noting its content, CPU µs | {reading * each:.1f} |")
        print(f"| finding duplicates, CPU µs per name | {match * each:.1f} |")
        print(f"| bytes per name on disk | {names / self.names:.0f} |")
        print(f"| noting a record, CPU µs | {noting * 1e6 / self.results:.0f} |")
        print(f"| bytes per record on disk | {(both - names) / self.results:.0f} |")
        print(f"| reading 1000 records, CPU ms | {shard * 1e3:.0f} |")
        print(f"| peak memory beyond that of the start, MiB | {peak - before:.0f} |")

    def _note_contents(self, ledger: Ledger) -> None:
        some: list[Outcome] = []
        for task in ledger.unread():
            some.append(Outcome(task.number, hashlib.sha256(task.name.encode()).digest()))
            if len(some) == 256:
                ledger.note_content(some)
                some = []
        ledger.note_content(some)

    def _note_results(self, ledger: Ledger, records: list[bytes]) -> None:
        for task, i in zip(ledger.todo(), range(self.results), strict=False):
            ledger.note_result(Outcome(task.number, task.sha256, records[i % len(records)], 100))


def _timed(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.parent.glob(path.name + "*"))


# ------------------------------------------------------------------------- outputs


@dataclass(frozen=True)
class Outputs:
    """Measure bytes per mask in each output, and what writing costs."""

    photos: Path
    """JPEG files."""
    images: int = 8
    """How many."""
    options: dict[str, int] = field(default_factory=lambda: {"crop_n_layers": 0})
    """Settings that differ from the stage's."""

    def run(self) -> None:
        """Measure and print a table."""
        with tempfile.TemporaryDirectory() as folder:
            source, output = Path(folder) / "photos", Path(folder) / "out"
            source.mkdir()
            for path in sorted(self.photos.rglob("*.jpg"))[: self.images]:
                shutil.copy(path, source)
            work = Automatic("bundled", "cpu", options=dict(self.options))
            found = farm(source, output, work, workers=1, format=["sa1b", "parquet"])
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # the worker, its start included
            taken = ended.ru_utime + ended.ru_stime
            pictures = sum(path.stat().st_size for path in source.iterdir())
            tables = sum(path.stat().st_size for path in (output / "parquet").iterdir())
            shards = sum(path.stat().st_size for path in (output / "shards").iterdir())
            ledger = _size(output / ".anymask/farm.sqlite")
            shutil.rmtree(output / "shards")
            shutil.rmtree(output / "parquet")
            again = {
                name: self._write(source, output, work, name) / found.images
                for name in ("sa1b", "parquet")
            }
        masks = found.masks
        print(f"{machine()}; {found.images} images of {pictures / found.images:,.0f} bytes")
        print(f"{masks / found.images:.0f} masks and {taken / found.images:.1f} CPU s an image")
        print("| | bytes per mask | CPU ms to write an image |\n| --- | ---: | ---: |")
        text = (shards - pictures) / masks
        print(f"| JSON in shards, padded by tar | {text:.0f} | {1e3 * again['sa1b']:.1f} |")
        print(f"| Parquet | {tables / masks:.0f} | {1e3 * again['parquet']:.1f} |")
        print(f"| ledger | {ledger / masks:.0f} | |")

    def _write(self, source: Path, output: Path, work: Work, format: str) -> float:
        """Write what is found already; give the processor seconds that it takes beyond a check."""

        def run() -> float:
            return _timed(lambda: farm(source, output, work, workers=1, format=format))

        written, checked = run(), run()
        return written - checked


# --------------------------------------------------------------------------- scale


@dataclass(frozen=True)
class Scale:
    """Multiply what was measured and what is assumed."""

    image_seconds: float
    """Seconds that a worker needs for an image."""
    mask_bytes: dict[str, float] = field(
        default_factory=lambda: {"shards": 647.0, "parquet": 214.0, "ledger": 387.0}
    )
    """Bytes per mask in each output."""
    image_bytes: float = 950_000
    """Bytes of a JPEG file."""
    images: int = 11_000_000
    """Of SA-1B."""
    masks: int = 1_100_000_000
    """Of SA-1B."""
    workers_per_node: int = 8
    """Workers of a node."""
    nodes: tuple[int, ...] = (1, 8, 32)
    """How many nodes."""
    node_price: float = 20.0
    """Assumed: US dollars for a node and an hour."""
    storage_price: float = 23.0
    """Assumed: US dollars for a terabyte and a month."""
    writer_seconds: float = 0.01
    """Seconds that the driver needs to write an image into a shard."""

    def run(self) -> None:
        """Multiply and print tables."""
        work = self.images * self.image_seconds / 3600
        print(f"{work:,.0f} worker hours for {self.images:,} images")
        print("| nodes | workers | hours | node hours | US dollars |")
        print("| ---: | ---: | ---: | ---: | ---: |")
        for nodes in self.nodes:
            workers = nodes * self.workers_per_node
            hours = work / workers
            price = hours * nodes * self.node_price
            print(f"| {nodes} | {workers} | {hours:,.0f} | {hours * nodes:,.0f} | {price:,.0f} |")
        print("| what | TB | US dollars a month |\n| --- | ---: | ---: |")
        sizes = {"pictures": self.images * self.image_bytes}
        sizes |= {f"masks in {name}": self.masks * each for name, each in self.mask_bytes.items()}
        for name, size in sizes.items():
            print(f"| {name} | {size / 1e12:.2f} | {size / 1e12 * self.storage_price:,.0f} |")
        print(f"the driver writes shards for {self.images * self.writer_seconds / 3600:,.0f} hours")


COMMANDS = {"engines": Engines, "ledger": LedgerCosts, "outputs": Outputs, "scale": Scale}

if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(COMMANDS).run()

"""Measure `anymask label farm`: what it costs beside plain calls, and what its results take.

    python benchmarks/farm.py engines                            # a stand-in of fixed cost
    python benchmarks/farm.py engines --photos ../shared/data/coco128-val/images --images 12
    python benchmarks/farm.py ledger --names 200000
    python benchmarks/farm.py outputs --photos ../shared/data/coco128-val/images --images 8
    python benchmarks/farm.py scale --image-seconds 12 --image-bytes 950000 --masks 100 ...

*engines* gives the processor time of all processes together, per image, once they are at work: from
the third image to the last. *outputs* gives bytes per mask in each format, *ledger* what names and
records cost the driver. *scale* multiplies what was measured, and what is assumed, by the eleven
million images of SA-1B.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hashlib
import io
import resource
import shutil
import tarfile
import tempfile
import time
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
_SKIP = 2  # images at the start, while workers begin


# ------------------------------------------------------------------------- engines


@dataclass(frozen=True)
class Spin:
    """A stand-in for a model: so much processor time for each image, and the same masks."""

    seconds: float

    def identity(self) -> dict[str, Any]:
        """Tell it from others."""
        return {"model": f"spin {self.seconds}"}

    def open(self) -> Callable[[bytes], Masks]:
        """Get ready."""
        dense = np.zeros((100, 120, 160), bool)
        for i, mask in enumerate(dense):
            mask[i : i + 20, i : i + 30] = True
        masks = Masks.from_dense(dense, scores=np.linspace(0.9, 0.5, len(dense)), model="spin")

        def find(content: bytes) -> Masks:
            end = time.thread_time() + self.seconds
            while time.thread_time() < end:
                hashlib.sha256(content).digest()
            return masks

        return find


@dataclass(frozen=True)
class Engines:
    """Compare a plain loop, a pool of this machine and Ray."""

    photos: Path | None = None
    """JPEG files for the bundled model; none: a stand-in of fixed cost, and small images."""
    images: int = 60
    """How many."""
    seconds: float = 0.2
    """Processor time of the stand-in for an image."""
    side: int = 160
    """Longer side that photos are shrunk to."""
    points_per_side: int = 8
    """Points of the bundled model along each side, without crops."""
    engine: tuple[str, ...] = ("plain", "local", "ray")
    """What to compare."""

    def run(self) -> None:
        """Measure and print a table."""
        options = {"points_per_side": self.points_per_side, "crop_n_layers": 0, "thing_boxes": 0}
        work: Work = Spin(self.seconds)
        if self.photos is not None:
            work = Automatic("bundled", "cpu", options=options)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "photos"
            self._fill(source)
            taken = {
                one: self._measure(one, source, Path(folder) / one, work) for one in self.engine
            }
        print(f"{machine()}; {self.images} images, one worker; {work}")
        print("| | CPU ms per image | beside the first |\n| --- | ---: | ---: |")
        first = taken[self.engine[0]]
        for name, seconds in taken.items():
            print(f"| {name} | {1e3 * seconds:.1f} | {100 * (seconds / first - 1):+.1f} % |")

    def _fill(self, source: Path) -> None:
        source.mkdir()
        if self.photos is None:
            rng = np.random.default_rng(0)
            for i in range(self.images):
                pixels = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
                PIL.Image.fromarray(pixels).save(source / f"{i:04}.jpg")
            return
        for i, path in enumerate(sorted(self.photos.rglob("*.jpg"))[: self.images]):
            with PIL.Image.open(path) as image:
                image.convert("RGB").resize((self.side, self.side)).save(source / f"{i:04}.jpg")

    def _measure(self, engine: str, source: Path, output: Path, work: Work) -> float:
        """Give the processor seconds per image while the work goes on."""
        at: list[tuple[int, float]] = []

        def note(done: int) -> None:
            if done in (_SKIP, self.images):
                at.append((done, processor_time()))

        if engine == "plain":
            plain_loop(source, output, work, note)
        else:
            farm(
                source,
                output,
                work,
                engine=engine,  # type: ignore[arg-type]
                workers=1,
                format="sa1b",
                progress=lambda p: note(p.done) if p.stage == "labelling" else None,
            )
        (first, start), (last, end) = at[0], at[-1]
        return (end - start) / (last - first)


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


def processor_time() -> float:
    """Add up the processor seconds of this process and all that stem from it."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    total = own.ru_utime + own.ru_stime
    parents: dict[int, int] = {}
    times: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            times[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / _TICK
    for process, seconds in times.items():
        above = process
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid() != process:
            total += seconds
    return total


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

"""Measure `anymask serve` under load, beside plain calls of the library with the same threads.

    python benchmarks/serve.py docs/pictures/photos --clients 8 --seconds 60

Every client clicks at random places in a few images, and now and then embeds one anew. The server
is a process of its own; so is the library, called by as many threads, in turns with it. No request
may be lost. Memory is what the server holds, read from the system every second (Linux).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import multiprocessing
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from tyro.conf import Positional

import anymask
from anymask.evaluate.timing import machine


@dataclass(frozen=True)
class Options:
    """What to run."""

    images: Positional[Path]
    """A folder of images."""
    clients: int = 8
    """Clients at a time."""
    seconds: float = 60
    """How long they call the server; plain calls of the library take a quarter of it, twice."""
    max_images: int = 4
    """Take so many images."""
    embed_every: int = 20
    """Of how many requests one embeds an image anew."""
    threads: int = 1
    """Threads of PyTorch, in both."""
    session_mb: float = 40
    """What the server may keep, so little that sessions have to go all the time."""
    model: str = "bundled"
    """The model."""


Clicked = Callable[[int, int, random.Random], None]


def load_for(seconds: float, clients: int, click: Clicked) -> tuple[list[float], list[str]]:
    """Let clients click for a while: the seconds of each request, and what went wrong."""
    taken: list[list[float]] = [[] for _ in range(clients)]
    lost: list[str] = []
    until = time.monotonic() + seconds

    def work(client: int) -> None:
        chance = random.Random(client)
        number = 0
        while time.monotonic() < until:
            start = time.perf_counter()
            try:
                click(client, number, chance)
            except Exception as error:
                lost.append(f"{type(error).__name__}: {error}")
            taken[client].append(time.perf_counter() - start)
            number += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for each in taken for one in each], lost


def point(size_hw: tuple[int, int], chance: random.Random) -> list[tuple[float, float]]:
    """Click somewhere in an image."""
    return [(chance.uniform(0, size_hw[1] - 1), chance.uniform(0, size_hw[0] - 1))]


def plain(options: Options, paths: list[Path], seconds: float, out: Any) -> None:
    """Do it with the library alone, in a process of its own."""
    import torch

    torch.set_num_threads(options.threads)
    model = anymask.load(options.model)
    images = [anymask.Image.open(path) for path in paths]
    embeddings = model.embed(images)

    def click(client: int, number: int, chance: random.Random) -> None:
        i = chance.randrange(len(paths))
        if number % options.embed_every == options.embed_every - 1:
            model.embed(paths[i])
        else:
            model.predict(embeddings[i], points=point(images[i].size_hw, chance)).rle()

    out.send(load_for(seconds, options.clients, click))


def library(options: Options, paths: list[Path], seconds: float) -> tuple[list[float], list[str]]:
    """Call the library in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=plain, args=(options, paths, seconds, there))
    process.start()
    found: tuple[list[float], list[str]] = here.recv()
    process.join()
    return found


def resident(pid: int) -> float:
    """Read how many megabytes a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1000


def served(
    options: Options, paths: list[Path]
) -> tuple[list[float], list[str], list[float], dict[str, float]]:
    """Call a server: times, what went wrong, memory second by second, and its own numbers."""
    words = ["serve", "--port", "0", "--model", options.model]
    words += ["--session-mb", str(options.session_mb)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    server = subprocess.Popen(
        [sys.executable, "-m", "anymask", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        client = anymask.Client(address)
        contents = [path.read_bytes() for path in paths]
        images = [client.embed(content) for content in contents]
        fresh = [make_fresh(path) for path in paths]

        def click(one: int, number: int, chance: random.Random) -> None:
            i = chance.randrange(len(paths))
            if number % options.embed_every == options.embed_every - 1:
                client.embed(fresh[i](chance))
            else:
                client.predict(images[i], points=point(images[i].size_hw, chance))

        memory: list[float] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(1):
                memory.append(resident(server.pid))

        watching = threading.Thread(target=watch)
        watching.start()
        taken, lost = load_for(options.seconds, options.clients, click)
        ended.set()
        watching.join()
        said = client._connection.call("GET", "/metrics").decode()
        names = ("anymask_predict_batch_sum", "anymask_predict_batch_count", "anymask_sessions")
        numbers = {
            name: float(re.findall(rf"^{name} (\S+)$", said, re.MULTILINE)[0]) for name in names
        }
        return taken, lost, memory, numbers
    finally:
        server.terminate()
        server.wait()


def make_fresh(path: Path) -> Callable[[random.Random], bytes]:
    """Make images that no session is of: one pixel differs."""
    import io

    import PIL.Image

    image = PIL.Image.open(path).convert("RGB")

    def fresh(chance: random.Random) -> bytes:
        copy, file = image.copy(), io.BytesIO()
        copy.putpixel((0, 0), tuple(chance.randrange(256) for _ in range(3)))
        copy.save(file, "BMP")
        return file.getvalue()

    return fresh


def row(name: str, taken: list[float], lost: list[str], seconds: float) -> str:
    """Lay out a line of the table."""
    cuts = statistics.quantiles(taken, n=100)
    return (
        f"| {name} | {len(taken)} | {len(lost)} | {len(taken) / seconds:.1f} "
        f"| {1e3 * cuts[49]:.0f} | {1e3 * cuts[94]:.0f} | {1e3 * max(taken):.0f} |"
    )


def main(options: Options) -> None:
    """Run both in turns and compare."""
    paths = sorted(options.images.rglob("*.jpg"))[: options.max_images]
    quarter = options.seconds / 4
    first = library(options, paths, quarter)
    taken, lost, memory, numbers = served(options, paths)
    second = library(options, paths, quarter)
    print(f"{machine()}; {options.threads} threads of PyTorch; {options.clients} clients\n")
    print("| | requests | lost | a second | median ms | p95 ms | longest ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(row("library", first[0] + second[0], first[1] + second[1], 2 * quarter))
    print(row("server", taken, lost, options.seconds))
    third = max(1, len(memory) // 3)
    parts = [memory[i * third : (i + 1) * third] for i in range(3)]
    print(f"\nserver, MB in thirds of the time: {[round(max(part)) for part in parts if part]}")
    calls = max(1.0, numbers["anymask_predict_batch_count"])
    together = numbers["anymask_predict_batch_sum"] / calls
    print(f"requests that a call of the decoder answered: {together:.2f}")
    print(f"sessions at the end: {numbers['anymask_sessions']:.0f}")
    for sentence in sorted(set(lost))[:5]:
        print(f"lost: {sentence}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))

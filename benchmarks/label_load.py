"""Let eight people label at once over HTTP, as pages of the studio do, and look for what got lost.

    python benchmarks/label_load.py                                    # a file of SQLite
    python benchmarks/label_load.py --database postgresql://me@host/empty
    python benchmarks/label_load.py --people 16 --seconds 30

``anymask studio`` serves a project in a process of its own. Each person takes an image, reads its
masks, adds one, changes it, asks for the status and finishes, without a pause. Each answer that is
not 200 is counted, with what it said. At the end the store itself is asked: it must hold each mask
that was acknowledged, each image that was finished must be done, and none may have been given to
two people.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded
os.environ.setdefault("OMP_NUM_THREADS", "1")

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import tyro
from measure import machine

from anymask.label import Store
from anymask.masks import rle

SIZE_HW = (48, 64)


@dataclass
class Person:
    """Somebody who works without a pause, and what came of each request."""

    name: str
    port: int
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    masks: dict[str, int] = field(default_factory=dict)
    """What was acknowledged last: the number of masks of each image."""
    finished: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)

    def work(self, end: float) -> None:
        """Label until the time is over."""
        self._line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while time.monotonic() < end:
            taken = self._ask("next", "POST", "/v1/label/next", {"person": self.name})
            if taken is None:
                continue
            if taken["lease"] is None:
                self.errors["no image left: give more with --images"] += 1
                return
            self._label(taken["lease"]["picture"]["id"], taken["lease"]["token"])
        self._line.close()

    def _label(self, image: str, token: str) -> None:
        self.given.append(image)
        address = f"/v1/label/images/{image}/masks"
        before = self._ask("masks", "GET", address)
        if before is None:
            return
        revision, thing = before["revision"], "new1"
        for at in (5, 9):  # a mask is added, then changed
            document = {
                "person": self.name,
                "revision": revision,
                "token": f"{self.name} {image[:40]} {at}",
                "things": [{"thing": thing, "rle": box(at), "label": "cup", "seconds": 1.0}],
            }
            saved = self._ask("save", "PUT", address, document)
            if saved is None:
                return
            revision, (thing,) = saved["revision"], saved["ids"]
            self.masks[image] = at
        self._ask("status", "POST", "/v1/label/status", {"images": [image]})
        done = {"token": token, "image": image, "seconds": 3}
        if self._ask("finish", "POST", "/v1/label/finish", done) is not None:
            self.finished.append(image)

    def _ask(self, what: str, method: str, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document)
        begin = time.perf_counter()
        try:
            self._line.request(method, path, body, {"Content-Type": "application/json"})
            answer = self._line.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._line.close()
            self.errors[f"{what}: {error!r}"] += 1
            return None
        self.seconds[what].append(time.perf_counter() - begin)
        if answer.status != 200:
            self.errors[f"{what}: {answer.status} {said[:200].decode()}"] += 1
            return None
        return json.loads(said)


def box(at: int) -> dict[str, Any]:
    """Give a mask that tells where it lies, in the API's words."""
    mask = np.zeros(SIZE_HW, bool)
    mask[at : at + 10, 20:44] = True
    return {"size": list(SIZE_HW), "counts": rle.to_string(rle.encode(mask))}


@contextmanager
def studio(folder: Path) -> Iterator[int]:
    """Serve a project, and give the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "anymask", "studio", str(folder), "--no-browser"]
    server = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()  # which it says once it listens
        assert server.poll() is None, "the studio did not start"
        yield port
    finally:
        server.terminate()
        server.wait(60)


@dataclass(frozen=True)
class Load:
    """Eight people at once, for a minute."""

    database: str | None = None
    """An empty database of PostgreSQL; by itself a file of SQLite."""
    people: int = 8
    """How many."""
    seconds: float = 60
    """How long."""
    images: int = 3000
    """How many there are; none is labelled twice."""

    def run(self) -> None:
        """Measure, check and print a table."""
        with tempfile.TemporaryDirectory() as empty:
            folder = Path(empty) / "photos"
            folder.mkdir()
            rng = np.random.default_rng(0)
            for i in range(self.images):
                pixels = rng.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
                PIL.Image.fromarray(pixels).save(folder / f"{i:05}.png")
            with Store.init(folder, database=self.database) as store:
                store.add(folder)
                shown = store.database.shown
            before = os.getloadavg()[0]
            with studio(folder) as port:
                people = [Person(f"person {i}", port) for i in range(self.people)]
                end = time.monotonic() + self.seconds
                threads = [threading.Thread(target=one.work, args=(end,)) for one in people]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            with Store.open(folder) as store:
                self._check(store, people)
        kind = "SQLite" if "sqlite" in shown or self.database is None else "PostgreSQL"
        print(f"{machine()}; {kind}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after")
        self._print(people)

    def _check(self, store: Store, people: list[Person]) -> None:
        """Compare the store with all that was acknowledged."""
        # After a failure, a person is given his own image once more.
        given = Counter(image for one in people for image in set(one.given))
        assert max(given.values(), default=0) <= 1, "an image was given to two people"
        boxes = {at: rle.from_string(box(at)["counts"]) for at in (5, 9)}
        for one in people:
            for image, at in one.masks.items():
                stored = store.masks(image)
                assert len(stored.ids) == 1, f"{len(stored.ids)} masks instead of one"
                np.testing.assert_array_equal(stored.masks.counts[0], boxes[at])
                assert stored.people == (one.name,)
            for image in one.finished:
                assert store.image(image).state == "done", "a finished image is not done"

    def _print(self, people: list[Person]) -> None:
        done = sum(len(one.finished) for one in people)
        least = min(len(one.finished) for one in people)
        print(f"{self.people} people for {self.seconds:g} s: {done} images, at least {least} each")
        print(
            "| request | times | ms, median | 99 % | at most |\n| --- | ---: | ---: | ---: | ---: |"
        )
        for what in ("next", "masks", "save", "status", "finish"):
            ms = 1e3 * np.concatenate([one.seconds[what] for one in people])
            middle, slow = np.median(ms), np.quantile(ms, 0.99)
            print(f"| {what} | {len(ms)} | {middle:.0f} | {slow:.0f} | {ms.max():.0f} |")
        errors = sum((one.errors for one in people), Counter[str]())
        print(f"errors: {dict(errors) or 'none'}; all that was acknowledged is in the store")


if __name__ == "__main__":
    tyro.cli(Load).run()

"""A server in a process of its own: started, called, told to stop, and killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import png

from anymask.client import Client, ServerError

pytest.importorskip("uvicorn")
if sys.platform == "win32":
    pytest.skip("signals of POSIX", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
# The smallest network, which takes its time over each image when it is told to.
PROGRAM = """
import sys, time
from pathlib import Path
from anymask.serve.config import ServeConfig
from anymask.serve.run import run, with_token
from tests.serve.conftest import flat_model

model, folder, pause = flat_model(), Path(sys.argv[1]), float(sys.argv[2])
encode = model.network.encode
def slowly(*arguments):
    time.sleep(pause)
    return encode(*arguments)
model.network.encode = slowly
host = sys.argv[3]
folders = {"images": (folder / "photos",), "results": folder / "out"}
config = with_token(ServeConfig(port=0, host=host, grace=20, **folders))
run(config, model, lambda address: print(address, config.token, flush=True))
print("ended", flush=True)
"""

Start = Callable[..., tuple[subprocess.Popen[str], Client]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers, which end with the test."""
    (tmp_path / "photos").mkdir()
    for i in range(12):
        (tmp_path / "photos" / f"{i}.png").write_bytes(png(i))
    (tmp_path / "out").mkdir()
    started: list[subprocess.Popen[str]] = []
    clients: list[Client] = []

    def begin(pause: float = 0, host: str = "127.0.0.1") -> tuple[subprocess.Popen[str], Client]:
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        server = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), str(pause), host],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        started.append(server)
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.fullmatch(r"(http://\S+) (\S+)\n", line)
        assert found, line + server.stdout.read()
        address = found[1].replace("0.0.0.0", "127.0.0.1")
        token = None if found[2] == "None" else found[2]
        clients.append(Client(address, token, timeout=60))
        return server, clients[-1]

    yield begin
    for client in clients:
        client.close()
    for server in started:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def test_it_listens_answers_and_ends_well(start: Start) -> None:
    server, client = start()
    assert client.about["name"] == "flat"
    assert len(client.predict(png(), points=[(30, 20)])) == 3
    server.send_signal(signal.SIGTERM)
    said, _ = server.communicate(timeout=60)
    assert (server.returncode, said) == (0, "ended\n")
    with pytest.raises(ServerError, match="anymask serve"):
        client.predict(png(), points=[(30, 20)])


def test_other_addresses_need_the_token_that_was_made(start: Start) -> None:
    _, client = start(host="0.0.0.0")
    assert client.about["name"] == "flat"
    with Client(client._connection.address) as other, pytest.raises(ServerError, match="token"):
        other.embed(png())


def test_told_to_stop_it_finishes_what_runs(start: Start, tmp_path: Path) -> None:
    server, client = start(pause=0.2)
    job = client.process("photos", "stopped", options={"points_per_side": 2})
    answers: list[Any] = []

    def ask(i: int) -> None:
        answers.append(client.predict(png(100 + i), points=[(30, 20)]))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    while client.about and not job.state["done"]:
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    asking = threading.Thread(target=lambda: answers.append(client.embed(png(109))))
    asking.start()
    time.sleep(0.1)
    server.send_signal(signal.SIGTERM)
    said, _ = server.communicate(timeout=60)
    asking.join()
    assert server.returncode == 0, said
    assert len(answers) == 5
    found = {path.name for path in (tmp_path / "out" / "stopped").glob("[!.]*.json")}
    assert found == {"anymask-run.json"} | {f"{i}.json" for i in range(12)}


def test_killed_under_load_it_leaves_nothing_half_written(start: Start, tmp_path: Path) -> None:
    server, client = start(pause=0.02)
    job = client.process("photos", "killed", options={"points_per_side": 2})
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                client.predict(png(), points=[(30, 20)])
            except ServerError:
                return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    while job.state["done"] < 2:
        time.sleep(0.01)
    server.kill()
    server.communicate()
    stop.set()
    for thread in threads:
        thread.join()
    out = tmp_path / "out" / "killed"
    for path in out.glob("[!.]*.json"):
        json.loads(path.read_text())
    for path in out.glob("[!.]*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    _, client = start()
    state = client.process("photos", "killed", options={"points_per_side": 2}).wait()
    assert (state["status"], state["failed"]) == ("done", 0)
    assert state["skipped"] >= 2
    assert state["done"] + state["skipped"] == 12


def test_an_address_that_is_taken_is_one_sentence(start: Start, tmp_path: Path) -> None:
    from tests.serve.conftest import flat_model

    from anymask import InputError
    from anymask.serve.config import ServeConfig
    from anymask.serve.run import run

    _, client = start()
    port = int(client._connection.address.rpartition(":")[2])
    with pytest.raises(InputError, match="cannot listen"):
        run(ServeConfig(port=port), flat_model(), print)

"""A farm that is killed, interrupted, or loses its workers, from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.label.farm.conftest import contents, wait_for
from tests.label.farm.squares import Squares, make_image

from anymask.label.farm.local import Local
from anymask.label.farm.run import farm

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys
from pathlib import Path
from anymask.label.farm.local import Local
from anymask.label.farm.run import farm
from tests.label.farm.squares import Squares

if __name__ == "__main__":
    source, output, log = map(Path, sys.argv[1:])
    try:
        farm(source, output, Squares(log, seconds=0.1), engine=Local(2), shard_images=8)
    except KeyboardInterrupt:
        sys.exit(130)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    for seed in range(40):
        make_image(folder / f"{seed:02}.jpg", seed)
    return folder


def start(many: Path, out: Path, log: Path) -> subprocess.Popen[bytes]:
    script = many.parent / "run_farm.py"
    script.write_text(SCRIPT)
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, str(script), str(many), str(out), str(log)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Where the tests run in the background, they ignore Ctrl-C, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_farm_that_ends_in_the_middle_goes_on_where_it_stopped(
    many: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    process = start(many, out, log)
    wait_for(lambda: size(log) >= 12)
    if number == signal.SIGKILL:
        process.kill()  # the one that leads; its workers end by themselves
    else:
        os.killpg(process.pid, number)  # as a terminal does it
    _, said = process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130), said
    assert b"Traceback" not in said
    wait_for(lambda: not alive(process.pid))
    begun = size(log)
    assert 12 <= begun < 40
    assert not [path for path in out.rglob("*") if path.suffix == ".tar" and size(path) == 0]
    found = farm(many, out, Squares(log), engine=Local(2), shard_images=8)
    assert found.images == 40
    assert size(log) <= 40 + 4  # what two workers were given when it ended
    whole = tmp_path / "whole"
    farm(many, whole, Squares(), engine=Local(1, shared=True), shard_images=8)
    assert contents(out) == contents(whole)


def test_a_worker_that_is_killed_from_outside_costs_nothing(many: Path, tmp_path: Path) -> None:
    import multiprocessing

    def kill(progress: object) -> None:
        if getattr(progress, "stage", "") == "labelling" and getattr(progress, "done", 0) == 9:
            os.kill(multiprocessing.active_children()[-1].pid, signal.SIGKILL)

    found = farm(many, tmp_path / "out", Squares(), engine=Local(2), progress=kill)
    assert (found.images, found.failed) == (40, 0)

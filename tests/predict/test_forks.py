"""A model in a process that was forked from one where it has worked."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

import anymask

SOURCE = Path(anymask.__file__).parents[1]

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="nothing is forked here"
)

PROGRAM = """
import multiprocessing, sys
import numpy as np, torch
import anymask

image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
model = anymask.load()
photo = None
torch.set_num_threads({parent})
if {used}:
    photo = model.embed(image)
    model.predict(photo, points=[(30, 20)])

def ask(queue):
    torch.set_num_threads({child})
    try:
        asked = photo if {keep} else image
        queue.put(len(model.predict(asked, points=[(30, 20)])))
    except anymask.InputError as error:
        queue.put(str(error))

context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=ask, args=(queue,), daemon=True)
process.start()
print(queue.get(timeout=30))
process.join()
print(len(model.predict(image, points=[(30, 20)])))
"""


def run(**settings: object) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(**settings)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("keep", [False, True])
def test_a_fork_that_would_hang_is_told_what_to_do(keep: bool) -> None:
    child, parent = run(parent=2, child=2, used=True, keep=keep)
    assert child.startswith("expected a process of its own or one thread for a model, got a fork")
    assert "spawn" in child and "torch.set_num_threads(1)" in child
    assert parent == "3"  # which goes on


@pytest.mark.parametrize(
    ("parent", "child", "used"), [(2, 2, False), (1, 1, True), (1, 2, False), (2, 1, True)]
)
def test_a_fork_that_can_work_does(parent: int, child: int, used: bool) -> None:
    assert run(parent=parent, child=child, used=used, keep=False) == ["3", "3"]

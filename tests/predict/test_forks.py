"""A model in a process that was forked from one where it has worked."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import anymask

SOURCE = Path(anymask.__file__).parents[1]

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="nothing is forked here"
)

# Loads the model and leaves it alone, so each process that is forked from it is as good as new.
PROGRAM = """
import json, multiprocessing, sys
import numpy as np, torch
import anymask

image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
model = anymask.load()
context = multiprocessing.get_context("fork")

def ask(queue, threads, asked):
    torch.set_num_threads(threads)
    try:
        queue.put(len(model.predict(asked, points=[(30, 20)])))
    except anymask.InputError as error:
        queue.put(str(error))

def play(parent, child, used, keep):
    torch.set_num_threads(parent)
    photo = None
    if used:
        photo = model.embed(image)
        model.predict(photo, points=[(30, 20)])
    queue = context.Queue()
    asked = photo if keep else image
    process = context.Process(target=ask, args=(queue, child, asked), daemon=True)
    process.start()
    said = queue.get(timeout=120)
    process.join()
    print(json.dumps([said, len(model.predict(image, points=[(30, 20)]))]), flush=True)

for case in json.loads(sys.argv[1]):
    process = context.Process(target=play, args=case)
    process.start()
    process.join()
    assert process.exitcode == 0, case
"""
HANGS = [(2, 2, True, False), (2, 2, True, True)]
WORKS = [(2, 2, False, False), (1, 1, True, False), (1, 2, False, False), (2, 1, True, False)]


@pytest.fixture(scope="module")
def said() -> dict[tuple[int, int, bool, bool], list[Any]]:
    """What a fork and its parent said, by the threads of parent and child, whether the parent had
    used the model, and whether the child was given what it had made."""
    cases = [*HANGS, *WORKS]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(cases)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("case", HANGS)
def test_a_fork_that_would_hang_is_told_what_to_do(said: Any, case: Any) -> None:
    child, parent = said[case]
    assert child.startswith("expected a process of its own or one thread for a model, got a fork")
    assert "spawn" in child and "torch.set_num_threads(1)" in child
    assert parent == 3  # which goes on


@pytest.mark.parametrize("case", WORKS)
def test_a_fork_that_can_work_does(said: Any, case: Any) -> None:
    assert said[case] == [3, 3]

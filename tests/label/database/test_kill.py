"""Writers are killed a hundred times, and nothing that they acknowledged is lost or half there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from anymask.label import Store

SOURCE = Path(__file__).resolve().parents[3] / "src"
KILLS = 100
WRITERS = 5  # at a time

# A process that has everything imported, and forks a writer for each line that it reads. A writer
# says each revision once it is acknowledged: mask, revision, area.
SCRIPT = """
import os, random, sys
import numpy as np
from anymask import Masks
from anymask.label import Provenance, RevisionConflict, Store

FOLDER, DATABASE = sys.argv[1], sys.argv[2] or None
Store.open(FOLDER, database=DATABASE).close()

def area_mask(area):
    dense = np.zeros((8, 12), bool)
    dense.ravel()[:area] = True
    return Masks.from_dense(dense, labels=["sky"])

def write(seed):
    rng = random.Random(seed)
    store = Store.open(FOLDER, database=DATABASE)
    while True:
        image, area = rng.randint(1, 3), rng.randint(1, 96)
        found = store.masks(image)
        at = rng.randrange(len(found.ids) + 1)
        who = Provenance(person=f"writer {seed % 3}", seconds=1)
        try:
            if at == len(found.ids) and at < 20:
                parts = Masks.concat([area_mask(area), area_mask(area)])
                made = store.add_masks(image, parts, who)
            elif at < len(found.ids):
                mask, revision = found.ids[at], found.revisions[at]
                made = [(mask, store.edit_mask(mask, revision, area_mask(area), who))]
            else:
                continue
        except RevisionConflict:
            continue
        for mask, revision in made:
            os.write(1, f"{mask} {revision} {area}\\n".encode())

print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            write(int(line))
        finally:
            os._exit(1)
    print("child", child, flush=True)
    os.waitpid(child, os.WNOHANG)
"""


def acknowledged(lines: IO[str], number: int, said: list[str]) -> list[int]:
    """Read until so many writers are there; keep what the others say meanwhile."""
    children = []
    while len(children) < number:
        line = lines.readline()
        assert line, "the writers ended by themselves"
        if line.startswith("child"):
            children.append(int(line.split()[1]))
        else:
            said.append(line)
    return children


def kill_writers(folder: Path, database: str | None) -> list[str]:
    said: list[str] = []
    rng = random.Random(0)
    words = [sys.executable, "-c", SCRIPT, str(folder), database or ""]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        for start in range(0, KILLS, WRITERS):
            for seed in range(start, start + WRITERS):
                parent.stdin.write(f"{seed}\n")
            parent.stdin.flush()
            children = acknowledged(parent.stdout, WRITERS, said)
            for _ in range(rng.randint(1, 12)):
                said.append(parent.stdout.readline())
            for child in children:
                os.kill(child, signal.SIGKILL)
        parent.stdin.close()
        said += parent.stdout.readlines()
    return said


def test_nothing_acknowledged_is_lost(store: Store, database: str | None) -> None:
    said = kill_writers(store.root, database)
    whole = [tuple(map(int, line.split())) for line in said if line.endswith("\n")]
    assert len(whole) > KILLS
    history = {mask: store.history(mask) for mask in {mask for mask, _, _ in whole}}
    for mask, revision, area in whole:
        assert history[mask][revision - 1].masks.areas.tolist() == [area]
    # What was not acknowledged is there whole, or not at all.
    assert store.counters() == pytest.approx(store.count_again())
    lost = "SELECT count(*) FROM masks m WHERE NOT EXISTS (SELECT 1 FROM revisions r WHERE {})"
    current = lost.format("r.mask_id = m.id AND r.revision = m.revision")
    assert store.database.read(lambda t: t.value(current)) == 0
    for number in (1, 2, 3):
        found = store.masks(number)
        assert found.image.masks == len(found.masks) == len(found.ids)
    if database is None:
        assert store.database.read(lambda t: t.value("PRAGMA integrity_check")) == "ok"

"""The engine of a cluster, on Ray's own cluster of several nodes on one machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.label.farm.conftest import contents, index, wait_for
from tests.label.farm.squares import DEADLY, HEAVY, Squares, Together, make_image

from anymask.label.farm.cluster import Cluster
from anymask.label.farm.ledger import Ledger
from anymask.label.farm.local import Local
from anymask.label.farm.run import farm

ROOT = Path(__file__).resolve().parents[3]

pytestmark = [
    pytest.mark.ray,
    # Ray's own, of its processes and sockets.
    pytest.mark.filterwarnings("ignore"),
]
_STORE = 80 << 20  # bytes of each node's object store


def add_node(nodes: Any, **how: Any) -> Any:
    """Add a node; Ray gives up on one that has not begun after 30 s, as on a busy machine."""
    for again in reversed(range(10)):
        try:
            return nodes.add_node(object_store_memory=_STORE, **how)
        except Exception as error:
            if not again or "timed out during startup" not in str(error):
                raise
    raise AssertionError


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Start a cluster of one node with one processor, to which tests add others."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster as Nodes

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # by itself 15: on a busy machine none begins
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Nodes()
        add_node(nodes, num_cpus=1, include_dashboard=False)
        ray.init(address=nodes.address, log_to_driver=False)
        yield nodes
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    for seed in range(60):
        make_image(folder / f"{seed % 7}/{seed}.jpg", seed)
    (folder / "again.jpg").write_bytes((folder / "3/3.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def test_a_cluster_gives_the_same_bytes_though_a_node_is_killed(
    nodes: Any, many: Path, tmp_path: Path
) -> None:
    second = add_node(nodes, num_cpus=1)
    there, here, log, seen = (tmp_path / name for name in ("there", "here", "log", "seen"))
    seen.mkdir()
    killed: list[int] = []

    def kill(progress: Any) -> None:
        if progress.stage == "labelling" and progress.done >= 4 and not killed:
            killed.append(progress.done)
            nodes.remove_node(second, allow_graceful=False)

    # No image is done before both nodes are at work, so one is killed in the middle of something.
    work = Together(log, seconds=0.2, seen=seen)
    found = farm(
        many,
        there,
        work,
        engine=Cluster(2),
        shard_images=16,
        format=["sa1b", "parquet"],
        progress=kill,
    )
    assert len(list(seen.iterdir())) == 2 and 4 <= killed[0] < 50
    assert (found.images, found.duplicates, found.failed) == (60, 1, 1)
    assert log.stat().st_size >= 60
    farm(
        many,
        here,
        Squares(),
        engine=Local(1, shared=True),
        shard_images=16,
        format=["sa1b", "parquet"],
    )
    assert contents(there) == contents(here)
    again = farm(many, there, work, engine=Cluster(2), shard_images=16, format="sa1b")
    assert again.done == 1


def test_what_kills_its_worker_does_not_go_round_for_ever(
    nodes: Any, many: Path, tmp_path: Path
) -> None:
    make_image(many / "deadly.jpg", 77, (DEADLY, 9))
    make_image(many / "heavy.jpg", 78, (HEAVY, 9))
    out = tmp_path / "out"
    found = farm(many, out, Squares(), engine=Cluster(1))
    assert (found.images, found.failed) == (60, 3)
    assert "3 processes in turn were killed" in index(out)["deadly.jpg"]["error"]


def test_an_image_in_memory_travels_to_the_workers(nodes: Any, many: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.put(str(many), "/far", recursive=True)
    far, near = tmp_path / "far", tmp_path / "near"
    assert farm("memory://far", far, Squares(), engine=Cluster(1)).images == 60
    farm(many, near, Squares(), engine=Local(1, shared=True))
    for name in index(far):
        assert index(far)[name] == index(near)[name]


DRIVER = """
import sys
from pathlib import Path
from anymask.label.farm.cluster import Cluster
from anymask.label.farm.run import farm
from tests.label.farm.squares import Squares

address, source, output, log = sys.argv[1:]
farm(source, output, Squares(Path(log), seconds=0.5), engine=Cluster(1, address), shard_images=16)
"""


def test_a_driver_that_is_killed_loses_nothing_that_is_known(
    nodes: Any, many: Path, tmp_path: Path
) -> None:
    out, whole, log, second = (tmp_path / name for name in ("out", "whole", "log", "second"))
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    driver = subprocess.Popen(
        [sys.executable, str(script), nodes.address, str(many), str(out), str(log)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
    )
    # Records are noted before the first shard is written; 16 of 61 images make one.
    wait_for(lambda: (out / "shards/sa_000000.tar").is_file() or driver.poll() is not None)
    driver.send_signal(signal.SIGKILL)
    _, said = driver.communicate()
    assert driver.returncode == -signal.SIGKILL, said
    with Ledger(out / ".anymask/farm.sqlite") as ledger:
        known = ledger.counts()
    assert 16 <= known.images < 60
    found = farm(many, out, Squares(second), engine=Cluster(1), shard_images=16)
    assert (found.images, found.duplicates, found.failed) == (60, 1, 1)
    # The one that cannot be read is tried again, too, and looked at by nobody.
    assert found.done == 61 - known.images == second.stat().st_size + 1
    farm(many, whole, Squares(), engine=Local(1, shared=True), shard_images=16)
    assert contents(out) == contents(whole)

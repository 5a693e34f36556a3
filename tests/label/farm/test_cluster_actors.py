"""Which actors the engine of a cluster asks Ray for, told by a stand-in for Ray."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tests.label.farm.squares import Squares

from anymask.label.farm import cluster
from anymask.label.farm.cluster import Cluster
from anymask.label.farm.task import Hashing, Labelling, Task

pytest.importorskip("pyarrow")


@dataclass
class Asked:
    """What Ray was asked for, for each kind of job."""

    resources: dict[str, float]
    calls: list[dict[str, Any]] = field(default_factory=list)

    def map_batches(self, actor: type, **options: Any) -> Any:
        self.calls.append(options)
        return SimpleNamespace(iter_batches=lambda **_: [])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked({"CPU": 16.0})
    data, ray, scheduling = (
        ModuleType(name) for name in ("ray.data", "ray", "ray.util.scheduling_strategies")
    )
    pool = lambda **sizes: SimpleNamespace(**sizes)  # noqa: E731
    data.ActorPoolStrategy = pool
    data.DataContext = SimpleNamespace(get_current=SimpleNamespace)
    data.from_arrow = lambda blocks: found
    ray.data, ray.is_initialized = data, lambda: True
    ray.cluster_resources = lambda: found.resources
    ray.get_runtime_context = lambda: SimpleNamespace(get_node_id=lambda: "here")
    remote = SimpleNamespace(remote=lambda: None)
    ray.remote = lambda kind: SimpleNamespace(options=lambda **_: remote)
    scheduling.NodeAffinitySchedulingStrategy = lambda *_, **__: None
    modules = {"ray": ray, "ray.data": data, "ray.util": ModuleType("ray.util")}
    for name, module in {**modules, "ray.util.scheduling_strategies": scheduling}.items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


@pytest.mark.parametrize(
    ("resources", "options", "heavy", "light"),
    [
        ({"CPU": 16.0}, {}, (16, None), (16, None)),
        ({"CPU": 16.0, "GPU": 4.0}, {}, (4, 1), (16, None)),
        ({"CPU": 16.0, "GPU": 4.0}, {"gpu": False}, (16, None), (16, None)),
        ({"CPU": 16.0, "GPU": 4.0}, {"workers": 2}, (2, 1), (2, None)),
        ({}, {}, (1, None), (1, None)),
    ],
    ids=["processors", "GPUs", "no GPUs wanted", "workers", "nothing known"],
)
def test_an_actor_takes_a_gpu_where_there_are_any(
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    resources: Any,
    options: Any,
    heavy: Any,
    light: Any,
) -> None:
    asked.resources = resources
    engine = Cluster(**options)
    monkeypatch.setattr(cluster, "_FEW", 1)
    for job in (Labelling(Squares(), bytes), Hashing(bytes)):
        list(engine.map(job, iter([Task(1, "a.jpg")])))
    sizes = [(call["compute"].max_size, call.get("num_gpus")) for call in asked.calls]
    assert sizes == [heavy, light]
    assert all(call["num_cpus"] == 1 for call in asked.calls)


def test_workers_begin_together_but_not_more_than_there_is_to_do(asked: Asked) -> None:
    job, tasks = Labelling(Squares(), bytes), [Task(i, f"{i}.jpg") for i in range(1, 30)]
    for some in (tasks[:1], tasks):
        list(Cluster(4).map(job, iter(some)))
    pools = [call["compute"] for call in asked.calls]
    assert [one.initial_size for one in pools] == [1, 4]
    assert all((one.min_size, one.max_size) == (1, 4) for one in pools)


def test_the_driver_reads_few_images_itself(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_FEW", 3)
    engine, job = Cluster(4), Hashing(str.encode)
    found = list(engine.map(job, iter([Task(1, "a"), Task(2, "b")])))
    assert {one.number: one.sha256 for one in found} == {
        number: hashlib.sha256(name).digest() for number, name in ((1, b"a"), (2, b"b"))
    }
    assert not asked.calls
    list(engine.map(job, iter([Task(i, "a") for i in range(3)])))
    assert len(asked.calls) == 1

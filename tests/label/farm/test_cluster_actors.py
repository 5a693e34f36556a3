"""Which actors the engine of a cluster asks Ray for, told by a stand-in for Ray."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tests.label.farm.squares import Squares

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
    asked: Asked, resources: Any, options: Any, heavy: Any, light: Any
) -> None:
    asked.resources = resources
    engine = Cluster(**options)
    for job in (Labelling(Squares(), bytes), Hashing(bytes)):
        list(engine.map(job, iter([Task(1, "a.jpg")])))
    sizes = [(call["compute"].max_size, call.get("num_gpus")) for call in asked.calls]
    assert sizes == [heavy, light]
    assert all(call["num_cpus"] == 1 for call in asked.calls)

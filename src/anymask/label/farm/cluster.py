"""The engine of a cluster: Ray Data, with an actor for each worker.

Names go out and run lengths come back, so little travels. Ray starts what died again, on another
node if need be, and gives it the same tasks; how often that happened to a task is counted, so that
an image that kills its worker does not go round for ever.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from anymask.errors import InputError
from anymask.label.farm.local import Local
from anymask.label.farm.task import Job, Outcome, Task, killed
from anymask.optional import optional

__all__ = ["Cluster"]

_WINDOW = 1 << 15  # tasks that the driver hands over at a time
_BATCH = 4  # tasks that an actor is given at a time
_LIGHT_BATCH = 64  # of light ones
_FEW = 2000  # light tasks that the driver does sooner than workers begin
_PATIENCE = 3  # workers that may die at a task
_STARTS = 3  # attempts at a new cluster, whose start Ray gives up on after 30 s on busy machines
_STORE = 256 << 20  # bytes, of a new cluster's object store, for names and run lengths
_DEATHS = 8  # workers in turn that may die before they have done anything


class Cluster:
    """Workers on the nodes of a Ray cluster; a small one is started here if there is none.

    Args:
        workers: Actors at most; None: one for each GPU, or for each processor if there are none.
        address: Where the cluster is, as Ray has it, such as "auto"; None: what is connected
            already, what Ray's environment variable names, or a new one on this machine.
        gpu: Use GPUs if there are any.

    Raises:
        InputError: The number of workers is none.
        MissingExtraError: Ray is not installed.
    """

    def __init__(
        self, workers: int | None = None, address: str | None = None, gpu: bool = True
    ) -> None:
        optional("ray.data", extra="farm")  # before any work
        if workers is not None and workers < 1:
            raise InputError(f"expected at least 1 worker, got {workers}; leave it out")
        self.workers, self.address, self.gpu = workers, address, gpu
        self._mine = False  # whether this has connected

    def map(self, job: Job, tasks: Iterator[Task]) -> Iterator[Outcome]:
        """Do a job with each task; see `Local.map`.

        Raises:
            InputError: There is no cluster at the address.
        """
        ray = optional("ray", extra="farm")
        if job.light:
            first = list(islice(tasks, _FEW))
            if len(first) < _FEW:
                yield from Local().map(job, iter(first))
                return
            tasks = chain(first, tasks)
        while some := list(islice(tasks, _WINDOW)):
            if not ray.is_initialized():
                self._connect(ray)
                self._mine = True
            yield from self._run(ray, job, some)

    def close(self) -> None:
        """Leave the cluster, and end it if it was started for this."""
        if self._mine:
            optional("ray", extra="farm").shutdown()
            self._mine = False

    def _connect(self, ray: Any) -> None:
        new = self.address is None and "RAY_ADDRESS" not in os.environ
        how: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
        if new:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
            # Workers come last by Ray's own will (15): on a busy machine they would hardly begin.
            os.environ.setdefault("RAY_worker_niceness", "0")
            how |= {"include_dashboard": False, "num_cpus": self.workers}
            how |= {"object_store_memory": _STORE}
        for again in reversed(range(_STARTS if new else 1)):
            try:
                ray.init(address="local" if new else self.address, **how)
                return
            except Exception as error:  # Ray raises bare ones, too
                ray.shutdown()
                if not again:
                    raise InputError(
                        f"expected a Ray cluster at {self.address or 'this machine'!r}, got "
                        f"{error}; start one with `ray start --head`, or leave the address out"
                    ) from error

    def _run(self, ray: Any, job: Job, tasks: list[Task]) -> Iterator[Outcome]:
        data = optional("ray.data", extra="farm")
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        if hasattr(context, "max_consecutive_actor_init_deaths"):  # such as on a node that dies
            context.max_consecutive_actor_init_deaths = _DEATHS
        size = _LIGHT_BATCH if job.light else _BATCH
        on_gpus = not job.light and self.gpu and ray.cluster_resources().get("GPU", 0) > 0
        blocks = list(_blocks(tasks, size))
        most = self._actors(ray, on_gpus)
        mapped = data.from_arrow(blocks).map_batches(
            _Actor,
            batch_size=size,
            batch_format="pyarrow",
            # All begin at once; fewer are enough when nodes are lost, or at the end.
            compute=data.ActorPoolStrategy(
                min_size=1,
                max_size=most,
                initial_size=min(most, len(blocks)),
                max_tasks_in_flight_per_actor=2,
            ),
            fn_constructor_kwargs={"job": job, "attempts": _attempts(ray)},
            num_cpus=1,
            **({"num_gpus": 1} if on_gpus else {}),
        )
        known = {task.number for task in tasks}
        for batch in mapped.iter_batches(batch_size=None, batch_format="pyarrow"):
            for outcome in map(pickle.loads, batch.column("outcome").to_pylist()):
                if outcome.number in known:  # what came twice counts once
                    known.remove(outcome.number)
                    yield outcome

    def _actors(self, ray: Any, on_gpus: bool) -> int:
        if self.workers is not None:
            return self.workers
        there = ray.cluster_resources()
        return max(1, int(there["GPU"] if on_gpus else there.get("CPU", 1)))


def _blocks(tasks: list[Task], size: int) -> Iterator[Any]:
    pa = optional("pyarrow", extra="farm")
    for start in range(0, len(tasks), size):
        some = [pickle.dumps(task) for task in tasks[start : start + size]]
        yield pa.table({"task": pa.array(some, pa.binary())})


class _Actor:
    """A worker: it is made once, and called with a few tasks at a time."""

    def __init__(self, job: Job, attempts: Any) -> None:
        import ray

        self._ray, self._attempts = ray, attempts
        self._light, self._attempt = job.light, job.open()
        self._last: int | None = None  # task that is done
        if not job.light:
            optional("torch").set_num_threads(1)  # as on one machine, see `local`

    def __call__(self, batch: Any) -> Any:
        pa = optional("pyarrow", extra="farm")
        found = [self._outcome(pickle.loads(one)) for one in batch.column("task").to_pylist()]
        if not self._light:
            self._attempts.end.remote(self._last)
        return pa.table({"outcome": pa.array(map(pickle.dumps, found), pa.binary())})

    def _outcome(self, task: Task) -> Outcome:
        if self._light:
            return self._attempt(task)
        before = self._ray.get(self._attempts.begin.remote(task.number, self._last))
        self._last = None
        if before >= _PATIENCE:
            return killed(task, before)  # and stays begun, or it would go round once more
        outcome = self._attempt(task)
        self._last = task.number  # told with the next one: each message takes time
        return outcome


def _attempts(ray: Any) -> Any:
    """Start what counts attempts, on the node of the driver if that has room."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    # Should it die, too, it counts anew.
    again = {"max_restarts": -1, "max_task_retries": -1}
    return ray.remote(_Attempts).options(num_cpus=0, scheduling_strategy=here, **again).remote()


class _Attempts:
    """Counts how often a task was begun and never ended."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}

    def begin(self, number: int, ended: int | None = None) -> int:
        self.end(ended)
        before = self._begun.get(number, 0)
        self._begun[number] = before + 1
        return before

    def end(self, number: int | None) -> None:
        if number is not None:
            self._begun.pop(number, None)

"""Two processes against one with twice the batch; and what each of them may and must do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.toy import Judge, Point, Points, network, run
from torch import Tensor, nn
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from anymask.train.objective import Step
from anymask.train.run.distributed import Group, own_device

ROOT = Path(__file__).resolve().parents[3]


def torchrun(out: Path, **options: Any) -> subprocess.Popen[str]:
    """Run the toy in two processes."""
    code = f"from tests.train.run.test_distributed import learn; learn({str(out)!r}, {options!r})"
    script = out.with_suffix(".py")
    script.write_text(code)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.Popen(
        [sys.executable, *launcher, str(script)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Parts(nn.Module):
    """A network of which one part is asked by some items only, and another by none."""

    def __init__(self) -> None:
        super().__init__()
        self.line = network()
        self.some, self.none = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x)


def objective(model: nn.Module, batch: list[Point], step: Step) -> Mapping[str, float]:
    """With twice the batch, every second process has an item that asks the second part."""
    x, y = torch.stack([p.x for p in batch]), torch.stack([p.y for p in batch])
    answer = model(x)
    asks = torch.tensor([[float(p.key.endswith("5"))] for p in batch])
    if asks.any():
        answer = answer + asks * model.some(torch.ones(1, 1))
    loss = ((answer - y) ** 2).mean() * float(step.rng.uniform(0.5, 1.5))
    step.backward(loss)
    return {"loss": loss.item()}


def learn(out: str, options: dict[str, Any]) -> int:
    """What every process does; counts the threads of its group that are left."""
    batches = Points(options.pop("batch_size"), bad=options.pop("bad", -1))
    model = Parts()
    run(
        Path(out), model, batches=batches, objective=objective, weight_decay=0.1, ema_decay=0.9,
        validation=Judge(), **options,
    )  # fmt: skip
    return sum("gloo" in name for name in thread_names())


def thread_names() -> list[str]:
    """Name the threads of this process; on Linux only."""
    return [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]


def losses(out: Path) -> list[float]:
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in found if "loss" in line]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts back whoever listens to signals, for the launcher does not."""
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    # What torchrun does, in processes that have imported torch already.
    two_here = LaunchConfig(
        1, 1, 2, run_id="toy", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        start_method="forkserver", max_restarts=0,
    )  # fmt: skip
    left = elastic_launch(two_here, learn)(str(tmp_path / "two"), {"batch_size": 4})
    assert left == {0: 0, 1: 0}  # or they may abort the interpreter's exit
    learn(str(tmp_path / "one"), {"batch_size": 8})
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    two, one = (
        torch.load(tmp_path / n / "checkpoint.pt", weights_only=True) for n in ("two", "one")
    )
    for kind in ("weights", "ema"):
        for name, value in one["state"][kind].items():
            torch.testing.assert_close(two["state"][kind][name], value, atol=1e-5, rtol=1e-5)
    assert two["place"]["best"] == pytest.approx(one["place"]["best"], abs=1e-5)


@pytest.mark.slow
def test_what_is_wrong_in_one_process_ends_all(tmp_path: Path) -> None:
    process = torchrun(tmp_path / "run", batch_size=4, bad=13)
    said, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert said.count("got nan in step 2 for point-12, point-13, point-14, point-15") >= 2


@pytest.mark.slow
def test_all_processes_stop_together_and_go_on(tmp_path: Path) -> None:
    process = torchrun(
        tmp_path / "run", batch_size=4, steps=1500, save_minutes=0, evaluate_every=1500
    )
    while not (tmp_path / "run" / "metrics.jsonl").exists() or len(losses(tmp_path / "run")) < 3:
        time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=300)
    stopped = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["place"]["steps"]
    assert 3 <= stopped == len(losses(tmp_path / "run")) < 1500


def test_a_process_alone_talks_to_nobody() -> None:
    group = Group()
    assert group.leads
    assert group.gather("x") == ["x"]
    assert group.share("x") == "x"
    tensor = torch.ones(3)
    group.average([tensor])
    group.share_tensors([tensor])
    assert tensor.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("gpu", "rank", "device", "expected"),
    [
        (True, "1", "auto", "cuda:1"),
        (True, "1", "cuda", "cuda:1"),
        (True, "1", "cpu", "cpu"),
        (True, None, "auto", "auto"),
        (False, "1", "auto", "auto"),
    ],
)
def test_each_process_has_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, rank: str | None, device: str, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert own_device(device) == expected

"""A run as a whole: it learns, resumes exactly, stops when told, and keeps what is good."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.toy import SERVER, Judge, Points, network, run, settings, squares
from torch import nn

from anymask.data.stream import Stream
from anymask.errors import InputError, OutputError
from anymask.train.objective import Step
from anymask.train.report import read_validations


def lines(out: Path) -> list[dict[str, Any]]:
    """The recorded numbers without the clock, which is never the same."""
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "minutes"} for line in found]


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in lines(out) if "loss" in line]


def checkpoint(out: Path) -> dict[str, Any]:
    return torch.load(out / "checkpoint.pt", weights_only=True)


def assert_same(out: Path, other: Path) -> None:
    """Two runs went and ended alike, to the last bit."""
    assert lines(out) == lines(other)
    for folder in ("best", "last"):
        ours, theirs = (torch.load(o / folder / "weights.pt") for o in (out, other))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    ours, theirs = (checkpoint(o)["state"] for o in (out, other))
    for kind in ("weights", "ema"):
        assert all(torch.equal(ours[kind][name], theirs[kind][name]) for name in theirs[kind])
    for name, moments in theirs["moments"].items():
        assert all(torch.equal(ours["moments"][name][key], moments[key]) for key in moments)


class Disturbed:
    """The objective of the toy, in which something happens at the nth batch."""

    def __init__(self, at: int, happening: Any) -> None:
        self.left, self.happening = at, happening

    def __call__(self, model: nn.Module, batch: Any, step: Step) -> Mapping[str, float]:
        self.left -= 1
        if self.left == -1:
            self.happening()
        return squares(model, batch, step)


def raising(error: BaseException) -> Any:
    def happening() -> None:
        raise error

    return happening


def term() -> None:
    signal.raise_signal(signal.SIGTERM)


def test_it_learns(tmp_path: Path) -> None:
    outcome = run(tmp_path, steps=150, lr=0.05, evaluate_every=50, validation=Judge())
    assert outcome.reason == "steps"
    assert outcome.steps == 150
    assert np.mean(losses(tmp_path)[-20:]) < 0.1 * np.mean(losses(tmp_path)[:20])
    validations = [line for line in lines(tmp_path) if "validation" in line]
    assert [line["step"] for line in validations] == [0, 50, 100, 150]
    assert outcome.best == max(line["validation"]["closeness"] for line in validations)
    assert sorted(p.name for p in (tmp_path / "previews").iterdir()) == [
        f"step-000{n}.jpg" for n in ("000", "050", "100", "150")
    ]


# Everything that could make a resumed run another one, at once.
HARD = {"ema_decay": 0.9, "accumulate": 2, "record_every": 3, "layer_decay": 0.9, "seed": 5}


@pytest.mark.parametrize("at", [0, 1, 9, 10, 23])  # batches, two for each step
def test_an_interrupted_run_ends_like_any_other(tmp_path: Path, at: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    def start(out: Path, **more: Any) -> None:
        run(out, network(norm=True, dropout=0.3), validation=Judge(), **HARD, **more)

    start(whole)
    with pytest.raises(SystemExit) as end:
        start(parts, objective=Disturbed(at, term))
    assert end.value.code == 143
    assert checkpoint(parts)["place"]["steps"] == at // 2 + 1  # the step was completed
    torch.manual_seed(99)
    start(parts)
    assert_same(parts, whole)


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    def start(out: Path, **more: Any) -> None:
        run(out, validation=Judge(), ema_decay=0.9, record_every=2, **more)

    start(whole)
    with pytest.raises(SystemExit):
        start(parts, objective=Disturbed(2, term))
    with pytest.raises(RuntimeError):
        start(parts, objective=Disturbed(6, raising(RuntimeError())))
    assert checkpoint(parts)["place"]["steps"] == 3
    assert lines(parts)[-1]["step"] == 8
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "lo')  # the power went while this was written
    start(parts)
    assert_same(parts, whole)


def test_interrupting_a_validation_loses_nothing(tmp_path: Path) -> None:
    class Interrupting(Judge):
        def __call__(self, model: nn.Module) -> Mapping[str, float]:
            if len(self.seen) == 1:
                signal.raise_signal(signal.SIGINT)
            return super().__call__(model)

    run(tmp_path / "whole", validation=Judge(), ema_decay=0.5)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", validation=Interrupting(), ema_decay=0.5)
    assert checkpoint(tmp_path / "parts")["place"]["steps"] == 5
    run(tmp_path / "parts", validation=Judge(), ema_decay=0.5)
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_a_second_request_is_obeyed_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        term()
        term()
        raise AssertionError("never comes here")

    with pytest.raises(SystemExit):
        run(tmp_path, objective=Disturbed(3, twice))
    assert checkpoint(tmp_path)["place"]["steps"] == 0


def work(out: Path, told: Connection) -> None:
    """Run in a group of processes of its own, slowly, and tell of each step."""

    def slow(model: nn.Module, batch: Any, step: Step) -> Mapping[str, float]:
        told.send(step.number)
        time.sleep(0.05)
        return squares(model, batch, step)

    os.setpgrp()
    multiprocessing.set_start_method("fork", force=True)  # or workers would be in another group
    torch.set_num_threads(1)
    try:
        run(out, objective=slow, batches=Stream(Points(), 4, workers=1), steps=2000)
    except KeyboardInterrupt:
        os._exit(130)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_to_all_processes_of_a_run(tmp_path: Path, number: int, code: int) -> None:
    heard, told = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=work, args=(tmp_path, told))
    process.start()
    for _ in range(3):
        heard.recv()
    os.killpg(process.pid, number)
    process.join(60)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
    assert process.exitcode == code
    assert checkpoint(tmp_path)["place"]["steps"] == len(losses(tmp_path)) >= 3


def test_the_handlers_of_the_caller_come_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run(tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_it_runs_in_any_thread(tmp_path: Path) -> None:
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert outcomes[0].steps == 12


def test_a_loss_that_is_not_a_number_stops_it(tmp_path: Path) -> None:
    model = network()
    with pytest.raises(InputError, match=r"finite loss, got nan in step 7 for point-24, point-25"):
        run(tmp_path, model, batches=Points(bad=26), save_minutes=0)
    state = checkpoint(tmp_path)
    assert state["place"]["steps"] == 6
    for name, parameter in model.named_parameters():
        assert torch.equal(state["state"]["weights"][name], parameter)
        assert parameter.isfinite().all()


def test_of_several_batches_the_bad_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"step 2 for point-12, point-13, point-14, point-15;"):
        run(tmp_path, batches=Points(bad=14), accumulate=2)


def test_a_gradient_that_is_not_a_number_stops_it(tmp_path: Path) -> None:
    def rooted(model: nn.Module, batch: Any, step: Step) -> Mapping[str, float]:
        weight = next(model.parameters())
        step.backward((0 * weight).sum().sqrt())  # 0, but infinitely steep
        return {"loss": 0.0}

    with pytest.raises(InputError, match=r"finite gradient.* in step 1 for point-0"):
        run(tmp_path, objective=rooted)


def test_weights_that_are_not_numbers_are_not_saved(tmp_path: Path) -> None:
    def poisoning(model: nn.Module, batch: Any, step: Step) -> Mapping[str, float]:
        if step.number == 3:
            model[1].running_mean.fill_(torch.inf)  # type: ignore[operator, union-attr]
        return squares(model, batch, step)

    with pytest.raises(InputError, match=r"finite weights after step 4.*running_mean"):
        run(tmp_path, network(norm=True), objective=poisoning, save_minutes=0)
    assert checkpoint(tmp_path)["place"]["steps"] == 3


def test_a_full_disk_is_one_sentence_and_spares_the_checkpoint(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))

    try:
        with pytest.raises(OutputError, match=r"cannot write '.*checkpoint\.pt'.*make room"):
            run(tmp_path, objective=Disturbed(2, fill), save_minutes=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint(tmp_path)["place"]["steps"] == 2
    assert not list(tmp_path.glob(".anymask-*"))


def test_other_settings_are_listed_and_refused(tmp_path: Path) -> None:
    run(tmp_path, steps=3)
    with pytest.raises(InputError) as refusal:
        run(tmp_path, steps=4, betas=(0.8, 0.9), identity={"variant": "other"})
    for change in ("variant: 'toy', now 'other'", "loop.steps: 3, now 4", "[0.8, 0.9]"):
        assert change in str(refusal.value)
    assert run(tmp_path, steps=3, workers=7, save_minutes=1).steps == 3  # changes no result
    assert run(tmp_path, steps=5, allow_changes=True).steps == 5
    assert checkpoint(tmp_path)["settings"]["loop"]["steps"] == 5
    assert len(losses(tmp_path)) == 5


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(InputError, match=r"differs in 2 tensors, such as 5\.bias: missing"):
        run(tmp_path, nn.Sequential(*network()[:4], nn.Linear(8, 1), nn.Linear(1, 1)))
    part = network()
    part[0].requires_grad_(False)
    with pytest.raises(InputError, match=r"such as 0.bias: \(8,\), here not learned"):
        run(tmp_path, part)


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="expected a checkpoint in"):
        run(tmp_path)
    assert run(tmp_path, overwrite=True).steps == 12


def test_overwriting_forgets_the_earlier_run_only(tmp_path: Path) -> None:
    run(tmp_path, validation=Judge(), steps=3)
    (tmp_path / "notes.txt").touch()
    run(tmp_path, steps=2, overwrite=True)
    assert len(losses(tmp_path)) == 2
    assert not (tmp_path / "best").exists()
    assert not list((tmp_path / "previews").iterdir())
    assert (tmp_path / "notes.txt").exists()


def test_a_finished_run_stays_finished(tmp_path: Path) -> None:
    first = run(tmp_path, validation=Judge())
    before = lines(tmp_path)
    judge = Judge()
    assert run(tmp_path, validation=judge) == first
    assert lines(tmp_path) == before
    assert judge.seen == []


class Falling(Judge):
    """A validation by which every step makes it worse."""

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        super().__call__(model)
        return {"closeness": -float(len(self.seen))}


def test_it_stops_early_and_keeps_the_best(tmp_path: Path) -> None:
    model = network()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    outcome = run(tmp_path, model, steps=100, evaluate_every=2, patience=3, validation=Falling())
    assert (outcome.reason, outcome.steps, outcome.best) == ("patience", 6, -1.0)
    best = torch.load(tmp_path / "best" / "weights.pt")
    assert all(torch.equal(best[name], start[name]) for name in start)


def test_what_may_be_noise_keeps_the_later_weights(tmp_path: Path) -> None:
    judged: list[Mapping[str, torch.Tensor]] = []

    class Watching(Falling):
        def __call__(self, model: nn.Module) -> Mapping[str, float]:
            judged.append({name: value.clone() for name, value in model.state_dict().items()})
            return super().__call__(model)

    judge = Watching(noise_tolerance=1.5)  # the first two validations differ by 1
    outcome = run(tmp_path, steps=6, evaluate_every=2, validation=judge)
    assert outcome.best == -1.0
    kept = [line["kept"] for line in lines(tmp_path) if "validation" in line]
    assert kept == [True, True, False, False]
    best = torch.load(tmp_path / "best" / "weights.pt")
    assert all(torch.equal(best[name], value) for name, value in judged[1].items())
    before, after = read_validations(tmp_path)
    assert (before, after) == ({"closeness": -1.0}, {"closeness": -2.0})


def _stopping_at(number: int) -> Any:
    def objective(model: nn.Module, batch: Any, step: Step) -> Mapping[str, float]:
        if step.number == number:
            raise InputError("stop")
        return squares(model, batch, step)

    return objective


def test_an_anchored_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    run(tmp_path / "whole", anchor=0.5)
    with pytest.raises(InputError, match="stop"):
        run(tmp_path / "parts", objective=_stopping_at(7), anchor=0.5, save_minutes=0.0)
    other = network()
    with torch.no_grad():
        other[0].weight.add_(1)  # the start comes from the checkpoint
    run(tmp_path / "parts", other, anchor=0.5, save_minutes=0.0)
    wanted, found = (torch.load(tmp_path / n / "last" / "weights.pt") for n in ("whole", "parts"))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    learned = checkpoint(tmp_path / "whole")["state"]["weights"]
    assert not torch.equal(learned["0.weight"], wanted["0.weight"])


def test_the_averaged_weights_ship_and_the_others_stay(tmp_path: Path) -> None:
    model = network(norm=True)
    run(tmp_path, model, ema_decay=0.99)
    state, last = checkpoint(tmp_path)["state"], torch.load(tmp_path / "last" / "weights.pt")
    for name, value in model.state_dict().items():
        assert torch.equal(state["weights"][name], value)
        assert torch.equal(state["ema"][name], last[name])
    assert not torch.equal(last["0.weight"], model[0].weight)


def test_the_clock_ends_it(tmp_path: Path) -> None:
    outcome = run(tmp_path, steps=10**6, minutes=0.003, validation=Judge(), evaluate_every=10**6)
    assert outcome.reason == "minutes"
    assert outcome.seconds >= 60 * 0.003
    rates = [line["lr"] for line in lines(tmp_path) if "lr" in line]
    assert rates[-1] < 0.3 * max(rates)  # the schedule followed


def test_what_the_caller_set_stays(tmp_path: Path) -> None:
    model = network(dropout=0.5)
    model[1].eval()
    state = torch.get_rng_state()
    run(tmp_path, model, validation=Judge())
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model] == [True, False, True, True, True]


def test_only_what_may_learn_does(tmp_path: Path) -> None:
    model = network()
    model[0].requires_grad_(False)
    frozen = model[0].weight.clone()
    run(tmp_path, model)
    assert torch.equal(model[0].weight, frozen)
    assert not any(name.startswith("0.") for name in checkpoint(tmp_path)["state"]["weights"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda model: model.requires_grad_(False), "something learns"),
        (lambda model: model.half(), "float32 for what learns, got torch.float16 in 0.weight"),
    ],
)
def test_models_that_cannot_learn(tmp_path: Path, change: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        run(tmp_path, change(network()))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot make the folder"):
        run(tmp_path / "file" / "run")


def test_accumulating_is_as_good_as_larger_batches(tmp_path: Path) -> None:
    def plain(model: nn.Module, batch: Any, step: Step) -> Mapping[str, float]:
        x, y = torch.stack([p.x for p in batch]), torch.stack([p.y for p in batch])
        loss = ((model(x) - y) ** 2).mean()
        step.backward(loss)
        return {"loss": loss.item()}

    run(tmp_path / "large", batches=Points(8), objective=plain)
    run(tmp_path / "small", batches=Points(2), objective=plain, accumulate=4)
    assert losses(tmp_path / "small") == pytest.approx(
        losses(tmp_path / "large"), rel=1e-4, abs=1e-6
    )


def test_the_settings_lie_beside_the_run(tmp_path: Path) -> None:
    import yaml

    from anymask.plain import from_plain
    from anymask.train.config import LoopConfig

    run(tmp_path, lr=1e-5)
    found = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert found["variant"] == "toy"
    assert from_plain(LoopConfig, found["loop"]) == settings(lr=1e-5)


def test_gradients_that_somebody_left_do_not_count(tmp_path: Path) -> None:
    model = network()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    assert run(tmp_path, model).steps == 12

"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from anymask.train.run.ema import Ema, changing


def test_it_forgets_the_start_and_then_moves_slowly() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(5.0)
    average = Ema(model, 0.9)
    model.weight.data.fill_(1.0)
    expected = 5.0
    for step in range(1, 200):
        average.update(step)
        keep = min(0.9, step / (step + 9))
        expected = keep * expected + (1 - keep)
        assert average.tensors["weight"].item() == pytest.approx(expected)
    assert average.tensors["weight"].item() == pytest.approx(1.0)


def test_without_decay_it_is_the_weights() -> None:
    model = nn.Linear(2, 2)
    average = Ema(model, 0.0)
    model.weight.data.normal_()
    average.update(1)
    assert torch.equal(average.tensors["weight"], model.weight)


def test_it_is_worn_and_taken_off() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Ema(model, 0.5)
    before = {name: t.detach().clone() for name, t in changing(model).items()}
    model(torch.randn(4, 2)).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    newest = {name: t.detach().clone() for name, t in changing(model).items()}
    with pytest.raises(ZeroDivisionError), average.applied():
        assert all(torch.equal(t, before[name]) for name, t in changing(model).items())
        raise ZeroDivisionError
    assert all(torch.equal(t, newest[name]) for name, t in changing(model).items())
    average.update(1)
    assert average.tensors["1.num_batches_tracked"] == 1


def test_what_is_frozen_does_not_change() -> None:
    model = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.BatchNorm1d(2))
    assert sorted(changing(model)) == [
        f"1.{name}"
        for name in ("bias", "num_batches_tracked", "running_mean", "running_var", "weight")
    ]


def test_the_start_keeps_its_share() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    start = model[0].weight.detach().clone()
    average = Ema(model, 0.0, anchor=0.25)
    model(torch.randn(4, 2))
    model[0].weight.data.add_(1.0)
    average.update(1)
    for _ in range(2):  # nothing adds up
        with average.applied():
            assert torch.allclose(model[0].weight, start + 0.75)
            assert model[1].num_batches_tracked == 1
        assert torch.allclose(model[0].weight, start + 1.0)
    assert torch.allclose(average.tensors["0.weight"], start + 1.0)

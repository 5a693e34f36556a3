"""16 bits in the passes, 32 in what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.train.test_loop import losses
from tests.train.toy import network, run
from torch import nn

from anymask.train.run.precision import Precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("fp32", torch.float32),
        ("bf16", torch.bfloat16),
        ("fp16", torch.float16),
        ("auto", torch.float32),
    ],
)
def test_layers_compute_in_it(name: str, dtype: torch.dtype) -> None:
    layer, precision = nn.Linear(2, 2), Precision(name, CPU)  # type: ignore[arg-type]
    with precision.forward():
        answer = layer(torch.ones(1, 2))
        precision.backward(answer.float().sum())
    assert answer.dtype == dtype
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_models_learn_in_it(tmp_path: Path, name: str) -> None:
    model = network()
    run(tmp_path / "whole", model, precision=name, steps=60, lr=0.05)
    whole = losses(tmp_path / "whole")
    assert np.mean(whole[-10:]) < 0.3 * np.mean(whole[:10])
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_a_weight_cast_without_gradients_still_learns() -> None:
    layer, precision = nn.Linear(2, 2), Precision("bf16", CPU)
    with precision.forward():
        with torch.no_grad():
            layer(torch.ones(1, 2))
        precision.backward(layer(torch.ones(1, 2)).float().sum())
    assert layer.weight.grad is not None


def test_too_large_a_scale_costs_a_step_and_is_halved() -> None:
    layer, precision = nn.Linear(1, 1), Precision("fp16", CPU)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    before, scale = layer.weight.clone(), precision.state()["scale"]
    precision.backward(layer(torch.full((1, 1), 1e36)).sum())
    assert precision.step(optimizer, list(layer.parameters()), 1.0) == torch.inf
    assert torch.equal(layer.weight, before)
    assert precision.state()["scale"] == scale / 2
    again = Precision("fp16", CPU)
    again.load(precision.state())
    assert again.state() == precision.state()


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_a_gradient_that_no_scale_helps_is_told(name: str) -> None:
    layer, precision = nn.Linear(1, 1), Precision(name, CPU)  # type: ignore[arg-type]
    precision.load({**precision.state(), "scale": 1.0} if name == "fp16" else {})
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    before = layer.weight.clone()
    precision.backward(layer(torch.full((1, 1), torch.inf)).sum())
    assert precision.step(optimizer, list(layer.parameters()), 1.0) is None
    assert torch.equal(layer.weight, before)


def test_clipping() -> None:
    layer, precision = nn.Linear(1, 1, bias=False), Precision("fp32", CPU)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for clip, moved in ((0.5, 0.5), (0.0, 3.0), (9.0, 3.0)):
        layer.weight.data.zero_()
        optimizer.zero_grad()
        precision.backward(layer(torch.full((1, 1), 3.0)).sum())
        assert precision.step(optimizer, list(layer.parameters()), clip) == pytest.approx(3.0)
        assert layer.weight.item() == pytest.approx(-moved, rel=1e-4)

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models import kernels
from anymask.models.kernels import (
    Conv2d,
    Linear,
    attend,
    chunk_rows,
    chunk_tokens,
    convolve,
    gelu,
    saves_memory,
)

HALF = [torch.bfloat16, torch.float16]
ERROR = {torch.float32: 2e-6, torch.float64: 1e-12, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def values(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(math.prod(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def error(got: Tensor, wanted: Tensor) -> float:
    assert got.shape == wanted.shape
    return float((got.double() - wanted.double()).norm() / wanted.double().norm())


# ---- attention ------------------------------------------------------------------------------


def formula(q: Tensor, k: Tensor, v: Tensor, bias: list[Tensor]) -> Tensor:
    """Attention with the whole matrix of scores, float64."""
    q, k, v, *bias = (x.double() for x in (q, k, v, *bias))
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    for term in bias:
        scores = scores + term.expand(*scores.shape[:3], 4, 5).flatten(3)
    return scores.softmax(3) @ v


def biases(kind: str, queries: int, dtype: torch.dtype) -> list[Tensor]:
    row, column = values(3, 2, queries, 4, 1), values(3, 2, queries, 1, 5)
    of_windows = values(1, 2, queries, 4, 5)
    terms = {"none": [], "grid": [row, column], "shared": [of_windows], "all": [row, of_windows]}
    return [term.to(dtype) for term in terms[kind]]


WAYS = {"recorded": (True, 0), "fused": (False, 20), "shares": (False, 19)}


@pytest.fixture(params=[False, True], ids=["narrow", "wide"])
def _processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_is_wide", lambda: request.param)


@pytest.mark.parametrize("at_once", [1, 45, 7 * 20, 2 * 7 * 20, 1 << 20])
@pytest.mark.parametrize("kind", ["none", "grid", "shared", "all"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("_processor")
def test_attention_equals_the_formula(
    at_once: int, kind: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is held at a time: a query, some, a head, a window, everything."""
    recorded, few = WAYS[way]
    monkeypatch.setattr(kernels, "FEW_KEYS", few)
    monkeypatch.setattr(kernels, "CPU_VALUES", at_once)
    q, k, v = values(3, 2, 7, 8), values(3, 2, 20, 8), 2 * values(3, 2, 20, 8)
    bias = biases(kind, 7, torch.float32)
    with torch.set_grad_enabled(recorded):
        got = attend(q, k, v, bias)
    assert error(got, formula(q, k, v, bias)) < ERROR[torch.float32]


@pytest.mark.parametrize("dtype", [torch.float64, *HALF])
@pytest.mark.parametrize("few", [19, 20])
@pytest.mark.usefixtures("_processor")
@torch.inference_mode()
def test_attention_in_other_types(
    dtype: torch.dtype, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "FEW_KEYS", few)
    q, k, v = (values(3, 2, 20, 8, dtype=dtype) for _ in range(3))
    bias = biases("grid", 20, dtype)
    got = attend(q, k, v, bias)
    assert got.dtype == dtype
    assert error(got, formula(q, k, v, bias)) < ERROR[dtype]


@pytest.mark.usefixtures("_processor")
@torch.inference_mode()
def test_attention_of_many_queries_takes_strided_tensors() -> None:
    qkv = values(1, 2 * kernels.MANY_TOKENS, 3, 2, 8)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    assert error(attend(q, k, v), formula(q, k, v, [])) < ERROR[torch.float32]


@torch.inference_mode()
def test_attention_never_holds_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    softmax = torch.softmax

    def watch(scores: Tensor, **options: Any) -> Tensor:
        sizes.append(scores.numel())
        return softmax(scores, **options)

    monkeypatch.setattr(torch, "softmax", watch)
    monkeypatch.setattr(kernels, "CPU_VALUES", 3000)
    monkeypatch.setattr(kernels, "_is_wide", lambda: True)
    monkeypatch.setattr(kernels, "FEW_KEYS", 0)
    attend(*values(3, 2, 2, 100, 8))
    assert max(sizes) <= 3000
    assert sum(sizes) == 2 * 2 * 100 * 100


def test_gradients_of_attention_with_a_bias() -> None:
    q, k, v = (values(3, 2, 20, 8, dtype=torch.float64).requires_grad_() for _ in range(3))
    bias = [term.requires_grad_() for term in biases("grid", 20, torch.float64)]
    inputs = [q, k, v, *bias]
    got = torch.autograd.grad(attend(q, k, v, bias).square().sum(), inputs)
    wanted = torch.autograd.grad(formula(q, k, v, bias).square().sum(), inputs)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)


# ---- products -------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, kernels.MANY_TOKENS - 1, kernels.MANY_TOKENS, 1000])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", ERROR)
@torch.inference_mode()
def test_linear_layer(tokens: int, bias: bool, dtype: torch.dtype) -> None:
    layer = Linear(24, 40, bias=bias, dtype=dtype)
    x = values(1, tokens, 24, dtype=dtype)
    double = nn.Linear(24, 40, bias=bias, dtype=torch.float64)
    double.load_state_dict(layer.state_dict())
    assert layer(x).dtype == dtype
    assert error(layer(x), double(x.double())) < ERROR[dtype]


@pytest.fixture
def _no_onednn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    kernels.natively_supported.cache_clear()
    kernels._onednn.cache_clear()
    yield
    kernels.natively_supported.cache_clear()
    kernels._onednn.cache_clear()


@pytest.mark.usefixtures("_no_onednn")
@pytest.mark.parametrize("dtype", ERROR)
@torch.inference_mode()
def test_linear_layer_where_there_is_no_onednn(dtype: torch.dtype) -> None:
    layer = Linear(24, 40, dtype=dtype)
    x = values(kernels.MANY_TOKENS, 24, dtype=dtype)
    wanted = F.linear(x.double(), layer.weight.double(), layer.bias.double())
    assert error(layer(x), wanted) < ERROR[dtype]


@torch.inference_mode()
def test_linear_layer_on_a_slice_of_a_map() -> None:
    layer = Linear(24, 40)
    x = values(2, 30, 30, 24)[:, :25, 2:]
    assert error(layer(x), F.linear(x.contiguous(), layer.weight, layer.bias)) < 2e-6


@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
@torch.inference_mode()
def test_convolution(dtype: torch.dtype) -> None:
    layer = Conv2d(8, 12, 3, stride=2, padding=1, groups=4, dtype=dtype)
    double = nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=4, dtype=torch.float64)
    double.load_state_dict(layer.state_dict())
    x = values(2, 8, 9, 7, dtype=dtype)
    assert layer(x).dtype == dtype
    assert error(layer(x), double(x.double())) < ERROR[dtype]
    doubled = convolve(x, layer, 2 * layer.weight, None)
    assert error(doubled, 2 * F.conv2d(x.double(), double.weight, None, 2, 1, 1, 4)) < ERROR[dtype]


@pytest.mark.parametrize("stride", [1, 2])
@torch.inference_mode()
def test_pointwise_convolution(stride: int) -> None:
    layer = Conv2d(8, 12, 1, stride=stride)
    x = values(2, 8, 17, 16)
    assert error(layer(x), F.conv2d(x, layer.weight, layer.bias, stride)) < 2e-6


def test_gelu_spares_what_a_gradient_needs() -> None:
    x = values(10, 10)
    wanted = F.gelu(x)
    torch.testing.assert_close(gelu(x), wanted)
    with torch.inference_mode():
        torch.testing.assert_close(gelu(x), wanted)
    torch.testing.assert_close(x, wanted)  # its place was taken


def test_layers_learn_as_pytorchs_do() -> None:
    x = values(kernels.MANY_TOKENS, 24)
    layer, plain = Linear(24, 40), nn.Linear(24, 40)
    plain.load_state_dict(layer.state_dict())
    for one in (layer.eval(), plain):
        one(x).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("tokens", [1, 5, 100])
@torch.inference_mode()
def test_shares_of_tokens_make_the_whole(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "CPU_VALUES", 100)
    seen = []

    def layer(x: Tensor) -> Tensor:
        seen.append(len(x))
        return 2 * x[:, :3]

    x = values(2, tokens, 4)
    torch.testing.assert_close(chunk_tokens(layer, x, hidden=40), 2 * x[..., :3])
    assert max(seen) <= 10


@pytest.mark.parametrize(("height", "stride"), [(1, 1), (12, 1), (13, 1), (12, 2), (13, 2)])
@pytest.mark.parametrize("count", [1, 2])
@torch.inference_mode()
def test_strips_of_a_map_make_the_whole(
    height: int, stride: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = nn.Sequential(nn.Conv2d(3, 4, 3, stride, 1), nn.Conv2d(4, 5, 1))
    x = values(count, 3, height, 8)
    seen = []
    layer.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[2]))
    for at_once in (1, 1200, 1600, 1 << 20):
        monkeypatch.setattr(kernels, "STRIP_VALUES", at_once)
        torch.testing.assert_close(chunk_rows(layer, x, stride, hidden=400), layer(x))
    assert height == 1 or min(seen) < max(seen)


@pytest.mark.parametrize("height", [3, 7, 8, 23])
@torch.inference_mode()
def test_strips_overlap_by_as_many_rows_as_layers_look_at(
    height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = nn.Sequential(*(nn.Conv2d(3, 3, 3, 1, 1) for _ in range(3)))
    x = values(1, 3, height, 8)
    wanted = layer(x)
    seen = set()
    layer.register_forward_hook(lambda _m, _i, out: seen.add(out.shape[2]))
    for at_once in (1, 9 * 24, 1 << 20):
        monkeypatch.setattr(kernels, "STRIP_VALUES", at_once)
        torch.testing.assert_close(chunk_rows(layer, x, 1, hidden=24, halo=3), wanted)
    assert seen == {height} | {rows for rows in (7, 9) if rows < height}  # of one size each


def test_only_inference_on_a_cpu_saves_memory() -> None:
    x = torch.zeros(1)
    assert not saves_memory(x)
    with torch.no_grad():
        assert saves_memory(x)
        assert not saves_memory(x.to("meta"))


@pytest.mark.slow  # the exporter takes seconds to import
def test_export_sees_pytorchs_own_operations() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            q = self.layer(x)[None, None]
            return attend(q, q, q)

    with torch.no_grad():
        graph = torch.export.export(Net().eval(), (values(kernels.MANY_TOKENS, 8),)).graph
    names = {str(node.target) for node in graph.nodes if node.op == "call_function"}
    assert "aten.linear.default" in names
    assert all(name.startswith("aten.") for name in names), names

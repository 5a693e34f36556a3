"""The operations in which image encoders spend their time, each done as suits the processor.

This is the one place that chooses. Every choice computes the same, up to rounding.

Linear layers and convolutions of single pixels are

- oneDNN's in inference on an x86 CPU, given many tokens;
- PyTorch's everywhere else: on GPUs, in training, in graphs for export or for a compiler.

Attention is

- done here in inference on a CPU, given many keys, and biases or AVX-512: a few scores at a time;
- PyTorch's fused one everywhere else, with the biases of a few queries at a time.

Where a CPU has no units for a half type (bfloat16, float16), PyTorch computes in it many times
slower than in float32; there all of it goes through float32.

The reasons, measured in docs/performance.md: fresh memory costs more than computing with it, since
the system has to find and clear its pages, while up to 32 MB the allocator has some at hand; and
PyTorch's usual MKL leaves half of an AMD processor with AVX-512 unused, where oneDNN does not.
oneDNN gets the weights as they are and lays them out anew in each call, some 2 % of the time of a
product with 4096 tokens. So nothing is kept twice, and moving, saving and training need not know.
"""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "Conv2d",
    "Linear",
    "add",
    "attend",
    "chunk_rows",
    "chunk_tokens",
    "convolve",
    "gelu",
    "linear",
    "natively_supported",
    "saves_memory",
    "tracing",
]

CPU_VALUES = 1 << 20
"""Values held at a time on a CPU: 4 MB in float32, which stay in its caches."""

STRIP_VALUES = 1 << 21
"""Values of the hidden map held at a time for a strip of rows: 8 MB in float32."""

GPU_VALUES = 1 << 27
"""Biases held at a time elsewhere: a GPU wants much to do at once."""

GRAPH_VALUES = 1 << 25
"""Biases held at a time in a recorded graph, which has nodes for every share of the queries."""

FEW_KEYS = 256
"""Up to here PyTorch's fused attention is no slower on a CPU: the scores of a window are few."""

MANY_TOKENS = 256
"""From here on laying out the weights for oneDNN is a small part of a product."""


class Linear(nn.Linear):
    """A linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return linear(x, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """A convolution."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, in, h, w) to (b, out, h', w')."""
        return convolve(x, self, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply (..., in) by the turned weight (out, in), and add the bias (out,)."""
    return _in_float(_product, x, weight, bias)


def convolve(
    x: Tensor,
    layer: nn.Conv2d,
    weight: Tensor,
    bias: Tensor | None,
    then: Literal["none", "gelu"] = "none",
    groups: int | None = None,
) -> Tensor:
    """Apply a convolution with other weights than its own, as if they were; then GELU by tanh.

    The weights may be those of some channels only, in another number of groups.
    oneDNN applies GELU to what it has just worked out, which saves a walk through the map.
    """
    groups = layer.groups if groups is None else groups
    pointwise = layer.kernel_size == layer.stride == (1, 1) and groups == 1
    if pointwise and saves_memory(x):  # for which PyTorch on one thread would turn the map over
        product = functools.partial(_product, then=then)
        tokens = _in_float(product, x.permute(0, 2, 3, 1), weight.flatten(1), bias)
        return tokens.permute(0, 3, 1, 2)
    if then == "gelu" and saves_memory(x) and x.dtype == torch.float32 and _onednn():
        sizes = layer.padding, layer.stride, layer.dilation, groups
        fused: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise
        return fused(x, weight, bias, *sizes, "gelu", [], "tanh")
    apply = functools.partial(
        F.conv2d, stride=layer.stride, padding=layer.padding, dilation=layer.dilation, groups=groups
    )
    mapped = _in_float(apply, x, weight, bias)
    return gelu(mapped, "tanh") if then == "gelu" else mapped


def gelu(x: Tensor, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """Apply GELU; in inference on a CPU to ``x`` itself, which nobody may want afterwards."""
    in_place: Callable[..., Tensor] = torch.ops.aten.gelu_
    if saves_memory(x):
        return in_place(x, approximate=approximate)
    return F.gelu(x, approximate=approximate)


def add(x: Tensor, other: Tensor) -> Tensor:
    """Add; in inference on a CPU to ``x`` itself, which nobody may want afterwards."""
    return x.add_(other) if saves_memory(x) else x + other


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Sequence[Tensor] = ()) -> Tensor:
    """Attend: the softmax over the keys of q k' / sqrt(d) + bias, times v.

    Args:
        q: (n, heads, queries, d).
        k: (n, heads, keys, d).
        v: (n, heads, keys, d'), d or another width.
        bias: Terms whose sum is the bias. Each spreads to (n, heads, queries, rows, columns), where
            rows x columns are the keys, so that the whole need never be in memory.

    Returns:
        (n, heads, queries, d').
    """
    narrow = v.shape[3] != k.shape[3]  # for which PyTorch's fused one lays out all scores
    if not saves_memory(q) or k.shape[2] <= FEW_KEYS or not (bias or narrow or _is_wide()):
        return _in_float(_attend_fused, q, k, v, *bias)
    q = (q * q.shape[-1] ** -0.5).contiguous()
    v_turned = v.transpose(2, 3).contiguous()
    return _in_float(_attend_in_chunks, q, k.contiguous(), v_turned, *bias)


def chunk_tokens(layer: Callable[[Tensor], Tensor], x: Tensor, hidden: int) -> Tensor:
    """Apply what looks at one token at a time, to a share of the tokens at a time.

    Args:
        layer: Maps (tokens, c) to (tokens, c').
        x: (..., c).
        hidden: The most values that it holds for one token.
    """
    if not saves_memory(x):
        return layer(x)
    shares = torch.split(x.flatten(0, -2), max(1, 4 * CPU_VALUES // hidden))
    return torch.cat([layer(share) for share in shares]).view(*x.shape[:-1], -1)


def chunk_rows(
    layer: Callable[[Tensor], Tensor], x: Tensor, stride: int, hidden: int, halo: int = 1
) -> Tensor:
    """Apply what looks at rows of a map and their neighbours, to a strip of rows at a time.

    Args:
        layer: Maps (b, c, h, w) to (b, c', h / stride, w / stride), each row from those rows of
            ``x`` that it covers and at most ``halo * stride`` rows more on either side.
        x: (b, c, h, w).
        stride: Rows of ``x`` for a row of the result.
        hidden: The most values that it holds for one row of the result.
        halo: Rows of the result on either side of a strip that lack neighbours.
    """
    height = -(-x.shape[2] // stride)
    rows = max(2 * halo + 1, STRIP_VALUES // (hidden * len(x)))
    if not saves_memory(x) or rows >= height:
        return layer(x)
    whole: Tensor | None = None
    done = 0
    while done < height:  # strips of one size, for oneDNN keeps what it compiles for each
        top = min(max(0, done - halo), height - rows)
        strip = layer(x[:, :, top * stride : (top + rows) * stride])
        if whole is None:  # now it is known how wide and of which dtype
            shape = (len(x), strip.shape[1], height, strip.shape[3])
            whole = torch.empty(shape, dtype=strip.dtype, memory_format=torch.channels_last)
        end = height if top + rows == height else top + rows - halo
        whole[:, :, done:end] = strip[:, :, done - top : end - top]
        done = end
    assert whole is not None
    return whole


def saves_memory(x: Tensor) -> bool:
    """Return whether to go easy on memory: in inference on a CPU, where nothing is recorded."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not tracing()


def tracing() -> bool:
    """Return whether the calls are being recorded as a graph, for export or for a compiler."""
    in_trace: bool = torch.jit.is_tracing()  # type: ignore[no-untyped-call, attr-defined]
    return in_trace or torch.compiler.is_compiling()


def _in_float(do: Callable[..., Tensor], x: Tensor, *others: Tensor | None) -> Tensor:
    """Do something by way of float32 where the CPU has no units for the type of ``x``."""
    if not saves_memory(x) or natively_supported(x.dtype):
        return do(x, *others)
    return do(*(None if y is None else y.float() for y in (x, *others))).to(x.dtype)


@functools.cache
def natively_supported(dtype: torch.dtype) -> bool:
    """Return whether the CPU can compute in a dtype, and PyTorch lets it."""
    if dtype not in (torch.bfloat16, torch.float16):
        return True
    if not _has_onednn():
        return False
    onednn = torch.ops.mkldnn
    half = dtype == torch.float16
    return bool((onednn._is_mkldnn_fp16_supported if half else onednn._is_mkldnn_bf16_supported)())


@functools.cache
def _is_wide() -> bool:
    """Return whether the processor has AVX-512, of which PyTorch's fused attention makes little.

    Its products are MKL's; on narrower processors these are no slower than oneDNN's, and it takes
    the softmax in fewer steps.
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


@functools.cache
def _onednn() -> Any:
    """Find oneDNN's linear layer; None where PyTorch's own choice is no worse."""
    x86 = platform.machine() in ("x86_64", "AMD64")
    return torch.ops.mkldnn._linear_pointwise if x86 and _has_onednn() else None


def _has_onednn() -> bool:
    """Return whether this PyTorch was built with oneDNN."""
    built: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return built


def _product(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, then: Literal["none", "gelu"] = "none"
) -> Tensor:
    """Multiply (..., in) by the turned weight (out, in), and add the bias (out,); perhaps GELU."""
    # Asked in this order, because counting the tokens of a recorded call would freeze their number.
    many = saves_memory(x) and x.shape[:-1].numel() >= MANY_TOKENS
    if many and x.dtype == torch.float32 and (onednn := _onednn()):
        product: Tensor = onednn(x, weight.contiguous(), bias, then, [], "tanh")
        return product
    product = F.linear(x, weight, bias)
    return gelu(product, "tanh") if then == "gelu" else product


def _attend_fused(q: Tensor, k: Tensor, v: Tensor, *bias: Tensor) -> Tensor:
    """Attend with PyTorch's fused kernel, the biases of a share of the queries at a time."""
    if not bias:
        return F.scaled_dot_product_attention(q, k, v)
    values = CPU_VALUES if q.device.type == "cpu" else GPU_VALUES
    values = GRAPH_VALUES if tracing() else values
    each = math.prod(max(int(term.shape[dim]) for term in bias) for dim in (0, 1, 3, 4))
    rows = max(1, values // each)
    parts = []
    for start in range(0, int(q.shape[2]), rows):
        some, *terms = (x[:, :, start : start + rows] for x in (q, *bias))
        mask = functools.reduce(torch.add, terms).flatten(3)
        parts.append(F.scaled_dot_product_attention(some, k, v, attn_mask=mask))
    return torch.cat(parts, dim=2)


def _attend_in_chunks(q: Tensor, k: Tensor, v_turned: Tensor, *bias: Tensor) -> Tensor:
    """Attend with a share of the scores at a time: of n, of the heads, of the queries.

    Args:
        q: (n, heads, queries, d), divided by the root of d.
        k: (n, heads, keys, d), contiguous.
        v_turned: (n, heads, d, keys), contiguous.
        bias: Terms, see `attend`.
    """
    for dim in range(3):
        share = max(1, CPU_VALUES // (math.prod(q.shape[dim + 1 : 3]) * k.shape[2]))
        if share < q.shape[dim]:
            parts = []
            for start in range(0, q.shape[dim], share):
                q_, *terms = (_narrow(x, dim, start, share) for x in (q, *bias))
                of_all = dim == 2  # every query meets all keys
                k_, v_ = (x if of_all else _narrow(x, dim, start, share) for x in (k, v_turned))
                parts.append(_attend_in_chunks(q_, k_, v_, *terms))
            return torch.cat(parts, dim)
    scores = _times_turned(q, k)
    if bias:
        rows, columns = (max(term.shape[dim] for term in bias) for dim in (3, 4))
        grid = scores.view(*q.shape[:3], rows, columns)
        for term in bias:
            grid += term
    torch.softmax(scores, dim=3, out=scores)
    return _times_turned(scores, v_turned)


def _narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Take a share of a dimension, which stays as it is if it is 1 and spreads."""
    return x if x.shape[dim] == 1 else x[(slice(None),) * dim + (slice(start, start + length),)]


def _times_turned(a: Tensor, b: Tensor) -> Tensor:
    """Multiply (n, heads, m, c) by the turned (n, heads, k, c)."""
    if a.shape[0] * a.shape[1] == 1:
        return _product(a, b[0, 0])
    return torch.matmul(a, b.transpose(2, 3))

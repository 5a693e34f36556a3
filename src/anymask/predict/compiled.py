"""Encoders that are compiled before they are used much: `load(compile=True)`.

`torch.compile` fuses what lies between the large products. On a GPU the calls that are left are
recorded as a CUDA graph for each shape of frames, which the GPU then goes through by itself: a
small network has hundreds of short calls, and starting each costs more than what it computes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from anymask.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from anymask.models.network import Network

__all__ = ["CudaGraphs", "Encode", "Recorder", "Replayed", "compile_encoder"]

Encode: TypeAlias = "Callable[[Any, tuple[int, int]], Mapping[str, Any]]"
"""`Network.encode`, or what does the same."""

_GRAPHS = 2  # each keeps the memory of a run
_SEEN = 64  # shapes that are remembered as having come once


class Recorder(Protocol):
    """What records calls of a GPU, so that they can be repeated."""

    def record(
        self, run: Callable[[], Mapping[str, Tensor]]
    ) -> tuple[Callable[[], None], Mapping[str, Tensor]]:
        """Record a run.

        Args:
            run: Reads and writes tensors that stay where they are.

        Returns:
            What repeats it, and the tensors that it then writes.
        """
        ...


class CudaGraphs:
    """Records as CUDA graphs; see PyTorch's notes on them for the steps."""

    def record(
        self, run: Callable[[], Mapping[str, Tensor]]
    ) -> tuple[Callable[[], None], Mapping[str, Tensor]]:
        """Record a run, after two that let libraries choose and get ready."""
        import torch

        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on with what may not be recorded, such as asking for memory.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            written = run()
        return graph.replay, written


@dataclass(frozen=True)
class _Recorded:
    pixels: Tensor
    repeat: Callable[[], None]
    features: Mapping[str, Tensor]


class Replayed:
    """An encoder that records what comes a second time, and repeats it from then on.

    Several threads may share it; they take turns.

    Args:
        encode: What is recorded.
        version: Tells whether the weights are still those that were recorded.
        recorder: What records.
    """

    def __init__(self, encode: Encode, version: Callable[[], Hashable], recorder: Recorder) -> None:
        self.encode, self.version, self.recorder = encode, version, recorder
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._recorded: OrderedDict[Hashable, _Recorded] = OrderedDict()
        self._turn = threading.Lock()

    def __call__(self, pixels: Tensor, resized_hw: tuple[int, int]) -> Mapping[str, Tensor]:
        """Encode frames (b, 3, h, w); see `Network.encode`."""
        key = (tuple(pixels.shape), pixels.dtype, resized_hw, self.version())
        with self._turn:
            if key not in self._recorded:
                if key not in self._seen:
                    self._seen[key] = None
                    _shorten(self._seen, _SEEN)
                    return self.encode(pixels, resized_hw)
                _shorten(self._recorded, _GRAPHS - 1)  # before another one needs memory
                self._recorded[key] = self._record(pixels, resized_hw)
            self._recorded.move_to_end(key)
            known = self._recorded[key]
            known.pixels.copy_(pixels)
            known.repeat()
            # Copies, for the next run writes to the same place.
            return {name: maps.clone() for name, maps in known.features.items()}

    def _record(self, pixels: Tensor, resized_hw: tuple[int, int]) -> _Recorded:
        own = pixels.clone()
        repeat, features = self.recorder.record(lambda: self.encode(own, resized_hw))
        return _Recorded(own, repeat, features)


def _shorten(some: OrderedDict[Hashable, Any], most: int) -> None:
    while len(some) > most:
        some.popitem(last=False)


def compile_encoder(network: Network, recorder: Recorder | None = None) -> Encode:
    """Compile the encoder of a network; the work begins with the first image.

    Args:
        network: One of PyTorch.
        recorder: What records its calls; None: CUDA graphs on such a GPU, nothing elsewhere.

    Raises:
        InputError: It is none of PyTorch.
    """
    if isinstance(network.device, str):
        raise InputError(
            f"expected a network of PyTorch to compile, got {type(network).__name__}, whose "
            "graphs are compiled when they are opened; leave compile out"
        )
    import torch

    encode = cast(Encode, torch.compile(network.encode))
    if recorder is None and network.device.type == "cuda":
        recorder = CudaGraphs()
    if recorder is None:
        return encode
    return Replayed(encode, lambda: network.version, recorder)

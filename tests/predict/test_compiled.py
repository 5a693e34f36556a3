"""Compiled encoders: the same embeddings, and what is recorded is repeated only while it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.numpy_network import FlatColours

import anymask
from anymask import InputError
from anymask.predict.compiled import Replayed, compile_encoder

HW = (48, 64)


class Tape:
    """Records on a CPU: what repeats writes to the same tensors again."""

    def __init__(self) -> None:
        self.records = self.repeats = 0

    def record(
        self, run: Callable[[], Mapping[str, torch.Tensor]]
    ) -> tuple[Callable[[], None], Mapping[str, torch.Tensor]]:
        self.records += 1
        written = {name: maps.clone() for name, maps in run().items()}

        def repeat() -> None:
            self.repeats += 1
            for name, maps in run().items():
                written[name].copy_(maps)

        return repeat, written


class Encoder:
    """Adds a weight; counts its calls."""

    def __init__(self) -> None:
        self.calls, self.version, self.weight = 0, 0, 1.0

    def __call__(self, pixels: torch.Tensor, resized_hw: tuple[int, int]) -> dict[str, Any]:
        self.calls += 1
        return {"image": pixels + self.weight, "size": pixels.new_tensor(resized_hw)}


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def tape() -> Tape:
    return Tape()


@pytest.fixture
def replayed(encoder: Encoder, tape: Tape) -> Replayed:
    return Replayed(encoder, lambda: encoder.version, tape)


def frames(value: float, batch: int = 1, side: int = 4) -> torch.Tensor:
    return torch.full((batch, 3, side, side), float(value))


def test_what_comes_a_second_time_is_recorded_and_then_repeated(
    replayed: Replayed, tape: Tape
) -> None:
    first = replayed(frames(1), HW)
    assert (tape.records, tape.repeats) == (0, 0)
    answers = [replayed(frames(value), HW) for value in (2, 3, 4)]
    assert (tape.records, tape.repeats) == (1, 3)
    assert [a["image"].unique().tolist() for a in (first, *answers)] == [[2], [3], [4], [5]]
    assert answers[0]["size"].tolist() == list(HW)


def test_other_shapes_sizes_and_dtypes_are_recorded_by_themselves(
    replayed: Replayed, tape: Tape
) -> None:
    others: list[tuple[torch.Tensor, tuple[int, int]]] = [
        (frames(1), HW),
        (frames(1, batch=2), HW),
        (frames(1), (64, 48)),
        (frames(1).half(), HW),
    ]
    for pixels, hw in others:
        for _ in range(2):
            answer = replayed(pixels, hw)
            assert answer["image"].shape == pixels.shape
            assert answer["image"].dtype == pixels.dtype
            assert answer["size"].tolist() == list(hw)
    assert tape.records == len(others)


def test_other_weights_are_recorded_anew(replayed: Replayed, encoder: Encoder, tape: Tape) -> None:
    for _ in range(3):
        replayed(frames(1), HW)
    encoder.weight, encoder.version = 5.0, 1
    assert replayed(frames(1), HW)["image"].unique().tolist() == [6]
    replayed(frames(1), HW)
    assert tape.records == 2


def test_few_are_kept(replayed: Replayed, tape: Tape) -> None:
    for side in (4, 5, 6):
        for _ in range(2):
            replayed(frames(1, side=side), HW)
    assert tape.records == 3
    replayed(frames(1, side=6), HW)
    replayed(frames(1, side=5), HW)
    assert tape.records == 3
    replayed(frames(1, side=4), HW)  # the one not asked for longest was let go
    assert tape.records == 4


def test_an_error_while_recording_leaves_nothing_behind(replayed: Replayed, tape: Tape) -> None:
    replayed(frames(1), HW)
    record = tape.record

    def fails(run: Any) -> Any:
        raise RuntimeError("out of memory")

    tape.record = fails  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        replayed(frames(1), HW)
    tape.record = record  # type: ignore[method-assign]
    assert replayed(frames(7), HW)["image"].unique().tolist() == [8]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let torch.compile run the graphs that it finds as they are, and list them."""
    found: list[Any] = []
    compile_ = torch.compile

    def backend(graph: Any, inputs: Any) -> Any:
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda call, **_: compile_(call, backend=backend))
    torch._dynamo.reset()
    return found


def photo(value: int) -> np.ndarray:
    return np.random.default_rng(value).integers(0, 255, (64, 96, 3), np.uint8)


def test_a_compiled_model_gives_the_same_embeddings(compiled: list[Any]) -> None:
    plain = anymask.load("bundled", "cpu")
    model = anymask.load("bundled", "cpu", compile=True)
    assert not compiled  # it begins with the first image
    for value in range(3):
        wanted, got = plain.embed(photo(value)), model.embed(photo(value))
        assert wanted.signature == got.signature
        for name, maps in wanted.features.items():
            torch.testing.assert_close(got.features[name], maps, rtol=1e-4, atol=1e-4)
    graphs = len(compiled)
    assert graphs > 0
    moved = model.to(dtype="bfloat16")
    assert moved.compile and moved.embed(photo(0)).features
    assert len(compiled) > graphs  # another network is compiled by itself


def test_a_recorder_gets_what_was_compiled(compiled: list[Any], tape: Tape) -> None:
    network = anymask.load("bundled", "cpu").network
    encode = compile_encoder(network, tape)
    pixels = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        wanted = network.encode(pixels, HW)
        answers = [encode(pixels, HW) for _ in range(3)]
    assert compiled and tape.records == 1 and tape.repeats == 2
    for answer in answers:
        for name, maps in wanted.items():
            torch.testing.assert_close(answer[name], maps, rtol=1e-4, atol=1e-4)


def test_what_is_not_of_pytorch_is_refused() -> None:
    model = anymask.load("bundled", "cpu")
    with pytest.raises(InputError, match="leave compile out"):
        anymask.load("bundled", "cpu", runtime="onnx", compile=True)
    with pytest.raises(
        InputError, match="expected a network of PyTorch to compile, got FlatColours"
    ):
        type(model)(model.variant, FlatColours(), "0", compile=True)


def test_pixels_for_a_gpu_are_sent_from_memory_that_stays() -> None:
    from anymask.arrays import _sent

    said: list[Any] = []

    class OnCpu:
        device = torch.device("cpu")

        def pin_memory(self) -> OnCpu:
            said.append("pinned")
            return self

        def to(self, device: torch.device, non_blocking: bool = False) -> str:
            said.append((str(device), non_blocking))
            return "sent"

    tensor = OnCpu()
    assert _sent(tensor, torch.device("cuda:1")) == "sent"
    assert said == ["pinned", ("cuda:1", True)]
    assert _sent(tensor, torch.device("cpu")) is _sent(tensor, torch.device("mps")) is tensor
    assert len(said) == 2

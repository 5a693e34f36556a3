"""The search gives what the plain order of work gives, with less memory and less work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.evaluate.published import everything as plain_everything
from anymask.evaluate.timing import memory as memory_of
from anymask.everything.generate import clean_regions, generate
from anymask.everything.search import Search
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.masks.enlarge import Enlarger
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

LOW = 64


class Discs:
    """A model that finds discs round every point, and half of a plane, in a frame of its own."""

    def __init__(self) -> None:
        self.asked = 0

    def embed(self, image: Image) -> Embedding:
        transform = Transform.fit(image.size_hw, side=4 * LOW)
        return Embedding({"size": torch.zeros(1, 1, 1, 1)}, transform, "discs")

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += len(prompts)
        points = np.concatenate([prompt.points_xy for prompt in prompts])
        x0, y0 = torch.from_numpy(embedding.transform.points_to_frame(points)).T.float() / 4
        y, x = torch.arange(LOW)[:, None].float(), torch.arange(LOW)[None].float()
        away = torch.hypot(x - x0.round()[:, None, None], y - y0.round()[:, None, None])
        wave = torch.sin(x / 3) * torch.cos(y / 5)
        logits = torch.stack([5 - away + wave, 14 - away, (x - x0[:, None, None]) * (y + 1) / 9], 1)
        score = 0.9 + 0.1 * torch.frac(torch.stack([x0 * 0.317, y0 * 0.173, x0 * y0 * 0.013], 1))
        return logits * 3, score


PICTURE = np.zeros((150, 210, 3), dtype=np.uint8)


@pytest.mark.parametrize("offset", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("size_hw", [(150, 210), (400, 100), (30, 50)])
def test_records_are_those_of_the_plain_order(size_hw: tuple[int, int], offset: float) -> None:
    picture = np.zeros((*size_hw, 3), dtype=np.uint8)
    config = GenerateConfig(
        points_per_side=12, stability_score_thresh=0.8, stability_score_offset=offset
    )
    found = generate(Discs(), picture, config)
    assert found == plain_everything.generate(Discs(), picture, config)
    assert len(found) >= 4


def test_duplicates_are_known_before_they_are_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    original = Enlarger.measure

    def counted(self: Enlarger, *arguments: object) -> object:
        measured.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(Enlarger, "measure", counted)
    model = Discs()
    found = generate(model, PICTURE, GenerateConfig(points_per_side=16, pred_iou_thresh=0.0))
    assert len(found) < len(measured) < 0.8 * 3 * model.asked


def test_what_is_forgotten_is_asked_again() -> None:
    config = GenerateConfig(points_per_side=8, points_per_batch=16, pred_iou_thresh=0.0)
    whole, short = (search(Discs(), memory, config) for memory in (2**30, 2**19))
    assert short[0] == whole[0]
    assert whole[1] == 64 < short[1]


def search(model: Discs, memory: int, config: GenerateConfig) -> tuple[Masks, int]:
    embedding = model.embed(Image(PICTURE))
    found = Search(model, embedding, (0, 0, 210, 150), (150, 210), config, memory)
    found.add([Prompt((x, y)) for y in range(9, 150, 18) for x in range(13, 210, 26)])
    return found.nms(), model.asked


def test_too_little_memory_is_refused_with_what_suffices() -> None:
    picture = np.zeros((1000, 2000, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=r"at least 235 MiB for an image of 2000 x 1000 .* 200"):
        generate(Discs(), picture, GenerateConfig(points_per_side=1, memory=200))
    generate(Discs(), picture, GenerateConfig(points_per_side=1, memory=235))


class Sheets(Discs):
    """A model whose every answer covers half of the frame, at SAM's size."""

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        points = np.concatenate([prompt.points_xy for prompt in prompts])
        slope = torch.linspace(-9, 9, 256)
        turn = torch.from_numpy(points.sum(axis=1)).float()[:, None, None, None]
        logits = torch.cos(turn) * slope[:, None] + torch.sin(turn) * slope
        return logits.expand(-1, 3, -1, -1), 0.9 + 0.1 * torch.frac(
            turn[:, :, 0, 0] * torch.tensor([0.3, 0.7, 0.9])
        )


def prepare(points_per_side: int, size_hw: tuple[int, int], memory: int) -> Callable[[], Masks]:
    picture = np.zeros((*size_hw, 3), dtype=np.uint8)
    config = GenerateConfig(points_per_side=points_per_side, memory=memory)
    generate(Sheets(), picture[:64, :64], GenerateConfig(points_per_side=1))
    return lambda: generate(Sheets(), picture, config)


def prepare_some() -> Callable[[], Masks]:
    return prepare(10, (600, 800), 220)


class Shared(Sheets):
    """The same with a network on the CPU."""

    network = SimpleNamespace(device=torch.device("cpu"))


def prepare_in_threads() -> Callable[[], Masks]:
    torch.set_num_threads(4)
    picture = np.zeros((600, 800, 3), dtype=np.uint8)
    generate(Shared(), picture[:64, :64], GenerateConfig(points_per_side=1))
    return lambda: generate(Shared(), picture, GenerateConfig(points_per_side=10, memory=220))


def prepare_many() -> Callable[[], Masks]:
    return prepare(64, (5000, 6000), 1024)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("prepare", "memory"),
    [
        (prepare_some, 220),
        (prepare_in_threads, 220),
        pytest.param(prepare_many, 1024, marks=pytest.mark.slow),
    ],
)
def test_the_memory_is_kept_to(prepare: Callable[[], Any], memory: int) -> None:
    assert memory_of(prepare).added < memory * 2**20


class Threads(Discs):
    """Discs that know where and how much they are asked, with a network or without."""

    def __init__(self, network: object, at_once: int = 1) -> None:
        super().__init__()
        self.network = network
        self.seen: set[int] = set()
        self.sizes: list[int] = []
        self.together = threading.Barrier(at_once, timeout=60)

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.together.wait()
        self.seen.add(threading.get_ident())
        self.sizes.append(len(prompts))
        return super().decode(embedding, prompts, multimask)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_network_on_the_cpu_is_asked_by_two_threads_at_once() -> None:
    config = GenerateConfig(points_per_side=12, points_per_batch=24, pred_iou_thresh=0.0)
    shared = Threads(SimpleNamespace(device=torch.device("cpu")), at_once=2)
    assert generate(shared, PICTURE, config) == generate(Discs(), PICTURE, config)
    assert len(shared.seen) == 2 and threading.get_ident() not in shared.seen
    assert shared.sizes == [6] * 24  # four batches under way have as many prompts as one had
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("network", [None, SimpleNamespace(device=torch.device("meta"))])
def test_other_models_are_asked_where_they_were_called(network: object) -> None:
    config = GenerateConfig(points_per_side=12, points_per_batch=24)
    model = Threads(network)
    generate(model, PICTURE, config)
    assert model.seen == {threading.get_ident()}
    assert model.sizes == [24] * 6


@pytest.mark.usefixtures("two_threads")
def test_what_progress_raises_ends_the_threads() -> None:
    def refuse(done: int, total: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    model = Threads(SimpleNamespace(device=torch.device("cpu")))
    config = GenerateConfig(points_per_side=32, points_per_batch=24)
    with pytest.raises(KeyboardInterrupt):
        generate(model, PICTURE, config, progress=refuse)
    assert sum(model.sizes) <= 24 + 4 * 6


def test_hopeless_thresholds_are_told() -> None:
    config = GenerateConfig(points_per_side=2, stability_score_thresh=1.5)
    with pytest.warns(UserWarning, match=r"stability_score_thresh is 1\.5, but no mask"):
        assert len(generate(Discs(), PICTURE, config)) == 0


@pytest.mark.parametrize("kind", ["holes and islands", "dust", "full", "frame", "empty"])
@pytest.mark.parametrize("min_area", [1, 12, 300])
def test_cleaning_a_part_is_like_cleaning_all(kind: str, min_area: int) -> None:
    mask = spotted(kind)
    whole, filled = plain_everything.remove_small_regions(mask, min_area, holes=True)
    whole, removed = plain_everything.remove_small_regions(whole, min_area, holes=False)
    found = Masks.from_dense(mask, scores=np.ones(1))
    (cleaned,) = clean_regions(found, min_area, 0.7)
    np.testing.assert_array_equal(cleaned.dense()[0], whole)
    assert (filled or removed) == (not np.array_equal(mask, cleaned.dense()[0]))


def spotted(kind: str) -> np.ndarray:
    random = np.random.default_rng(0)
    mask = np.zeros((60, 90), dtype=np.bool_)
    if kind == "holes and islands":
        mask[10:40, 20:70] = True
        mask[random.integers(0, 60, 60), random.integers(0, 90, 60)] ^= True
    elif kind == "dust":
        mask[random.integers(0, 60, 20), random.integers(0, 90, 20)] = True
    elif kind == "full":
        mask[:] = True
        mask[:2, :3] = mask[-1, -9:] = False
    elif kind == "frame":
        mask[3:-3, 2:-2] = True
        mask[20:, 40:44] = False
    return mask

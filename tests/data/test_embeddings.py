"""Stored embeddings: as good as fresh ones, resumed after an interruption, refused when stale."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny

from anymask.data import embeddings
from anymask.data.dataset import Sample
from anymask.data.embeddings import EmbeddingStore, fill
from anymask.errors import InputError
from anymask.models.variants import find
from anymask.models.weights import build
from anymask.predict.segmenter import Segmenter


class Noise:
    """Images of noise, of two sizes, without masks; remembers which were read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.count

    def key(self, index: int) -> str:
        return f"noise-{index}"

    def __getitem__(self, index: int) -> Sample:
        self.read.append(index)
        size_hw = (40, 60) if index % 2 else (60, 50)
        rng = np.random.default_rng(index)
        return Sample(rng.integers(0, 255, (*size_hw, 3)).astype(np.uint8), ())


@pytest.fixture
def model() -> Segmenter:
    torch.manual_seed(0)
    variant = tiny(find("sam-vit-b"))
    return Segmenter(variant, build(variant).eval(), "0" * 64)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_PER_SHARD", 3)


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "shards").iterdir())


def test_stored_embeddings_are_those_of_the_model(tmp_path: Path, model: Segmenter) -> None:
    data = Noise(4)
    assert list(fill(tmp_path / "store", model, data)) == [0, 3, 4]
    store = EmbeddingStore(tmp_path / "store", model)
    assert len(store) == 4
    for i in range(4):
        image = data[i].image
        fresh, stored = model.embed(image), store.read(data.key(i), image)
        assert stored.signature == fresh.signature
        assert stored.transform == fresh.transform
        assert stored.features["image"].dtype == torch.float16
        # Rounded to fp16, and encoded in a batch of others, which processors add up differently.
        near = {"rtol": 2**-10, "atol": 1e-5 * float(fresh.features["image"].abs().max())}
        torch.testing.assert_close(
            stored.features["image"].float(), fresh.features["image"], **near
        )
        assert model.predict(stored, points=[(5, 5)]).scores is not None


def test_every_feature_of_the_bundled_model_is_kept(tmp_path: Path) -> None:
    variant = tiny(find("bundled"))
    model = Segmenter(variant, build(variant).eval(), "0" * 64)
    data = Noise(1)
    list(fill(tmp_path, model, data))
    stored = EmbeddingStore(tmp_path, model).read(data.key(0), data[0].image)
    fresh = model.embed(data[0].image)
    assert {n: x.shape for n, x in stored.features.items()} == {
        n: x.shape for n, x in fresh.features.items()
    }


def test_an_interrupted_store_goes_on(tmp_path: Path, model: Segmenter) -> None:
    data = Noise(7)
    some = fill(tmp_path, model, data)
    assert [next(some), next(some)] == [0, 3]
    some.close()
    data.read.clear()
    assert list(fill(tmp_path, model, data)) == [3, 6, 7]
    assert sorted(data.read) == [3, 4, 5, 6]
    assert list(fill(tmp_path, model, data)) == [7]
    assert len(shards(tmp_path)) == 3


def test_two_processes_share_the_work(tmp_path: Path, model: Segmenter) -> None:
    data = Noise(5)
    for process in range(2):
        list(fill(tmp_path, model, data, process, 2))
    store = EmbeddingStore(tmp_path, model)
    assert all(data.key(i) in store for i in range(5))
    assert sorted(data.read) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"weights_digest": "1" * 64}, "weights"),
        ({"variant": tiny(find("mobile-sam"))}, "model"),
        (
            {
                "variant": replace(
                    tiny(find("sam-vit-b")), preprocessing=find("mobile-sam").preprocessing
                )
            },
            "preprocessing",
        ),
    ],
)
def test_a_store_of_another_model_is_refused(
    tmp_path: Path, model: Segmenter, change: dict, what: str
) -> None:
    list(fill(tmp_path, model, Noise(1)))
    other = replace(model, **change)
    with pytest.raises(InputError, match=f"got others in {what}: .*, now .*; delete"):
        EmbeddingStore(tmp_path, other)
    with pytest.raises(InputError, match=f"got others in {what}"):
        list(fill(tmp_path, other, Noise(1)))


def test_a_changed_image_is_refused(tmp_path: Path, model: Segmenter) -> None:
    data = Noise(1)
    list(fill(tmp_path, model, data))
    image = data[0].image.copy()
    image[0, 0, 0] ^= 1
    store = EmbeddingStore(tmp_path, model)
    with pytest.raises(InputError, match="expected the image 'noise-0' as it was when"):
        store.read("noise-0", image)
    with pytest.raises(InputError, match="got none; fill the store first"):
        store.read("noise-1", image)


def test_damage_is_told(tmp_path: Path, model: Segmenter) -> None:
    data = Noise(1)
    list(fill(tmp_path, model, data))
    (shard,) = shards(tmp_path)
    store = EmbeddingStore(tmp_path, model)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    with pytest.raises(InputError, match="delete that file"):
        store.read(data.key(0), data[0].image)
    with pytest.raises(InputError, match="delete that file"):
        EmbeddingStore(tmp_path, model)
    (tmp_path / "store.json").write_text(json.dumps([]))
    with pytest.raises(InputError, match="got a damaged file"):
        EmbeddingStore(tmp_path, model)
    (tmp_path / "store.json").unlink()  # its shards may be anybody's
    with pytest.raises(InputError, match="got none"):
        list(fill(tmp_path, model, data))


def test_features_too_large_for_half_precision_are_refused(
    tmp_path: Path, model: Segmenter
) -> None:
    with torch.no_grad():
        model.network.image_encoder.neck[3].weight.fill_(1e6)
    with pytest.raises(InputError, match="half precision can hold, got larger ones or NaN"):
        list(fill(tmp_path, model, Noise(1)))

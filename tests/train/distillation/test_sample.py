"""What teacher and student see of a photo lies in different frames, and is brought together."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny

from anymask.data.dataset import LabelMapFolder
from anymask.data.embeddings import EmbeddingStore, fill
from anymask.errors import InputError
from anymask.image.transform import Transform
from anymask.models.variants import find
from anymask.predict.loading import load
from anymask.train.distillation.sample import (
    DistillSamples,
    cell_centers,
    covers_image,
    frames,
    resample,
)

PADDED = Transform.fit((48, 64), side=64)  # 48 x 64 in a square, padded below
SQUASHED = Transform.fit((48, 64), side=64, squash=True)
CENTRED = Transform.fit((48, 64), side=64, pad="square", centre=True)


def ramps(transform: Transform, cells: int) -> torch.Tensor:
    """Maps of x and of y in pixels of the photo, (2, cells, cells)."""
    return torch.from_numpy(np.moveaxis(cell_centers(transform, (cells, cells)), -1, 0)).float()


def test_places_are_the_middles_of_cells() -> None:
    found = cell_centers(PADDED, (4, 4))
    assert found[0].tolist() == [[8, 8], [24, 8], [40, 8], [56, 8]]
    assert cell_centers(SQUASHED, (4, 4))[:, 0].tolist() == [[8, 6], [8, 18], [8, 30], [8, 42]]


@pytest.mark.parametrize("source", [PADDED, SQUASHED, CENTRED])
@pytest.mark.parametrize("target", [PADDED, SQUASHED, CENTRED])
@pytest.mark.parametrize("cells", [(16, 16), (32, 16), (9, 23)])
def test_what_is_carried_stays_at_its_place(
    source: Transform, target: Transform, cells: tuple[int, int]
) -> None:
    """A map of positions says after the move where its cells really are."""
    before, after = cells
    moved = resample(ramps(source, before), source, target, (after, after))
    expected = ramps(target, after)
    margin = 64 / before + 64 / after  # beyond the middles of the outermost cells all is alike
    x, y = expected
    within = (x > margin) & (x < 64 - margin) & (y > margin) & (y < 48 - margin)
    assert within.any()
    assert (moved - expected)[:, within].abs().max() < 1e-3


def test_an_equal_frame_changes_nothing() -> None:
    maps = torch.randn(2, 3, 8, 8).half()
    assert torch.equal(resample(maps, PADDED, PADDED, (8, 8)), maps.float())
    other = resample(maps, PADDED, CENTRED, (8, 8))
    assert other.shape == maps.shape
    assert not torch.equal(other, maps.float())


def test_a_large_cell_is_the_mean_of_those_below_it() -> None:
    maps = torch.randn(1, 8, 8)
    small = resample(maps, SQUASHED, SQUASHED, (4, 4))
    assert torch.allclose(small, torch.nn.functional.avg_pool2d(maps, 2), atol=1e-5)


def test_padding_lies_outside() -> None:
    assert covers_image(PADDED, (4, 4)).all(dim=1).tolist() == [True, True, True, False]
    assert covers_image(SQUASHED, (4, 4)).all()
    assert covers_image(CENTRED, (8, 8)).all(dim=1).tolist() == [False, *[True] * 6, False]


def test_lessons(tmp_path: Path, photos: Path, tiny_model) -> None:
    teacher, data = load(tiny_model("sam-vit-b")), LabelMapFolder(photos)
    with pytest.raises(InputError, match="expected a store of embeddings"):
        EmbeddingStore(tmp_path / "store", teacher)
    list(fill(tmp_path / "store", teacher, data))
    store, wanted = EmbeddingStore(tmp_path / "store", teacher), find("efficient-sam-ti")
    samples = DistillSamples(data, tiny(wanted).preprocessing, store, seed=3)
    epoch = [samples[i] for i in range(6)]
    assert sorted(x.key for x in epoch) == [data.key(i) for i in range(6)]
    assert len({x.seed for x in epoch}) == 6
    for sample in epoch:
        fresh = teacher.embed(data[int(sample.key)].image)
        assert sample.teacher_embedding.signature == fresh.signature
        assert sample.image.shape == (64, 64, 3)
    again = pickle.loads(pickle.dumps(store))  # as processes that prepare batches may get it
    assert again.read("0", data[0].image).signature == store.read("0", data[0].image).signature
    assert frames(epoch[:2], samples.preprocessing, torch.device("cpu")).shape == (2, 3, 64, 64)


def test_photos_without_an_embedding_are_refused(tmp_path: Path, photos: Path, tiny_model) -> None:
    teacher, data = load(tiny_model("sam-vit-b")), LabelMapFolder(photos)
    list(fill(tmp_path / "store", teacher, data))
    next((tmp_path / "store" / "shards").iterdir()).unlink()
    store = EmbeddingStore(tmp_path / "store", teacher)
    with pytest.raises(InputError, match="got none of 6, such as '0'; fill"):
        DistillSamples(data, teacher.variant.preprocessing, store)


def test_no_photos(tmp_path: Path, photos: Path, tiny_model) -> None:
    teacher = load(tiny_model("sam-vit-b"))
    list(fill(tmp_path / "store", teacher, LabelMapFolder(photos)))
    with pytest.raises(InputError, match="got an empty data set"):
        DistillSamples(
            [], teacher.variant.preprocessing, EmbeddingStore(tmp_path / "store", teacher)
        )

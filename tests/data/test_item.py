"""Photos as a model sees them: their order, their frame, and which of their masks are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.data.dataset import Sample
from anymask.data.item import Items, shuffled
from anymask.data.mask_filter import MaskFilter
from anymask.errors import InputError
from anymask.models.variants import Preprocessing

SMALL = Preprocessing(side=64)


class Samples:
    """A data set in memory; the key of a sample is its number."""

    def __init__(self, *samples: Sample) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def key(self, index: int) -> str:
        return str(index)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def photo(*layers: np.ndarray, size_hw: tuple[int, int] = (32, 48), **more: object) -> Sample:
    """A photo whose red is the number of its first layer."""
    image = np.zeros((*size_hw, 3), np.uint8)
    if layers and layers[0].shape == size_hw:
        image[..., 0] = layers[0]
    return Sample(image, layers, **more)  # type: ignore[arg-type]


def squares(count: int = 2, size_hw: tuple[int, int] = (32, 48)) -> np.ndarray:
    """Squares of 12 x 12 pixels, numbered from 1."""
    layer = np.zeros(size_hw, np.uint8)
    for number in range(count):
        layer[4:16, 4 + 14 * number : 16 + 14 * number] = number + 1
    return layer


def items(*samples: Sample, **options: object) -> Items:
    return Items(Samples(*samples), SMALL, **options)  # type: ignore[arg-type]


def test_every_epoch_brings_each_photo_once_in_another_order() -> None:
    some = items(*[photo(squares()) for _ in range(8)])
    epochs = [[some[8 * epoch + i].key for i in range(8)] for epoch in range(3)]
    assert all(sorted(epoch) == sorted(map(str, range(8))) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(0, 5))
def test_the_ring_of_an_epoch_holds_everything(position: int, count: int, seed: int) -> None:
    ring = [shuffled(position, count, seed, more) for more in range(count)]
    assert sorted(ring) == list(range(count))


def test_a_position_always_has_the_same_item() -> None:
    samples = [photo(squares(3)) for _ in range(4)]
    straight = [items(*samples)[i] for i in range(12)]
    jumping = items(*samples)
    for position in (11, 3, 7):
        one, other = straight[position], jumping[position]
        assert one.key == other.key
        assert one.chosen.tolist() == other.chosen.tolist()
        assert one.seeds.tolist() == other.seeds.tolist()
    seeds = [seed for item in straight for seed in item.seeds]
    assert len(set(seeds)) == len(seeds)
    assert items(*samples, seed=1)[0].seeds.tolist() != straight[0].seeds.tolist()


@pytest.mark.parametrize(
    ("wanted", "frame_hw", "resized_hw"),
    [
        (SMALL, (64, 64), (43, 64)),
        (Preprocessing(side=64, pad=32), (64, 64), (43, 64)),
        (Preprocessing(side=24, pad=8), (16, 24), (16, 24)),
        (Preprocessing(side=64, squash=True, resize="bilinear"), (64, 64), (64, 64)),
    ],
)
def test_masks_come_into_the_frame_with_their_pixels(
    wanted: Preprocessing, frame_hw: tuple[int, int], resized_hw: tuple[int, int]
) -> None:
    layer = squares() * np.uint8(100)
    item = Items(Samples(photo(layer)), wanted)[0]
    assert item.image is not None
    assert item.transform.frame_hw == frame_hw
    assert item.image.shape[:2] == item.masks.shape[1:] == resized_hw
    assert item.masks.dtype == np.bool_
    for mask, (_, label) in zip(item.masks, item.chosen, strict=True):
        reds = item.image[..., 0][mask]
        assert abs(np.median(reds) - label) < 50  # the border is blurred


def test_masks_of_all_layers_take_part_but_no_more_than_wanted() -> None:
    whole = (squares(2) > 0).astype(np.uint16) * 300
    item = items(photo(squares(2), whole))[0]
    assert sorted(map(tuple, item.chosen.tolist())) == [(0, 1), (0, 2), (1, 300)]
    few = items(photo(squares(2), whole), mask_filter=MaskFilter(per_image=2))
    drawn = {tuple(c) for i in range(20) for c in few[i].chosen.tolist()}
    assert all(len(few[i].chosen) == 2 for i in range(20))
    assert drawn == {(0, 1), (0, 2), (1, 300)}


@pytest.mark.parametrize(
    ("share", "taken"), [(0.89, True), (0.91, False)], ids=["nearly all", "all"]
)
def test_masks_of_nearly_the_whole_photo_are_dropped(share: float, taken: bool) -> None:
    layer = np.zeros((100, 100), np.uint8)
    layer[: round(100 * share)] = 2
    layer[99, :30] = 1
    item = Items(Samples(photo(layer, size_hw=(100, 100))), Preprocessing(side=100))[0]
    assert (2 in item.chosen[:, 1]) == taken


def test_masks_that_the_model_hardly_sees_are_dropped() -> None:
    layer = squares(1, (320, 480))  # 12 pixels of 480 are fewer than 2 of 64
    layer[100:300, 100:300] = 2
    assert items(photo(layer, size_hw=(320, 480)))[0].chosen[:, 1].tolist() == [2]


def test_void_pixels_belong_to_no_mask() -> None:
    void = np.zeros((32, 48), bool)
    void[:, 24:] = True
    item = items(photo(squares(2), void=void))[0]
    assert item.void is not None
    assert item.void.shape == item.masks.shape[1:]
    assert not (item.masks & item.void).any()
    assert item.masks.any(axis=(1, 2)).all()


def test_photos_without_masks_give_way_to_the_next() -> None:
    empty = photo(np.zeros((32, 48), np.uint8))
    some = items(empty, photo(squares()), photo(), empty)
    assert {some[i].key for i in range(12)} == {"1"}
    assert len({tuple(some[i].seeds) for i in range(12)}) == 12


def test_samples_are_changed_unless_that_leaves_nothing() -> None:
    def darker(sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, image=sample.image // 2)

    def emptied(sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(darker(sample, rng), layers=(np.zeros((32, 48), np.uint8),))

    bright, dark, plain = (
        items(photo(squares(1) * 200), augment=augment)[0].image
        for augment in ((), (darker,), (emptied,))
    )
    assert bright is not None and dark is not None and plain is not None
    assert dark.max() == bright.max() // 2
    assert plain.max() == bright.max()


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [
        ([], "empty data set"),
        ([photo()], "none in all 1 images"),
        ([photo(np.zeros((32, 48), np.uint8))] * 3, "none in all 3 images"),
        ([photo(squares(2, (30, 48)))], r"labels of shape \(32, 48\).*for '0', got \(30, 48\)"),
        ([photo(squares(), void=np.zeros((8, 8), bool))], r"got \(8, 8\)"),
        ([photo(squares().astype(np.int32) - 1)], "from -1 to 1"),
        ([photo(squares().astype(np.int32) * 70_000)], "from 0 to 140000"),
        ([photo(squares().astype(np.float32))], "got float32"),
    ],
)
def test_bad_data_is_told_in_one_sentence(samples: Sequence[Sample], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        items(*samples)[0]
    assert "; " in str(caught.value) or not samples

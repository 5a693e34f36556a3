"""Which images are learned from and which are validated on, whatever the labels hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from anymask.data.dataset import Dataset
from anymask.errors import InputError
from anymask.models.variants import find
from anymask.train.config import LoopConfig
from anymask.train.finetuning.config import FineTuneConfig
from anymask.train.finetuning.split import split_images
from anymask.train.launch import MAX_VAL_IMAGES, Split

LOOK = replace(find("bundled").preprocessing, side=64)
Write = Callable[[str, Sequence[np.ndarray]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a data set of label maps, and give its folder."""

    def make(name: str, maps: Sequence[np.ndarray]) -> Path:
        for part in ("images", "masks"):
            (tmp_path / name / part).mkdir(parents=True)
        for number, labels in enumerate(maps):
            image = np.full((*labels.shape, 3), 200 - number, np.uint8)
            PIL.Image.fromarray(image).save(tmp_path / name / "images" / f"{number:02}.png")
            PIL.Image.fromarray(labels).save(tmp_path / name / "masks" / f"{number:02}.png")
        return tmp_path / name

    return make


def labels(height: int = 48, width: int = 64, side: int = 20, number: int = 1) -> np.ndarray:
    """A label map with one square."""
    found = np.zeros((height, width), np.uint8)
    found[3 : 3 + side, 5 : 5 + side] = number
    return found


EMPTY = np.zeros((48, 64), np.uint8)
FULL = np.ones((48, 64), np.uint8)
TINY = labels(side=3)


def keys(data: Dataset) -> set[str]:
    return {data.key(i) for i in range(len(data))}


def split(*data: Path, seed: int = 0, **settings: object) -> Split:
    config = FineTuneConfig(data=data, loop=LoopConfig(seed=seed), **settings)  # type: ignore[arg-type]
    return split_images(config, LOOK)


def test_a_share_is_validated_on(photos: Path) -> None:
    train, val = split(photos)
    assert (len(train), len(val)) == (5, 1)
    assert keys(train) | keys(val) == set("012345")


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({"val_fraction": 0.5}, (3, 3)),
        ({"val_fraction": 0.01}, (5, 1)),
        ({"val_fraction": 0.99}, (1, 5)),
        ({"val_fraction": 0.0}, (6, 0)),
        ({"images": 3}, (2, 1)),
        ({"images": 1}, (1, 0)),
    ],
)
def test_images_are_shared_out(
    photos: Path, settings: dict[str, object], sizes: tuple[int, int]
) -> None:
    train, val = split(photos, **settings)
    assert (len(train), len(val)) == sizes
    assert len(keys(train) | keys(val)) == sum(sizes)


def test_other_images_can_be_validated_on(photos: Path) -> None:
    train, val = split(photos, val=(photos,))
    assert keys(train) == keys(val) == set("012345")


def test_a_data_set_named_twice_counts_once(photos: Path) -> None:
    train, val = split(photos, photos / ".." / photos.name)
    assert (len(train), len(val)) == (5, 1)


def test_a_validation_takes_no_more_images_than_it_needs(write: Write) -> None:
    train, val = split(write("many", [labels()] * (3 * MAX_VAL_IMAGES)), val_fraction=0.5)
    assert (len(train), len(val)) == (2 * MAX_VAL_IMAGES, MAX_VAL_IMAGES)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("useless", [EMPTY, FULL, TINY], ids=["empty", "full", "tiny"])
@pytest.mark.parametrize("fraction", [0.2, 0.9])
def test_what_is_validated_on_has_masks(
    write: Write, useless: np.ndarray, seed: int, fraction: float
) -> None:
    data = write("mixed", [labels(), useless, labels(), labels(), useless, useless])
    train, val = split(data, seed=seed, val_fraction=fraction)
    assert keys(val) < {"00", "02", "03"}
    assert len(val) == (1 if fraction == 0.2 else 2)  # one is left to learn from
    assert keys(train) == {f"{i:02}" for i in range(6)} - keys(val)


@pytest.mark.parametrize("learn", ["decoder", "adapter"])
def test_one_image_with_masks_is_learned_from(write: Write, learn: str) -> None:
    train, val = split(write("one", [EMPTY, labels(), EMPTY]), learn=learn)
    assert (len(train), len(val)) == (3, 0)


@pytest.mark.parametrize("maps", [[EMPTY], [EMPTY] * 6, [FULL, TINY]], ids=["1", "6", "unfit"])
@pytest.mark.parametrize("settings", [{}, {"val_fraction": 0.0}, {"learn": "adapter"}], ids=str)
def test_without_masks_there_is_one_sentence(
    write: Write, maps: Sequence[np.ndarray], settings: dict[str, object]
) -> None:
    words = (
        rf"masks of at least 16 .* at most 90% .* to learn from \(--data\), got none in {len(maps)}"
    )
    with pytest.raises(InputError, match=words) as caught:
        split(write("none", maps), **settings)
    assert "\n" not in str(caught.value)


def test_there_must_be_masks_to_validate_on(write: Write) -> None:
    data = write("some", [labels()] * 3)
    with pytest.raises(InputError, match=r"to validate on \(--val\), got none in 2 images of"):
        split(data, val=(write("none", [EMPTY, TINY]),))


def test_a_few_images_with_masks_among_many_are_found(write: Write) -> None:
    val = write("sparse", [EMPTY] * 50 + [labels()] * 2 + [EMPTY] * 50)
    assert len(split(write("some", [labels()] * 3), val=(val,)).val) == 2


def test_masks_that_are_void_do_not_count(write: Write) -> None:
    void = np.full((48, 64), 255, np.uint8)  # VOC's way to say so
    assert keys(split(write("void", [void, labels(), void, labels()]), layout="auto").val) <= {
        "01",
        "03",
    }


def test_masks_small_in_the_image_are_not_measured(write: Write) -> None:
    small = [labels(12, 16, side=3)] * 3  # 9 pixels of the image, 144 as the model sees them
    train, val = split(write("small", small))
    assert (len(train), len(val)) == (3, 0)


def test_names_that_nothing_has(photos: Path) -> None:
    with pytest.raises(InputError, match="expected masks with names, to find roof"):
        split(photos, learn="adapter", names=("roof",))


def test_data_is_needed() -> None:
    with pytest.raises(InputError, match=r"one data set to learn from, got none; .*--data"):
        split()

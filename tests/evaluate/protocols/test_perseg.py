"""An object that is known from one image, found in others."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from tests.models.tiny import tiny

from anymask.data.dataset import Sample
from anymask.data.readers.perseg import PerSeg as PerSegFolder
from anymask.errors import CapabilityError, InputError
from anymask.evaluate.protocols.perseg import PerSeg
from anymask.image.image import Image
from anymask.masks.masks import Masks
from anymask.models.build import build
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter

SIZE = (4, 6)


def write(root: Path, name: str, colour: int, *numbers: int) -> None:
    mask = np.zeros((*SIZE, 3), np.uint8)
    mask[list(numbers)] = (128, 0, 0)
    for folder, suffix, pixels in (
        ("Images", "jpg", np.full((*SIZE, 3), colour, np.uint8)),
        ("Annotations", "png", mask),
    ):
        path = root / folder / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dog in two rows of three images, the first as reference; a cup in one row."""
    root = tmp_path / "perseg"
    for number, rows in enumerate(((0, 1), (1, 2), (3,))):
        write(root, f"big_dog/{number:02}", 10, *rows)
    for number in range(2):
        write(root, f"cup/{number:02}", 200, number)
    return root


class Painter:
    """Finds the first half of the image, whatever it is shown, unless that is too bright."""

    variant = SimpleNamespace(name="painter")

    def __init__(self) -> None:
        self.shown: list[tuple[int, int]] = []

    def personalize(self, reference: Image, mask: np.ndarray, method: str) -> Painter:
        self.shown.append((int(reference.pixels[0, 0, 0]), int(mask.sum())))
        assert method == "match"
        return self

    def find(self, image: Image) -> Masks:
        if image.pixels[0, 0, 0] > 100:
            return Masks.empty(SIZE)
        mask = np.zeros(SIZE, bool)
        mask[:2] = True
        return Masks.from_dense(np.array([mask, ~mask]))


def test_reads_the_objects_with_their_references(folder: Path) -> None:
    data = PerSegFolder(folder)
    assert [data.key(i) for i in range(len(data))] == ["big_dog-01", "big_dog-02", "cup-01"]
    sample = data[1]
    assert sample.names == ("big dog",)
    assert sample.meta == {"set": "perseg", "id": "big_dog-02", "object": "big_dog"}
    assert int(sample.masks()[0].sum()) == 6
    assert int(sample.reference.masks()[0].sum()) == 12


@pytest.mark.parametrize(
    "part", ["Images/cup/01.jpg", "Images/cup/00.jpg", "Annotations/cup/00.png"]
)
def test_a_missing_file_is_named(folder: Path, part: str) -> None:
    (folder / part).unlink()
    with pytest.raises(InputError, match=part.replace(".", r"\.")):
        PerSegFolder(folder)


def test_an_empty_mask_is_refused(folder: Path) -> None:
    write(folder, "cup/01", 200)
    with pytest.raises(InputError, match=r"object in '.*cup/01\.png', got an empty mask"):
        PerSegFolder(folder)[2]


def test_measures_each_image_and_pools_each_object(folder: Path) -> None:
    data, model = PerSegFolder(folder), Painter()
    rows = {data.key(i): PerSeg().measure(model, data[i]) for i in range(3)}  # type: ignore[arg-type]
    assert model.shown == [(10, 12), (200, 6)]  # each object once
    assert [row["iou"] for some in rows.values() for row in some] == [0.33333, 0.0, 0.0]
    overall, by_object = PerSeg().summarise({"perseg": rows}).tables
    dog = 6 / (18 + 18)  # shared and united pixels of both images
    assert by_object.rows == (("perseg", "big_dog", 2, dog), ("perseg", "cup", 1, 0.0))
    assert overall.rows == (("perseg", 2, 3, pytest.approx(dog / 2), pytest.approx(0.33333 / 3)),)


def test_draws_what_came_and_what_was_wanted(folder: Path) -> None:
    model: Any = Painter()
    assert PerSeg().draw(model, PerSegFolder(folder)[0], {}).size == SIZE[::-1]


def test_a_model_that_cannot_be_shown_an_object_is_refused(folder: Path) -> None:
    model: Any = SimpleNamespace(variant=SimpleNamespace(name="plain"))
    with pytest.raises(CapabilityError, match="got plain, which takes no reference image"):
        PerSeg().measure(model, PerSegFolder(folder)[0])


def test_a_data_set_without_references_is_refused() -> None:
    model: Any = Painter()
    plain = Sample(np.zeros((*SIZE, 3), np.uint8), (), {"set": "pets"})
    with pytest.raises(InputError, match="reference images, got 'pets'"):
        PerSeg().measure(model, plain)


def test_our_own_models_take_part(folder: Path) -> None:
    """Of a picture in one colour nothing can be said, but it is said."""
    torch.manual_seed(0)
    variant = tiny(find("anymask-compact"))
    model = Segmenter(variant, build(variant).eval(), "0" * 64)
    data = PerSegFolder(folder)
    for method in ("match", "persam", "persam-f"):
        (row,) = PerSeg(method=method).measure(model, data[0])
        assert 0 <= row["iou"] <= 1
        assert json.loads(json.dumps(row)) == row

"""Masks that are there already: which belong to an image, and what tells them from others."""

from pathlib import Path

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.extras.given_masks import GivenMasks
from anymask.formats import coco
from anymask.image.image import Image
from anymask.masks.masks import Masks


def masks(source: str | None = None, labels: tuple[str, ...] = ("cup", "dog")) -> Masks:
    dense = np.zeros((2, 4, 6), bool)
    dense[0, :2] = dense[1, 2:] = True
    return Masks.from_dense(dense, labels=labels, source=source)


def test_what_changes_the_result_changes_the_settings() -> None:
    kinds = [
        GivenMasks(masks()),
        GivenMasks(masks("a.png")),
        GivenMasks(masks(labels=("cup", "cat"))),
        GivenMasks(masks(), "dog"),
        GivenMasks(masks(), ["dog", "cup"]),
        GivenMasks(Masks.from_dense(masks().dense(), labels=["cup", "dog"], model="sam_vit_b")),
    ]
    settings = [kind.settings() for kind in kinds]
    assert len({str(one) for one in settings}) == len(kinds)
    assert GivenMasks(masks()).settings() == settings[0]
    assert GivenMasks(masks(), ("dog", "cup")).settings() == settings[4], "as JSON gives it back"


def test_each_image_gets_its_own(tmp_path: Path) -> None:
    file = tmp_path / "masks.json"
    coco.write(file, [masks("x/a.png"), masks("y/a.png")[:1], masks("b.png")])
    given = GivenMasks(file)
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert len(given.of(Image(pixels, "photos/y/a.png"))) == 1
    assert len(given.of(Image(pixels, "else/b.png"))) == 2
    with pytest.raises(InputError, match=r"one image named 'a\.png', got 2 such among 3"):
        given.of(Image(pixels, "a.png"))
    with pytest.raises(InputError, match="masks of the image's size, 3 x 4, got 6 x 4"):
        given.of(Image(pixels[:, :3], "b.png"))

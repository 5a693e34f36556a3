"""Pictures for their own sake: of a data set that is known, or all that are in a folder."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anymask.data.dataset import LabelMapFolder
from anymask.data.images import open_images
from anymask.errors import InputError


def keys(data: Any) -> list[str]:
    return [data.key(i) for i in range(len(data))]


def test_every_picture_below_a_folder(folder: Any) -> None:
    folder.photo("2.png", "1.jpg", "trip/2.png", "trip/1.PNG", ".hidden/3.png", "trip/.4.png")
    (folder.root / "notes.txt").write_text("no picture")
    data = pickle.loads(pickle.dumps(open_images(folder.root)))
    assert keys(data) == ["1.jpg", "2.png", "trip-1.PNG", "trip-2.png"]
    assert data[0].image.shape == (6, 8, 3)
    assert data[0].masks() == []


def test_label_maps_are_no_photos(folder: Any, stripes: Callable[..., np.ndarray]) -> None:
    folder.photo("images/a.png").labels("masks/a.png", stripes(1, 2))
    data = open_images(folder.root)
    assert isinstance(data, LabelMapFolder)
    assert keys(data) == ["a"]


def test_no_pictures(folder: Any) -> None:
    folder.json("readme.md", "")
    with pytest.raises(InputError, match="expected images below"):
        open_images(folder.root)
    with pytest.raises(InputError, match="check the path"):
        open_images(folder.root / "missing")

"""Photos to learn from and networks that learn in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.models.tiny import tiny

from anymask.models.build import build
from anymask.models.variants import find
from anymask.models.weights.folder import write_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six noisy photos of 64 x 48, each of a bright and a dark square."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "photos" / part).mkdir(parents=True)
    for number in range(6):
        labels = np.zeros((48, 64), np.uint8)
        labels[8:26, 4 + number : 24 + number] = 1
        labels[24:42, 40 - number : 60 - number] = 2
        shades = np.array([120, 220, 30])[labels] + rng.normal(0, 5, labels.shape)
        image = np.repeat(shades[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)
        folder = tmp_path / "photos"
        PIL.Image.fromarray(image).save(folder / "images" / f"{number}.png")
        PIL.Image.fromarray(labels).save(folder / "masks" / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def tiny_model(tmp_path: Path) -> Callable[[str], str]:
    """Write a tiny network of the same kind as a variant, and give the path of its folder."""

    def make(name: str) -> str:
        torch.manual_seed(1)
        variant, folder = tiny(find(name)), tmp_path / name
        write_folder(folder, variant, build(variant).state_dict())
        return str(folder)

    return make

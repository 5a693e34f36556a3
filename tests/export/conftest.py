"""Tiny networks of every family, exported once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny

from anymask.export.report import Report
from anymask.export.write import export
from anymask.models.build import build
from anymask.models.variants import find
from anymask.models.weights.folder import write_folder

FAMILIES = (
    "sam-vit-b",
    "mobile-sam",
    "efficient-sam-ti",
    "fastsam-s",
    "anymask-compact",
    "sam2.1-tiny",
    "sam-hq-vit-b",
    "sam-hq-vit-tiny-only",
    "efficientvit-sam-l0",
)


@pytest.fixture(scope="session", autouse=True)
def one_core() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Random weights of a tiny network of a family, as a folder."""

    @cache
    def make(name: str) -> Path:
        variant = tiny(find(name))
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("weights") / name
        write_folder(folder, variant, build(variant).eval().state_dict())
        return folder

    return make


@pytest.fixture(scope="session")
def exported(
    tiny_weights: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Report]:
    """The report of a tiny network of a family, exported to a path with spaces."""
    return cache(
        lambda name: export(
            tiny_weights(name), tmp_path_factory.mktemp("out") / f"{name} as graphs"
        )
    )


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """An image of three flat things, 50 x 70."""
    image = np.random.default_rng(0).integers(0, 60, (50, 70, 3)).astype(np.uint8)
    image[5:25, 10:30] += 150
    image[30:45, 40:66, 1] += 120
    return image

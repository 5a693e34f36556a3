"""Edges of masks and of filters, on pictures whose edges are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from anymask.evaluate.edges.edge_maps import CLASSICAL, boundary_map, from_masks, suppress
from anymask.image.image import Image
from anymask.image.transform import Transform

pytest.importorskip("cv2")

DISC = np.hypot(*(np.mgrid[:80, :100] - np.array([40, 50])[:, None, None])) < 25


class Discs:
    """Answers every point with the disc, three times."""

    def embed(self, image: Image) -> Any:
        return SimpleNamespace(size_hw=image.size_hw, transform=Transform(*[image.size_hw] * 3))

    def decode(self, photo: Any, prompts: Any, multimask: bool) -> tuple[Any, Any]:
        logits = torch.from_numpy(np.where(DISC, 6.0, -6.0).astype(np.float32))
        return logits.expand(len(prompts), 3, -1, -1), torch.ones(len(prompts), 3)


def distance_to_rim(edges: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(edges)
    return np.abs(np.hypot(y - 40, x - 50) - 25)


def test_edges_of_masks_run_along_their_border() -> None:
    picture = np.zeros((80, 100, 3), np.uint8)
    found = from_masks(Discs(), Discs().embed(Image.open(picture)), points_per_side=4)
    assert found.max() == 1
    assert distance_to_rim(found > 0.5).max() < 2
    assert np.count_nonzero(found > 0.1) < 2.2 * 2 * np.pi * 25  # a line, no band


def test_a_models_own_map_comes_to_the_size_of_the_image() -> None:
    class Outlines(Discs):
        def embed(self, image: Image) -> Any:
            transform = Transform.fit(image.size_hw, side=50, pad=20)  # half the size, filled up
            y, x = np.mgrid[:10, :15] * 4 + 1.5
            rim = 4 - np.abs(np.hypot(2 * y + 0.5 - 40, 2 * x + 0.5 - 50) - 25)
            logits = torch.from_numpy(rim.astype(np.float32))[None, None]
            return SimpleNamespace(transform=transform, features={"boundary": logits})

    found = boundary_map(Outlines().embed(Image.open(np.zeros((80, 100, 3), np.uint8))))
    assert found is not None and found.shape == (80, 100) and found.max() < 1
    assert np.median(distance_to_rim(found > 0.5)) < 1.5
    assert np.count_nonzero(found > 0.5) < 2.5 * 2 * np.pi * 25  # a line, no band


def test_a_model_without_such_a_map_has_none() -> None:
    class Plain(Discs):
        def embed(self, image: Image) -> Any:
            return SimpleNamespace(features={"image": torch.zeros(1, 1, 2, 2)})

    assert boundary_map(Plain().embed(Image.open(np.zeros((8, 8, 3), np.uint8)))) is None


@pytest.mark.parametrize("name", sorted(CLASSICAL))
def test_filters_find_the_border_of_a_disc(name: str) -> None:
    picture = np.where(DISC[..., None], 200, 50).astype(np.uint8).repeat(3, axis=2)
    found = CLASSICAL[name](picture)
    assert found.shape == (80, 100)
    assert 0 <= found.min() <= found.max() <= 1
    assert distance_to_rim(found > 0.3).max() < 3
    assert np.count_nonzero(found > 0.3) > 0.8 * 2 * np.pi * 25


def test_flat_pictures_have_no_edges() -> None:
    flat = np.full((20, 30, 3), 90, np.uint8)
    assert all(not detect(flat).any() for detect in CLASSICAL.values())


def test_suppression_keeps_the_ridge_of_a_band() -> None:
    x = np.arange(60, dtype=np.float32)
    band = np.tile(np.exp(-(((x - 30) / 3) ** 2)), (40, 1)).astype(np.float32)
    thinned = suppress(band)
    assert (thinned[:, 30] == 1).all()
    assert not thinned[:, 25:29].any() and not thinned[:, 32:36].any()
    assert np.array_equal(suppress(band.T.copy()), thinned.T)

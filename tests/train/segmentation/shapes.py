"""Photos of shapes, as tiny networks see them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from tests.models.tiny import tiny
from torch import nn

from anymask.data.item import Item
from anymask.image.image import Image
from anymask.models.build import build
from anymask.models.variants import Variant


def shapes(count: int = 2, *, void: bool = False, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Squares of some colours on noise: image uint8 (48, 64, 3), labels, void or nothing."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((48, 64), np.uint8)
    for number in range(count):
        left, top = 3 + 20 * number, 6 + 5 * number + seed % 4
        labels[top : top + 22, left : left + 16] = number + 1
    shades = np.array([[90, 90, 90], [230, 60, 40], [30, 200, 90], [60, 60, 250]])[labels]
    image = np.clip(shades + rng.normal(0, 12, shades.shape), 0, 255).astype(np.uint8)
    unknown = np.zeros(labels.shape, bool)
    unknown[:, 56:] = void
    return image, labels, unknown


def item(variant: Variant, count: int = 2, *, void: bool = False, seed: int = 0) -> Item:
    """A photo of some squares in the frame of a tiny variant."""
    image, labels, unknown = shapes(count, void=void, seed=seed)
    transform = variant.preprocessing.fit((48, 64))
    down, across = (
        (np.arange(new) * old // new)
        for new, old in zip(transform.resized_hw, (48, 64), strict=True)
    )
    return Item(
        key=str(seed),
        transform=transform,
        layers=labels[None, down][..., across],
        chosen=np.array([[0, 1 + number] for number in range(count)]),
        seeds=np.arange(count) + 100 * seed,
        image=transform.resize(Image(image), variant.preprocessing.resize),
        void=unknown[down][:, across] if void else None,
    )


def embedded(one: Item, network: nn.Module, variant: Variant) -> Item:
    """The same item with features instead of its image."""
    assert one.image is not None
    frame = variant.preprocessing.frames(one.image[None], one.transform, torch.device("cpu"))
    with torch.no_grad():
        features = network.encode(frame, one.transform.frame_hw)  # type: ignore[operator]
    return replace(one, image=None, features=features)


def network_of(variant: Variant) -> tuple[Variant, nn.Module]:
    """Make a tiny network, and describe it."""
    torch.manual_seed(0)
    small = tiny(variant)
    return small, build(small).eval()  # type: ignore[return-value]

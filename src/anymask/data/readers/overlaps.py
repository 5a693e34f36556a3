"""Masks that may overlap, sorted into layers whose masks do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anymask.data.dataset import Labels
from anymask.masks import rle
from anymask.masks.rle import Counts

__all__ = ["layered"]


def layered(
    masks: Sequence[Counts],
    size_hw: tuple[int, int],
    names: Sequence[str] = (),
    crowds: Sequence[Counts] = (),
) -> Labels:
    """Lay each mask into the first layer where nothing is in its way.

    Args:
        masks: Run lengths of n masks; empty ones are left out.
        size_hw: Height and width of the image.
        names: What each of them shows, n names or none.
        crowds: Masks of what was not told apart; the pixels that belong to no mask become void.
    """
    layers: list[np.ndarray] = []
    members: list[list[int]] = []
    for i, counts in enumerate(masks):
        mask = rle.decode(counts, size_hw)
        if not mask.any():
            continue
        place = next((k for k, layer in enumerate(layers) if not layer[mask].any()), len(layers))
        if place == len(layers):
            layers.append(np.zeros(size_hw, np.uint16))
            members.append([])
        members[place].append(i)
        layers[place][mask] = len(members[place])
    small = [layer.astype(np.uint8) if layer.max() <= 255 else layer for layer in layers]
    order = [i for some in members for i in some]  # that of `Sample.masks`
    void = None
    if crowds:
        void = rle.decode(rle.merge(crowds), size_hw)
        for layer in layers:
            void &= layer == 0
    return Labels(tuple(small), void, tuple(names[i] for i in order) if names else ())

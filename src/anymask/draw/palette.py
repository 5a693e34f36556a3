"""Colours of masks: 24 bright ones, far apart where it matters."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from anymask.masks.masks import Masks

__all__ = ["Colour", "colours", "colours_of_labels"]

Colour = tuple[int, int, int]

# Hues that turn by the golden angle from blue on, as light and as strong as a screen can show: red,
# green, blue; then the place in Oklab (Ottosson, 2020), where equal distances look equally far.
_PALETTE = np.array(
    [
        (61, 149, 254, 0.669, -0.046, -0.171),
        (255, 154, 133, 0.784, 0.106, 0.068),
        (5, 208, 164, 0.764, -0.148, 0.026),
        (173, 98, 232, 0.641, 0.122, -0.159),
        (255, 201, 75, 0.862, 0.013, 0.150),
        (1, 168, 207, 0.678, -0.093, -0.085),
        (248, 89, 150, 0.690, 0.200, 0.000),
        (144, 243, 103, 0.875, -0.148, 0.135),
        (100, 112, 248, 0.609, 0.018, -0.199),
        (254, 154, 88, 0.778, 0.088, 0.115),
        (17, 222, 214, 0.814, -0.137, -0.024),
        (191, 76, 191, 0.611, 0.169, -0.107),
        (219, 206, 3, 0.837, -0.046, 0.171),
        (56, 176, 254, 0.726, -0.071, -0.137),
        (252, 87, 99, 0.683, 0.188, 0.069),
        (7, 232, 145, 0.819, -0.178, 0.073),
        (163, 123, 254, 0.680, 0.080, -0.170),
        (242, 160, 3, 0.768, 0.049, 0.156),
        (20, 192, 214, 0.740, -0.109, -0.063),
        (247, 100, 185, 0.713, 0.195, -0.043),
        (160, 210, 8, 0.800, -0.115, 0.164),
        (85, 141, 253, 0.660, -0.023, -0.176),
        (254, 162, 130, 0.798, 0.090, 0.076),
        (22, 203, 174, 0.753, -0.136, 0.006),
    ]
)
_N = len(_PALETTE)
_DIFFERENT = 0.2  # in Oklab; what is further apart than this is far enough
_DISTINCT = 0.15  # the same for names: less, so that a name changes its colour less often


def colours(masks: Masks) -> dict[int, Colour]:
    """Give each mask a colour: that of its label, or one that differs from those of its neighbours.

    Returns:
        Colours by number of the mask, the largest mask first; empty masks have none.
    """
    contrast = _contrast().clip(max=_DIFFERENT)
    low, high = masks.boxes[:, :2] - 2, masks.boxes[:, 2:] + 2
    order = np.argsort(-masks.areas, kind="stable")[: np.count_nonzero(masks.areas)]
    of_label = _places(masks.labels[i] for i in order)
    chosen = np.zeros(len(masks), dtype=np.int64)
    named = np.array([label is not None for label in masks.labels], dtype=np.bool_)
    chosen[named] = [of_label.get(label, 0) for label in masks.labels if label is not None]
    for rank, i in enumerate(order):
        if named[i]:
            continue
        done = np.concatenate([order[:rank], order[rank:][named[order[rank:]]]])
        near = done[(low[done] <= high[i]).all(axis=1) & (low[i] <= high[done]).all(axis=1)]
        quality = contrast[:, chosen[near]].min(axis=1, initial=1)
        turned = (np.arange(_N) + rank) % _N  # start elsewhere for each mask
        chosen[i] = turned[np.argmax(quality[turned])]
    return {int(i): _colour(chosen[i]) for i in order}


def colours_of_labels(labels: Iterable[str | None]) -> dict[str, Colour]:
    """Give each name a colour, whatever their order.

    It is drawn from the letters of the name, so that it is the same in every image, unless another
    name in the image has it or one like it.

    Examples:
        >>> colours_of_labels(["dog", None, "dog"]) == colours_of_labels(["dog"])
        True
    """
    return {name: _colour(place) for name, place in _places(labels).items()}


def _places(labels: Iterable[str | None]) -> dict[str, int]:
    """Find a place in the palette for each name."""
    contrast = _contrast().clip(max=_DISTINCT)
    places: dict[str, int] = {}
    for rank, name in enumerate(sorted({label for label in labels if label is not None})):
        others = list(places.values())[rank // _N * _N :]  # once all colours are given, begin anew
        turned = (np.arange(_N) + zlib.crc32(name.encode())) % _N
        quality = contrast[:, others].min(axis=1, initial=1)
        places[name] = int(turned[np.argmax(quality[turned])])
    return places


def _contrast() -> npt.NDArray[np.float64]:
    lab = _PALETTE[:, 3:]
    distance: npt.NDArray[np.float64] = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    return distance


def _colour(place: int) -> Colour:
    red, green, blue = _PALETTE[place, :3].astype(int).tolist()
    return red, green, blue

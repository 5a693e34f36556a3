"""How images become what the networks of transformers read, without torchvision and SciPy."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor

from anymask.errors import WeightsError
from anymask.image.image import Image

__all__ = ["Scaled", "Squared"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Normalisation:
    """Values of an image, as a network likes them.

    Attributes:
        factor: Brings 0 to 255 to, mostly, 0 to 1.
        mean: Of each channel, after that.
        std: Likewise.
    """

    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Normalisation:
        """Read it from the settings of an image processor of transformers."""
        factor = settings.get("rescale_factor", 1 / 255) if _on(settings, "do_rescale") else 1.0
        if not _on(settings, "do_normalize"):
            return cls(float(factor), (0.0,) * 3, (1.0,) * 3)
        mean, std = tuple(settings["image_mean"]), tuple(settings["image_std"])
        if len(mean) != 3 or len(std) != 3:
            raise ValueError("image_mean and image_std have three numbers each")
        return cls(float(factor), mean, std)

    def __call__(self, scaled: FloatArray) -> Tensor:
        """Normalise values that were multiplied by the factor, (h, w, 3), to (3, h, w)."""
        mean, std = (np.array(values, np.float32) for values in (self.mean, self.std))
        normal = (scaled - mean) / std
        return torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32))


@dataclass(frozen=True)
class Scaled:
    """Images of which the shorter side gets a length, unless the longer one gets too long.

    Attributes:
        shortest: Length of the shorter side; None: as ``longest``.
        longest: What the longer side is at most.
        resample: Filter, by its number in Pillow.
        normal: How values are normalised.
    """

    shortest: int
    longest: int
    resample: int
    normal: Normalisation

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Scaled:
        """Read it from the settings of an image processor of transformers.

        Raises:
            WeightsError: They are not of this kind.
        """
        try:
            size = settings["size"]
            if isinstance(size, int):  # as it was written at first
                size = {"shortest_edge": size, "longest_edge": settings.get("max_size", 1333)}
            shortest, longest = int(size["shortest_edge"]), int(size["longest_edge"])
            normal = Normalisation.read(settings)
            return cls(shortest, longest, int(settings.get("resample", 2)), normal)
        except (LookupError, TypeError, ValueError) as error:
            raise _unlike("size with shortest_edge and longest_edge", error) from error

    def size_of(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Give the height and width that an image of this size gets, at least 1."""
        short, long = min(size_hw), max(size_hw)
        side, exact = self.shortest, float(self.shortest)
        if long / short * side > self.longest:
            exact = self.longest * short / long
            side = round(exact)
        other = long if side == short else int(exact * long / short)
        h, w = (side, other) if size_hw[0] <= size_hw[1] else (other, side)
        return max(1, h), max(1, w)

    def __call__(self, image: Image) -> Tensor:
        """Prepare an image: float32 (3, h, w), as large as `size_of` says."""
        h, w = self.size_of(image.size_hw)
        filter_ = PIL.Image.Resampling(self.resample)
        resized = PIL.Image.fromarray(image.pixels).resize((w, h), filter_)
        return self.normal(np.asarray(resized, np.float32) * np.float32(self.normal.factor))


@dataclass(frozen=True)
class Squared:
    """Images that are filled up to a square, black at the bottom or at the right, and resized.

    Resizing is what SciPy and scikit-image do: a Gaussian against aliasing, then linear
    interpolation, mirrored at the borders.

    Attributes:
        side: Of the square.
        normal: How values are normalised.
    """

    side: int
    normal: Normalisation

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Squared:
        """Read it from the settings of an image processor of transformers.

        Raises:
            WeightsError: They are not of this kind.
        """
        try:
            h, w = int(settings["size"]["height"]), int(settings["size"]["width"])
            if h != w:
                raise ValueError(f"{h} x {w} is no square")
            return cls(h, Normalisation.read(settings))
        except (LookupError, TypeError, ValueError) as error:
            raise _unlike("size with equal height and width", error) from error

    def __call__(self, image: Image) -> Tensor:
        """Prepare an image: float32 (3, side, side)."""
        h, w = image.size_hw
        longest = max(h, w)
        scaled = torch.from_numpy(image.pixels.astype(np.float32) * np.float32(self.normal.factor))
        down, across = (_resampling(longest, self.side, n) for n in (h, w))
        lower = torch.sparse.mm(down, scaled.flatten(1)).unflatten(1, (w, 3)).transpose(0, 1)
        resized = torch.sparse.mm(across, lower.flatten(1)).unflatten(1, (self.side, 3))
        return self.normal(resized.transpose(0, 1).numpy())


@functools.lru_cache(maxsize=8)
def _resampling(old: int, new: int, n: int) -> Tensor:
    """Make the sparse matrix (new, n) that brings lines of ``old`` pixels to a length of ``new``.

    Only the first n of the old ones are not black.
    """
    sigma = max(0.0, (old / new - 1) / 2)
    radius = int(4 * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2) if sigma else np.ones(1)
    weights /= weights.sum()
    places = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(places).astype(np.int64)
    neighbours = np.stack([first, first + 1], axis=1)  # (new, 2)
    shares = np.stack([first + 1 - places, places - first], axis=1)
    # The Gaussian mirrors at the border, and so does what is interpolated from it.
    columns = _mirrored(_mirrored(neighbours, old)[..., None] + steps, old).ravel()
    values = (shares[..., None] * weights).ravel()
    rows = np.repeat(np.arange(new), len(values) // new)
    seen = columns < n
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([rows, columns])[:, seen]),
        torch.from_numpy(values[seen]),
        (new, n),
        check_invariants=True,
    )
    return matrix.coalesce().float()  # what one pixel gives by two ways is added up


def _mirrored(places: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Reflect places outside of 0 to n - 1 at the middles of the first and of the last pixel."""
    period = max(1, 2 * (n - 1))
    inside: npt.NDArray[np.int64] = (n - 1) - np.abs(places % period - (n - 1))
    return inside


def _on(settings: Mapping[str, Any], name: str) -> bool:
    return settings.get(name) is not False


def _unlike(what: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"expected the settings of an image processor, among them {what}, got others ({error}); "
        "get the folder of the model again"
    )

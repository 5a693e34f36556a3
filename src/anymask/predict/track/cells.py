"""A frame as a grid of cells that can be compared with those of other frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.embedding import Embedding
from anymask.image.image import Image
from anymask.image.transform import Transform

__all__ = ["Cells", "Model", "array", "describe", "pool"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_FINE = 48  # cells along the longer side that are enough to tell things apart
_SIDE = 64  # cells along the longer side where the model has no maps to compare
_COLOUR_WEIGHT = 0.5  # of colours in units of their usual deviation, beside vectors of length 1
_COLOUR_UNIT = 58.0  # of 255: the usual standard deviation of a colour in photos


class Model(Protocol):
    """What a model must be able to do to follow things; `Segmenter` is one."""

    @property
    def variant(self) -> Any:
        """Which model it is."""
        ...

    @property
    def network(self) -> Any:
        """Its network."""
        ...

    def embed(self, image: Any) -> Any:
        """Encode an image; see `Segmenter.embed`."""
        ...

    def decode(self, embedding: Any, prompts: Any, multimask: bool) -> tuple[Any, Any]:
        """Answer prompts with logits and predicted IoU; see `Segmenter.decode`."""
        ...


@dataclass(frozen=True, eq=False)
class Cells:
    """A frame as a grid of cells over the model's frame.

    Attributes:
        vectors: What each cell looks like, float32 (h * w, d).
        shown: Whether the image is there, not padding, bool (h * w,).
        grid_hw: Height and width of the grid.
    """

    vectors: FloatArray
    shown: BoolArray
    grid_hw: tuple[int, int]


def array(values: Any) -> npt.NDArray[Any]:
    """Give numbers as a float32 array, wherever they are: the one border to tensors."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values, np.float32)


def describe(model: Model, embedding: Embedding, image: Image) -> Cells:
    """Describe a frame by the features that its model can compare, and by its colours.

    Args:
        model: What embedded it. A network that names no maps to compare
            (`predict.personal`) leaves the colours.
        embedding: Of the frame.
        image: The frame.
    """
    names = getattr(model.network, "appearance", ())
    maps = [array(embedding.features[name])[0] for name in names]
    grid = _grid([one.shape[1:] for one in maps], embedding.transform.frame_hw)
    parts = []
    for one in maps:
        if one.shape[1] >= grid[0] and one.shape[2] >= grid[1]:
            pooled = pool(one, grid)
            parts.append(pooled / np.maximum(np.linalg.norm(pooled, axis=0), 1e-6))
    colours, shown = _colours(image, embedding.transform, grid)
    vectors = np.concatenate([*parts, colours]).reshape(-1, grid[0] * grid[1]).T
    return Cells(np.ascontiguousarray(vectors, np.float32), shown, grid)


def _grid(sizes: list[Any], frame_hw: tuple[int, int]) -> tuple[int, int]:
    """Choose the coarsest of the maps that are fine enough, or else the finest."""
    if not sizes:
        step = max(frame_hw) / _SIDE
        h, w = (max(1, round(side / step)) for side in frame_hw)
        return h, w
    fine = [size for size in sizes if max(size) >= _FINE]
    h, w = min(fine, key=max) if fine else max(sizes, key=max)
    return int(h), int(w)


def _colours(
    image: Image, transform: Transform, grid_hw: tuple[int, int]
) -> tuple[FloatArray, BoolArray]:
    """Average the colours of cells, (3, h, w), and say which of them show the image."""
    (frame_h, frame_w), (h, w) = transform.frame_hw, grid_hw
    (top, left), (high, wide) = transform.offset_hw, transform.resized_hw
    y0, x0 = round(top * h / frame_h), round(left * w / frame_w)
    y1 = min(h, max(y0 + 1, round((top + high) * h / frame_h)))
    x1 = min(w, max(x0 + 1, round((left + wide) * w / frame_w)))
    small = image.to_pil().resize((x1 - x0, y1 - y0), PIL.Image.Resampling.BOX)
    colours = np.zeros((3, h, w), np.float32)
    seen = np.asarray(small, np.float32).transpose(2, 0, 1) / _COLOUR_UNIT
    colours[:, y0:y1, x0:x1] = _COLOUR_WEIGHT * seen
    shown = np.zeros((h, w), np.bool_)
    shown[y0:y1, x0:x1] = True
    return colours, shown.reshape(-1)


def pool(maps: npt.NDArray[Any], grid_hw: tuple[int, int]) -> FloatArray:
    """Average maps (c, h, w) over the cells of a grid that is no finer: float32 (c, h', w')."""
    means = maps.astype(np.float32, copy=False)
    for axis, cells in ((1, grid_hw[0]), (2, grid_hw[1])):
        side = maps.shape[axis]
        starts = np.arange(cells) * side // cells
        means = np.add.reduceat(means, starts, axis=axis)
        sizes = np.diff(starts, append=side).astype(np.float32)
        means /= sizes[:, None] if axis == 1 else sizes
    return means

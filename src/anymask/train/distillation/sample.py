"""What a student learns from: an image, and what its teacher's encoder made of the same image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.data.dataset import Dataset
from anymask.data.embeddings import EmbeddingStore
from anymask.data.item import shuffled
from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.models.variants import Preprocessing

__all__ = [
    "DistillSample",
    "DistillSamples",
    "cell_centers",
    "covers_image",
    "frames",
    "resample",
]


@dataclass(frozen=True, eq=False)
class DistillSample:
    """One image in the student's frame, and its teacher's embedding."""

    key: str
    """Names the image, unlike any other of its data set."""
    image: npt.NDArray[Any]
    """(h, w, 3), 0 to 255: the image as the student's encoder sees it, before
    normalising and padding."""
    transform: Transform
    """The way from the image into the student's frame."""
    teacher_embedding: Embedding
    """What the teacher's encoder made of the image, in the teacher's frame, float16."""
    seed: int
    """Start of the random generator of this image."""
    features: None = None
    """The student encodes the image itself, see `NetworkInput`."""


class DistillSamples:
    """The samples of a data set, by their positions in an endless order; see `ByPosition`."""

    def __init__(
        self, dataset: Dataset, preprocessing: Preprocessing, store: EmbeddingStore, seed: int = 0
    ) -> None:
        """Prepare.

        Args:
            dataset: The images; masks do not matter.
            preprocessing: How the student wants its images.
            store: What the teacher saw in each of them.
            seed: Start of every random draw.

        Raises:
            InputError: The data set is empty, or an image has no embedding.
        """
        if not len(dataset):
            raise InputError(
                "expected at least one image to learn from, got an empty data set; check the path"
            )
        missing = [key for i in range(len(dataset)) if (key := dataset.key(i)) not in store]
        if missing:
            raise InputError(
                f"expected the teacher's embeddings of all {len(dataset)} images in "
                f"{str(store.folder)!r}, got none of {len(missing)}, such as {missing[0]!r}; fill "
                "the store first"
            )
        self.dataset, self.preprocessing = dataset, preprocessing
        self.store, self.seed = store, seed

    def __len__(self) -> int:
        """Count the images, which is the length of an epoch."""
        return len(self.dataset)

    def __getitem__(self, position: int) -> DistillSample:
        """Make the sample at a position, from 0 on, without end.

        Raises:
            InputError: The image is not the one that the teacher saw.
        """
        index = shuffled(position, len(self), self.seed)
        key, original = self.dataset.key(index), Image(self.dataset[index].image)
        embedding = self.store.read(key, original.pixels)
        transform = self.preprocessing.fit(original.size_hw)
        image = self.preprocessing.seen(transform).resize(original, self.preprocessing.resize)
        seed = int(np.random.default_rng([self.seed, position]).integers(np.iinfo(np.int64).max))
        return DistillSample(key, image, transform, embedding, seed)


def frames(
    batch: Sequence[DistillSample], preprocessing: Preprocessing, device: torch.device
) -> Tensor:
    """Lay the images of a batch into frames of one size: float32 (b, 3, h, w)."""
    each = [
        preprocessing.frames(x.image[None], preprocessing.seen(x.transform), device) for x in batch
    ]
    return torch.cat(each)


def resample(
    maps: Tensor, source: Transform, target: Transform, size_hw: tuple[int, int]
) -> Tensor:
    """Resample maps from one model's frame to another's, where the same things lie elsewhere.

    Args:
        maps: (..., c, h, w), covering the whole frame of ``source``.
        source: The way of an image into the frame that the maps cover.
        target: The way of the same image into the other frame.
        size_hw: Rows and columns of the new maps, which cover the whole other frame.

    Returns:
        float32 (..., c, *size_hw): the mean of what lies under each new cell, between the old cells
        linearly. Beyond the edges of the old maps their last values go on.
    """
    if source == target and maps.shape[-2:] == size_hw:
        return maps.float()
    # A cell that covers several old ones is sampled at as many places.
    times = max(1, *(-(-old // new) for old, new in zip(maps.shape[-2:], size_hw, strict=True)))
    wanted = cell_centers(target, (size_hw[0] * times, size_hw[1] * times))
    height, width = source.frame_hw
    there = source.points_to_frame(wanted) / (width, height) * 2 - 1
    flat = maps.float().flatten(0, -4) if maps.ndim > 3 else maps.float()[None]
    grid = torch.from_numpy(there).to(flat).expand(len(flat), -1, -1, -1)
    found = F.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return F.avg_pool2d(found, times).reshape(*maps.shape[:-2], *size_hw)


def covers_image(transform: Transform, size_hw: tuple[int, int]) -> Tensor:
    """Return which cells of a map (h, w) that covers a frame have the image at their middle."""
    height, width = transform.original_hw
    x, y = np.moveaxis(cell_centers(transform, size_hw), -1, 0)
    return torch.from_numpy((x >= 0) & (x <= width) & (y >= 0) & (y <= height))


def cell_centers(transform: Transform, size_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Find the middles of the cells of a map that covers a frame in the image: (h, w, 2).

    x before y, in pixels from the image's corner, so that the middle of a pixel has a half.
    """
    across, down = (
        (np.arange(cells) + 0.5) * side / cells
        for cells, side in zip(size_hw[::-1], transform.frame_hw[::-1], strict=True)
    )
    middles: npt.NDArray[np.float64] = np.stack(np.meshgrid(across, down), axis=-1)
    return transform.points_to_image(middles)

"""What an image is of, cell by cell: how a saliency network is asked.

The network is `saliency`, or a graph of it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from anymask.arrays import Array, Device, floats, inference, sigmoid, to_numpy
from anymask.image import resampling
from anymask.image.image import Image, ImageLike
from anymask.models.variants import Preprocessing

__all__ = ["PREPROCESSING", "SaliencyNetwork", "main_subject", "saliency_logits"]

PREPROCESSING = Preprocessing(side=320, pad=None, squash=True)
"""How a photo becomes its input."""

FloatArray = npt.NDArray[np.float32]


class SaliencyNetwork(Protocol):
    """What computes: a `saliency.Saliency`, or a graph of it."""

    @property
    def device(self) -> Device:
        """Where it computes, see `Network.device`."""
        ...

    def __call__(self, pixels: Array, /) -> Array:
        """Say how much each pixel belongs to the main subject.

        Args:
            pixels: Normalised RGB, float32 (b, 3, 320, 320).

        Returns:
            Logits (b, 1, 320, 320).
        """
        ...


def saliency_logits(network: SaliencyNetwork, image: Image) -> FloatArray:
    """Say how much each cell of an image belongs to what the image is of.

    Returns:
        Logits, float32 (320, 320), which cover the image whatever its proportions.
    """
    transform = PREPROCESSING.fit(image.size_hw)
    resized = transform.resize(image, PREPROCESSING.resize)
    with inference(network.device):
        said = network(PREPROCESSING.frames(resized[None], transform, network.device))
    return floats(to_numpy(said)[0, 0])


def main_subject(network: SaliencyNetwork, image: ImageLike) -> FloatArray:
    """Say how much each pixel of an image belongs to what the image is of.

    Args:
        network: See `companions.saliency`.
        image: What `Image.open` takes.

    Returns:
        float32 (h, w) of the image, 0 to 1; above 0.5 is the subject. An image of nothing in
        particular gets low values everywhere.

    Examples:
        >>> from anymask.models.companions import saliency
        >>> main_subject(saliency("cpu"), "docs/pictures/coffee.jpg").shape
        (400, 600)
    """
    photo = Image.open(image)
    return resampling.enlarged(sigmoid(saliency_logits(network, photo)), photo.size_hw)

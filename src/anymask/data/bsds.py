"""BSDS500's ground truth as its authors publish it: files of MATLAB."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anymask.data.dataset import Labels
from anymask.data.label_image import check_size, layer_of
from anymask.errors import InputError
from anymask.optional import optional

__all__ = ["read_ground_truth"]


def read_ground_truth(path: Path, size_hw: tuple[int, int]) -> Labels:
    """Read the segmentations of all annotators, one layer for each.

    Args:
        path: One file of ``groundTruth/<split>/``.
        size_hw: Height and width of its image.

    Raises:
        InputError: The file is damaged, or not in this layout, or of another image.
        MissingExtraError: SciPy is not installed.
    """
    scipy = optional("scipy.io", extra="eval")
    try:
        annotators = scipy.loadmat(path)["groundTruth"].ravel()
        maps = [annotator["Segmentation"][0, 0].astype(np.int32) for annotator in annotators]
    except Exception as error:  # broken files make SciPy raise nearly anything
        raise InputError(
            f"cannot read {str(path)!r} as ground truth of BSDS500: {error}; check that it is whole"
        ) from error
    for labels in maps:
        check_size(labels.shape, size_hw, path)
    return Labels(tuple(layer_of(labels) for labels in maps))

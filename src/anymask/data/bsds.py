"""BSDS500's ground truth as its authors publish it: files of MATLAB."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anymask.data.dataset import Labels
from anymask.data.label_image import check_size, layer_of
from anymask.errors import InputError
from anymask.optional import optional

__all__ = ["read_boundaries", "read_ground_truth"]


def read_ground_truth(path: Path, size_hw: tuple[int, int]) -> Labels:
    """Read the segmentations of all annotators, one layer for each, and the lines between them.

    Args:
        path: One file of ``groundTruth/<split>/``.
        size_hw: Height and width of its image.

    Raises:
        InputError: The file is damaged, or not in this layout, or of another image.
        MissingExtraError: SciPy is not installed.
    """
    maps, boundaries = _read(path, "Segmentation"), _read(path, "Boundaries")
    for drawn in (*maps, *boundaries):
        check_size(drawn.shape, size_hw, path)
    layers = tuple(layer_of(labels.astype(np.int32)) for labels in maps)
    return Labels(layers, boundaries=tuple(drawn != 0 for drawn in boundaries))


def read_boundaries(path: str | Path) -> list[np.ndarray]:
    """Read the boundaries that each annotator of an image drew, bool (h, w).

    Args:
        path: One file of ``groundTruth/<split>/``.

    Raises:
        InputError: The file is damaged, or not in this layout.
        MissingExtraError: SciPy is not installed.
    """
    return [drawn != 0 for drawn in _read(Path(path), "Boundaries")]


def _read(path: Path, part: str) -> list[np.ndarray]:
    """Read ``"Segmentation"`` or ``"Boundaries"`` of every annotator."""
    scipy = optional("scipy.io", extra="eval")
    try:
        annotators = scipy.loadmat(path)["groundTruth"].ravel()
        return [np.asarray(annotator[part][0, 0]) for annotator in annotators]
    except Exception as error:  # broken files make SciPy raise nearly anything
        raise InputError(
            f"cannot read {str(path)!r} as ground truth of BSDS500: {error}; check that it is whole"
        ) from error

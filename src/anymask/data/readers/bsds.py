"""BSDS500's ground truth as its authors publish it: files of MATLAB."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anymask.data.dataset import Labels
from anymask.data.readers.label_image import check_size, layer_of
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
    annotators = _annotators(path)
    maps = _parts(path, annotators, "Segmentation")
    boundaries = _parts(path, annotators, "Boundaries") if "Boundaries" in annotators[0] else []
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
    path = Path(path)
    return [drawn != 0 for drawn in _parts(path, _annotators(path), "Boundaries")]


def _annotators(path: Path) -> list[dict[str, np.ndarray]]:
    """Read all that a file says, by annotator and part."""
    scipy = optional("scipy.io", extra="eval")
    try:
        cells = scipy.loadmat(path)["groundTruth"].ravel()
        found = [{part: cell[part][0, 0] for part in cell.dtype.names} for cell in cells]
    except Exception as error:  # broken files make SciPy raise nearly anything
        raise InputError(
            f"cannot read {str(path)!r} as ground truth of BSDS500: {error}; check that it is whole"
        ) from error
    if not found:
        raise InputError(f"expected annotators in {str(path)!r}, got none; check that it is whole")
    return found


def _parts(path: Path, annotators: list[dict[str, np.ndarray]], part: str) -> list[np.ndarray]:
    """Take one part of every annotator."""
    if any(part not in annotator for annotator in annotators):
        raise InputError(
            f"expected {part!r} of every annotator in {str(path)!r}, got "
            f"{sorted(annotators[0])}; get the file as published"
        )
    return [annotator[part] for annotator in annotators]

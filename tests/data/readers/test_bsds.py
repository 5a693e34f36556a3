"""Ground truth of BSDS500, in files as its authors publish them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.readers.bsds import read_boundaries, read_ground_truth
from anymask.errors import InputError

LABELS = np.ones((6, 8), np.uint16)
LABELS[:, 4:] = 2
LINE = np.zeros((6, 8), np.uint8)
LINE[:, 3] = 1


@pytest.fixture
def write(tmp_path: Path) -> Any:
    scipy = pytest.importorskip("scipy.io")

    def write(*annotators: dict[str, np.ndarray]) -> Path:
        cells = np.empty((1, len(annotators)), object)
        cells[0] = annotators
        scipy.savemat(tmp_path / "3096.mat", {"groundTruth": cells})
        return tmp_path / "3096.mat"

    return write


def test_every_annotator_has_masks_and_boundaries(write: Any) -> None:
    path = write(
        {"Segmentation": LABELS, "Boundaries": LINE},
        {"Segmentation": LABELS, "Boundaries": 0 * LINE},
    )
    labels = read_ground_truth(path, (6, 8))
    assert [layer.tolist() for layer in labels.layers] == [LABELS.tolist()] * 2
    assert [drawn.sum() for drawn in labels.boundaries] == [6, 0]
    found = read_boundaries(path)
    assert [drawn.dtype for drawn in found] == [bool, bool]
    assert np.array_equal(found[0], LINE == 1)


def test_what_is_missing_is_named(write: Any) -> None:
    path = write({"Segmentation": LABELS})
    with pytest.raises(InputError, match=r"expected 'Boundaries' .*3096\.mat'.*'Segmentation'"):
        read_boundaries(path)
    assert read_ground_truth(path, (6, 8)).boundaries == ()
    with pytest.raises(InputError, match="expected 'Segmentation'"):
        read_ground_truth(write({"Boundaries": LINE}), (6, 8))
    with pytest.raises(InputError, match="expected annotators"):
        read_boundaries(write())


def test_maps_of_another_image_are_refused(write: Any) -> None:
    path = write({"Segmentation": LABELS, "Boundaries": LINE[:5]})
    with pytest.raises(InputError, match=r"shape \(6, 8\)"):
        read_ground_truth(path, (6, 8))

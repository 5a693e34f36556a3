"""Recall, precision and what becomes of them, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.evaluate.edges.boundary_scores import Counts, score


def counts(*rows: list[int]) -> Counts:
    return Counts(*(np.array(row) for row in rows))


def test_a_known_curve_has_a_known_area() -> None:
    found = score(
        [counts([100, 50], [100, 100], [50, 50], [100, 50])]
    )  # recall 1 at precision 0.5, recall 0.5 at precision 1
    assert found.r50 == 1.0
    assert found.ap == pytest.approx(
        sum(np.interp(r, [0.5, 1], [1, 0.5]) for r in np.arange(50, 101) / 100) / 100
    )


def test_images_are_put_together_before_they_are_divided() -> None:
    large, small = counts([90], [100], [90], [100]), counts([0], [10], [0], [10])
    found = score([large, small])
    assert found.recall[0] == found.precision[0] == pytest.approx(90 / 110)
    assert found.ods == found.ois == pytest.approx(90 / 110)


def test_the_best_threshold_may_lie_between_two() -> None:
    found = score([counts([20, 80], [100, 100], [20, 40], [20, 100])])
    f = [2 * r * p / (r + p) for r, p in ((0.2, 1.0), (0.8, 0.4))]
    assert found.ods > max(f)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "at least one image"),
        ([counts([1], [1], [1], [1]), counts(*[[1, 1]] * 4)], "from 1 to 2"),
    ],
)
def test_what_cannot_be_scored_is_refused(images: list[Counts], message: str) -> None:
    with pytest.raises(InputError, match=message):
        score(images)

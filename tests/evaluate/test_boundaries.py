"""The benchmark of boundaries: identities, hand-made cases, and a dense solver beside ours."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.errors import InputError

pytest.importorskip("skimage")
pytest.importorskip("ortools")
optimize = pytest.importorskip("scipy.optimize")

from anymask.evaluate.boundaries import (  # noqa: E402
    THRESHOLDS,
    Annotation,
    Counts,
    boundary_of,
    compare,
    score,
    thin,
)

HALF = np.array([0.5])


def picture(seed: int, size_hw: tuple[int, int] = (60, 80), regions: int = 6) -> np.ndarray:
    """The boundaries of random polygons of Voronoi's."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    centres = rng.uniform((0, 0), size_hw, (regions, 2))
    nearest = np.argmin([(y - cy) ** 2 + (x - cx) ** 2 for cy, cx in centres], axis=0)
    return boundary_of(nearest)


def test_a_boundary_lies_between_labels_and_is_thin() -> None:
    labels = np.zeros((6, 8), int)
    labels[:, 4:] = 1
    expected = np.zeros((6, 8), bool)
    expected[:, 3] = True
    assert np.array_equal(boundary_of(labels), expected)
    assert not boundary_of(np.ones((5, 5))).any()
    assert np.array_equal(thin(thin(picture(0))), thin(picture(0)))


def test_a_person_agrees_with_herself_entirely() -> None:
    drawn = picture(1)
    found = score([compare(drawn, [Annotation(drawn)], HALF)])
    assert (found.ods, found.ois, found.r50) == (1.0, 1.0, 1.0)


def test_a_shift_within_reach_costs_nothing_and_one_beyond_it_everything() -> None:
    line = np.zeros((60, 80), bool)
    line[10:50, 40] = True  # the reach is 0.0075 * 100 = 0.75 pixels; make it 3
    annotation = Annotation(line, max_distance=0.03)
    assert score([compare(np.roll(line, 3, axis=1), [annotation], HALF)]).ods == 1.0
    assert score([compare(np.roll(line, 4, axis=1), [annotation], HALF)]).ods == 0.0


def test_an_empty_map_finds_nothing_and_nothing_to_find_is_no_error() -> None:
    drawn, empty = picture(2), np.zeros((60, 80))
    nothing = compare(empty, [Annotation(drawn)])
    assert score([nothing]).ods == 0.0
    assert score([nothing]).ap == 0.0
    assert compare(drawn, [Annotation(empty.astype(bool))], HALF).recall()[0] == 0.0
    with pytest.raises(InputError, match="at least one image"):
        score([])


def test_each_pixel_is_matched_once_only() -> None:
    drawn, doubled = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    drawn[5, 5:15] = True
    doubled[4, 5:15] = doubled[7, 5:15] = True
    matched = Annotation(drawn, max_distance=0.2).match(doubled)
    assert matched.sum() == 10
    assert matched[:10].all()  # of two candidates the near one


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_as_many_and_as_near_as_a_dense_solver_finds(seed: int) -> None:
    drawn, found = picture(seed, (30, 40), 5), picture(seed + 100, (30, 40), 5)
    reach = 0.06 * 50
    a, b = np.argwhere(found), np.argwhere(drawn)
    distance = np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1))
    cost = np.where(distance <= reach, np.round(1000 * distance), 1e9)
    rows, columns = optimize.linear_sum_assignment(cost)
    near = cost[rows, columns] < 1e9
    assert Annotation(drawn, 0.06).match(found).sum() == near.sum()


def test_precision_counts_what_anybody_drew_and_recall_what_everybody_did() -> None:
    left, right = np.zeros((20, 40), bool), np.zeros((20, 40), bool)
    left[2:18, 10], right[2:18, 30] = True, True
    counts = compare(left | right, [Annotation(left), Annotation(right)], HALF)
    assert (counts.precision()[0], counts.recall()[0]) == (1.0, 1.0)
    counts = compare(left, [Annotation(left), Annotation(right)], HALF)
    assert (counts.precision()[0], counts.recall()[0]) == (1.0, 0.5)


def test_scales_are_chosen_for_the_set_or_for_each_image() -> None:
    strong, weak = picture(3).astype(float), picture(4) * 0.3
    people = [Annotation(picture(3)), Annotation(picture(4))]
    noise = np.zeros((60, 80))
    noise[::4, ::4] = 0.5
    images = [
        compare(np.maximum(strong, noise * (strong == 0)), people[:1]),
        compare(weak, people[1:]),
    ]
    found = score(images)
    assert found.ois > found.ods
    assert found.ois == pytest.approx(1.0)
    assert len(found.recall) == len(THRESHOLDS) == 99


def test_a_known_curve_has_a_known_area() -> None:
    counts = Counts(
        np.array([100, 50]), np.array([100, 100]), np.array([50, 50]), np.array([100, 50])
    )
    found = score([counts])  # recall 1 at precision 0.5, recall 0.5 at precision 1
    assert found.r50 == 1.0
    assert found.ap == pytest.approx(
        sum(np.interp(r, [0.5, 1], [1, 0.5]) for r in np.arange(50, 101) / 100) / 100
    )


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(60, 80\).*\(30, 40\)"):
        Annotation(picture(0)).match(np.zeros((30, 40), bool))

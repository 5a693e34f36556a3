"""The benchmark of boundaries: identities and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.evaluate.edges.boundaries import (
    THRESHOLDS,
    benchmark,
    boundary_of,
    compare,
    score,
)

HALF = np.array([0.5])


def picture(seed: int, size_hw: tuple[int, int] = (60, 80), regions: int = 6) -> np.ndarray:
    """The boundaries of random polygons of Voronoi's."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    centres = rng.uniform((0, 0), size_hw, (regions, 2))
    nearest = np.argmin([(y - cy) ** 2 + (x - cx) ** 2 for cy, cx in centres], axis=0)
    return boundary_of(nearest)


def test_a_person_agrees_with_herself_entirely() -> None:
    drawn = picture(1)
    found = benchmark([drawn], [[drawn]])
    assert (found.ods, found.ois, found.r50) == (1.0, 1.0, 1.0)


def test_a_shift_within_reach_costs_nothing_and_one_beyond_it_everything() -> None:
    line = np.zeros((60, 80), bool)
    line[10:50, 40] = True  # the reach is 0.0075 * 100 = 0.75 pixels; make it 3
    for shift, expected in ((0, 1.0), (3, 1.0), (4, 0.0)):
        assert benchmark([np.roll(line, shift, axis=1)], [[line]], 0.03).ods == expected


def test_without_people_nothing_matches() -> None:
    counts = compare(picture(0), [], HALF)
    assert (counts.recall()[0], counts.precision()[0]) == (0.0, 0.0)
    assert counts.found[0] == np.count_nonzero(picture(0))


def test_an_empty_map_finds_nothing_and_nothing_to_find_is_no_error() -> None:
    drawn, empty = picture(2), np.zeros((60, 80))
    nothing = compare(empty, [drawn])
    assert score([nothing]).ods == 0.0
    assert score([nothing]).ap == 0.0
    assert compare(drawn, [empty.astype(bool)], HALF).recall()[0] == 0.0
    with pytest.raises(InputError, match="at least one image"):
        score([])


def test_precision_counts_what_anybody_drew_and_recall_what_everybody_did() -> None:
    left, right = np.zeros((20, 40), bool), np.zeros((20, 40), bool)
    left[2:18, 10], right[2:18, 30] = True, True
    counts = compare(left | right, [left, right], HALF)
    assert (counts.precision()[0], counts.recall()[0]) == (1.0, 1.0)
    counts = compare(left, [left, right], HALF)
    assert (counts.precision()[0], counts.recall()[0]) == (1.0, 0.5)


def test_scales_are_chosen_for_the_set_or_for_each_image() -> None:
    strong, weak = picture(3).astype(float), picture(4) * 0.3
    people = [picture(3), picture(4)]
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


def test_two_people_who_agree_share_their_pixels() -> None:
    line, doubled = np.zeros((20, 40), bool), np.zeros((20, 40), bool)
    line[8, 5:35] = doubled[8, 5:35] = doubled[10, 5:35] = True
    counts = compare(doubled, [line, line], HALF, max_distance=0.1)
    assert (counts.precision()[0], counts.recall()[0]) == (0.5, 1.0)


def test_strengths_may_be_bytes_or_maps_of_several_settings() -> None:
    strong, weak = picture(5), picture(6)
    strength = np.where(strong, 0.8, np.where(weak, 0.4, 0))
    people = [[strong], [strong]]
    expected = benchmark([strength, strength], people)
    assert 0 < expected.ap < 1
    in_bytes = np.rint(255 * strength).astype(np.uint8)
    assert benchmark([in_bytes, in_bytes], people).ods == expected.ods
    settings = np.stack([strength >= 0.4, strength >= 0.8])
    stacked = benchmark([settings, settings], people)
    assert (stacked.ods, stacked.ois, stacked.r50) == (expected.ods, expected.ois, expected.r50)
    assert len(stacked.recall) == 2


def test_label_maps_stand_for_their_boundaries() -> None:
    labels = np.ones((60, 80), np.uint16)
    labels[20:40, 30:60] = 2
    assert benchmark([boundary_of(labels)], [[labels]]).ods == 1.0


def test_images_can_be_shared_among_processes() -> None:
    maps = [picture(seed) * 0.5 for seed in range(4)]
    people = [[picture(seed), picture(seed + 1)] for seed in range(4)]
    assert benchmark(maps, people, processes=2).ods == benchmark(maps, people).ods
    alone, shared = (compare(maps[0], people[0], processes=n) for n in (1, 2))
    assert all(np.array_equal(vars(alone)[name], vars(shared)[name]) for name in vars(alone))


def test_images_of_different_numbers_of_settings_are_refused() -> None:
    stacks = [np.stack([picture(0)] * n) for n in (2, 3)]
    with pytest.raises(InputError, match="as many thresholds or settings for every image"):
        benchmark(stacks, [[picture(0)]] * 2)


@pytest.mark.parametrize(
    ("found", "drawn", "message"),
    [
        ([np.full((8, 8), 255.0)], [[np.eye(8) > 0]], "float64 .8, 8. from 255 to 255; divide by"),
        ([np.full((8, 8), np.nan)], [[np.eye(8) > 0]], "from 0 to 1"),
        ([np.ones((8, 8, 3))], [[np.eye(8) > 0]], r"got float64 \(8, 8, 3\)"),
        ([np.ones((8, 8), int)], [[np.eye(8) > 0]], "got int64"),
        ([np.ones((0, 8, 8), bool)], [[np.eye(8) > 0]], r"got bool \(0, 8, 8\)"),
        ([np.ones((8, 9))], [[np.eye(8) > 0]], r"\(8, 8\) like the one drawn, got \(8, 9\)"),
        ([np.ones((8, 8))] * 2, [[np.eye(8) > 0]], "one map for each image"),
        ([np.ones((8, 8))], [], "one map for each image"),
        ([], [], "at least one image"),
    ],
)
def test_what_cannot_be_compared_is_refused(found: list, drawn: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        benchmark(found, drawn)

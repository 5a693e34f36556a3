"""Simulated users."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.data.simulate import (
    farthest_inside,
    next_click,
    noisy_box,
    random_error,
    random_inside,
    tight_box,
)


def disc(h: int, w: int, cx: float, cy: float, r: float) -> np.ndarray:
    y, x = np.mgrid[:h, :w]
    return (x - cx) ** 2 + (y - cy) ** 2 <= r * r


def test_the_first_click_is_the_middle() -> None:
    assert farthest_inside(disc(40, 60, 33, 17, 11)) == (33.0, 17.0)


def test_the_edge_of_the_image_is_a_border() -> None:
    mask = np.zeros((21, 40), bool)
    mask[:, :9] = True
    x, _ = farthest_inside(mask)
    assert x == 4.0


def test_random_clicks_stay_inside_and_prefer_the_deep() -> None:
    mask = disc(50, 50, 25, 25, 20)
    rng = np.random.default_rng(0)
    clicks = np.array([random_inside(mask, rng, power=2.0) for _ in range(300)])
    assert all(mask[int(y), int(x)] for x, y in clicks)
    even = np.array([random_inside(mask, rng, power=0.0) for _ in range(300)])
    spread = [np.hypot(*(c - 25).T).mean() for c in (clicks, even)]
    assert spread[0] < 0.8 * spread[1]


def test_even_clicks_are_those_that_ignore_depth() -> None:
    mask = disc(30, 40, 20, 15, 9)
    for seed in range(20):
        quick, thorough = (
            random_inside(mask, np.random.default_rng(seed), power) for power in (0, 1e-9)
        )
        assert quick == thorough


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (disc(60, 80, 20, 30, 12), ((55.0, 30.0), 1)),  # the right disc is missing
        (disc(60, 80, 20, 30, 12) | disc(60, 80, 55, 30, 12) | disc(60, 80, 40, 7, 6),
         ((40.0, 7.0), 0)),  # a third one is too much
    ],
)  # fmt: skip
def test_corrects_the_largest_error(answer: np.ndarray, expected: object) -> None:
    truth = disc(60, 80, 20, 30, 12) | disc(60, 80, 55, 30, 12)
    assert next_click(truth, answer) == expected


def test_nothing_to_correct() -> None:
    truth = disc(30, 30, 15, 15, 7)
    assert next_click(truth, truth) is None
    assert random_error(truth, truth, np.random.default_rng(0)) is None


def test_who_may_not_say_what_is_too_much_says_what_is_missing() -> None:
    truth, answer = disc(60, 80, 20, 30, 6), disc(60, 80, 20, 30, 5) | disc(60, 80, 55, 30, 12)
    assert next_click(truth, answer) == ((55.0, 30.0), 0)
    click = next_click(truth, answer, negative=False)
    assert click is not None and click[1] == 1
    rng = np.random.default_rng(0)
    labels = {random_error(truth, answer, rng, negative=False)[1] for _ in range(50)}  # type: ignore[index]
    assert labels == {1}
    assert random_error(truth, truth | answer, rng, negative=False) is None


def test_random_errors_are_all_alike() -> None:
    truth, answer = disc(40, 60, 20, 20, 12), disc(40, 60, 26, 20, 12)
    rng = np.random.default_rng(0)
    clicks = [random_error(truth, answer, rng) for _ in range(400)]
    for click in clicks:
        assert click is not None
        (x, y), label = click
        missing, given = truth[int(y), int(x)], answer[int(y), int(x)]
        assert missing != given
        assert label == int(missing)
    missing_share = (truth & ~answer).sum() / (truth ^ answer).sum()
    labels = [click[1] for click in clicks if click is not None]
    assert np.mean(labels) == pytest.approx(missing_share, abs=0.08)
    assert len({click[0] for click in clicks if click is not None}) > 100


def test_tight_box_surrounds_whole_pixels() -> None:
    mask = np.zeros((10, 20), bool)
    mask[3:7, 5:6] = True
    assert tight_box(mask).tolist() == [5, 3, 6, 7]


def test_noisy_boxes_move_by_a_tenth_and_at_most_20_pixels() -> None:
    box = np.array([100, 100, 500, 150], np.float32)
    rng = np.random.default_rng(1)
    moved = np.array([noisy_box(box, (600, 800), rng) for _ in range(500)]) - box
    assert np.abs(moved).max() <= 20
    assert moved[:, 1].std() == pytest.approx(5, rel=0.15)  # a tenth of the height


def test_noisy_boxes_keep_an_area_inside_the_image() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        x0, y0, x1, y1 = noisy_box(np.array([0, 0, 2, 2], np.float32), (4, 4), rng, spread=1.0)
        assert 0 <= x0 < x1 <= 4
        assert 0 <= y0 < y1 <= 4

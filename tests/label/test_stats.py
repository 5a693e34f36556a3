from __future__ import annotations

import math

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.label.stats import (
    ImageRecord,
    centre_map,
    concavity,
    estimate,
    groups,
    measure,
    values,
)
from anymask.masks import rle
from anymask.masks.masks import Masks

pytest.importorskip("scipy")


def masks_of(*boxes: tuple[int, int, int, int], size_hw: tuple[int, int] = (10, 20)) -> Masks:
    dense = np.zeros((len(boxes), *size_hw), bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


def test_numbers_worked_by_hand() -> None:
    found = measure(ImageRecord("a", masks_of((0, 0, 10, 5), (18, 8, 20, 10), (0, 0, 0, 0))))
    assert found.masks.tolist() == [2] and found.empty == 1
    assert found.size == pytest.approx([0.5, math.sqrt(4 / 200)])
    assert found.centre_xy.tolist() == [[0.25, 0.25], [0.95, 0.9]]
    # (5, 2.5) and (9, 4) from the middle; half of the diagonal is sqrt(500) / 2.
    half = math.sqrt(500) / 2
    assert found.distance == pytest.approx([math.sqrt(31.25) / half, math.sqrt(97) / half])
    assert found.concavity.tolist() == [0, 0] and not len(found.seconds) and not len(found.iou)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["#"], 0),
        (["###"], 0),
        (["##", "##"], 0),
        (["#.", "##"], 1 - 3 / 3.5),
        (["#..", "#..", "###"], 1 - 5 / 7),  # the hull is the square of 9 less a triangle of 2
        (["###", "#.#", "###"], 1 - 8 / 9),
        (["#.#"], 1 - 2 / 3),
    ],
)
def test_concavity_worked_by_hand(rows: list[str], expected: float) -> None:
    mask = np.array([[cell == "#" for cell in row] for row in rows])
    assert concavity(rle.encode(mask), mask.shape) == pytest.approx(expected)


def test_time() -> None:
    masks = masks_of((0, 0, 2, 2), (4, 4, 6, 6))
    own = Masks.from_dense(masks.dense(), meta=[{"seconds": 3}, {"seconds": 5.5}])
    assert measure(ImageRecord("a", own)).seconds.tolist() == [3, 5.5]
    whole = Masks.from_dense(masks.dense(), image_meta={"seconds": 9})
    assert measure(ImageRecord("a", whole)).seconds.tolist() == [4.5, 4.5]
    assert measure(ImageRecord("a", whole, seconds=2)).seconds.tolist() == [1, 1]
    some = Masks.from_dense(masks.dense(), meta=[{"seconds": 3}, {}])
    assert not len(measure(ImageRecord("a", some)).seconds)
    odd = Masks.from_dense(masks.dense(), image_meta={"seconds": -1})
    assert not len(measure(ImageRecord("a", odd)).seconds)


def test_quality_against_a_reference() -> None:
    """Masks of the truth without a partner count as 0, as in the paper's mean IoU."""
    truth = masks_of((0, 0, 4, 1), (5, 0, 9, 1), (0, 5, 2, 6))
    found = measure(ImageRecord("a", masks_of((0, 0, 5, 1), (5, 0, 9, 1)), truth))
    assert found.iou.tolist() == [0.8, 1, 0]


def test_a_mean_is_over_masks_and_its_interval_over_images() -> None:
    per_image = [np.array([1.0, 2.0]), np.array([6.0]), np.array([])]
    found = estimate(per_image)
    assert (found.mean, found.images, found.number) == (3, 2, 3)
    # Two images can be drawn in four ways: means 1.5, 3, 3 and 6, each a quarter of the draws.
    assert (found.low, found.high) == (1.5, 6)
    assert estimate(per_image, confidence=0.2).low == 3
    assert estimate(per_image, seed=1) == estimate(per_image, seed=1)


def test_the_interval_is_that_of_the_normal_law_for_many_images() -> None:
    rng = np.random.default_rng(3)
    per_image = [np.array([x]) for x in rng.normal(5, 2, 400)]
    found = estimate(per_image, draws=4000)
    flat = np.concatenate(per_image)
    half = 1.96 * flat.std() / math.sqrt(400)
    assert (found.low, found.high) == pytest.approx(
        (flat.mean() - half, flat.mean() + half), abs=0.03
    )


def test_masks_that_are_alike_within_images_do_not_narrow_it() -> None:
    one = estimate([np.array([x]) for x in (1.0, 2.0, 3.0, 4.0)])
    many = estimate([np.full(50, x) for x in (1.0, 2.0, 3.0, 4.0)])
    assert (many.low, many.high) == (one.low, one.high)


def test_no_images_and_one() -> None:
    assert math.isnan(estimate([]).mean)
    one = estimate([np.array([1.0, 2.0])])
    assert one.mean == 1.5 and math.isnan(one.low) and math.isnan(one.high)


def test_groups_and_places() -> None:
    stats = [measure(ImageRecord(name, masks_of((0, 0, 2, 2)))) for name in "abc"]
    assert [(k, len(v)) for k, v in groups(stats, ["x", "y", "y"]).items()] == [("y", 2), ("x", 1)]
    assert list(groups(stats, ["x", "y", "y"], least=2)) == ["y"]
    shares = centre_map(stats, bins=4)
    assert shares[0, 0] == 1 and shares.sum() == 1
    with pytest.raises(InputError, match="measure out of masks, size"):
        values(stats, "volume")


def test_intervals_of_many_images_need_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from anymask.label import stats

    per_image = [np.array([float(i % 7)]) for i in range(100)]
    whole = estimate(per_image)
    monkeypatch.setattr(stats, "_CHUNK", 500)
    assert estimate(per_image) == whole  # in pieces, the same numbers are drawn

"""Masks: construction, list behaviour, other forms, choosing."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anymask.errors import InputError
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

SQUARES = [((0, 0), 5), ((1, 1), 2), ((3, 4), 3)]  # (top, left), side: in a picture of 8 x 6


def squares() -> Masks:
    dense = np.zeros((3, 6, 8), dtype=bool)
    for mask, ((top, left), side) in zip(dense, SQUARES, strict=True):
        mask[top : top + side, left : left + side] = True
    return Masks.from_dense(
        dense,
        scores=np.array([0.5, 0.9, 0.7]),
        stability=np.array([0.9, np.nan, 0.8]),
        prompts=(Prompt(points_xy=[(1, 2)]), None, Prompt(box=(4, 3, 6, 5))),
        logits=np.arange(3 * 4, dtype=np.float32).reshape(3, 2, 2),
        source="photo.jpg",
        model="bundled",
    )


EMPTY = Masks.empty((6, 8))


def test_boxes_and_areas_follow_from_the_masks() -> None:
    masks = squares()
    assert masks.boxes.tolist() == [[0, 0, 4, 4], [1, 1, 2, 2], [4, 3, 6, 5]]
    assert masks.areas.tolist() == [25, 4, 9]
    assert (masks.boxes.dtype, masks.areas.dtype) == (np.float32, np.int64)


def test_what_is_not_given_is_unknown() -> None:
    masks = Masks.from_dense(np.ones((2, 3, 4), dtype=bool))
    assert np.isnan(masks.scores).all() and np.isnan(masks.stability).all()
    assert masks.prompts == (None, None)
    assert masks.crop_boxes is None and masks.logits is None


def test_one_mask_needs_no_first_axis() -> None:
    assert len(Masks.from_dense(np.ones((3, 4), dtype=bool))) == 1


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7)))
def test_dense_gives_back_what_was_encoded(dense: np.ndarray) -> None:
    masks = Masks.from_dense(dense)
    assert np.array_equal(masks.dense(), dense)
    assert masks.areas.tolist() == dense.sum(axis=(1, 2)).tolist()


def test_arrays_are_read_only() -> None:
    masks = squares()
    for array in (masks.scores, masks.boxes, masks.areas, masks.logits, masks.counts[0]):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_nobody_can_change_them_from_outside() -> None:
    scores = np.array([0.5, 0.9, 0.7], dtype=np.float32)
    masks = replace(squares(), scores=scores)
    scores[0] = 1
    assert masks.scores[0] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_hw": (6, 0)}, r"\(height, width\)"),
        ({"size_hw": (6, 9)}, r"6 \* 9 = 54 pixels, got 48"),
        ({"scores": np.zeros(2)}, r"scores of shape \(3,\), got \(2,\)"),
        ({"stability": np.zeros((3, 1))}, r"stability of shape \(3,\), got \(3, 1\)"),
        ({"boxes": np.zeros((3, 2))}, r"boxes of shape \(3, 4\), got \(3, 2\)"),
        ({"areas": np.zeros(4)}, r"areas of shape \(3,\), got \(4,\)"),
        ({"crop_boxes": np.zeros(4)}, r"crop_boxes of shape \(3, 4\), got \(4,\)"),
        ({"logits": np.zeros((2, 2))}, r"logits of shape \(3, h', w'\), got \(2, 2\)"),
        ({"logits": np.zeros((2, 2, 2))}, r"logits of shape \(3, 2, 2\), got \(2, 2, 2\)"),
        ({"prompts": (None,)}, "each of the 3 masks, got 1"),
    ],
)
def test_wrong_fields_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(squares(), **change)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 3, 4)), np.zeros(4, dtype=bool), np.zeros((1, 2, 3, 4), dtype=bool)]
)
def test_only_bool_masks_are_encoded(wrong: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"bool array of shape \(n, h, w\)"):
        Masks.from_dense(wrong)


# ---------------------------------------------------------------- like a list


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, [0]),
        (-1, [2]),
        (np.int64(1), [1]),
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([2, 0], [2, 0]),
        ([], []),
        (np.array([1, 1]), [1, 1]),
        (np.array([True, False, True]), [0, 2]),
        (np.array([False, False, False]), []),
    ],
)
def test_index(index: Any, expected: list[int]) -> None:
    whole = squares()
    part = whole[index]
    assert len(part) == len(expected)
    assert np.array_equal(part.dense(), whole.dense()[expected])
    assert part.boxes.tolist() == whole.boxes[expected].tolist()
    assert part.prompts == tuple(whole.prompts[i] for i in expected)
    assert part.logits is not None and whole.logits is not None
    assert np.array_equal(part.logits, whole.logits[expected])
    assert (part.source, part.model) == ("photo.jpg", "bundled")


@pytest.mark.parametrize("index", [3, -4])
def test_index_outside(index: int) -> None:
    with pytest.raises(IndexError, match=f"mask {index} does not exist; there are 3"):
        squares()[index]


@pytest.mark.parametrize("index", [np.array([True]), [0.5], np.zeros((1, 1), dtype=int)])
def test_index_of_a_wrong_kind(index: Any) -> None:
    with pytest.raises(InputError, match=r"bool array of shape \(3,\)"):
        squares()[index]


def test_iteration_gives_masks_of_one() -> None:
    assert [int(one.areas[0]) for one in squares()] == [25, 4, 9]


def test_equality_is_by_content() -> None:
    assert squares() == squares()
    assert squares() != squares()[::-1]
    assert squares() != replace(squares(), scores=np.zeros(3))
    assert squares() != replace(squares(), logits=None)
    assert squares() != "three squares"
    assert EMPTY == Masks.empty((6, 8)) != Masks.empty((8, 6))


@pytest.mark.parametrize(
    ("masks", "text"),
    [
        (squares(), "Masks(3 masks of 8 x 6, best score 0.90)"),
        (squares()[0], "Masks(1 mask of 8 x 6, best score 0.50)"),
        (Masks.from_dense(np.ones((2, 3, 4), dtype=bool)), "Masks(2 masks of 4 x 3)"),
        (EMPTY, "Masks(no masks of 8 x 6)"),
    ],
)
def test_repr(masks: Masks, text: str) -> None:
    assert repr(masks) == text


# ---------------------------------------------------------------- joining


def test_concat_undoes_slicing() -> None:
    assert Masks.concat([squares()[:1], squares()[1:]]) == squares()
    assert Masks.concat(iter(squares())) == squares()
    assert Masks.concat([EMPTY, EMPTY]) == EMPTY


def test_concat_keeps_what_makes_sense() -> None:
    cropped = replace(squares(), crop_boxes=np.full((3, 4), 5), logits=None, source="other.jpg")
    joined = Masks.concat([squares(), cropped])
    assert joined.crop_boxes is not None
    assert joined.crop_boxes.tolist() == [[0, 0, 8, 6]] * 3 + [[5, 5, 5, 5]] * 3
    assert joined.logits is None
    assert (joined.source, joined.model) == (None, "bundled")


def test_concat_with_an_empty_part_keeps_the_logits() -> None:
    joined = Masks.concat([Masks.empty((6, 8)), squares()])
    assert joined.logits is not None and len(joined.logits) == 3


def test_concat_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="at least one"):
        Masks.concat([])
    with pytest.raises(InputError, match=r"got \(h, w\) = \(6, 8\) and \(8, 6\)"):
        Masks.concat([EMPTY, Masks.empty((8, 6))])


# ---------------------------------------------------------------- other forms


def test_rle_is_what_pycocotools_writes() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    for record, mask in zip(squares().rle(), squares().dense(), strict=True):
        expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert record == {"size": [6, 8], "counts": expected["counts"].decode()}


def test_polygons_come_mask_by_mask() -> None:
    first, second, third = squares().polygons()
    assert [len(first), len(second), len(third)] == [1, 1, 1]
    assert third[0].tolist() == [[4, 3], [7, 3], [7, 6], [4, 6]]
    assert third[0].dtype == np.float32


@pytest.mark.parametrize(
    ("order", "at_overlap", "at_second_overlap"),
    [
        ("smallest_on_top", 2, 3),
        ("largest_on_top", 1, 1),
        ("first_on_top", 1, 1),
        ("best_on_top", 2, 3),
    ],
)
def test_label_map(order: Any, at_overlap: int, at_second_overlap: int) -> None:
    labels = squares().label_map(order)
    assert labels.dtype == np.int32
    assert labels[0, 7] == 0
    assert labels[0, 0] == 1
    assert labels[5, 6] == 3
    assert labels[2, 2] == at_overlap  # masks 1 and 2
    assert labels[4, 4] == at_second_overlap  # masks 1 and 3


def test_of_equal_masks_the_first_is_on_top() -> None:
    twice = Masks.from_dense(np.ones((2, 3, 4), dtype=bool))
    for order in ("smallest_on_top", "largest_on_top", "first_on_top", "best_on_top"):
        assert (twice.label_map(order) == 1).all()  # type: ignore[arg-type]


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7)))
def test_a_label_map_is_the_smallest_mask_of_each_pixel(dense: np.ndarray) -> None:
    areas = dense.sum(axis=(1, 2))
    expected = np.zeros(dense.shape[1:], dtype=np.int32)
    for i in sorted(range(len(dense)), key=lambda i: (-areas[i], -i)):
        expected[dense[i]] = i + 1
    assert np.array_equal(Masks.from_dense(dense).label_map(), expected)


def test_gaps_go_to_the_nearest_mask() -> None:
    pytest.importorskip("cv2")
    dense = np.zeros((2, 40, 60), dtype=bool)
    dense[0, 5:30, 5:20] = dense[1, 10:35, 40:55] = True
    masks = Masks.from_dense(dense)
    filled = masks.label_map(fill=True)
    assert filled.dtype == np.int32 and (filled > 0).all()
    assert np.array_equal(filled[dense.any(axis=0)], masks.label_map()[dense.any(axis=0)])
    assert (filled[:, :28] == 1).all() and (filled[10:, 32:] == 2).all()
    assert not Masks.empty((4, 5)).label_map(fill=True).any()


def test_points() -> None:
    points = squares().points_xy
    assert points[0] is not None and points[0].tolist() == [[1, 2]]
    assert points[1] is None


# ---------------------------------------------------------------- choosing


def test_best() -> None:
    assert squares().best() == squares()[1]


def test_sort() -> None:
    assert squares().sort().scores.tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert squares().sort("area").areas.tolist() == [25, 9, 4]
    assert squares().sort("area", descending=False).areas.tolist() == [4, 9, 25]
    for descending in (True, False):  # the mask of unknown stability comes last in both
        assert squares().sort("stability", descending=descending).areas[-1] == 4


@given(st.lists(st.sampled_from([0.1, 0.5, 0.9, float("nan")]), max_size=8))
def test_sort_keeps_the_order_of_equal_masks(scores: list[float]) -> None:
    n = len(scores)
    dense = np.arange(n)[:, None, None] > np.arange(8)[None, None, :]  # areas tell them apart
    ranked = Masks.from_dense(dense, scores=np.array(scores)).sort()
    expected = sorted(range(n), key=lambda i: -scores[i] if scores[i] == scores[i] else 1.0)
    assert ranked.areas.tolist() == expected


@pytest.mark.parametrize(
    ("limits", "areas"),
    [
        ({}, [25, 4, 9]),
        ({"min_area": 9}, [25, 9]),
        ({"max_area": 9}, [4, 9]),
        ({"min_area": 5, "max_area": 9}, [9]),
        ({"min_score": 0.7}, [4, 9]),
        ({"min_stability": 0.85}, [25]),
        ({"min_area": 100}, []),
        ({"min_area": 9 / 48}, [25, 9]),  # shares of the picture of 48 pixels
        ({"max_area": 0.5}, [4, 9]),
    ],
)
def test_filter(limits: dict[str, Any], areas: list[int]) -> None:
    assert squares().filter(**limits).areas.tolist() == areas


def test_nms_keeps_the_better_of_two_and_ranks() -> None:
    shifted = replace(squares(), scores=squares().scores - 0.1)
    assert Masks.concat([shifted, squares()]).nms() == squares().sort()
    assert squares().nms(0.0).areas.tolist() == [4, 9]  # the large one overlaps both


@pytest.mark.parametrize("kind", ["box", "mask", "containment"])
def test_nms_takes_unknown_scores(kind: Any) -> None:
    twice = Masks.from_dense(np.ones((2, 3, 4), dtype=bool))
    assert len(twice.nms(kind=kind)) == 1


def test_nms_of_masks_spares_what_only_the_boxes_share() -> None:
    cross = np.eye(9, dtype=bool)
    masks = Masks.from_dense(np.stack([cross, cross[::-1]]), scores=np.array([0.9, 0.8]))
    assert len(masks.nms()) == 1
    assert len(masks.nms(kind="mask")) == len(masks.nms(kind="containment")) == 2


@pytest.mark.parametrize(
    ("threshold", "kind", "areas"),
    [
        (0.7, "mask", [4, 9, 25]),
        (0.16, "mask", [4, 9, 25]),
        (0.1, "mask", [4, 9]),  # 4 of 25, and 2 of 32
        (0.99, "containment", [4, 9]),  # the small one is the best one, so the large one goes
        (1.0, "containment", [4, 9, 25]),
    ],
)
def test_nms_by_kind(threshold: float, kind: Any, areas: list[int]) -> None:
    assert squares().nms(threshold, kind).areas.tolist() == areas


@pytest.mark.parametrize("kind", ["box", "mask", "containment"])
def test_nms_by_order_trusts_what_comes_first(kind: Any) -> None:
    twice = Masks.from_dense(np.ones((2, 3, 4), dtype=bool), scores=np.array([0.2, 0.9]))
    assert twice.nms(kind=kind).scores.tolist() == pytest.approx([0.9])
    assert twice.nms(kind=kind, by="order").scores.tolist() == pytest.approx([0.2])
    with pytest.raises(InputError, match="by as score or order, got 'area'"):
        twice.nms(kind=kind, by="area")  # type: ignore[arg-type]


def overlaps(dense: np.ndarray, kind: str) -> np.ndarray:
    flat = dense.reshape(len(dense), np.prod(dense.shape[1:])).astype(np.int64)
    shared, areas = flat @ flat.T, flat.sum(axis=1)
    a, b = areas[:, None], areas[None]
    whole = np.minimum(a, b) if kind == "containment" else a + b - shared
    return shared / np.where(shared > 0, whole, 1)


stacks = hnp.arrays(bool, st.tuples(st.integers(0, 6), st.integers(1, 5), st.integers(1, 5)))


@given(stacks, st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from(["mask", "containment"]))
def test_nms_is_that_of_all_pairs(dense: np.ndarray, threshold: float, kind: Any) -> None:
    kept: list[int] = []
    overlap = overlaps(dense, kind)
    for i in range(len(dense)):
        if all(overlap[i, j] <= threshold for j in kept):
            kept.append(i)
    assert np.array_equal(Masks.from_dense(dense).nms(threshold, kind).dense(), dense[kept])


def test_wrong_choices_are_refused() -> None:
    with pytest.raises(InputError, match="from 0 to 1, got 7"):
        squares().nms(7)
    with pytest.raises(InputError, match="box, mask, containment, got 'boxes'"):
        squares().nms(kind="boxes")  # type: ignore[arg-type]
    for threshold in (0, 1.1, float("nan")):
        with pytest.raises(InputError, match="above 0 and up to 1"):
            squares().tree(threshold)
    with pytest.raises(InputError, match="score, stability, area, got 'size'"):
        squares().sort("size")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"smallest_on_top, .*, got 'any'"):
        squares().label_map("any")  # type: ignore[arg-type]


# ---------------------------------------------------------------- parts and wholes


def scene(*boxes: tuple[int, int, int, int]) -> Masks:
    dense = np.zeros((len(boxes), 40, 60), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


WHEEL, CAR, STREET, TREE = (12, 22, 18, 28), (10, 10, 30, 30), (0, 5, 60, 40), (35, 0, 45, 8)


@pytest.mark.parametrize(
    ("boxes", "parents"),
    [
        ((WHEEL, CAR, STREET, TREE), [1, 2, -1, -1]),
        ((STREET, TREE, CAR, WHEEL), [-1, -1, 0, 2]),
        ((CAR, CAR, WHEEL), [-1, 0, 1]),  # of equal masks, the earlier one is around the later
        ((CAR, CAR, CAR), [-1, 0, 1]),
        ((WHEEL, (0, 0, 0, 0), CAR, (0, 0, 0, 0)), [2, -1, -1, -1]),
        (((0, 0, 10, 10), (0, 1, 30, 10)), [1, -1]),  # 90 % inside: just enough
        (((0, 0, 10, 10), (0, 2, 30, 10)), [-1, -1]),
        (((0, 0, 10, 10), (0, 1, 10, 11)), [-1, 0]),  # equal areas, 90 % of each in the other
        ((), []),
    ],
)
def test_tree(boxes: Any, parents: list[int]) -> None:
    assert scene(*boxes).tree().parents.tolist() == parents


@given(stacks, st.sampled_from([0.5, 0.9, 1.0]))
def test_a_parent_is_the_smallest_mask_around(dense: np.ndarray, threshold: float) -> None:
    flat = dense.reshape(len(dense), np.prod(dense.shape[1:])).astype(np.int64)
    shared, areas = flat @ flat.T, flat.sum(axis=1)
    for i, parent in enumerate(Masks.from_dense(dense).tree(threshold).parents):
        around = [
            j
            for j in range(len(dense))
            if areas[i] and shared[i, j] >= threshold * areas[i] and (areas[j], -j) > (areas[i], -i)
        ]
        assert parent == min(around, key=lambda j: (areas[j], -j), default=-1)


def test_everything_works_with_no_masks() -> None:
    pytest.importorskip("cv2")
    assert len(EMPTY) == 0
    assert list(EMPTY) == EMPTY.rle() == EMPTY.polygons() == []
    assert EMPTY.dense().shape == (0, 6, 8)
    assert not EMPTY.label_map().any() and not EMPTY.label_map(fill=True).any()
    assert EMPTY.boxes.shape == (0, 4)
    assert len(EMPTY.tree()) == len(EMPTY.tree().roots) == 0


@pytest.mark.parametrize(
    "method",
    [
        Masks.best,
        Masks.sort,
        Masks.nms,
        lambda masks: masks.nms(kind="mask"),
        lambda masks: masks.nms(kind="containment"),
        lambda masks: masks.filter(min_area=1, max_area=0.5, min_score=0.1, min_stability=0.1),
        lambda masks: masks[:0],
        lambda masks: Masks.concat([masks, masks]),
    ],
)
def test_nothing_stays_nothing(method: Any) -> None:
    assert method(EMPTY) == EMPTY


def test_choosing_masks_does_not_load_torch() -> None:
    code = (
        "import sys, numpy as np\nfrom anymask import Masks\n"
        "masks = Masks.from_dense(np.ones((2, 4, 4), bool), labels=['a', 'b'])\n"
        "masks.nms(), masks.nms(kind='mask'), masks.filter(label='a'), masks.tree()\n"
        "masks.polygons(), masks.draw(np.zeros((4, 4, 3), np.uint8))\n"
        "masks.cutout(np.zeros((4, 4, 3), np.uint8))\n"
        "import anymask.geometry\n"
        "assert 'torch' not in sys.modules\n"
    )
    source = Path(__file__).resolve().parents[2] / "src"
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(source)}, check=True
    )


@pytest.mark.parametrize(("of_part", "wins"), [(0.5, 1), (0.9, 2), (None, 2)])
def test_the_best_on_top_is_the_one_that_ranks_clearly_higher(
    of_part: float | None, wins: int
) -> None:
    both = np.ones((2, 6, 6), bool)
    both[1, 2:] = False
    masks = Masks.from_dense(both, meta=[{"ranking": 1.0}, {"ranking": of_part}])
    assert masks.label_map("best_on_top")[0, 0] == wins

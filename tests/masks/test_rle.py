from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from pycocotools import mask as reference

from anymask.errors import InputError
from anymask.masks import rle

PARITY = Path(__file__).resolve().parents[1] / "parity" / "rle"
GOLDEN = json.loads((PARITY / "rle.json").read_text())

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
masks = sizes.flatmap(lambda size_hw: hnp.arrays(np.bool_, size_hw))
stacks = st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20)).flatmap(
    lambda shape: hnp.arrays(np.bool_, shape)
)


def coco(mask: np.ndarray) -> dict[str, Any]:
    return reference.encode(np.asfortranarray(mask.astype(np.uint8)))


@pytest.fixture(scope="module")
def golden_masks() -> list[np.ndarray]:
    packed = np.load(PARITY / "masks.npz")
    found = []
    for case in GOLDEN["masks"]:
        bits = np.unpackbits(packed[f"m{case['index']}"], count=np.prod(case["size"]))
        found.append(bits.reshape(case["size"]).astype(bool))
    return found


@pytest.mark.parametrize("case", GOLDEN["masks"], ids=lambda case: case["index"])
def test_equals_the_golden_masks(case: dict[str, Any], golden_masks: list[np.ndarray]) -> None:
    mask = golden_masks[case["index"]]
    counts = rle.encode(mask)
    assert counts.dtype == np.uint32
    if case["counts_list"] is not None:
        assert counts.tolist() == case["counts_list"]
    assert rle.to_string(counts) == case["counts"]
    np.testing.assert_array_equal(rle.from_string(case["counts"]), counts)
    np.testing.assert_array_equal(rle.decode(counts, mask.shape), mask)
    assert rle.area(counts) == case["area"]
    assert rle.coco_box(counts, mask.shape).tolist() == case["bbox_xywh"]


@pytest.mark.parametrize("case", GOLDEN["set_operations"])
def test_equals_the_golden_set_operations(case: dict[str, Any]) -> None:
    counts = [rle.from_string(string) for string in case["counts"]]
    assert rle.to_string(rle.merge(counts)) == case["union"]
    assert rle.to_string(rle.merge(counts, intersect=True)) == case["intersection"]
    assert rle.iou(counts[:2], counts[2:]).tolist() == case["iou"]
    crowd = rle.iou(counts[:2], counts[2:], [True, True])
    assert crowd.tolist() == case["iou_second_is_crowd"]


@given(masks)
def test_equals_pycocotools(mask: np.ndarray) -> None:
    counts, expected = rle.encode(mask), coco(mask)
    assert rle.to_string(counts).encode() == expected["counts"]
    assert rle.area(counts) == reference.area(expected)
    assert rle.coco_box(counts, mask.shape).tolist() == reference.toBbox(expected).tolist()
    np.testing.assert_array_equal(rle.from_string(expected["counts"]), counts)
    np.testing.assert_array_equal(rle.decode(counts, mask.shape), mask)


@given(stacks, st.data())
def test_set_operations_equal_pycocotools(stack: np.ndarray, data: st.DataObject) -> None:
    ours, theirs = rle.encode_many(stack), [coco(mask) for mask in stack]
    assert rle.to_string(rle.merge(ours)).encode() == reference.merge(theirs)["counts"]
    both = rle.merge(ours, intersect=True)
    assert rle.to_string(both).encode() == reference.merge(theirs, intersect=True)["counts"]
    crowd = data.draw(st.lists(st.booleans(), min_size=len(ours), max_size=len(ours)))
    assert rle.iou(ours, ours, crowd).tolist() == reference.iou(theirs, theirs, crowd).tolist()
    assert rle.intersection(ours[0], ours[-1]) == (stack[0] & stack[-1]).sum()


@given(hnp.arrays(np.uint32, st.integers(1, 30)))
def test_strings_come_back(counts: np.ndarray) -> None:
    np.testing.assert_array_equal(rle.from_string(rle.to_string(counts)), counts)


@given(masks)
def test_bounding_box_is_tight(mask: np.ndarray) -> None:
    box = rle.bounding_box(rle.encode(mask), mask.shape)
    assert box.dtype == np.float32
    y, x = np.nonzero(mask)
    expected = [x.min(), y.min(), x.max(), y.max()] if len(x) else [0, 0, 0, 0]
    assert box.tolist() == expected


def test_runs_of_no_length_change_nothing() -> None:
    padded, plain = np.uint32([2, 0, 1, 3, 0, 1, 2, 0]), np.uint32([3, 4, 2])
    assert rle.bounding_box(padded, (3, 3)).tolist() == rle.bounding_box(plain, (3, 3)).tolist()
    assert rle.intersection(padded, plain) == rle.intersection(plain, padded) == 4
    assert rle.merge([padded]).tolist() == plain.tolist()


def test_nothing_to_compare() -> None:
    some = rle.encode(np.ones((2, 2), dtype=bool))
    assert rle.iou([], [some]).shape == (0, 1)
    assert rle.iou([some], []).shape == (1, 0)


def test_an_image_without_pixels() -> None:
    assert rle.encode(np.ones((0, 3), dtype=bool)).tolist() == [0]


@pytest.mark.parametrize("transposed", [False, True])
def test_memory_order_does_not_matter(transposed: bool) -> None:
    mask = np.random.default_rng(0).random((9, 14)) < 0.5
    given_mask = np.asfortranarray(mask) if transposed else mask[:, ::1]
    assert rle.to_string(rle.encode(given_mask)).encode() == coco(mask)["counts"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: rle.encode(np.zeros((2, 2))), "bool mask of shape"),
        (lambda: rle.encode(np.zeros((1, 2, 2), dtype=bool)), r"\(1, 2, 2\)"),
        (lambda: rle.encode_many(np.zeros((2, 2), dtype=bool)), r"\(n, h, w\)"),
        (lambda: rle.decode(np.uint32([3, 2]), (2, 2)), "add up to 2 \\* 2 = 4 pixels, got 5"),
        (lambda: rle.from_string(""), "characters between"),
        (lambda: rle.from_string("a b"), "characters between"),
        (lambda: rle.from_string("1é"), "characters between"),
        (lambda: rle.from_string("1o"), "whole"),
        (lambda: rle.from_string("oooooooo1"), "32 bits"),
        (lambda: rle.from_string("O"), "0 or more"),
        (lambda: rle.merge([]), "at least one mask"),
        (lambda: rle.merge([np.uint32([3]), np.uint32([4])]), "of 3 and some of 4 pixels"),
        (lambda: rle.iou([np.uint32([3])], [np.uint32([3])], []), "1 crowd flags"),
    ],
)
def test_says_what_is_wrong(call: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        call()


parts = masks.flatmap(
    lambda mask: st.tuples(
        st.just(mask),
        *(st.tuples(st.integers(0, side - 1), st.integers(1, side)) for side in mask.shape),
    )
)


@given(parts)
def test_crop_cuts_a_part_out(case: Any) -> None:
    mask, (y0, y1), (x0, x1) = case
    y1, x1 = max(y1, y0 + 1), max(x1, x0 + 1)
    part = rle.crop(rle.encode(mask), mask.shape, (x0, y0, x1, y1))
    np.testing.assert_array_equal(part, rle.encode(mask[y0:y1, x0:x1]))


@given(masks, st.tuples(*[st.integers(0, 9)] * 4))
def test_place_puts_a_part_into_the_whole(mask: np.ndarray, around: Any) -> None:
    left, top, right, bottom = around
    whole = np.pad(mask, ((top, bottom), (left, right)))
    placed = rle.place(rle.encode(mask), mask.shape, (left, top), whole.shape)
    np.testing.assert_array_equal(placed, rle.encode(whole))


def test_a_part_of_a_huge_image() -> None:
    size_hw = (60_000, 70_000)
    counts = rle.place(rle.encode(np.ones((2, 3), bool)), (2, 3), (69_997, 59_998), size_hw)
    assert rle.area(counts) == 6
    assert rle.bounding_box(counts, size_hw).tolist() == [69_997, 59_998, 69_999, 59_999]
    assert int(counts.sum(dtype=np.int64)) == 60_000 * 70_000
    assert rle.intersection(counts, counts) == 6
    np.testing.assert_array_equal(rle.merge([counts, counts]), counts)


@given(stacks, st.integers(0, 3))
def test_intersections_are_those_of_each_pair(dense: np.ndarray, i: int) -> None:
    counts = rle.encode_many(dense)
    mask = dense[i % len(dense)]
    shared = rle.intersections(rle.encode(mask), counts)
    assert shared.tolist() == [int((mask & other).sum()) for other in dense]
    assert rle.intersections(rle.encode(mask), []).tolist() == []


@given(masks, st.data())
def test_columns_and_windows(mask: np.ndarray, data: st.DataObject) -> None:
    h, w = mask.shape
    x0, x1 = sorted(data.draw(st.tuples(st.integers(0, w), st.integers(0, w))))
    y0, y1 = sorted(data.draw(st.tuples(st.integers(0, h), st.integers(0, h))))
    columns = rle.decode_columns(rle.encode(mask), h, x0, x1)
    np.testing.assert_array_equal(columns, mask[:, x0:x1].T)
    kept = np.zeros_like(mask)
    kept[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    if x0 < x1 and y0 < y1:
        counts = rle.encode_window(columns[:, y0:y1], (x0, y0), (h, w))
        np.testing.assert_array_equal(counts, rle.encode(kept))


@given(masks, st.integers(1, 4), st.data())
def test_enlarge_repeats_pixels(mask: np.ndarray, factor: int, data: st.DataObject) -> None:
    h, w = (factor * length - data.draw(st.integers(0, factor - 1)) for length in mask.shape)
    large = np.repeat(np.repeat(mask, factor, axis=0), factor, axis=1)[:h, :w]
    enlarged = rle.enlarge(rle.encode(mask), mask.shape, factor, (h, w))
    assert (rle.decode(enlarged, (h, w)) == large).all()

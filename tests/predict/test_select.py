from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.parity.golden import Golden

from anymask.errors import InputError
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.predict.select import merge, select
from anymask.prompt import Prompt

# ---- the recorded selections of the original ----------------------------------------------------


@pytest.fixture(scope="module")
def golden(parity_dir: Path) -> Golden:
    return Golden(parity_dir / "fastsam/prompts.npz")


@pytest.fixture(scope="module")
def recorded(golden: Golden) -> Masks:
    shape = golden["masks_shape"]
    dense = np.unpackbits(golden["masks_packed"])[: shape.prod()].reshape(shape)
    return Masks.from_dense(dense.astype(bool), scores=golden["scores"])


def cases(golden: Golden, kind: str) -> list[dict]:
    found = [case for case in golden.meta["cases"] if case["kind"] == kind]
    assert found
    return found


def test_merged_masks_are_exactly_the_originals(golden: Golden, recorded: Masks) -> None:
    h, w = recorded.size_hw
    for case in cases(golden, "point"):
        height, width = case["image_size"]
        points = np.array(case["points"]) * (w, h) // (width, height)
        merged = merge(recorded, points, case["labels"]).dense().any(axis=0)
        wanted = np.unpackbits(golden[case["key"]])[: h * w].reshape(h, w)
        np.testing.assert_array_equal(merged, wanted, err_msg=case["key"])


def test_boxes_choose_what_the_original_chooses(golden: Golden, recorded: Masks) -> None:
    h, w = recorded.size_hw

    def chosen(box: list[float], size_hw: list[int]) -> int:
        scaled = np.array(box) * (w, h, w, h) / np.tile(size_hw[::-1], 2)
        best = select(recorded, Prompt(box=scaled)).counts[0]
        return next(i for i, one in enumerate(recorded.counts) if np.array_equal(one, best))

    for case in cases(golden, "box"):
        assert chosen(case["box"], case["image_size"]) == case["chosen"]
    for case in cases(golden, "boxes"):
        found = {chosen(box, case["image_size"]) for box in case["boxes"]}
        assert found == set(case["chosen_in_returned_order"])


# ---- our own order ------------------------------------------------------------------------------


def squares(*boxes: tuple[int, int, int, int], size_hw: tuple[int, int] = (10, 20)) -> Masks:
    dense = np.zeros((len(boxes), *size_hw), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense, scores=np.linspace(0.9, 0.5, len(boxes)))


WHOLE, PART, SUBPART, ELSEWHERE = (0, 0, 9, 9), (1, 1, 7, 7), (2, 2, 4, 4), (12, 2, 18, 8)
SCENE = squares(WHOLE, ELSEWHERE, PART, SUBPART)


@pytest.mark.parametrize(
    ("points", "labels", "areas"),
    [
        ([(3, 3)], [1], [4, 36, 81]),
        ([(3, 3), (5, 5)], [1, 1], [36, 81, 4]),
        ([(3, 3), (8, 8)], [1, 0], [4, 36, 81]),
        ([(5, 5), (3, 3)], [1, 0], [36, 81]),
        ([(3, 3), (14, 4)], [1, 1], [4, 36, 36, 81]),
        ([(10, 5)], [1], []),
        ([(3, 3)], [0], []),
        ([(20, 10)], [1], []),
    ],
)
def test_points_choose_the_smallest_mask_that_is_right_about_all(points, labels, areas) -> None:
    assert select(SCENE, Prompt(points, labels)).areas.tolist() == areas


@pytest.mark.parametrize(
    ("box", "areas"),
    [
        ((0, 0, 9, 9), [81, 36, 4]),
        ((2, 2, 4, 4), [4, 36, 81]),
        ((2.4, 2.4, 3.6, 3.6), [4, 36, 81]),
        ((12, 2, 30, 8), [36]),
        ((0, 9, 20, 10), []),
    ],
)
def test_a_box_chooses_by_overlap(box, areas) -> None:
    assert select(SCENE, Prompt(box=box)).areas.tolist() == areas


def test_box_and_points_must_both_fit() -> None:
    both = select(SCENE, Prompt([(3, 3)], box=(0, 0, 9, 9)))
    assert both.areas.tolist() == [81, 36, 4]
    assert len(select(SCENE, Prompt([(14, 4)], box=(0, 0, 9, 9)))) == 0


def test_text_keeps_what_is_alike() -> None:
    found = select(SCENE, Prompt(text="dog"), [0.1, 0.3, 0.2, 0.4], 0.2)
    assert found.areas.tolist() == [4, 36, 36]
    assert len(select(SCENE, Prompt(text="dog"), [0.1] * 4, 0.2)) == 0
    with pytest.raises(InputError, match="4 numbers, one for each mask"):
        select(SCENE, Prompt(text="dog"))


def test_nothing_is_selected_from_nothing() -> None:
    nothing = Masks.empty((10, 20))
    for prompt in (Prompt([(1, 1)]), Prompt(box=(0, 0, 5, 5))):
        assert len(select(nothing, prompt)) == 0
    assert len(select(nothing, Prompt(text="dog"), [])) == 0
    assert len(merge(nothing, [(1, 1)])) == 0


def test_points_outside_are_refused() -> None:
    with pytest.raises(InputError, match="inside the 20 x 10 image"):
        select(SCENE, Prompt([(21, 3)]))
    with pytest.raises(InputError, match="inside the 20 x 10 image"):
        merge(SCENE, [(-1, 3)])


def test_merging_cuts_out_what_holds_a_point_beside() -> None:
    merged = merge(SCENE, [(3, 3), (8, 8)], [0, 1])
    assert merged.areas.tolist() == [81 - 36]  # the whole holds both, and goes by the last
    assert merged.scores[0] == SCENE.scores[0]
    assert len(merge(SCENE, [(3, 3)], [0])) == 0


@given(
    arrays(bool, (3, 6, 7)),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=3),
)
def test_the_first_choice_is_the_smallest_that_fits(dense: np.ndarray, points: list) -> None:
    masks = Masks.from_dense(dense, scores=np.ones(3))
    x, y = np.array(points).T
    fitting = [int(mask.sum()) for mask in dense if mask[y, x].all()]
    chosen = select(masks, Prompt(points))
    if fitting:
        assert chosen.areas[0] == min(fitting)
        assert rle.decode(chosen.counts[0], (6, 7))[y, x].all()

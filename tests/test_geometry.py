from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp

from anymask import geometry
from anymask.errors import InputError, MissingExtraError

PARITY = Path(__file__).resolve().parent / "parity" / "amg"
GOLDEN = json.loads((PARITY / "helpers.json").read_text())
REGIONS = np.load(PARITY / "regions_and_stability.npz")
REGION_CASES = json.loads(str(REGIONS["meta"]))["masks"]

boxes = hnp.arrays(
    np.float32, st.tuples(st.integers(0, 30), st.just(4)), elements=st.integers(0, 20)
).map(lambda found: torch.from_numpy(np.sort(found.reshape(-1, 2, 2), axis=1).reshape(-1, 4)))


# ------------------------------------------------------------------- golden numbers


@pytest.mark.parametrize("case", GOLDEN["point_grids"])
def test_point_grids(case: dict[str, Any]) -> None:
    grids = geometry.layer_grids(case["n"], case["layers"], case["factor"])
    assert len(grids) == len(case["grids"])
    for ours, golden in zip(grids, case["grids"], strict=True):
        np.testing.assert_allclose(ours, golden, rtol=0, atol=1e-15)


@pytest.mark.parametrize("case", GOLDEN["crop_boxes"])
def test_crop_boxes(case: dict[str, Any]) -> None:
    crops, layers = geometry.crop_boxes(case["size"], case["layers"], case["overlap"])
    assert [list(crop) for crop in crops] == case["boxes"]
    assert layers == case["layer"]


@pytest.mark.parametrize("case", GOLDEN["near_crop_edge"])
def test_near_crop_edge(case: dict[str, Any]) -> None:
    w, h = case["image"][2:]
    box = torch.tensor([case["box_in_crop"]])
    assert geometry.near_crop_edge(box, case["crop"], (h, w)).tolist() == [case["near"]]


@pytest.mark.parametrize("case", GOLDEN["batched_nms"])
def test_nms(case: dict[str, Any]) -> None:
    kept = geometry.nms(
        torch.tensor(case["boxes"]).float(),
        torch.tensor(case["scores"]),
        case["threshold"],
        torch.tensor(case["categories"]),
    )
    assert kept.tolist() == case["keep"]


@pytest.mark.parametrize("mode", ["holes", "islands"])
@pytest.mark.parametrize("case", REGION_CASES, ids=lambda case: case["index"])
def test_small_regions(case: dict[str, Any], mode: str) -> None:
    before = unpacked(case, "in")
    after, changed = geometry.remove_small_regions(before, case["area_thresh"], mode)
    np.testing.assert_array_equal(after, unpacked(case, mode))
    assert after.dtype == np.bool_
    assert changed == case[f"{mode}_changed"]


@pytest.mark.parametrize("case", REGION_CASES, ids=lambda case: case["index"])
def test_mask_boxes(case: dict[str, Any]) -> None:
    mask = torch.from_numpy(unpacked(case, "in"))
    assert geometry.mask_boxes(mask[None]).tolist() == [case["box_xyxy_inclusive"]]


@pytest.mark.parametrize("offset", [0.5, 1.0, 2.0])
def test_stability(offset: float) -> None:
    score = geometry.stability_score(torch.from_numpy(REGIONS["logits"]), 0.0, offset)
    np.testing.assert_allclose(score, REGIONS[f"stability_offset_{offset}"], rtol=0, atol=1e-7)


def unpacked(case: dict[str, Any], name: str) -> np.ndarray:
    bits = np.unpackbits(REGIONS[f"m{case['index']}_{name}"], count=np.prod(case["size"]))
    return bits.reshape(case["size"]).astype(bool)


# ---------------------------------------------------------------------- edge cases


def test_near_crop_edge_includes_the_tolerance() -> None:
    crop, size_hw = (100, 100, 200, 200), (300, 300)
    inside = torch.tensor([[20, 30, 70, 70], [21, 30, 70, 70], [21, 21, 79, 79], [30, 30, 70, 80]])
    assert geometry.near_crop_edge(inside, crop, size_hw).tolist() == [True, False, False, True]


def test_the_edge_of_the_image_is_no_crop_edge() -> None:
    touching = torch.tensor([[0, 0, 300, 150]])
    assert not geometry.near_crop_edge(touching, (0, 0, 300, 200), (200, 300)).any()


def test_nms_suppresses_only_above_the_threshold() -> None:
    pair = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])  # IoU exactly one half
    scores = torch.tensor([0.5, 0.9])
    assert geometry.nms(pair, scores, 0.5).tolist() == [1, 0]
    assert geometry.nms(pair, scores, 0.49).tolist() == [1]


def test_nms_keeps_the_order_of_equal_scores() -> None:
    apart = torch.arange(40.0)[:, None] * 10 + torch.tensor([0.0, 0, 5, 5])
    assert geometry.nms(apart, torch.ones(40), 0.5).tolist() == list(range(40))
    same = torch.tensor([[0.0, 0, 5, 5]] * 3)
    assert geometry.nms(same, torch.ones(3), 0.5).tolist() == [0]


@pytest.mark.parametrize("max_kept", [1, 200, 2000])
def test_nms_can_stop_early(max_kept: int) -> None:
    rng = torch.Generator().manual_seed(0)
    corners = torch.rand(1500, 2, generator=rng) * 90
    boxes, scores = torch.cat([corners, corners + 9], dim=1), torch.rand(1500, generator=rng)
    kept = geometry.nms(boxes, scores, 0.3)
    assert 200 < len(kept) < 2000
    assert geometry.nms(boxes, scores, 0.3, max_kept=max_kept).tolist() == kept[:max_kept].tolist()


def test_nms_lets_groups_alone() -> None:
    same = torch.tensor([[0.0, 0, 5, 5]] * 3)
    kept = geometry.nms(same, torch.tensor([1.0, 2, 3]), 0.5, torch.tensor([0, 1, 0]))
    assert kept.tolist() == [2, 1]


def test_nms_of_nothing() -> None:
    kept = geometry.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.dtype == torch.int64
    assert kept.shape == (0,)


def test_nms_of_boxes_that_overflowed() -> None:
    huge = torch.tensor([[0.0, 0, 1, 1], [-3e38, -3e38, 3e38, 3e38], [0, 0, torch.inf, torch.nan]])
    assert geometry.nms(huge, torch.tensor([1.0, 2, 3]), 0.5).tolist() == [2, 1, 0]


def test_sorted_boxes_need_no_torch() -> None:
    boxes = np.random.default_rng(0).uniform(0, 30, (300, 2, 2)).astype(np.float32)
    boxes = np.sort(boxes, axis=1).reshape(-1, 4)
    kept = geometry.nms(torch.from_numpy(boxes), -torch.arange(300.0), 0.4)
    assert 10 < len(kept) < 290
    assert geometry.nms_ranked(boxes, 0.4).tolist() == kept.tolist()


def test_nms_wants_a_score_for_each_box() -> None:
    with pytest.raises(InputError, match=r"\(2, 4\) and \(3,\)"):
        geometry.nms(torch.zeros(2, 4), torch.zeros(3), 0.5)


@given(boxes, st.data(), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_nms_equals_the_definition(found: torch.Tensor, data: st.DataObject, limit: float) -> None:
    n = len(found)
    scores = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    iou = geometry.box_iou(found, found)
    expected: list[int] = []
    for i in sorted(range(n), key=lambda i: -scores[i]):
        if not any(iou[i, better] > limit for better in expected):
            expected.append(i)
    assert geometry.nms(found, torch.tensor(scores), limit).tolist() == expected


def test_nms_in_blocks_equals_nms_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(200, 2, generator=generator) * 50
    found = torch.cat([corner, corner + 20 * torch.rand(200, 2, generator=generator)], dim=1)
    scores = torch.rand(200, generator=generator)
    at_once = geometry.nms(found, scores, 0.3)
    assert 10 < len(at_once) < 190
    monkeypatch.setattr(geometry, "_ROWS", 7)
    assert geometry.nms(found, scores, 0.3).tolist() == at_once.tolist()


def test_box_iou() -> None:
    a = torch.tensor([[0.0, 0, 4, 4], [1, 1, 1, 1]])
    b = torch.tensor([[2.0, 2, 6, 6], [0, 0, 4, 2], [1, 1, 1, 1]])
    expected = [[4 / 28, 8 / 16, 0], [0, 0, 0]]
    torch.testing.assert_close(geometry.box_iou(a, b), torch.tensor(expected))


@pytest.mark.parametrize(
    ("shape", "expected"), [((2, 3, 4), [[0] * 4] * 2), ((0, 3, 4), []), ((1, 1, 1), [[0] * 4])]
)
def test_boxes_of_empty_masks(shape: tuple[int, ...], expected: list[list[int]]) -> None:
    assert geometry.mask_boxes(torch.zeros(shape, dtype=torch.bool)).tolist() == expected


def test_boxes_reach_the_borders() -> None:
    masks = torch.zeros(2, 5, 7, dtype=torch.bool)
    masks[0, 4, 6] = True
    masks[1, [0, 4], [6, 0]] = True
    assert geometry.mask_boxes(masks).tolist() == [[6, 4, 6, 4], [0, 0, 6, 4]]


def test_stability_of_an_empty_mask_is_unknown() -> None:
    assert geometry.stability_score(torch.full((1, 3, 3), -9.0), 0.0, 1.0).isnan().all()


def test_stability_counts_rows_wider_than_16_bits() -> None:
    logits = torch.full((1, 2, 70_000), 0.5)
    logits[0, 0] = 5.0
    assert geometry.stability_score(logits, 0.0, 1.0).tolist() == [0.5]


def test_small_islands_of_one_pixel_connect_at_corners() -> None:
    diagonal = np.eye(5, dtype=bool)
    assert geometry.remove_small_regions(diagonal, 5, "islands")[1] is False


def test_an_empty_mask_stays_empty() -> None:
    mask, changed = geometry.remove_small_regions(np.zeros((4, 4), dtype=bool), 5, "islands")
    assert not mask.any()
    assert not changed


def test_small_regions_want_a_known_mode() -> None:
    with pytest.raises(InputError, match="'hole'"):
        geometry.remove_small_regions(np.zeros((4, 4), dtype=bool), 5, "hole")  # type: ignore[arg-type]


def test_small_regions_need_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"anymask\[image\]"):
        geometry.remove_small_regions(np.zeros((4, 4), dtype=bool), 5, "holes")


@pytest.mark.parametrize("arguments", [(0, 0, 1), (4, 3, 2), (9, 2, 4)])
def test_a_grid_needs_points(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="at least 1 point per side"):
        geometry.layer_grids(*arguments)

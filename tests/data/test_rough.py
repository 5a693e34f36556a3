"""Rough masks: each kind is off in its own way, and never empty."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.data.rough import ROUGH_KINDS, roughened

cv2 = pytest.importorskip("cv2", reason="rough masks need the extra 'image'")


@pytest.fixture
def disc() -> np.ndarray:
    mask = np.zeros((96, 128), np.uint8)
    cv2.circle(mask, (60, 50), 30, 1, -1)
    return mask > 0


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("seed", range(5))
def test_each_kind_is_off_in_its_own_way(disc: np.ndarray, seed: int) -> None:
    rough = {kind: roughened(disc, kind, np.random.default_rng(seed)) for kind in ROUGH_KINDS}
    assert all(mask.shape == disc.shape and mask.dtype == bool for mask in rough.values())
    assert np.array_equal(rough["exact"], disc)
    assert (rough["eroded"] <= disc).all() and rough["eroded"].sum() < disc.sum()
    assert (rough["dilated"] >= disc).all() and rough["dilated"].sum() > disc.sum()
    corners, _ = cv2.findContours(
        rough["polygon"].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    assert len(cv2.approxPolyDP(corners[0], 2.0, closed=True)) <= 9
    assert rough["shifted"].sum() == disc.sum()
    for kind in ROUGH_KINDS[1:]:
        assert 0.4 < iou(rough[kind], disc) < 1, kind


@pytest.mark.parametrize("kind", ROUGH_KINDS)
def test_nothing_is_ever_left_empty(kind: str) -> None:
    for mask in (np.eye(40, dtype=bool), np.zeros((9, 9), bool), np.ones((5, 7), bool)):
        mask[0, 0] = True
        for seed in range(10):
            assert roughened(mask, kind, np.random.default_rng(seed)).any()


def test_the_generator_decides(disc: np.ndarray) -> None:
    first, again, other = (roughened(disc, "shifted", np.random.default_rng(s)) for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)

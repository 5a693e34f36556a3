"""The merge, written once more and slowly, by the text of its rules, on random clouds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from anymask.extras.lift import PointCloud, merge

pytest.importorskip("scipy")

Labelled = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]
VOXEL, REACH, FEW = 0.05, 0.075, 50


def voxels(points: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> Labelled:
    cells = np.floor(points / VOXEL).astype(int)
    cells -= cells.min(axis=0)
    first: dict[int, int] = {}
    for i, cell in enumerate(cells.tolist()):
        key = 14695981039346656037
        for number in cell:
            key = key * 1099511628211 % 2**64 ^ number
        first.setdefault(key, i)
    kept = [first[key] for key in sorted(first)]
    return points[kept], labels[kept]


def closed_up(labels: Any) -> npt.NDArray[np.int64]:
    numbers = {label: i for i, label in enumerate(sorted(set(labels.tolist()) - {-1}))}
    return np.array([numbers.get(label, -1) for label in labels.tolist()])


def without_small(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.array([-1 if (labels == x).sum() < FEW else x for x in labels.tolist()])


def nearest(points: Any, others: Any) -> list[tuple[int, int]]:
    away = np.linalg.norm(points[:, None] - others[None], axis=2)
    best = away.argmin(axis=1)
    return [(i, int(j)) for i, j in enumerate(best) if away[i, j] < REACH]


def adopted(labels: Any, others: Any, pairs: list[tuple[int, int]]) -> npt.NDArray[np.int64]:
    own = np.where(labels == -1, -1, labels + others.max() + 1)
    met: dict[int, dict[int, int]] = {}
    filled = own.copy()
    for i, j in pairs:
        if own[i] == -1:
            filled[i] = others[j]
        elif others[j] != -1:
            counts = met.setdefault(int(own[i]), {})
            counts[int(others[j])] = counts.get(int(others[j]), 0) + 1
    for mine, counts in met.items():
        theirs = max(counts, key=lambda one: counts[one])  # the first met of equal ones
        smaller = min((own == mine).sum(), (others == theirs).sum())
        if counts[theirs] / smaller >= 0.5:
            filled[own == mine] = theirs
    return filled


def pair(first: Labelled, second: Labelled) -> Labelled:
    (points, earlier), (others, later) = first, second
    earlier, later = without_small(earlier), without_small(later)
    later = adopted(later, earlier, nearest(others, points))
    earlier = adopted(earlier, later, nearest(points, others))
    together = np.concatenate([earlier, later])
    return voxels(np.concatenate([points, others]), closed_up(together))


@pytest.mark.parametrize("seed", range(6))
def test_clouds_of_another_seed_merge_as_the_rules_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, 1.2, (6, 3))
    clouds: list[Labelled] = []
    for _ in range(2 + seed):
        which = rng.integers(0, 6, 500)
        labels = rng.permutation(6)[which]
        labels[(labels == 5) | (rng.random(500) < 0.1)] = -1
        clouds.append((centers[which] + rng.normal(0, 0.12, (500, 3)), labels))
    given = [PointCloud(p, np.zeros((500, 3), np.uint8), labels) for p, labels in clouds]
    rounds = [voxels(points, closed_up(labels)) for points, labels in clouds]
    while len(rounds) > 1:
        odd = rounds[len(rounds) // 2 * 2 :]
        couples = zip(rounds[::2], rounds[1::2], strict=False)
        rounds = [pair(first, second) for first, second in couples] + odd
    merged = merge(given)
    np.testing.assert_array_equal(merged.points, rounds[0][0])
    np.testing.assert_array_equal(merged.labels, closed_up(without_small(rounds[0][1])))
    assert merged.labels.max() >= 1

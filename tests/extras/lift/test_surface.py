"""Labels of a scene on the vertices of a scan."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.extras.lift import PointCloud, label_scan

pytest.importorskip("scipy")


def cloud(labels: list[int], step: float = 0.1) -> PointCloud:
    points = np.stack([np.arange(len(labels)) * step, *np.zeros((2, len(labels)))], axis=1)
    return PointCloud(points, np.full((len(labels), 3), 9, np.uint8), np.array(labels))


SCENE = cloud([6] * 30 + [2] * 40)


def test_vertices_keep_the_numbers_of_the_scene() -> None:
    found = label_scan(SCENE, cloud([-1] * 100), max_distance=0.55)
    assert found.labels.tolist() == [6] * 30 + [2] * 45 + [-1] * 25
    assert (found.colors == 9).all() and len(found) == 100


def test_small_surfaces_decide_together() -> None:
    segments = np.array([5] * 25 + [900] * 40 + [77] * 5)
    found = label_scan(SCENE, cloud([-1] * 70), segments)
    # The second has 35 of its 40 vertices from 2; the third, 5 of 5.
    assert found.labels.tolist() == [6] * 25 + [2] * 45
    fewer = label_scan(SCENE, cloud([-1] * 70), segments, min_vertices=31)
    assert fewer.labels.tolist() == [-1] * 25 + [2] * 45  # 6 has 30 vertices


def test_segments_in_files(tmp_path: Path) -> None:
    segments = [5] * 25 + [900] * 45
    np.save(tmp_path / "a.npy", np.array(segments))
    (tmp_path / "a.txt").write_text("\n".join(map(str, segments)))
    (tmp_path / "a.segs.json").write_text(json.dumps({"sceneId": "x", "segIndices": segments}))
    scan = cloud([-1] * 70)
    scan.save(tmp_path / "mesh.ply")
    wanted = label_scan(SCENE, scan, segments).labels.tolist()
    for name in ("a.npy", "a.txt", "a.segs.json"):
        found = label_scan(SCENE, tmp_path / "mesh.ply", tmp_path / name)
        assert found.labels.tolist() == wanted
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "words.txt").write_text("one two")
    for name in ("broken.json", "words.txt", "lost.npy"):
        with pytest.raises(InputError, match=f"expected segments in .*{name}"):
            label_scan(SCENE, scan, tmp_path / name)


@pytest.mark.parametrize("segments", [[1, 2], np.zeros(70), np.zeros((70, 1), int)])
def test_segments_that_do_not_fit(segments: object) -> None:
    with pytest.raises(InputError, match="of 70 segments, one for each vertex"):
        label_scan(SCENE, cloud([-1] * 70), segments)

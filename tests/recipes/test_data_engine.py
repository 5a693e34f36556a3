"""The recipe of the data engine, at tiny size: all stages, both retrains, table and plots."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.train.conftest import photos, tiny_model

from anymask.label import Store

__all__ = ["photos", "tiny_model"]

pytest.importorskip("cv2", reason="annotators are simulated with the extra 'image'")
pytest.importorskip("alembic", reason="the store needs the extra 'label'")
pytest.importorskip("matplotlib", reason="plots need the extra 'eval'")

from recipes import data_engine


def test_three_stages(
    tmp_path: Path,
    photos: Path,
    tiny_model: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "facades-train").symlink_to(photos)
    held: dict[str, bool] = {}  # every second one, whatever their content
    monkeypatch.setattr(
        "anymask.label.retrain.is_held_back", lambda sha, _: held.setdefault(sha, len(held) % 2 > 0)
    )
    config = data_engine.Config(
        data=tmp_path,
        out=tmp_path / "out",
        photos=6,
        things=2,
        min_area=100,
        model=tiny_model("bundled"),
        clicks=2,
        accepted=0.4,
        points_per_side=2,
        min_iou=0.0,
        steps=1,
        detector_steps=2,
    )
    results = data_engine.main(config)
    stages = {one["stage"]: one for one in results["stages"]}
    assert list(stages) == ["assisted", "semi-automatic", "automatic"]
    assert all(one["photos"] == 2 for one in stages.values())
    # A network that knows nothing: all is drawn by hand, which takes its time and is right.
    first = stages["assisted"]
    assert first["masks"] >= 3 and 0.4 < first["iou"] < 1
    assert first["minutes"] * 60 > 4 * 60 and first["rate"] == first["masks"] / first["minutes"]
    assert [one["version"] for one in results["retrains"]] == [f"version-{n}" for n in range(1, 5)]
    assert json.loads((tmp_path / "out/results.json").read_text()) == results
    with Store.open(tmp_path / "out/photos") as store:
        status = store.status()
        assert status.by_state == {"open": 0, "done": 0, "accepted": 6}
        spent = sum(one["minutes"] for one in stages.values())
        assert status.seconds == pytest.approx(60 * spent)
        assert status.by_review["pending"] == 0
        assert status.by_review["accepted"] == sum(one["masks"] for one in stages.values())
    printed = capsys.readouterr().out
    assert (tmp_path / "out/table.md").read_text() in printed
    for name in ("data-engine-stages.png", "data-engine-filled.jpg"):
        with PIL.Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) >= 48


def test_hands_shake() -> None:
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:50] = True
    ious = []
    for jitter in (0.5, 2, 4):
        made = data_engine.drawn(mask, np.random.default_rng(0), jitter)
        ious.append((made & mask).sum() / (made | mask).sum())
    assert 1 > ious[0] > ious[1] > ious[2] > 0.6
    nothing = np.zeros((9, 9), bool)
    nothing[4, 4] = True
    assert data_engine.drawn(nothing, np.random.default_rng(0), 9).any()
    who = data_engine.Annotator("Ada", 30.0, np.random.default_rng(0))
    assert all(mask[int(y), int(x)] for x, y in (who.beside((20, 20), mask) for _ in range(50)))

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.label.farm.conftest import documents
from tests.label.farm.squares import Squares, make_image

from anymask.label.farm import run as farm_module


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed in range(3):
        make_image(tmp_path / f"photos/{seed}.jpg", seed)
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Let squares be found, and remember what a model would have been asked for."""
    asked: list[dict] = []

    def automatic(model: str, device: str, dtype: str, runtime: str, offline: bool, options: dict):
        asked.append({"model": model, "device": device, **options})
        return Squares()

    monkeypatch.setattr(farm_module, "Automatic", automatic)
    return asked


def test_a_folder_is_labelled(photos: Path, tmp_path: Path, run, _no_model: list[dict]) -> None:
    out = tmp_path / "out"
    words = ["label", "farm", str(photos), "-o", str(out), "--workers", "1", "--json"]
    result = run(*words, "--model", "sam-vit-h", "--points-per-side", "8")
    assert result.code == 0, result.err
    line = json.loads(result.out)
    assert (line["images"], line["masks"], line["output"]) == (3, 3, str(out))
    assert f"3 images with 3 masks in {out}\n" in result.err
    assert _no_model == [{"model": "sam-vit-h", "device": "auto", "points_per_side": 8}]
    assert len(documents(out)) == 3


def test_failures_are_told_and_decide_the_exit_code(photos: Path, tmp_path: Path, run) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    words = ["label", "farm", str(photos), "-o", str(tmp_path / "out"), "--workers", "1"]
    result = run(*words)
    assert result.code == 1
    assert "1 failed; see index.jsonl there" in result.err
    for path in photos.glob("[0-9].jpg"):
        path.unlink()
    result = run("label", "farm", str(photos), "-o", str(tmp_path / "other"), "--workers", "1")
    assert result.code == 2


def test_wrong_usage_is_one_sentence(photos: Path, tmp_path: Path, run) -> None:
    for words in (["nowhere"], [str(photos), "--shard-images", "0"], ["zz://x"]):
        result = run("label", "farm", *words, "-o", str(tmp_path / "out"))
        assert result.code == 2 and result.err.startswith("anymask: error: expected ")
        assert result.err.count("\n") == 1
    assert run("label", "frm").err.endswith("did you mean `anymask label farm`?\n")

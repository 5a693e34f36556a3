"""``anymask evaluate speed``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_report_tells_time_memory_and_size(run: Any, tmp_path: Path) -> None:
    PIL.Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "a.png")
    words = ["--image", tmp_path / "a.png", "--tasks", "embed", "--repeats", 2]
    result = run("speed", *words, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    times = json.loads((tmp_path / "out" / "results.json").read_text())["tables"][0]
    cells = dict(zip(times["header"], times["rows"][0], strict=True))
    assert (cells["model"], cells["task"], cells["runs"]) == ("anymask-compact", "embed", 2)
    assert cells["peak MB"] > cells["added MB"] >= 0
    assert "| anymask-compact | torch | float32 | 1 | embed | 2 |" in result.out


def test_a_missing_picture_is_one_sentence(run: Any, tmp_path: Path) -> None:
    result = run("speed", "--image", tmp_path / "none.jpg", "-o", tmp_path / "out")
    assert result.code == 2
    assert "none.jpg" in result.err
    assert result.err.count("\n") == 1

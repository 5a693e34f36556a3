"""``anymask evaluate audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from anymask import formats
from anymask.masks.masks import Masks


def test_the_report_compares_two_folders(run: Any, tmp_path: Path) -> None:
    for name in ("automatic", "corrected"):
        (tmp_path / name).mkdir()
        formats.write(tmp_path / name / "a.json", Masks.from_dense(np.ones((1, 4, 5), bool)))
    out = tmp_path / "out"
    result = run("audit", tmp_path / "automatic", tmp_path / "corrected", "-o", out)
    assert result.code == 0, result.err
    assert "| here | 1 | 1 | 1.000 | 1.000 |" in result.out
    assert {"audit.csv", "audit-images.csv", "index.html"} <= {p.name for p in out.iterdir()}


def test_a_missing_folder_is_one_sentence(run: Any, tmp_path: Path) -> None:
    result = run("audit", tmp_path / "nowhere", tmp_path)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "nowhere" in result.err

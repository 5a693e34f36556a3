"""The page's own tests, in Node; and that both sides write masks alike."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.masks import rle

WEB = Path(__file__).resolve().parents[2] / "web"
GOLDENS = WEB / "tests" / "runs.json"


def npm(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("npm")
    if program is None:
        pytest.skip("needs Node.js with npm: install Debian's packages nodejs and npm")
    if not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("needs what the page is built with: npm ci --prefix web")
    return subprocess.run([program, *words], cwd=WEB, capture_output=True, text=True, check=False)


def test_the_parts_of_the_page() -> None:
    done = npm("test")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    assert "# fail 0" in done.stdout and "# pass 0" not in done.stdout


def test_the_types_of_the_page() -> None:
    done = npm("run", "--silent", "types")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("golden", json.loads(GOLDENS.read_text("utf-8")))
def test_the_library_writes_masks_as_the_page_does(golden: dict[str, Any]) -> None:
    mask = np.array([[one == "#" for one in row] for row in golden["rows"]])
    counts = rle.encode(mask)
    assert golden["size"] == list(mask.shape)
    assert counts.tolist() == golden["counts"]
    assert rle.to_string(counts) == golden["text"]
    assert rle.area(counts) == golden["area"]
    assert rle.bounding_box(counts, mask.shape).tolist() == golden["box"]

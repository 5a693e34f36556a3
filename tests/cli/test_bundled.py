"""The command line with the model that comes with the package, in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

import anymask
from anymask.models.variants import find

SOURCE = Path(__file__).resolve().parents[2] / "src"
WEIGHTS = SOURCE / "anymask" / "models" / "bundled" / find("bundled").weights.file


@pytest.fixture
def ball(tmp_path: Path) -> np.ndarray:
    """A red ball on grass, as ``ball.png``; gives its mask, bool (240, 320)."""
    rng = np.random.default_rng(0)
    grass = np.array([70, 130, 60]) + rng.normal(0, 12, (240, 320, 3))
    picture = PIL.Image.fromarray(grass.clip(0, 255).astype(np.uint8))
    mask = PIL.Image.new("1", picture.size)
    for canvas, colour in ((picture, (200, 40, 30)), (mask, 1)):
        PIL.ImageDraw.Draw(canvas).ellipse((100, 70, 210, 180), fill=colour)
    picture.save(tmp_path / "ball.png")
    return np.asarray(mask)


def anymask_lines(folder: Path, *words: str) -> list[dict]:
    result = subprocess.run(
        [sys.executable, "-m", "anymask", *words, "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("words", [["--point", "155,125"], ["--box", "100,70,211,181"]])
def test_segment(tmp_path: Path, ball: np.ndarray, words: list[str]) -> None:
    (line,) = anymask_lines(tmp_path, "segment", "ball.png", *words, "-o", "out")
    assert line["status"] == "done"
    mask = anymask.read(tmp_path / "out" / "ball.json").dense()[0]
    assert (mask & ball).sum() / (mask | ball).sum() > 0.8


def test_everything(tmp_path: Path, ball: np.ndarray) -> None:
    words = ["everything", "ball.png", "-o", "out", "--points-per-side", "8"]
    (line,) = anymask_lines(tmp_path, *words)
    masks = anymask.read(tmp_path / "out" / "ball.json").dense()
    assert len(masks) == line["masks"]
    overlaps = [(mask & ball).sum() / (mask | ball).sum() for mask in masks]
    assert max(overlaps) > 0.8


def test_a_killed_run_goes_on(tmp_path: Path, ball: np.ndarray) -> None:
    pictures = tmp_path / "in"
    pictures.mkdir()
    with PIL.Image.open(tmp_path / "ball.png") as picture:
        for turn in range(4):
            picture.rotate(15 * turn).save(pictures / f"{turn}.png")
    words = ["everything", "in", "--points-per-side", "2", "--format", "coco"]
    anymask_lines(tmp_path, *words, "-o", "whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "anymask", *words, "-o", "parts", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    records = tmp_path / "parts" / ".anymask" / "done"
    while process.poll() is None and not list(records.glob("[0-9].json")):
        time.sleep(0.01)
    process.kill()
    assert process.wait(timeout=60) != 0, "it was over before it could be killed"
    lines = anymask_lines(tmp_path, *words, "-o", "parts")
    assert {line["status"] for line in lines} == {"done", "skipped"}
    whole, parts = (tmp_path / run / "annotations.json" for run in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_the_weights_fit_into_the_wheel() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.parent.glob("*.safetensors")) <= 22e6

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from anymask.masks.masks import Masks


@pytest.fixture
def source(tmp_path: Path) -> Path:
    PIL.Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg")
    masks = Masks.from_dense(np.ones((1, 4, 6), bool), labels=["sky"], scores=[0.5], source="a.jpg")
    masks.save(tmp_path / "a.json")
    return tmp_path / "a.json"


def test_masks_by_the_flag(run, source: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = run("convert", source, "--format", "yolo", "-o", tmp_path / "set")
    assert result.code == 0, result.err
    assert result.out == f"masks of 1 image as yolo in {tmp_path}/set\n"
    assert result.err == (
        "anymask: warning: YOLO cannot hold all that is known: 1 score is not in "
        f"{str(tmp_path / 'set')!r}\n"
    )
    assert (tmp_path / "set/labels/train/a.txt").read_text() == "0 0 0 1 0 1 1 0 1\n"
    assert (tmp_path / "set/images/train/a.jpg").is_file()
    again = run("convert", source, "-f=yolo", "-o", tmp_path / "set")
    assert again.code == 2 and "--overwrite" in again.err


def test_help_of_both(run) -> None:
    assert "--format yolo --help" in " ".join(run("convert", "--help").out.split())
    assert "--val-fraction" in run("convert", "--format", "yolo", "--help").out


def test_masks_do_not_go_to_standard_output(run, source: Path, tmp_path: Path) -> None:
    result = run("convert", source, "--format", "coco", "-o", "-")
    assert result.code == 2
    assert "expected a file or a folder for the masks, got '-'" in result.err

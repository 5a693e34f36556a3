from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.cli.conftest import FakeModel
from tests.extras.edit.conftest import make_controlled, regions
from tests.extras.inpaint.conftest import photo as make_photo

import anymask


@pytest.mark.filterwarnings("ignore")  # of diffusers and transformers, on their own insides
def test_the_command_redraws_a_folder(run, fake: FakeModel, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    make_controlled(tmp_path)
    (tmp_path / "in").mkdir()
    for name in "ab":
        PIL.Image.fromarray(make_photo()).save(tmp_path / "in" / f"{name}.png")
    masks = dataclasses.replace(regions(), labels=("cup", "wall", "cup"))
    masks.save(tmp_path / "masks.json")
    words = ["redraw", tmp_path / "in", "--fill", "a cup", "--engine", tmp_path / "pipeline"]
    words += ["--controlnet", tmp_path / "controlnet", "--steps", "1", "--device", "cpu"]
    own = ["--masks", tmp_path / "masks.json", "--region", "cup", "-o", tmp_path / "out"]
    result = run(*words, *own)
    assert result.code == 0, result.err
    assert "torchvision" not in result.err
    after = np.asarray(PIL.Image.open(tmp_path / "out" / "b-redrawn.png"))
    cups = masks.filter(label="cup").dense().any(axis=0)
    np.testing.assert_array_equal(after[~cups], make_photo()[~cups])
    assert (after[cups] != make_photo()[cups]).any(1).mean() > 0.9
    assert len(anymask.read(tmp_path / "out" / "b.json")) == 3
    assert fake.prompts == []
    assert "2 already there" in run(*words, *own).out
    found = run(*words, "--region", "0", "-o", tmp_path / "found")  # everything the model finds
    assert found.code == 0, found.err
    lost = run(*words, *own[:2], "--region", "dog", "-o", tmp_path / "lost")
    assert lost.code == 2 and "expected a region named 'dog', got cup, wall" in lost.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--region", "5", "5", "--fill", "a"], "did you mean --region 5,5?"),
        (["--region", "0", "--fill", " "], "expected fill as a text"),
        (["--region", "0", "--fill", "a", "--steps", "0"], "expected steps as a whole number"),
        (["--region", "1,2,3", "--fill", "a", "--offline"], "expected --region X,Y like 500,375"),
    ],
)
def test_wrong_usage_is_one_sentence(
    run, big: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    result = run("redraw", big, *words, "--engine", "no/where", "-o", tmp_path / "out")
    assert result.code == 2 and message in result.err
    assert result.err.count("\n") == 1

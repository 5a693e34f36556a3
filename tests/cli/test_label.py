"""``anymask label``: a project from its first image to an export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from anymask import Image, Masks, cli
from anymask.cli.label import STEPS
from anymask.formats import coco
from anymask.label import Provenance, Store


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.open(np.full((8, 12, 3), 40 * number, np.uint8)).save(folder / f"{number}.png")
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    assert cli.main(["label", *map(str, words)]) == code
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_a_project_from_begin_to_end(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    said = run(capsys, "init", photos, "--classes", "sky", "sea")
    assert "project 'photos'" in said and "3  added" in said
    assert "3  known already" in run(capsys, "init", photos)
    said = json.loads(run(capsys, "next", photos, "--person", "ada", "--json"))
    assert said["image"]["names"] == ["0.png"] and said["person"] == "ada"
    assert "ada: 0.png" in run(capsys, "status", photos)
    dense = np.ones((1, 8, 12), bool)
    with Store.open(photos) as store:
        store.add_masks("0.png", Masks.from_dense(dense, labels=["sky"]), Provenance("ada"))
    token = said["token"]
    words = ("next", photos, "--person", "ada", "--done", token, "--seconds", "40")
    name, about, second = run(capsys, *words).splitlines()
    assert name == "1.png" and about == "image 2, 12 x 8, 0 masks"
    assert run(capsys, "next", photos, "--person", "ada").splitlines()[0] == "1.png"
    assert run(capsys, "next", photos, "--person", "ada", "--skip", second).startswith("2.png")
    run(capsys, "classes", photos, "--rename", "sky", "heaven")
    said = run(capsys, "classes", photos, "--add", "boat").splitlines()
    assert [line.split()[::2] for line in said] == [["1", "heaven"], ["0", "sea"], ["0", "boat"]]
    out = tmp_path / "a.json"
    assert "1 masks of 1 images as coco" in run(capsys, "export", photos, "-o", out)
    assert coco.read(out).labels == ("heaven",)
    status = json.loads(run(capsys, "status", photos, "--json"))
    assert status["by_state"] == {"open": 2, "done": 1, "accepted": 0}
    assert status["seconds"] == 40 and status["classes"][0]["name"] == "heaven"
    run(capsys, "init", tmp_path / "new", "--no-add")
    assert "1 masks of 1 images" in run(
        capsys, "import", tmp_path / "new", out, "--images", photos, "--person", "bob"
    )
    assert "1 images had theirs" in run(capsys, "import", tmp_path / "new", out, "--images", photos)
    run(capsys, "next", photos, "--person", "bob", "--state", "done")


def test_what_is_wrong_is_said(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    assert "anymask label init" in run(capsys, "status", photos, code=2)
    run(capsys, "init", photos)
    (photos / "broken.png").write_bytes(b"no")
    (photos / "0.png").rename(photos / "moved.png")
    said = run(capsys, "add", photos, code=1)
    assert "1  cannot be read" in said and "broken.png: " in said
    assert "1  under another name" in said
    assert "(0.png)" in run(capsys, "add", photos, "--check")
    assert "files    gone: 0.png" in run(capsys, "status", photos)
    assert "--check alone" in run(capsys, "add", photos, "x", "--check", code=2)
    coco.write(tmp_path / "a.json", Masks.empty((8, 12), source="unknown.png"))
    said = run(capsys, "import", photos, tmp_path / "a.json", code=1)
    assert "1 images are not in the project (unknown.png)" in said
    assert "did you mean `anymask label status`?" in run(capsys, "statu", code=2)


def test_a_new_folder_may_be_empty(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no images" in run(capsys, "init", tmp_path / "new")


@pytest.mark.parametrize("step", STEPS)
def test_each_step_has_help_with_examples(capsys: pytest.CaptureFixture[str], step: str) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["label", step, "--help"])
    assert not end.value.code
    assert f"anymask label {step} photos/" in capsys.readouterr().out

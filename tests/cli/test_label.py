"""``anymask label``: a project from its first image to an export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from anymask import Image, Masks, cli
from anymask.cli.label import STEPS
from anymask.formats import coco
from anymask.label import Provenance, Store
from anymask.models.build import build
from anymask.models.variants import find
from anymask.models.weights.folder import write_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.open(np.full((8, 12, 3), 40 * number, np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def tiny_bundled(tmp_path: Path) -> str:
    """The folder of a tiny network of the kind of the bundled model."""
    torch.manual_seed(1)
    variant = tiny(find("bundled"))
    write_folder(tmp_path / "tiny", variant, build(variant).state_dict())
    return str(tmp_path / "tiny")


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
    assert name == "1.png" and about == "image 2, 12 x 8, 0 masks, 30 s for a mask"
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


def test_reviews_and_audits(capsys: pytest.CaptureFixture[str], photos: Path) -> None:
    run(capsys, "init", photos)
    dense = np.ones((3, 8, 12), bool)
    with Store.open(photos) as store:
        masks = Masks.from_dense(dense, labels=["sky", "sea", None])
        store.add_masks("0.png", masks, Provenance("ada"))
    said = run(capsys, "audit", photos, "--name", "may", "--sample", "5")
    assert "3 masks, 3 to be looked at" in said and "in 1 images: 0.png" in said
    assert "pending" in run(capsys, "review", photos, "0.png")
    words = ("review", photos, "0.png", "--accept", "1", "2", "--reject", "3")
    assert "name a --person" in run(capsys, *words, code=2)
    said = run(capsys, *words, "--person", "bob").splitlines()
    assert [line.split()[1] for line in said] == ["accepted", "accepted", "rejected"]
    assert "out of 1, 2, 3, got '9'" in run(capsys, "review", photos, "1", "--accept", "9", code=2)
    assert "one verdict" in run(
        capsys, "review", photos, "1", "--accept", "all", "--reject", "1", code=2
    )
    said = run(capsys, "audit", photos, "--name", "may")
    assert "0 to be looked at" in said and "person ada" in said and "100.0%" in said


def test_a_new_folder_may_be_empty(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no images" in run(capsys, "init", tmp_path / "new")


@pytest.mark.parametrize("step", STEPS)
def test_each_step_has_help_with_examples(capsys: pytest.CaptureFixture[str], step: str) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["label", step, "--help"])
    assert not end.value.code
    assert f"anymask label {step} photos/" in capsys.readouterr().out


def test_models_order_and_label_what_is_open(
    capsys: pytest.CaptureFixture[str], photos: Path, tiny_bundled: str
) -> None:
    run(capsys, "init", photos)
    said = run(capsys, "order", photos, "--model", tiny_bundled, "--points-per-side", "2")
    assert said.startswith("3 images looked at with ")
    words = ("--other", tiny_bundled, "--again", "--json", "--points-per-side", "1")
    said = json.loads(run(capsys, "order", photos, "--model", tiny_bundled, *words))
    assert (said["images"], said["compared"], said["known"]) == (3, 3, 0)
    with Store.open(photos) as store:
        store.add_version("first", tiny_bundled)
        store.add_version("second", tiny_bundled, parent="first")
        store.promote("second")
    said = run(capsys, "order", photos, "--again", "--points-per-side", "1")
    assert "looked at with second, 3 also with first" in said
    words = ("--points-per-side", "1", "--crops", "0", "--min-region", "0")
    for more in ((), ("--model", "first")):
        said = run(capsys, "auto", photos, *words, *more)
        assert "masks of 3 images" in said
    with Store.open(photos) as store:
        tokens = store.database.read(lambda t: t.rows("SELECT token FROM requests"))
    assert {row.token.split()[-1] for row in tokens} == {"first", "second"}


def test_known_masks_score_annotators(
    capsys: pytest.CaptureFixture[str], photos: Path, tmp_path: Path
) -> None:
    run(capsys, "init", photos)
    dense = np.zeros((1, 8, 12), bool)
    dense[0, :4] = True
    known = Masks.from_dense(dense, labels=["sky"], source="1.png")
    known.save(tmp_path / "known.json", format="coco")
    lost = Masks.from_dense(dense, labels=["sky"], source="lost.png")
    lost.save(tmp_path / "lost.json", format="coco")
    words = ("honeypots", photos, "--add", tmp_path / "known.json", "--share", "1")
    assert "1 images with 1 known masks (1.png); 100% of what" in run(capsys, *words)
    said = run(capsys, "honeypots", photos, "--add", tmp_path / "lost.json", code=1)
    assert "lost.png: expected an image for the masks" in said
    lease = json.loads(run(capsys, "next", photos, "--person", "ada", "--json"))
    assert lease["image"]["names"] == ["1.png"] and lease["mask_seconds"] == 30
    with Store.open(photos) as store:
        store.add_masks("1.png", known, Provenance("ada"))
    run(capsys, "next", photos, "--person", "ada", "--done", lease["token"])
    said = run(capsys, "honeypots", photos)
    assert "ada" in said and "1.000   100%" in said
    with Store.open(photos) as store:
        slow = Provenance("ada", seconds=31)
        store.add_masks("0.png", Masks.from_dense(dense, labels=["sky"]), slow)
    assert "31.0 s for a change of a mask, 1 of 1 over 30 s" in run(capsys, "status", photos)
    said = run(capsys, "audit", photos, "--name", "may", "--sample", "5")
    assert "1 masks, 1 to be looked at" in said and "known masks, by annotator" in said
    said = json.loads(run(capsys, "audit", photos, "--name", "may", "--json"))
    assert said["honeypots"][0]["found"]["value"] == 1
    run(capsys, "stats", photos, "-o", tmp_path / "report")
    table = (tmp_path / "report" / "honeypots.csv").read_text().splitlines()
    assert table[1].startswith("ada,photos,1,1,1")
    measures = (tmp_path / "report" / "measures.csv").read_text()
    assert "share of masks over 30 s,photos,1,1,1" in measures
    said = run(capsys, "honeypots", photos, "--remove", "1.png", "--json")
    assert json.loads(said)["images"] == [] == json.loads(said)["scores"]

"""``anymask personalize``, with the bundled model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import anymask
from anymask.cli import main

REFERENCE = np.full((96, 128, 3), 90, np.uint8)
REFERENCE[30:60, 20:50] = (250, 180, 20)
MASK = (REFERENCE[..., 2] == 20).astype(np.uint8) * np.uint8(255)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reference and its mask, and photos: with the thing, without it, and a broken one."""
    Image.fromarray(REFERENCE).save(tmp_path / "ref.png")
    Image.fromarray(MASK).save(tmp_path / "mask.png")
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(REFERENCE[:, ::-1]).save(photos / "with.png")
    Image.fromarray(np.full((96, 128, 3), 90, np.uint8)).save(photos / "without.png")
    (photos / "broken.png").write_bytes(b"no image")
    return tmp_path


def run(folder: Path, *more: str) -> int:
    words = ["--reference", str(folder / "ref.png"), "--mask", str(folder / "mask.png")]
    out = ["-o", str(folder / "out")]
    return main(["personalize", str(folder / "photos"), *words, *out, "--json", *more])


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, dict]:
    rows = map(json.loads, capsys.readouterr().out.splitlines())
    return {Path(row["image"]).stem: row for row in rows}


def test_a_folder_is_searched_and_resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--name", "my square") == 1  # one image is broken
    rows = lines(capsys)
    assert rows["with"]["here"] == {"my square": 1}
    assert rows["without"]["here"] == {"my square": 0}
    assert rows["broken"]["status"] == "failed"
    masks = anymask.read(folder / "out/with.json")
    assert masks.labels == ("my square",)
    assert (masks.dense()[0] == (MASK[:, ::-1] > 0)).mean() > 0.95
    with Image.open(folder / "out/with-overlay.png") as overlay:
        assert overlay.size == (128, 96)
    assert run(folder, "--name", "my square") == 1
    again = lines(capsys)
    assert again["with"]["status"] == again["without"]["status"] == "skipped"
    # Python finds the same folder finished.
    report = anymask.personalize(
        folder / "photos",
        folder / "out",
        reference=folder / "ref.png",
        mask=folder / "mask.png",
        names="my square",
    )
    assert report.count("skipped") == 2


def test_another_reference_is_another_job(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == 1
    Image.fromarray(MASK[::-1]).save(folder / "mask.png")
    assert run(folder) == 2
    assert "other" in capsys.readouterr().err


def test_masks_in_json_are_a_mask(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anymask.Masks.from_dense(MASK > 0).save(folder / "mask.json")
    (folder / "mask.png").unlink()
    (folder / "mask.json").rename(folder / "mask.png.json")
    words = ["--reference", str(folder / "ref.png"), "--mask", str(folder / "mask.png.json")]
    photo = str(folder / "photos/with.png")
    assert main(["personalize", photo, *words, "-o", str(folder / "out"), "--json"]) == 0
    assert lines(capsys)["with"]["here"] == {"thing": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "got no reference"),
        (["--reference", "ref.png"], "got 1 reference and 0 masks"),
        (["--reference", "ref.png", "--mask", "gone.png"], "does not exist"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(
    folder: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert main(["personalize", "photos", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "anymask-out").exists()


def test_a_threshold_out_of_range_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["personalize", "photos", "--threshold", "3"]) == 2
    error = capsys.readouterr().err
    assert "threshold as a number from 0 to 1, got 3" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "value"), [("--threshold", "0.7"), ("--max-instances", "2"), ("--clicks", "9")]
)
def test_what_is_of_match_only_is_refused_beside_persam(
    flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for method in ("persam", "persam-f"):
        assert main(["personalize", "photos", "--method", method, flag, value]) == 2
        name = flag.lstrip("-").replace("-", "_")
        assert f"expected no {name} for the method {method}, which" in capsys.readouterr().err

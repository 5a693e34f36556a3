from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.cli.conftest import FakeModel
from tests.cli.test_pipe import Pipes

from anymask import Masks


def pixels(source: object) -> np.ndarray:
    return np.asarray(PIL.Image.open(source))


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("no model is needed")

    monkeypatch.setattr("anymask.predict.loading.load", fail)


@pytest.mark.parametrize("engine", ["telea", "classical"])
def test_a_mask_needs_no_model(
    run, big: Path, mask: Path, tmp_path: Path, no_model: None, engine: str
) -> None:
    if engine == "classical":
        pytest.importorskip("patchmatch_cython")
    words = ("--mask", mask, "--engine", engine, "-o", tmp_path / "out")
    result = run("inpaint", big, *words)
    assert result.code == 0, result.err
    names = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
    assert names == ["anymask-run.json", "big-inpainted.png", "big-overlay.png", "big.json"]
    hole = pixels(mask) > 0
    after = pixels(tmp_path / "out/big-inpainted.png")
    np.testing.assert_array_equal(after[~hole], pixels(big)[~hole])
    assert (after[hole] != pixels(big)[hole]).any()
    again = run("inpaint", big, *words)
    assert "already there" in again.out


def test_a_click_finds_the_thing(run, fake: FakeModel, big: Path, tmp_path: Path) -> None:
    words = ("--point", "3,3", "--remove", "--grow", 2, "--feather", 1, "--engine", "telea")
    assert run("inpaint", big, *words, "-o", tmp_path / "out").code == 0
    after, before = pixels(tmp_path / "out/big-inpainted.png"), pixels(big)
    changed = (after != before).any(2)
    assert changed.any() and not changed[7:].any() and not changed[:, 7:].any()
    assert fake.prompts[0].points_xy.tolist() == [[3, 3]]


def test_a_word_for_a_folder_is_one_command(
    run, fake: FakeModel, photos: Path, tmp_path: Path
) -> None:
    result = run("inpaint", photos, "--text", "dog", "--engine", "telea", "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert len(list((tmp_path / "out").rglob("*-inpainted.png"))) == 4
    assert {prompt.text for prompt in fake.prompts} == {"dog"}


def test_masks_of_a_file_by_their_name(
    run, big: Path, mask: Path, tmp_path: Path, no_model: None
) -> None:
    dense = np.stack([pixels(mask) > 0, np.roll(pixels(mask) > 0, 30, axis=1)])
    Masks.from_dense(dense, labels=["dog", "cat"]).save(tmp_path / "masks.json")
    words = ("--masks", tmp_path / "masks.json", "--label", "cat", "--engine", "telea")
    assert run("inpaint", big, *words, "-o", tmp_path / "out").code == 0
    after = pixels(tmp_path / "out/big-inpainted.png")
    np.testing.assert_array_equal(after[~dense[1]], pixels(big)[~dense[1]])
    words = ("--masks", tmp_path / "masks.json", "--label", "cow", "--engine", "telea")
    result = run("inpaint", big, *words, "-o", tmp_path / "out2")
    assert result.code == 2 and "masks named ('cow',), got cat, dog" in result.err


def test_through_a_pipe(
    big: Path, mask: Path, no_model: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipes = Pipes(monkeypatch)
    words = ("--mask", mask, "--engine", "telea", "-o", "-")
    assert pipes.run("inpaint", "-", *words, given=big.read_bytes()) == 0
    hole = pixels(mask) > 0
    np.testing.assert_array_equal(pipes.image()[~hole], pixels(big)[~hole])
    assert (pipes.image()[hole] != pixels(big)[hole]).any()


WRONG = {
    "nothing": ([], "expected one of --point, --box, --text, --mask and --masks, got none of them"),
    "two ways": (["--mask", "MASK", "--point", "3,3"], "got --point and --mask; say what"),
    "two files": (["--mask", "MASK", "--masks", "MASK"], "got --mask and --masks"),
    "a label alone": (["--point", "3,3", "--label", "dog"], "expected --masks along with --label"),
    "two wishes": (["--mask", "MASK", "--remove", "--fill", "a"], "got remove and fill; say one"),
    "no diffusion model": (
        ["--mask", "MASK", "--fill", "a bench"],
        "got none; name one",
    ),
    "no words": (["--mask", "MASK", "--fill", ""], "expected fill as a text"),
    "an engine without words": (
        ["--mask", "MASK", "--replace", "a beach", "--engine", "telea"],
        "expected an engine that can replace by text, got telea",
    ),
    "a setting of diffusion": (
        ["--mask", "MASK", "--steps", "9"],
        "expected no steps for the engine classical, which knows none, got 9",
    ),
    "no engine": (
        ["--mask", "MASK", "--engine", "photoshop"],
        "expected an engine out of",
    ),
    "coordinates": (["--point", "3", "3"], "did you mean --point 3,3?"),
    "feather": (["--mask", "MASK", "--feather", "-3"], "feather as a whole number of at least 0"),
    "a dark mask": (["--mask", "DARK"], "is dark everywhere"),
    "other size": (["--mask", "SMALL"], "the image's size, 120 x 90, got 9 x 9"),
    "whole": (["--mask", "WHITE"], "leaves some of the image around what is removed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_one_sentence(run, big: Path, mask: Path, tmp_path: Path, name: str) -> None:
    sizes = {"DARK": ((90, 120), 0), "WHITE": ((90, 120), 255), "SMALL": ((9, 9), 255)}
    for file, (size, value) in sizes.items():
        PIL.Image.fromarray(np.full(size, value, np.uint8)).save(tmp_path / f"{file}.png")
    words, message = WRONG[name]
    places = {file: tmp_path / f"{file}.png" for file in sizes} | {"MASK": mask}
    result = run("inpaint", big, *(places.get(w, w) for w in words), "-o", tmp_path / "out")
    assert result.code == 2
    assert message in " ".join(result.err.split()), result.err
    assert len(result.err.splitlines()) == 1
    assert not list((tmp_path / "out").glob("*.png"))


def test_help(run) -> None:
    page = run("inpaint", "--help").out
    for flag in ("--remove", "--fill", "--replace", "--grow", "--feather", "--engine", "--masks"):
        assert flag in page

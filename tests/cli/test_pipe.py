from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import anymask


class Output(io.TextIOWrapper):
    terminal = False

    def isatty(self) -> bool:
        return self.terminal


class Pipes:
    """Standard input and output as programs have them: bytes, and no terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.out = io.BytesIO()

    def run(self, *words: object, given: bytes | None = None) -> int:
        from anymask.cli import main

        self.out = io.BytesIO()
        stdin = None if given is None else io.TextIOWrapper(io.BytesIO(given))
        self.monkeypatch.setattr(sys, "stdin", stdin)
        self.monkeypatch.setattr(sys, "stdout", Output(self.out, encoding="ascii"))
        return main([str(word) for word in words])

    def image(self) -> np.ndarray:
        return np.asarray(PIL.Image.open(io.BytesIO(self.out.getvalue())))


@pytest.fixture
def pipes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipes:
    monkeypatch.chdir(tmp_path)
    return Pipes(monkeypatch)


def test_a_cutout_goes_out(fake, photo, pipes, tmp_path) -> None:
    given = photo.read_bytes()
    assert pipes.run("segment", "-", "--point", "1,1", "-o", "-", given=given) == 0
    cutout = pipes.image()
    assert cutout.shape == (10, 20, 4)
    assert (cutout[..., 3] > 0).sum() == 16
    assert pipes.run("segment", photo, "--point", "1,1", "--output=-") == 0
    assert np.array_equal(pipes.image(), cutout)
    assert list(tmp_path.iterdir()) == [photo], "and no folder is made"


@pytest.mark.parametrize(
    ("words", "masks"),
    [
        (["segment", "--no-cutout", "--point", "1,1"], 1),
        (["segment", "--format", "sa1b", "--point", "1,1"], 1),
        (["segment", "--no-cutout", "--all", "--point", "1,1"], 3),
        (["segment", "-f", "coco", "--point", "1,1"], 1),
        (["everything"], 3),
        (["everything", "--format", "coco"], 3),
        (["everything", "--points-per-side", "5"], 5),
    ],
)
def test_masks_go_out_as_json(fake, photo, pipes, tmp_path, words: list[str], masks: int) -> None:
    assert pipes.run(*words, "-", "-o", "-", given=photo.read_bytes()) == 0
    content = pipes.out.getvalue()
    assert json.loads(content)
    path = tmp_path / "masks.json"
    path.write_bytes(content)
    assert len(anymask.read(path)) == masks


@pytest.mark.parametrize("words", [["segment", "--point", "1,1"], ["everything"]])
def test_a_label_map_goes_out(fake, photo, pipes, words: list[str]) -> None:
    assert pipes.run(*words, "--format=png", "-", "-o", "-", given=photo.read_bytes()) == 0
    assert pipes.image().shape == (10, 20)
    assert pipes.image().max() >= 1


def test_an_image_that_comes_in_goes_to_a_folder(fake, photo, photos, pipes, tmp_path) -> None:
    words = ["segment", "--point", "1,1", "-o", tmp_path / "out"]
    assert pipes.run(*words, "-", given=photo.read_bytes()) == 0
    found = sorted(path.name for path in (tmp_path / "out").glob("stdin*"))
    assert found == ["stdin-cutout.png", "stdin-overlay.png", "stdin.json"]
    assert fake.seen == ["stdin"]
    assert pipes.run(*words, "-", photos, given=photo.read_bytes()) == 0
    assert fake.seen[0] == "stdin" and len(fake.seen) == 5, "it was finished, the folder not"
    assert pipes.run(*words, "-", given=(photos / "2.png").read_bytes()) == 0
    assert len(fake.seen) == 5 or fake.seen[-1] == "stdin"


def test_a_main_subject_goes_out_with_a_soft_edge(fake, photo, pipes) -> None:
    assert pipes.run("segment", "-", "-o", "-", given=photo.read_bytes()) == 0
    masks = fake.subject(anymask.Image.open(photo))
    assert np.array_equal(pipes.image(), masks.cutout(photo, soft=True))
    assert not np.array_equal(pipes.image(), masks.cutout(photo))
    assert fake.prompts == []


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        (["segment", "-", "--point", "1,1"], None, "expected an image on standard input, got none"),
        (["segment", "-", "--point", "1,1"], b"", "got no byte"),
        (["segment", "-", "--point", "1,1"], b"text", "the data given is none that Pillow can"),
        (["segment", "-", "--not", "1,1"], b"photo", "say what to cut out"),
        (["segment", "--point", "1,1"], b"", "expected one image for -o -, got 0 of them"),
        (["segment", "-", "a.png", "--point", "1,1"], b"", "got 2 of them"),
        (["everything", "."], b"", "got the folder '.'"),
        (["everything", "missing.png"], b"", "missing.png"),
        (["segment", "-", "--all", "--point", "1,1"], b"", "got --all too"),
        (["everything", "-", "--json"], b"", "got --json too"),
    ],
)
def test_what_cannot_go_through(
    fake, photo, pipes, words: list[str], given: bytes | None, message: str, capsys
) -> None:
    given = photo.read_bytes() if given == b"photo" else given
    assert pipes.run(*words, "-o", "-", given=given) == 2
    assert message in capsys.readouterr().err
    assert pipes.out.getvalue() == b""


def test_images_are_not_written_to_a_terminal(fake, photo, pipes, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Output, "terminal", True)
    assert pipes.run("segment", photo, "--point", "1,1", "-o", "-") == 2
    assert "got a terminal; add > FILE" in capsys.readouterr().err
    assert pipes.run("everything", photo, "-o", "-") == 0, "JSON may be read there"


def test_nothing_found(fake, photo, pipes, capsys) -> None:
    fake.predict = lambda image, **prompt: anymask.Masks.empty(image.size_hw)
    assert pipes.run("segment", photo, "--text", "unicorn", "-o", "-") == 0
    assert "anymask: nothing found\n" in capsys.readouterr().err
    cutout = PIL.Image.open(io.BytesIO(pipes.out.getvalue()))
    assert cutout.mode == "RGBA" and not np.asarray(cutout).any()
    pipes.out.seek(0)
    pipes.out.truncate()
    assert pipes.run("segment", photo, "--text", "unicorn", "--no-cutout", "-o", "-") == 0
    assert json.loads(pipes.out.getvalue())["annotations"] == []
    assert "anymask: nothing found\n" in capsys.readouterr().err

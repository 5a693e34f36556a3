"""``anymask segment --text`` and ``anymask detect``."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.predict.test_segmenter import disc_model
from tests.text.told import Told

import anymask
from anymask.cli import main
from anymask.detections import Detections
from anymask.models.cache import offline
from anymask.text import ground

LEFT, RIGHT = (10.0, 40.0, 50.0, 90.0), (80.0, 40.0, 120.0, 90.0)
SEEN = (LEFT, 0.6, "red car"), (RIGHT, 0.9, "dog"), (RIGHT, 0.2, "dog"), (LEFT, 0.7, "toy")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Discs for masks, and a grounder that has seen two things; "told" is its name."""
    grounder, real = Told(*SEEN), ground.find_grounder
    find = lambda name, device="cpu": grounder if name == "told" else real(name, device)  # noqa: E731
    monkeypatch.setattr(ground, "find_grounder", find)
    monkeypatch.setattr("anymask.predict.loading.load", lambda *_, **__: disc_model())
    return grounder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


WORDS = ("--text", "dog. red car", "--grounder", "told")


def test_all_that_words_name_is_cut_out(told, photo, tmp_path, run) -> None:
    out = tmp_path / "out"
    result = run("segment", photo, *WORDS, "-o", out)
    assert result.code == 0, result.err
    assert f"{photo}: 2 masks (1 dog, 1 red car), " in result.out
    assert names(out) == [
        "anymask-run.json", "photo-cutout.png", "photo-overlay.png", "photo.json",
    ]  # fmt: skip
    masks = anymask.read(out / "photo.json")
    assert masks.labels == ("dog", "red car")
    assert masks.scores.tolist() == pytest.approx([0.9, 0.6])
    assert 0.9 < masks.meta[0]["mask_predicted_iou"] < 1
    with PIL.Image.open(out / "photo-cutout.png") as cutout:
        alpha = np.asarray(cutout)[..., 3]
    assert alpha[65, 30] == alpha[65, 100] == 255
    assert alpha[5, 5] == 0
    assert "already there" in run("segment", photo, *WORDS, "-o", out).out
    other = run("segment", photo, *WORDS, "--threshold", "0.7", "-o", out)
    assert other.code == 2
    assert "threshold: None, now 0.7" in other.err


def test_thresholds_and_words_that_are_not_meant(told, photo, tmp_path, run) -> None:
    for i, (words, labels) in enumerate(
        [
            (["--threshold", "0.7"], ["dog"]),
            (["--threshold", "dog=0.95", "--threshold", "the red car = 0.5"], ["red car"]),
            (["--not-text", "a toy"], ["dog"]),
        ]
    ):
        result = run("segment", photo, *WORDS, *words, "--json", "-o", tmp_path / str(i))
        told_of = json.loads(result.out)
        assert [one["label"] for one in told_of["answers"]] == labels
    listed = run(
        "segment", photo, "--text", "dog", "--text", "black and red car", "--grounder", "told",
        "-o", tmp_path / "list",
    )  # fmt: skip
    assert listed.code == 0
    assert told.asked[-1][1] == ("dog", "black and red car")


def test_a_label_map_comes_with_a_list(told, photo, tmp_path, run) -> None:
    out = tmp_path / "out"
    assert run("segment", photo, *WORDS, "-f", "grounded-sam", "--no-overlay", "-o", out).code == 0
    assert names(out) == [
        "anymask-run.json", "photo-cutout.png", "photo-labels.json", "photo-labels.png",
    ]  # fmt: skip
    listed = json.loads((out / "photo-labels.json").read_text())
    assert listed == [
        {"value": 0, "label": "background"},
        {"value": 1, "label": "dog", "logit": 0.9, "box": list(RIGHT)},
        {"value": 2, "label": "red car", "logit": 0.6, "box": list(LEFT)},
    ]
    with PIL.Image.open(out / "photo-labels.png") as labels:
        values = np.asarray(labels)
    assert values[65, 100] == 1 and values[65, 30] == 2
    assert anymask.read(out / "photo-labels.png").labels == ("dog", "red car")
    assert (
        "already there"
        in run("segment", photo, *WORDS, "-f", "grounded-sam", "--no-overlay", "-o", out).out
    )
    (out / "photo-labels.json").unlink()
    assert (
        "2 masks"
        in run("segment", photo.parent, *WORDS, "-f", "grounded-sam", "--no-overlay", "-o", out).out
    )
    assert json.loads((out / "photo-labels.json").read_text()) == listed


def test_a_folder_and_categories(told, photo, tmp_path, run) -> None:
    (photo.parent / "more").mkdir()
    PIL.Image.new("L", (50, 60)).save(photo.parent / "more" / "grey.png")
    out = tmp_path / "out"
    result = run("segment", photo.parent, *WORDS, "-f", "coco", "--no-cutout", "-o", out)
    assert "2 images: 2 done" in result.out
    document = json.loads((out / "annotations.json").read_text())
    assert [category["name"] for category in document["categories"]] == ["dog", "red car"]
    assert len(document["annotations"]) == 3  # the grey image ends before the dog


def test_nothing_found_is_a_result(told, photo, tmp_path, run) -> None:
    words = ["--text", "cat", "--grounder", "told"]
    result = run("segment", photo, *words, "-o", tmp_path / "out")
    assert result.code == 0
    assert f"{photo}: 0 masks" in result.out
    assert f"{photo}: nothing found for 'cat'" in result.err
    assert len(anymask.read(tmp_path / "out" / "photo.json")) == 0
    result = run("detect", photo, *words, "-o", tmp_path / "boxes")
    assert result.code == 0
    assert f"{photo}: 0 boxes" in result.out
    assert len(Detections.load(tmp_path / "boxes" / "photo-boxes.json")) == 0
    assert names(tmp_path / "boxes") == ["anymask-run.json", "photo-boxes.json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", ""], "expected words that name things, got ''"),
        (["--text", "zebra. dog"], "got 'zebra'; use such a word, or for open words run pip"),
        (["--text", "word " * 300], "got 'word word"),
        (["--text", "\N{DOG FACE}"], "expected English words that the grounder 'bundled' knows"),
        (["--text", "dog", "--threshold", "nan"], "threshold from 0 to 1, got nan"),
        (["--text", "dog", "--threshold", "cat=0.5"], "got one for 'cat'"),
        (["--text", "dog", "--threshold", "high"], "expected --threshold FLOAT like 0.4"),
        (["--text", "dog", "--threshold", "0.5", "--threshold", "dog=1"], "expected one --thres"),
        (["--text", "dog", "--not-text", "the dog"], "got 'dog' as both"),
        (["--text", "dog", "--grounder", "nobody"], "expected a grounder out of bundled"),
        (["--not-text", "dog"], "expected --text alone with --not-text, got none"),
        (["--text", "dog", "--all"], "got all (--all) too"),
        (["--text", "dog", "--point", "3,4", "--grounder", "told"], "got other prompts beside it"),
        (["--text", "dog", "--point", "3,4"], "expected text alone"),
    ],
)
def test_bad_words(told, photo, tmp_path, run, words: list[str], message: str) -> None:
    result = run("segment", photo, *words, "-o", tmp_path / "out")
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert told.asked == []
    assert not (tmp_path / "out" / "photo.json").exists()


def test_boxes_alone(told, photo, tmp_path, run) -> None:
    out = tmp_path / "out"
    result = run("detect", photo, *WORDS, "--threshold", "0.1", "-o", out)
    assert result.code == 0, result.err
    assert f"{photo}: 2 boxes (1 dog, 1 red car), " in result.out
    assert names(out) == ["anymask-run.json", "photo-boxes.json", "photo-boxes.png"]
    found = Detections.load(out / "photo-boxes.json")
    assert found.labels == ("dog", "red car")
    assert found.boxes.tolist() == [list(RIGHT), list(LEFT)]
    with PIL.Image.open(out / "photo-boxes.png") as drawn:
        assert drawn.size == (128, 128)
    assert "already there" in run("detect", photo, *WORDS, "--threshold", "0.1", "-o", out).out


def test_boxes_of_a_folder_in_one_file(told, photo, tmp_path, run) -> None:
    (photo.parent / "more").mkdir()
    PIL.Image.new("L", (90, 60)).save(photo.parent / "more" / "grey.png")
    (photo.parent / "broken.png").write_bytes(b"x")
    out = tmp_path / "out"
    result = run("detect", photo.parent, *WORDS, "-f", "coco", "--no-overlay", "-o", out)
    assert result.code == 1
    assert names(out) == ["annotations.json", "anymask-run.json"]
    both = Detections.load(out / "annotations.json", "photo.png")
    assert both.labels == ("dog", "red car")
    assert Detections.load(out / "annotations.json", "more/grey.png").boxes[0].tolist() == [
        80.0, 40.0, 90.0, 60.0,
    ]  # fmt: skip
    document = json.loads((out / "annotations.json").read_text())
    assert [entry["id"] for entry in document["annotations"]] == [1, 2, 3, 4]


def test_boxes_go_through_pipes(told, photo, monkeypatch, capfdbinary) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))
    assert main(["detect", "-", *WORDS, "-o", "-"]) == 0
    assert Detections.load(capfdbinary.readouterr().out).labels == ("dog", "red car")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", "zebra"], "got 'zebra'"),
        (["--text", " "], "expected words that name things"),
        (["--grounder", "told"], "got none for 'told', which takes any"),
        (["--format", "png"], "expected --format out of json, coco, got"),
        (["--model", "sam-vit-b"], "--model"),
    ],
)
def test_what_detect_refuses(told, photo, tmp_path, run, words: list[str], message: str) -> None:
    result = run("detect", photo, *words, "-o", tmp_path / "out")
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "out").exists()


def test_offline_reaches_the_grounder(told, photo, tmp_path, run, monkeypatch) -> None:
    monkeypatch.delenv("ANYMASK_OFFLINE", raising=False)
    seen: list[bool] = []
    detect = told.detect
    told.detect = lambda *args: (seen.append(offline()), detect(*args))[1]  # type: ignore[method-assign]
    for flags in (["--offline"], []):
        assert run("detect", photo, *WORDS, *flags, "-o", tmp_path / str(len(flags))).code == 0
    assert seen == [True, False]
    assert not offline()


def test_the_bundled_pieces_do_it_without_a_download(tmp_path, run) -> None:
    coffee = Path(__file__).parents[2] / "docs/pictures/coffee.jpg"
    result = run("segment", coffee, "--text", "Cups. dogs", "--offline", "-o", tmp_path / "a")
    assert "1 mask (1 cups)" in result.out
    assert "1 box (1 coffee cup)" in run("detect", coffee, "-o", tmp_path / "b").out

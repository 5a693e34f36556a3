"""``anymask everything --labels``, and the same from Python."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.cli.conftest import FakeModel

import anymask
from anymask.detections import Detections


class Corner:
    """A grounder that finds the first word in the corner where the fake model's masks are."""

    name, threshold, words = "bundled", 0.3, ("cat", "dog")

    def unknown(self, phrases: Any) -> tuple[str, ...]:
        return tuple(phrase for phrase in phrases if phrase not in self.words)

    def detect(self, images: Any, phrases: Any, threshold: float) -> list[Detections]:
        return [Detections(image.size_hw, [(0, 0, 2, 2)], [0.75], [phrases[0]]) for image in images]


@pytest.fixture(autouse=True)
def corner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anymask.text.label.find_grounder", lambda *_: Corner())
    monkeypatch.setattr("anymask.text.label.is_at_hand", lambda name: False)


def labels_in(path: Path) -> list[str | None]:
    return list(anymask.read(path).labels)


def test_masks_have_names_and_scores_in_every_record(fake, photo, tmp_path, run) -> None:
    result = run("everything", photo, "-o", tmp_path / "out", "--labels", "dog,cat")
    assert result.code == 0, result.err
    assert "3 masks (1 dog)" in result.out
    masks = anymask.read(tmp_path / "out" / "photo.json")
    assert masks.labels == ("dog", None, None)
    assert masks.meta[0]["label_score"] == 0.75
    assert masks.scores[0] == pytest.approx(0.9)
    record = json.loads((tmp_path / "out" / "photo.json").read_text())["annotations"][0]
    assert (record["label"], record["label_score"]) == ("dog", 0.75)
    settings = json.loads((tmp_path / "out" / "anymask-run.json").read_text())["settings"]
    assert (settings["labels"], settings["ranker"]) == ("dog\ncat", "bundled")


@pytest.mark.parametrize("words", [["--labels"], ["--labels", "bundled"]])
def test_without_words_the_detector_says_what_it_knows(words, fake, photo, tmp_path, run) -> None:
    assert run("everything", photo, "-o", tmp_path / "out", *words).code == 0
    assert labels_in(tmp_path / "out" / "photo.json") == ["cat", None, None]


def test_without_words_other_flags_may_follow(fake, photo, tmp_path, run) -> None:
    run("everything", photo, "--labels", "-o", tmp_path / "out", "-q")
    assert labels_in(tmp_path / "out" / "photo.json")[0] == "cat"


def test_words_come_from_a_file(fake, photos, tmp_path, run) -> None:
    (tmp_path / "words.txt").write_text("dog\ncat\n", encoding="utf-8")
    out = tmp_path / "out"
    assert run("everything", photos, "-o", out, "--labels", tmp_path / "words.txt").code == 0
    assert labels_in(out / "trip" / "2.json")[0] == "dog"


def test_coco_makes_a_training_set(fake, photos, tmp_path, run) -> None:
    out = tmp_path / "out"
    words = ["everything", photos, "-o", out, "--labels", "dog,cat", "-f", "coco"]
    assert run(*words).code == 0
    document = json.loads((out / "annotations.json").read_text())
    assert [(one["id"], one["name"]) for one in document["categories"]] == [(1, "dog"), (2, "cat")]
    assert [one["category_id"] for one in document["annotations"]] == [1] * 4
    assert {one["label_score"] for one in document["annotations"]} == {0.75}
    assert "other settings" in run(*words, "--label-keep", "all").err
    assert run(*words, "--label-keep", "all", "--overwrite").code == 0
    names = [
        one["name"] for one in json.loads((out / "annotations.json").read_text())["categories"]
    ]
    assert names == ["dog", "cat", "object"]


def test_yolo_makes_a_training_set(fake, photos, tmp_path, run) -> None:
    out = tmp_path / "out"
    assert run("everything", photos, "-o", out, "--labels", "cat,dog", "-f", "yolo").code == 0
    lines = (out / "labels" / "train" / "trip" / "2.txt").read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith("0 ")
    assert (out / "images" / "train" / "trip" / "2.png").is_file()
    assert "0: cat\n  1: dog" in (out / "data.yaml").read_text()


def test_a_semantic_map_has_the_words_as_values(fake, photos, tmp_path, run) -> None:
    out = tmp_path / "out"
    assert run("everything", photos, "-o", out, "--labels", "dog,cat", "-f", "semantic").code == 0
    with PIL.Image.open(out / "trip" / "2-classes.png") as image:
        values = np.asarray(image)
    assert values[:2, :2].tolist() == [[1, 1], [1, 1]] and values[2:].max() == 0
    classes = json.loads((out / "classes.json").read_text())["classes"]
    assert [one["name"] for one in classes] == [None, "dog", "cat"]


def test_a_semantic_map_goes_out_through_a_pipe(fake, photo, tmp_path, capfdbinary) -> None:
    from anymask.cli import main

    words = ["everything", str(photo), "--labels", "cat,dog", "-f", "semantic", "-o", "-"]
    assert main(words) == 0
    data = capfdbinary.readouterr().out
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert np.asarray(image)[0, 0] == 1
    assert anymask.read(data).labels == ("cat",)


def test_a_semantic_map_needs_words(fake, photo, tmp_path, run) -> None:
    result = run("everything", photo, "-o", tmp_path / "out", "-f", "semantic")
    assert result.code == 2
    assert "expected words for the format semantic" in result.err
    assert not (tmp_path / "out").exists()


def test_nothing_named_is_said(fake, photo, tmp_path, run, monkeypatch) -> None:
    monkeypatch.setattr(
        Corner, "detect", lambda self, images, *_: [Detections.empty(i.size_hw) for i in images]
    )
    result = run("everything", photo, "-o", tmp_path / "a", "--labels", "dog")
    assert result.code == 0
    assert "3 masks (none of them has a name)" in result.out
    result = run("everything", photo, "-o", tmp_path / "b", "--labels", "dog", "-f", "coco")
    assert result.code == 0
    assert "--label-keep dropped 3" in result.err


def test_words_that_nobody_knows_write_nothing(fake, photo, tmp_path, run) -> None:
    result = run("everything", photo, "-o", tmp_path / "out", "--labels", "cat,sky")
    assert result.code == 2
    assert "got 'sky'" in result.err and "pip install 'anymask[text]'" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists() and fake.seen == []


def test_an_image_in_the_place_of_words_is_named(fake, photo, tmp_path, run) -> None:
    result = run("everything", "--labels", photo, "-o", tmp_path / "out")
    assert result.code == 2
    assert "which is no text; write the words themselves" in result.err


def test_how_to_name_without_names_is_a_mistake(fake, photo, tmp_path, run) -> None:
    result = run("everything", photo, "-o", tmp_path / "out", "--ranker", "clip")
    assert result.code == 2
    assert "expected --labels beside what says how to name masks" in result.err


def test_a_folder_is_the_same_from_python(photos, tmp_path, run, fake) -> None:
    run("everything", photos, "-o", tmp_path / "out", "--labels", "dog", "--label-keep", "labelled")
    model: Any = fake
    model.device = "cpu"
    report = anymask.process(
        photos, tmp_path / "out", model=model, labels=["dog"], label_keep="labelled"
    )
    assert report.count("skipped") == 4
    assert report.results[0].masks.labels == ("dog",)


def test_labels_of_points_stay_labels_of_points(photos, tmp_path) -> None:
    model: Any = FakeModel()
    report = anymask.process(photos, tmp_path / "a", model=model, points=[(3, 3)], labels=[1])
    assert report.count("done") == 4
    with pytest.raises(anymask.InputError):
        anymask.process(photos, tmp_path / "b", model=model, labels=[1])


def test_a_job_names_masks_in_memory(tmp_path) -> None:
    model: Any = FakeModel()
    model.device = "cpu"
    photo = np.zeros((10, 20, 3), np.uint8)
    report = anymask.process({"a": photo}, tmp_path, model=model, labels="cat", overlay=False)
    assert report.results[0].summary["labels"] == {"cat": 1}

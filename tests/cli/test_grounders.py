"""Open words and examples from the command line, by tiny detectors with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.text.tiny_grounders import image, make_grounding_dino, make_owlv2

import anymask

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_grounding_dino(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def owl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_owlv2(tmp_path_factory.mktemp("owl"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return saved(tmp_path / "in" / "photo.png", 96, 140, 0)


def saved(path: Path, h: int, w: int, seed: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    PIL.Image.fromarray(image(h, w, seed).pixels).save(path)
    return path


@pytest.mark.parametrize("kind", ["dino", "owl"])
def test_open_words_become_masks(kind, request, photo, tmp_path, run) -> None:
    out = tmp_path / "out"
    words = ("--text", "dog. red car.", "--grounder", request.getfixturevalue(kind))
    result = run("segment", photo, *words, "--threshold", "0.02", "-f", "grounded-sam", "-o", out)
    assert result.code == 0, result.err
    entries = json.loads((out / "photo-labels.json").read_text())[1:]
    assert entries
    assert {entry["label"] for entry in entries} <= {"dog", "red car"}
    assert all(0.02 <= entry["logit"] <= 1 for entry in entries)
    masks = anymask.read(out / "photo-labels.png")
    assert masks.labels == tuple(entry["label"] for entry in entries)
    assert masks.size_hw == (96, 140)
    assert (
        "already there"
        in run("segment", photo, *words, "--threshold", "0.02", "-f", "grounded-sam", "-o", out).out
    )


def test_coco_has_the_phrases_as_categories(dino, photo, tmp_path, run) -> None:
    out = tmp_path / "out"
    words = ("--text", "dog", "--text", "St. Bernard", "--grounder", dino, "--threshold", "0.0")
    assert run("segment", photo.parent, *words, "-f", "coco", "-o", out).code == 0
    document = json.loads((out / "annotations.json").read_text())
    names = {category["name"] for category in document["categories"]}
    assert names
    assert names <= {"dog", "St. Bernard"}
    numbers = {category["id"] for category in document["categories"]}
    assert {entry["category_id"] for entry in document["annotations"]} == numbers


def test_what_is_like_an_example_is_found(owl, photo, tmp_path, run) -> None:
    reference = saved(tmp_path / "mug.png", 50, 60, 5)
    asked = ("--grounder", owl, "--threshold", "0.3", "--example", reference)
    out = tmp_path / "out"
    result = run("detect", photo, *asked, "--example-box", "5,5,40,40", "-o", out)
    assert result.code == 0, result.err
    boxes = anymask.Detections.load(out / "photo-boxes.json")
    assert set(boxes.labels) == {"mug"}
    named = run("detect", photo, *asked, "--text", "a cup", "--json", "-o", tmp_path / "named")
    (line,) = [json.loads(line) for line in named.out.splitlines()]
    assert {answer["label"] for answer in line["answers"]} == {"cup"}
    other = run("detect", photo, *asked, "--example-box", "20,5,60,50", "-o", out)
    assert other.code == 2  # another example is another question
    assert "of other settings" in other.err


def test_an_example_is_cut_out(owl, photo, tmp_path, run) -> None:
    reference = saved(tmp_path / "mug.png", 50, 60, 5)
    mask = np.zeros((50, 60), np.uint8)
    mask[5:40, 5:40] = 255
    PIL.Image.fromarray(mask).save(tmp_path / "mask.png")
    asked = ("--grounder", owl, "--threshold", "0.3", "--example", reference)
    a, b = tmp_path / "a", tmp_path / "b"
    assert run("segment", photo, *asked, "--example-mask", tmp_path / "mask.png", "-o", a).code == 0
    assert run("segment", photo, *asked, "--example-box", "5,5,40,40", "-o", b).code == 0
    by_mask, by_box = (anymask.read(folder / "photo.json") for folder in (a, b))
    assert set(by_mask.labels) == {"mug"}
    assert by_mask.areas.tolist() == by_box.areas.tolist()


def test_several_examples_each_with_its_name(owl, photo, tmp_path, run) -> None:
    one, two = (saved(tmp_path / f"{name}.png", 50, 60, i) for i, name in enumerate("ab"))
    asked = ("--grounder", owl, "--threshold", "0.0", "--example", one, "--example", two)
    result = run("detect", photo, *asked, "--json", "-o", tmp_path / "out")
    (line,) = [json.loads(line) for line in result.out.splitlines()]
    assert {answer["label"] for answer in line["answers"]} <= {"a", "b"}
    views = run("detect", photo, *asked, "--text", "mug", "--json", "-o", tmp_path / "views")
    (line,) = [json.loads(line) for line in views.out.splitlines()]
    assert {answer["label"] for answer in line["answers"]} == {"mug"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--example", "REF", "--example-box", "5,5"], "expected --example-box X0,Y0,X1,Y1"),
        (["--example", "REF", "--example-box", "70,5,90,9"], "inside its image of 60 x 50"),
        (
            ["--example", "REF", "--example-box", "1,", "2,", "3,", "4"],
            "did you mean --example-box",
        ),
        (["--example-box", "5,5,9,9"], "one --example-box for each --example, got 1 for 0"),
        (
            ["--example", "REF", "--example-box", "5,5,9,9", "--example-mask", "REF"],
            "--example-box or --example-mask, got both",
        ),
        (["--example", "REF", "--text", "x. y"], "one for each of 1, got 2"),
        (["--example", "nowhere.png"], "nowhere.png"),
        (["--example", "REF", "--example-box", "5,5,9,9", "--threshold", "2"], "threshold"),
        (["--example", "REF", "--grounder", "DINO"], "expected a grounder that looks for examples"),
        (["--example", "REF", "--grounder", "bundled"], "a grounder that looks for examples"),
        (["--example", "REF", "--offline", "--grounder", "owlv2"], "switched off (offline)"),
        (["--text", "dog", "--grounder", "org/nothing", "--offline"], "switched off (offline)"),
        (["--text", "...", "--grounder", "DINO"], "expected words that name things"),
        (["--text", "\U0001f415", "--grounder", "DINO"], "words that the grounder"),
        (["--text", "dog " * 300, "--grounder", "DINO"], "at most 253 tokens"),
        (["--text", "dog " * 300, "--grounder", "OWL"], "at most 14 tokens"),
    ],
)
@pytest.mark.parametrize("command", ["segment", "detect"])
def test_what_cannot_be_meant(
    command, words, says, owl, dino, photo, tmp_path, run, monkeypatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    reference = saved(tmp_path / "mug.png", 50, 60, 5)
    places = {"REF": reference, "DINO": dino, "OWL": owl}
    said = [str(places.get(word, word)) for word in words]
    if "--example" in words and "--grounder" not in words:
        said += ["--grounder", str(owl)]
    result = run(command, photo, *said, "-o", tmp_path / "out")
    assert result.code == 2
    assert says in result.err
    assert result.err.count("\n") == 1
    assert not list((tmp_path / "out").glob("photo*"))

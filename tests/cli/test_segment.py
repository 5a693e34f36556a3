from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import anymask


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_one_picture_gives_overlay_cutout_and_masks(fake, photo, tmp_path, run) -> None:
    result = run("segment", photo, "--point", "1,1", "-o", tmp_path / "out")
    assert result.code == 0
    files = ["anymask-run.json", "photo-cutout.png", "photo-overlay.png", "photo.json"]
    assert names(tmp_path / "out") == files
    assert result.out.startswith(f"{photo}: 1 mask, 16 pixels (8.0 % of the image)")
    assert all(str(tmp_path / "out" / name) in result.out for name in files[1:])

    masks = anymask.read(tmp_path / "out" / "photo.json")
    assert masks.areas.tolist() == [16]  # the best of three, not the first in size
    assert masks.source == "photo.png"
    document = json.loads((tmp_path / "out" / "photo.json").read_text())
    assert document["image"]["file_name"] == "photo.png"
    with PIL.Image.open(tmp_path / "out" / "photo-cutout.png") as cutout:
        assert cutout.mode == "RGBA"
        assert np.asarray(cutout)[..., 3].any()
    with PIL.Image.open(tmp_path / "out" / "photo-overlay.png") as overlay:
        assert overlay.size == (20, 10)


def test_all_keeps_three_answers_with_pictures_of_each(fake, photo, tmp_path, run) -> None:
    result = run("segment", photo, "--box", "0,0,9,9", "--all", "-o", tmp_path / "out", "--json")
    assert result.code == 0
    assert anymask.read(tmp_path / "out" / "photo.json").areas.tolist() == [16, 4, 36]
    pictures = [f"photo-{i}-{kind}.png" for i in (1, 2, 3) for kind in ("cutout", "overlay")]
    assert [name for name in names(tmp_path / "out") if name.endswith(".png")] == pictures
    scores = [answer["score"] for answer in json.loads(result.out)["answers"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3


def test_prompt_options_arrive_in_the_prompt(fake, photo, tmp_path, run) -> None:
    rough = np.zeros((10, 20), dtype=np.uint8)
    rough[2:5, 3:9] = 200
    PIL.Image.fromarray(rough).save(tmp_path / "rough.png")
    words = ["--point", "1,2", "--not", "3,4", "--point", "5.5, 6", "--box", "0,1,8,9"]
    result = run("segment", photo, *words, "--mask", tmp_path / "rough.png", "-o", tmp_path / "out")
    assert result.code == 0
    (prompt,) = fake.prompts
    assert prompt.points_xy.tolist() == [[1, 2], [5.5, 6], [3, 4]]
    assert prompt.labels.tolist() == [1, 1, 0]
    assert prompt.box is not None
    assert prompt.box.tolist() == [0, 1, 8, 9]
    assert np.array_equal(prompt.mask, rough > 0)


def test_without_a_prompt_the_main_subject_is_meant(fake, photo, tmp_path, run) -> None:
    result = run("segment", photo, "-o", tmp_path / "out")
    assert result.code == 0
    assert f"{photo}: main subject, 16 pixels" in result.out
    files = ["anymask-run.json", "photo-cutout.png", "photo-overlay.png", "photo.json"]
    assert names(tmp_path / "out") == files
    assert fake.prompts == []
    masks = anymask.read(tmp_path / "out" / "photo.json")
    assert masks.labels == ("subject",)
    # Another prompt is another run, not a continuation.
    other = run("segment", photo, "--point", "1,1", "-o", tmp_path / "out")
    assert other.code == 2 and "other settings" in other.err


def test_without_a_subject_there_is_an_empty_answer(fake, photo, tmp_path, run) -> None:
    fake.subject = lambda image: anymask.Masks.empty(image.size_hw)
    result = run("segment", photo, "-o", tmp_path / "out")
    assert result.code == 0
    assert "no main subject found; say what to cut out (--point" in result.err
    assert f"{photo}: 0 masks" in result.out
    assert names(tmp_path / "out") == ["anymask-run.json", "photo.json"]


def test_a_subject_has_one_answer(fake, photo, tmp_path, run) -> None:
    result = run("segment", photo, "--all", "-o", tmp_path / "out")
    assert result.code == 2
    assert "expected a prompt for --all, got none" in result.err


def test_a_model_without_boxes_finds_no_subject(fake, photo, tmp_path, run) -> None:
    fake.variant.capabilities = frozenset({"points"})
    result = run("segment", photo, "-o", tmp_path / "out")
    assert result.code == 2
    assert "expected a model that takes boxes" in result.err


def test_a_model_that_learned_what_to_find_is_asked_nothing(fake, photo, tmp_path, run) -> None:
    fake.variant.capabilities = frozenset({"nothing"})
    assert run("segment", photo, "-o", tmp_path / "out").code == 0
    assert [prompt.required_capabilities for prompt in fake.prompts] == [["nothing"]]
    masks = anymask.read(tmp_path / "out" / "photo.json")
    assert masks.areas.tolist() == [16] and masks.labels == (None,)


def test_background_points_alone_say_nothing(fake, photo, tmp_path, run) -> None:
    result = run("segment", photo, "--not", "3,4", "-o", tmp_path / "out")
    assert result.code == 2
    assert "beside --not, got none of them" in result.err
    assert fake.prompts == [] and fake.seen == []


def test_words_arrive_in_the_prompt(fake, photo, tmp_path, run) -> None:
    result = run("segment", photo, "--text", "a dog", "-o", tmp_path / "out")
    assert result.code == 0
    assert [prompt.text for prompt in fake.prompts] == ["a dog"]
    assert (
        "text: 'a dog', now 'a cat'"
        in run("segment", photo, "--text", "a cat", "-o", tmp_path / "out").err
    )


def test_nothing_found_is_a_result(fake, photo, tmp_path, run) -> None:
    fake.predict = lambda image, **prompt: anymask.Masks.empty(image.size_hw)
    result = run("segment", photo, "--text", "unicorn", "-o", tmp_path / "out")
    assert result.code == 0
    assert f"{photo}: 0 masks" in result.out
    assert names(tmp_path / "out") == ["anymask-run.json", "photo.json"]


def test_transparent_parts_of_a_rough_mask_are_outside(fake, photo, tmp_path, run) -> None:
    rough = np.full((10, 20, 4), 255, dtype=np.uint8)
    rough[:, 10:, 3] = 0
    PIL.Image.fromarray(rough).save(tmp_path / "rough.png")
    assert run("segment", photo, "--mask", tmp_path / "rough.png", "-o", tmp_path / "o").code == 0
    assert np.array_equal(fake.prompts[0].mask, rough[..., 3] > 0)


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["--no-overlay"], ["photo-cutout.png", "photo.json"]),
        (["--no-cutout", "--format", "png"], ["photo-labels.png", "photo-overlay.png"]),
        (["--no-cutout", "--no-overlay", "-f", "coco"], ["annotations.json"]),
    ],
)
def test_what_is_written(fake, photo, tmp_path, run, words: list[str], files: list[str]) -> None:
    assert run("segment", photo, "--point", "1,1", *words, "-o", tmp_path / "out").code == 0
    assert [name for name in names(tmp_path / "out") if name != "anymask-run.json"] == files


def test_a_json_line_tells_everything(fake, photo, tmp_path, run) -> None:
    result = run("segment", photo, "--point", "1,1", "-o", tmp_path / "out", "--json")
    line = json.loads(result.out)
    assert line["seconds"] >= 0
    assert line["image"] == str(photo)
    assert (line["status"], line["masks"], line["height"], line["width"]) == ("done", 1, 10, 20)
    assert line["answers"] == [{"score": 0.9, "area": 16, "box": [0, 0, 3, 3]}]
    assert all(Path(name).is_file() for name in line["files"])


def test_another_click_into_the_same_folder_needs_a_word(fake, photo, tmp_path, run) -> None:
    words = ["segment", photo, "-o", tmp_path / "out"]
    assert run(*words, "--point", "1,1").code == 0
    result = run(*words, "--point", "2,2")
    assert result.code == 2
    assert "points: [[1.0, 1.0]], now [[2.0, 2.0]]" in result.err
    assert "--overwrite" in result.err
    assert run(*words, "--point", "2,2", "--overwrite").code == 0
    again = run(*words, "--point", "2,2")
    assert again.code == 0
    assert "already there" in again.out
    assert len(fake.seen) == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--point", "365", "270"], "got '365 270'; did you mean --point 365,270?"),
        (["--point=365", "270"], "did you mean --point 365,270?"),
        (["--point", "365,", "270"], "did you mean --point 365,270?"),
        (["--point", "365", "270", "a.png"], "did you mean --point 365,270?"),
        (["--not", "3.5", "-2"], "did you mean --not 3.5,-2?"),
        (["--box", "1", "2", "3", "4"], "did you mean --box 1,2,3,4?"),
        (["--box", "1,2", "3,4"], "expected --box X0,Y0,X1,Y1 like 425,600,700,875, got '1,2'"),
        (["--point", "365x270"], "did you mean --point 365,270?"),
        (["--point", "(365, 270)"], "did you mean --point 365,270?"),
        (["--point", "365"], "got '365'; write it like that"),
        (["--point", "here"], "got 'here'; write it like that"),
    ],
)
def test_coordinates_without_a_comma(fake, photo, run, words: list[str], hint: str) -> None:
    result = run("segment", *words, photo)
    assert result.code == 2
    assert hint in result.err
    assert result.err.count("\n") == 1


def test_images_whose_names_are_numbers(fake, photo, tmp_path, run, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    photo.rename("7")
    assert run("segment", "--point", "1,1", "7").code == 0

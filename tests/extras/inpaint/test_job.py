"""Many images: one mask or one word for all of them, results that resume, and what differs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.cli.conftest import FakeModel
from tests.extras.inpaint.conftest import photo, square
from tests.extras.inpaint.test_paint import Painter

from anymask import InputError, Masks, Prompt, process, read
from anymask.extras.inpaint import InpaintConfig
from anymask.extras.inpaint.job import Inpaint
from anymask.formats import coco

NAMES = ["a", "b", "c"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, name in enumerate(NAMES):
        PIL.Image.fromarray(photo(seed=i)).save(folder / f"{name}.png")
    return folder


def pixels(path: Path) -> np.ndarray:
    return np.asarray(PIL.Image.open(path))


def test_one_mask_for_a_folder(photos: Path, tmp_path: Path) -> None:
    job = Inpaint(masks=square(), engine=Painter())
    report = process(photos, tmp_path / "out", job=job)
    assert [result.status for result in report.results] == ["done"] * 3
    for name in NAMES:
        before, after = (pixels(photos / f"{name}.png"), tmp_path / f"out/{name}-inpainted.png")
        np.testing.assert_array_equal(pixels(after)[~square()], before[~square()])
        assert (pixels(after)[square()] == 255).all()
        np.testing.assert_array_equal(read(tmp_path / f"out/{name}.json").dense()[0], square())
    again = process(photos, tmp_path / "out", job=Inpaint(masks=square(), engine=Painter()))
    assert [result.status for result in again.results] == ["skipped"] * 3


def test_one_word_for_a_folder(photos: Path, tmp_path: Path) -> None:
    """All that have the name go; where nothing has, the image stays as it is, and that is said."""

    class Finder(FakeModel):
        def predict(self, image, *, prompts, multimask):
            self.prompts.append(prompts)
            assert multimask, "all that have the name, not the best alone"
            h, w = image.size_hw
            if image.source.endswith("b.png"):
                return Masks.empty((h, w), model="fake")
            dense = np.zeros((2, h, w), bool)
            dense[0, 10:20, 10:20] = dense[1, 50:60, 50:60] = True
            return Masks.from_dense(dense, labels=["dog", "dog"], scores=[0.9, 0.4], model="fake")

    model, painter = Finder(), Painter()
    job = Inpaint(text="dog", engine=painter, config=InpaintConfig(grow=0))
    report = process(photos, tmp_path / "out", model=model, job=job)
    assert [prompt.text for prompt in model.prompts] == ["dog"] * 3
    assert [result.summary["masks"] for result in report.results] == [2, 0, 2]
    assert report.notes == [f"{photos / 'b.png'}: nothing found, so it stays as it is"]
    np.testing.assert_array_equal(
        pixels(tmp_path / "out/b-inpainted.png"), pixels(photos / "b.png")
    )
    after = pixels(tmp_path / "out/a-inpainted.png")
    assert (after[10:20, 10:20] == 255).all() and (after[50:60, 50:60] == 255).all()


def test_of_several_answers_to_a_click_the_best_is_taken(photos: Path, tmp_path: Path) -> None:
    job = Inpaint(prompt=Prompt([(1, 1)]), engine=Painter(), config=InpaintConfig(grow=0))
    process(photos / "a.png", tmp_path / "out", model=FakeModel(), job=job)
    after, before = pixels(tmp_path / "out/a-inpainted.png"), pixels(photos / "a.png")
    assert (after[:4, :4] == 255).all()
    np.testing.assert_array_equal(after[4:], before[4:])


def test_a_file_of_masks_of_each_image(photos: Path, tmp_path: Path) -> None:
    sets = []
    for i, name in enumerate(NAMES):
        dense = np.stack([square(box=(10 * i, 5, 10 * i + 8, 20)), square()])
        sets.append(Masks.from_dense(dense, labels=["person", "dog"], source=f"{name}.png"))
    coco.write(tmp_path / "masks.json", sets)
    job = Inpaint(masks=tmp_path / "masks.json", label="person", engine=Painter())
    process(photos, tmp_path / "out", job=job)
    for i, name in enumerate(NAMES):
        after = pixels(tmp_path / f"out/{name}-inpainted.png")
        before = pixels(photos / f"{name}.png")
        mask = square(box=(10 * i, 5, 10 * i + 8, 20))
        assert (after[mask] == 255).all()
        np.testing.assert_array_equal(after[~mask], before[~mask])
    other = tmp_path / "photos/other.png"
    PIL.Image.fromarray(photo()).save(other)
    report = process(other, tmp_path / "more", job=job)
    assert "masks of one image named 'other.png', got 0 such among 3" in report.failed[0].error
    with pytest.raises(InputError, match="masks named 'cat', got dog, person; choose"):
        process(photos, tmp_path / "c", job=Inpaint(masks=tmp_path / "masks.json", label="cat"))


def test_settings_that_differ_are_told_apart(photos: Path, tmp_path: Path) -> None:
    def job(**options):
        return Inpaint(**{"masks": square(), "engine": Painter(), **options})

    process(photos, tmp_path / "out", job=job())
    settings = json.loads((tmp_path / "out/anymask-run.json").read_text())["settings"]
    assert settings["command"] == "inpaint" and settings["engine"] == {"engine": "painter"}
    assert "model" not in settings
    for changed in (
        {"masks": square(box=(1, 1, 5, 5))},
        {"config": InpaintConfig(grow=3)},
        {"fill": "a bench"},
        {"engine": "telea"},
    ):
        with pytest.raises(InputError, match=r"holds results for 'a.png' of other settings"):
            process(photos, tmp_path / "out", job=job(**changed))


def test_a_mask_of_another_size_fails_for_that_image_alone(photos: Path, tmp_path: Path) -> None:
    PIL.Image.fromarray(photo((20, 20))).save(photos / "small.png")
    report = process(photos, tmp_path / "out", job=Inpaint(masks=square(), engine=Painter()))
    assert report.count("done") == 3
    assert "masks of the image's size, 20 x 20, got 110 x 80" in report.failed[0].error
    assert not list((tmp_path / "out").glob("small*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected a text, a prompt or masks, got none of them"),
        ({"masks": square(), "prompt": Prompt([(1, 1)])}, "got prompt and masks; say one"),
        ({"text": "dog", "prompt": Prompt([(1, 1)])}, "got text and prompt; say one"),
        ({"masks": square(), "label": "dog"}, "masks with names along with the label 'dog'"),
        ({"masks": square(), "remove": True, "fill": "x"}, "got remove and fill"),
    ],
)
def test_jobs_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Inpaint(**options)


def test_a_job_stands_alone(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a job alone, got points, too"):
        process(
            photos, tmp_path / "o", points=[(1, 1)], job=Inpaint(masks=square(), engine="telea")
        )

"""Diffusion: what a pipeline is handed, what it may not be asked, and what can be wrong with it."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from tests.extras.inpaint.conftest import photo, square

from anymask import CapabilityError, InputError, MissingExtraError, WeightsError
from anymask.extras import inpaint
from anymask.extras.inpaint import find_engine
from anymask.extras.inpaint.diffusion import Diffusion
from anymask.extras.inpaint.engine import Engine


class Pipeline:
    """Paints red, and remembers what it was handed."""

    dtype = "torch.float32"
    vae_scale_factor = 8
    unet = SimpleNamespace(config=SimpleNamespace(sample_size=32))
    flagged: list[bool] | None = None

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def __call__(
        self,
        prompt: str = "",
        image: PIL.Image.Image | None = None,
        mask_image: PIL.Image.Image | None = None,
        height: int = 0,
        width: int = 0,
        num_inference_steps: int = 50,
        strength: float = 0.6,
        generator: object = None,
        callback_on_step_end: object = None,
    ) -> SimpleNamespace:
        self.calls.append({**locals()})
        image = PIL.Image.new("RGB", (width, height), (255, 0, 0))
        return SimpleNamespace(images=[image], nsfw_content_detected=self.flagged)


@pytest.mark.parametrize(
    ("size", "frame"), [((300, 600), (128, 256)), ((100, 100), (256, 256)), ((90, 400), (64, 256))]
)
def test_a_part_is_scaled_to_what_the_pipeline_knows(size: tuple, frame: tuple) -> None:
    pipeline = Pipeline()
    mask = np.zeros(size, bool)
    mask[40:60, 30:-30] = True
    result = inpaint(photo(size), mask, fill="a bench", engine=Diffusion(pipeline, "x"), margin=400)
    (call,) = pipeline.calls
    assert (call["height"], call["width"]) == frame
    assert call["image"].size == call["mask_image"].size == frame[::-1]
    assert set(np.unique(call["mask_image"])) == {0, 255}
    assert call["prompt"] == "a bench" and call["strength"] == 1.0
    assert (result.pixels[mask] == (255, 0, 0)).all()


def test_what_is_removed_is_not_shown_to_the_pipeline() -> None:
    pipeline, image = Pipeline(), np.full((64, 64, 3), 90, np.uint8)
    mask = square((64, 64), (20, 20, 40, 40))
    image[mask] = (255, 255, 0)
    engine = Diffusion(pipeline, "x")
    inpaint(image, mask, engine=engine)
    assert np.abs(np.asarray(pipeline.calls[0]["image"]).astype(int) - 90).max() <= 1
    inpaint(image, mask, engine=engine, fill="a hat", strength=0.5)
    assert (np.asarray(pipeline.calls[1]["image"])[128, 128] == (255, 255, 0)).all()
    assert pipeline.calls[1]["strength"] == 0.5


@pytest.mark.parametrize("option", [{"negative": "people"}, {"guidance": 3.0}])
def test_a_setting_that_a_pipeline_does_not_know_is_not_dropped(option: dict) -> None:
    engine = Diffusion(Pipeline(), "x")
    (name,) = option
    with pytest.raises(CapabilityError, match=f"expected no {name} for Pipeline"):
        inpaint(photo(), square(), engine=engine, fill="a bench", **option)


def test_a_result_that_was_held_back(tmp_path: Path) -> None:
    pipeline = Pipeline()
    pipeline.flagged = [True]
    with pytest.raises(InputError, match="result of some/model, but its safety checker held it"):
        inpaint(photo(), square(), engine=Diffusion(pipeline, "some/model"), fill="a bench")


# ------------------------------------------------------------- with diffusers


def test_steps_are_counted_and_seeds_differ(diffusion: Engine) -> None:
    told: list[tuple[int, int]] = []
    results = [
        inpaint(
            photo(),
            square(),
            engine=diffusion,
            fill="a bench",
            negative="people",
            guidance=4,
            steps=3,
            seed=seed,
            progress=lambda done, total: told.append((done, total)),
        ).pixels
        for seed in (1, 2)
    ]
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)] * 2
    assert (results[0] != results[1]).any()
    assert diffusion.identity["engine"] == "diffusion"


def test_a_background_is_replaced_at_full_resolution(diffusion: Engine) -> None:
    image, subject = photo((90, 130)), square((90, 130), (40, 20, 90, 70))
    result = inpaint(image, subject, engine=diffusion, replace="a beach", steps=1)
    np.testing.assert_array_equal(result.pixels[subject], image[subject])
    assert (result.pixels[~subject] != image[~subject]).any(1).mean() > 0.9


def test_a_pipeline_for_text_to_image_paints_holes_too(
    pipeline_folder: Path, tmp_path: Path
) -> None:
    diffusers = pytest.importorskip("diffusers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = diffusers.StableDiffusionInpaintPipeline.from_pretrained(pipeline_folder).components
        parts["unet"] = type(parts["unet"]).from_config({**parts["unet"].config, "in_channels": 4})
        diffusers.StableDiffusionPipeline(
            **{k: v for k, v in parts.items() if k != "image_encoder"},
            requires_safety_checker=False,
        ).save_pretrained(tmp_path / "text")
        engine = find_engine(tmp_path / "text", device="cpu")
        result = inpaint(photo(), square(), fill="a bench", engine=engine, steps=1)
    np.testing.assert_array_equal(result.pixels[~square()], photo()[~square()])


def test_folders_that_are_not_what_they_should_be(pipeline_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"model_index.json .* got nothing; name another"):
        find_engine(tmp_path / "empty")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_bytes((pipeline_folder / "model_index.json").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(WeightsError, match=r"a diffusers pipeline .* check the name"):
            find_engine(broken)
        for content in ("{", json.dumps({"_class_name": "NoSuchPipeline"})):
            (broken / "model_index.json").write_text(content)
            with pytest.raises(WeightsError, match="expected a diffusers pipeline"):
                find_engine(broken)


def test_a_hub_id_that_is_not_here_and_may_not_be_downloaded() -> None:
    pytest.importorskip("diffusers")
    with pytest.raises(WeightsError, match=r"a diffusers pipeline .* 'no-such/pipeline'"):
        find_engine("no-such/pipeline", offline=True)


def test_without_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[diffusion\]'"):
        inpaint(photo(), square(), fill="a bench", engine="org/name")


def test_names_that_mean_nothing() -> None:
    with pytest.raises(InputError, match="an engine out of classical, patchmatch, telea"):
        find_engine("patch-match")
    with pytest.raises(InputError, match=r"got 'big-lama.pt'; check the spelling"):
        find_engine("big-lama.pt")

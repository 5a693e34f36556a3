"""The main subject: found, sharpened, or said not to be there."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
from tests.predict.test_prompts_of_every_model import model_of

import anymask
from anymask.errors import CapabilityError, InputError
from anymask.models.variants import VARIANTS, find
from anymask.predict import subject as module

BACKGROUND, RED, BLUE = (205, 215, 230), (200, 30, 40), (40, 60, 170)
FAMILIES = list({variant.family: variant for variant in VARIANTS}.values())


@pytest.fixture(scope="module")
def model() -> anymask.Segmenter:
    return anymask.load()


def disc(size_hw: tuple[int, int], centre_xy: tuple[int, int], radius: int) -> np.ndarray:
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    return (x - centre_xy[0]) ** 2 + (y - centre_xy[1]) ** 2 < radius**2


def painted(*things: tuple[np.ndarray, tuple[int, int, int]]) -> np.ndarray:
    pixels = np.full((*things[0][0].shape, 3), BACKGROUND, np.uint8)
    for mask, colour in things:
        pixels[mask] = colour
    return pixels


def iou(masks: anymask.Masks, truth: np.ndarray) -> float:
    found = masks.dense().any(axis=0)
    return float((found & truth).sum() / (found | truth).sum())


def test_a_thing_alone(model: anymask.Segmenter) -> None:
    truth = disc((300, 400), (170, 140), 70)
    masks = model.subject(painted((truth, RED)))
    assert masks.labels == ("subject",) and masks.model == "anymask-compact"
    assert masks.scores[0] > 0.8
    assert iou(masks, truth) > 0.95
    # It can be corrected as any other answer.
    photo = painted((truth, RED))
    again = model.predict(photo, mask_logits=masks.logits[0], points=[(170, 140)])
    assert iou(again.best(), truth) > 0.85


def test_two_things_apart_and_one_over_the_border(model: anymask.Segmenter) -> None:
    left, right = disc((300, 400), (20, 150), 70), disc((300, 400), (290, 150), 60)
    masks = model.subject(painted((left, RED), (right, BLUE)))
    assert len(masks) == 1
    assert iou(masks, left | right) > 0.9
    assert masks.boxes[0, 0] == 0


@pytest.mark.parametrize("kind", ["plain", "sky", "noise"])
def test_an_image_of_nothing(model: anymask.Segmenter, kind: str) -> None:
    y, _ = np.mgrid[:200, :300]
    sky = np.stack([120 + y / 5, 160 + y / 5, 230 - y / 10], axis=-1)
    images = {
        "plain": np.full((200, 300, 3), 128),
        "sky": sky,
        "noise": np.random.default_rng(0).integers(0, 256, (200, 300, 3)),
    }
    masks = model.subject(images[kind].astype(np.uint8))
    assert len(masks) == 0 and masks.size_hw == (200, 300)
    assert masks.matte(np.zeros((200, 300, 3), np.uint8)).max() == 0


@pytest.mark.parametrize("size_hw", [(1, 1), (8, 8), (40, 30_000)])
def test_any_size(model: anymask.Segmenter, size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    truth = np.zeros(size_hw, bool)
    truth[height // 4 : height - height // 4, width // 4 : width - width // 4] = min(size_hw) > 1
    masks = model.subject(painted((truth, RED)))
    assert masks.size_hw == size_hw
    if size_hw == (8, 8):
        assert iou(masks, truth) > 0.7


def test_an_upright_grey_image_of_16_bits(model: anymask.Segmenter) -> None:
    truth = disc((300, 200), (110, 120), 60)
    grey = np.where(truth, 9_000, 52_000).astype(np.uint16)
    assert iou(model.subject(grey), truth) > 0.95
    lying = PIL.Image.fromarray(np.rot90(painted((truth, RED))).copy())
    exif = lying.getexif()
    exif[274] = 6  # turned clockwise to be looked at
    file = io.BytesIO()
    lying.save(file, "JPEG", quality=95, exif=exif)
    assert iou(model.subject(file.getvalue()), truth) > 0.9


def test_transparency_shows_its_background_and_is_kept(model: anymask.Segmenter) -> None:
    truth = disc((200, 300), (150, 100), 60)
    pixels = np.dstack([painted((truth, RED)), np.where(truth, 128, 0).astype(np.uint8)])
    image = PIL.Image.fromarray(pixels)
    masks = model.subject(image)
    assert iou(masks, truth) > 0.9
    cut = np.asarray(masks.cutout(image, soft=True))
    assert cut[100, 150].tolist() == [*RED, 128] and cut[5, 5].tolist() == [0, 0, 0, 0]
    assert masks.matte(image)[100, 150] == 128


def _square(network: object, image: anymask.Image) -> np.ndarray:
    """Stand for the saliency network: the middle of whatever it is shown."""
    logits = np.full((320, 320), -9, np.float32)
    logits[80:240, 80:240] = 9
    return logits


@pytest.mark.parametrize("variant", FAMILIES, ids=lambda variant: variant.name)
def test_every_model_can(variant: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "saliency_logits", _square)
    model = model_of(variant)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    masks = model.subject(pixels)
    assert masks.size_hw == (50, 70) and masks.model == model.variant.name
    for one in masks:
        if one.logits is not None and "mask" in model.variant.capabilities:
            model.predict(pixels, mask_logits=one.logits[0], box=(5, 5, 60, 40))


def test_a_model_of_fewer_words_is_asked_with_fewer(
    model: anymask.Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = disc((300, 400), (170, 140), 70)
    few = frozenset({"points", "box"})
    simple = replace(model, variant=replace(model.variant, capabilities=few))
    masks = simple.subject(painted((truth, RED)))
    assert iou(masks, truth) > 0.9 and masks.logits is None


def test_a_model_that_takes_no_boxes_is_refused() -> None:
    model = model_of(find("sam-vit-b"))
    model = replace(model, variant=model.variant.unprompted())
    with pytest.raises(CapabilityError, match="expected a model that takes boxes"):
        model.subject(np.zeros((8, 8, 3), np.uint8))


def test_what_is_no_image(model: anymask.Segmenter) -> None:
    with pytest.raises(InputError):
        model.subject(b"no image")

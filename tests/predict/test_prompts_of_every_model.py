"""Every combination of prompts is answered or refused by every model; none is ignored."""

from __future__ import annotations

from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny

import anymask
from anymask.errors import CapabilityError
from anymask.models.build import build
from anymask.models.variants import VARIANTS, Variant, find
from anymask.predict.instances import InstanceSegmenter
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

IMAGE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
MASK = np.zeros((50, 70), np.bool_)
MASK[10:30, 20:50] = True
MASK[10:20, 20:30] = False
FAMILIES = list({variant.family: variant for variant in VARIANTS}.values())
INGREDIENTS = ("points", "negative_points", "box", "mask", "mask_logits", "text")
COMBINATIONS = [
    some
    for some in chain.from_iterable(combinations(INGREDIENTS, n) for n in range(1, 6))
    if not {"mask", "mask_logits"} <= set(some)
]


def model_of(variant: Variant) -> Segmenter:
    torch.manual_seed(0)
    variant = tiny(variant)
    network = build(variant).eval()
    if variant.kind == "instances":
        scorer = lambda pieces, phrases: [[0.5] for _ in pieces]  # noqa: E731
        return InstanceSegmenter(variant, network, "tiny", scorer=scorer)
    return Segmenter(variant, network, "tiny")


MODELS = {variant.name: model_of(variant) for variant in FAMILIES}
PHOTOS = {name: model.embed(IMAGE) for name, model in MODELS.items()}


def prompt_of(model: Segmenter, some: tuple[str, ...]) -> Prompt:
    points = {"points": (40, 20), "negative_points": (5, 45)}
    said: dict[str, Any] = {
        "points_xy": [points[name] for name in some if name in points] or None,
        "labels": [int(name == "points") for name in some if name in points] or None,
    }
    if "mask_logits" in some:
        low_hw = model.network.mask_hw(PHOTOS[model.variant.name].transform.frame_hw)
        logits = np.full(low_hw, -4, np.float32)
        logits[low_hw[0] // 4 : low_hw[0] // 2, low_hw[1] // 4 : low_hw[1] // 2] = 4
        said["mask_logits"] = logits
    values = {"box": (15, 5, 60, 40), "mask": MASK, "text": "a thing"}
    return Prompt(**said, **{name: values[name] for name in some if name in values})


def promised(variant: Variant, some: tuple[str, ...]) -> bool:
    needed = {"mask" if name == "mask_logits" else name for name in some}
    return needed <= variant.capabilities and not (
        needed == {"negative_points"} and "negative_points" in variant.never_alone
    )


@pytest.mark.parametrize("some", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_is_answered_or_refused(name: str, some: tuple[str, ...]) -> None:
    model, photo = MODELS[name], PHOTOS[name]
    prompt = prompt_of(model, some)
    if not promised(model.variant, some):
        with pytest.raises(CapabilityError, match=rf"{name} does not know"):
            model.predict(photo, prompts=prompt)
        with pytest.raises(CapabilityError, match=rf"{name} does not know"):
            model.predict(IMAGE, prompts=[prompt])
        return
    masks = model.predict(photo, prompts=prompt)
    assert all(one is prompt for one in masks.prompts)
    if model.variant.kind == "promptable":
        assert len(masks) in (1, 3)


DECODED = [
    (name, some)
    for name, model in MODELS.items()
    for some in COMBINATIONS
    if model.variant.kind == "promptable" and promised(model.variant, some)
]


@pytest.mark.parametrize(("name", "some"), DECODED, ids=str)
def test_every_part_of_a_prompt_counts(name: str, some: tuple[str, ...]) -> None:
    model, photo = MODELS[name], PHOTOS[name]
    whole, _ = model.decode(photo, [prompt_of(model, some)], multimask=False)
    for left_out in some:
        rest = tuple(part for part in some if part != left_out)
        if rest and promised(model.variant, rest):
            other, _ = model.decode(photo, [prompt_of(model, rest)], multimask=False)
            assert not torch.equal(whole, other), left_out


@pytest.mark.parametrize("of", ["mask", "mask_logits"])
def test_a_mask_alone_is_answered_with_about_that_mask(of: str) -> None:
    image = np.full((120, 180, 3), (220, 230, 240), np.uint8)
    y, x = np.mgrid[:120, :180]
    disc = np.hypot(x - 60, y - 55) < 35
    image[disc] = (200, 30, 30)
    model = anymask.load()
    photo = model.embed(image)
    said: Any = disc
    if of == "mask_logits":
        said = model.predict(photo, box=(25, 20, 96, 91)).logits[0]
    for more in ({}, {"points": [(150, 20)], "labels": [0]}):
        found = model.predict(photo, **{of: said}, **more).dense()[0]
        assert (found & disc).sum() / (found | disc).sum() > 0.85


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("kind", ["row", "column", "diagonal", "dot"])
def test_a_mask_thinner_than_the_model_draws_is_a_scribble(kind: str, width: int) -> None:
    image = np.full((400, 600, 3), (220, 230, 240), np.uint8)
    y, x = np.mgrid[:400, :600]
    disc = np.hypot(x - 130, y - 130) < 70
    image[disc] = (200, 30, 30)
    across = {"row": y - 120, "column": x - 120, "diagonal": x - y}.get(kind, y - 120)
    length = np.abs(x - 130) < (width if kind == "dot" else 45)
    scribble = disc & (across >= 0) & (across < width) & (length | (kind == "column"))
    found = anymask.load().predict(image, mask=scribble).dense()
    assert found.shape == (1, 400, 600)
    assert (found[0] & disc).sum() / (found[0] | disc).sum() > 0.85


def test_the_mask_of_nothing_is_answered_with_nothing() -> None:
    masks = anymask.load().predict(IMAGE, mask=np.zeros((50, 70), np.bool_))
    assert masks.areas.tolist() == [0]


def test_only_the_bundled_model_needs_more_than_a_mask() -> None:
    assert [v.name for v in VARIANTS if "mask" in v.never_alone] == [find("bundled").name]

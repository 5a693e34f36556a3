"""One region drawn anew by a tiny Stable Diffusion of random weights, under a tiny ControlNet."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch
from tests.extras.edit.conftest import regions
from tests.extras.inpaint.conftest import photo, square

from anymask import CapabilityError, InputError, Masks, WeightsError
from anymask.extras import inpaint, redraw
from anymask.extras.edit import id_map, load_controlled
from anymask.extras.edit.regions import choose_region
from anymask.extras.inpaint.diffusion import Diffusion


@pytest.fixture(scope="module")
def engine(folders: tuple[Path, Path]) -> Diffusion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_controlled(*folders, device="cpu")


def test_one_region_is_drawn_and_the_others_keep_every_bit(engine: Diffusion) -> None:
    image, masks = photo(), regions()
    told: list[tuple[int, int]] = []
    result = redraw(
        *(image, masks, "a cup"),
        region=0,
        engine=engine,
        steps=2,
        progress=lambda done, total: told.append((done, total)),
    )
    np.testing.assert_array_equal(result.pixels[~square()], image[~square()])
    assert (result.pixels[square()] != image[square()]).any(1).mean() > 0.9
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_what_is_drawn_depends_on_the_id_map(engine: Diffusion) -> None:
    steering: list[torch.Tensor] = []  # of the network that draws; its pixels are too few levels
    hook = engine.pipeline.controlnet.register_forward_hook(
        lambda module, given, answer: steering.append(answer[1].clone())
    )
    image, masks = photo(), regions()
    try:
        several = redraw(image, masks, "a cup", region=0, engine=engine, steps=1)
        again = redraw(image, masks, "a cup", region=0, engine=engine, steps=1)
        redraw(image, masks[:1], "a cup", region=0, engine=engine, steps=1)
    finally:
        hook.remove()
    np.testing.assert_array_equal(several.pixels, again.pixels)
    first, second, alone = steering
    assert torch.equal(first, second)
    assert (first - alone).abs().max() > 1e-5  # the numbers of three regions are 1 to 3 of 255


def test_the_controlnet_sees_numbers_that_were_not_averaged(
    engine: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[PIL.Image.Image] = []

    whole = type(engine.pipeline).__call__

    @functools.wraps(whole)
    def spy(self: object, *args: object, **options: object) -> object:
        seen.append(options["control_image"])
        return whole(self, *args, **options)

    monkeypatch.setattr(type(engine.pipeline), "__call__", spy)
    redraw(photo(), regions(), "a cup", region=0, engine=engine, steps=1)
    control = np.asarray(seen[0])
    expected = {tuple(c) for c in id_map(regions().sort("area")).reshape(-1, 3).tolist()}
    assert {tuple(c) for c in control.reshape(-1, 3).tolist()} <= expected
    assert control[..., 0].max() == 3 and not control[..., 1:].any()
    assert seen[0].size[0] % 64 == seen[0].size[1] % 64 == 0


def test_what_cannot_be_redrawn(engine: Diffusion) -> None:
    image, masks = photo(), regions()
    for region in (3, -1, True, 1.0):
        with pytest.raises(InputError, match="region by its number from 0 to 2, its"):
            redraw(image, masks, "a cup", region=region, engine=engine)
    with pytest.raises(InputError, match="expected fill as a text"):
        redraw(image, masks, " ", region=0, engine=engine)
    with pytest.raises(InputError, match="masks of the image's size"):
        redraw(photo((50, 50)), masks, "a cup", region=0, engine=engine)
    with pytest.raises(CapabilityError, match="expected a pipeline with a ControlNet"):
        redraw(image, masks, "a cup", region=0, engine=Diffusion(SimpleNamespace(), "plain"))
    with pytest.raises(CapabilityError, match="which has a ControlNet, got none for it"):
        inpaint(image, square(), fill="a cup", engine=engine)


def test_a_region_by_its_name_and_by_a_place() -> None:
    masks = dataclasses.replace(regions(), labels=("cup", "wall", "cup"))
    inside = np.zeros((80, 110), bool)
    inside[35:40, 45:50] = True  # of the first
    masks = Masks.concat([masks, Masks.from_dense(inside, labels=["spot"])])
    assert choose_region(masks, "cup").labels == ("cup", "cup")
    assert choose_region(masks, (46, 36)).labels == ("spot",)
    assert choose_region(masks, [41.2, 31.9]).areas.tolist() == [300]
    for region, message in (
        ("dog", "named 'dog', got cup, spot, wall"),
        ((100, 2), "at 100,2, got none among 4 masks"),
        ((110, 2), "in the image of 110 x 80 pixels, got 110,2"),
        ((float("nan"), 2), "in the image of"),
    ):
        with pytest.raises(InputError, match=message):
            choose_region(masks, region)


def test_pipeline_and_controlnet_by_name(folders: tuple[Path, Path], engine: Diffusion) -> None:
    image, masks = photo(), regions()
    options = {"region": (50, 40), "steps": 1, "device": "cpu"}
    found = redraw(image, masks, fill="a cup", engine=folders[0], controlnet=folders[1], **options)
    same = redraw(image, masks, fill="a cup", region=0, engine=engine, steps=1)
    np.testing.assert_array_equal(found.pixels, same.pixels)
    assert engine.identity["controlnet"] == str(folders[1])
    with pytest.raises(InputError, match="along with a ControlNet, got a loaded one"):
        redraw(image, masks, "a cup", engine=engine, controlnet=folders[1], **options)


def test_weights_that_are_none(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(WeightsError, match=r"with the ControlNet .*check the name"):
            load_controlled(folders[0], tmp_path, device="cpu", offline=True)
        with pytest.raises(CapabilityError, match="by load_controlled"):
            load_controlled(folders[0], device="cpu")

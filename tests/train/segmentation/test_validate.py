"""Validation asks as `anymask evaluate` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import cast

import pytest
import torch
from torch import nn

import anymask
from anymask.data.mask_filter import MaskFilter
from anymask.data.open import open_dataset
from anymask.data.subset import Subset
from anymask.errors import InputError
from anymask.evaluate.protocols.boxes import Boxes
from anymask.evaluate.protocols.points import Points
from anymask.train.segmentation.validate import PromptValidation

Make = Callable[[str], str]


@pytest.mark.parametrize("name", ["bundled", "efficient-sam-ti"])
def test_agrees_with_the_evaluation(photos: Path, tiny_model: Make, name: str) -> None:
    model, data = anymask.load(tiny_model(name)), open_dataset(photos)
    network, mask_filter = cast(nn.Module, model.network), MaskFilter(per_image=1)
    facts = PromptValidation(model.variant, data, mask_filter)(network)
    clicks = Points(counts=(1, 5), max_clicks=5, mask_filter=mask_filter)
    rows = [row for i in range(len(data)) for row in clicks.measure(model, data[i])]
    boxes = [
        r for i in range(len(data)) for r in Boxes(mask_filter=mask_filter).measure(model, data[i])
    ]
    expected = {
        "one_click": fmean(row["first"][0] for row in rows),
        "best_of_three": fmean(row["oracle"][0] for row in rows),
        "five_clicks": fmean(row["first"][-1] for row in rows),
        "box": fmean(row["tight"] for row in boxes),
    }
    assert facts == {**expected, "iou": fmean(expected.values())}


@pytest.mark.parametrize(("learns", "passes"), [(True, 2), (False, 1)])
def test_encodes_again_only_if_the_encoder_learns(
    photos: Path, tiny_model: Make, monkeypatch: pytest.MonkeyPatch, learns: bool, passes: int
) -> None:
    model, data = anymask.load(tiny_model("bundled")), Subset(open_dataset(photos), [0, 1])
    network = cast(nn.Module, model.network)
    seen: list[int] = []
    encode = model.network.encode
    monkeypatch.setattr(network, "encode", lambda *a: seen.append(1) or encode(*a))
    user = PromptValidation(model.variant, data, MaskFilter(), encoder_learns=learns)
    before = user(network)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if learns or name.startswith("decoder."):
                weight.add_(0.05)
    assert user(network) != before
    assert len(seen) == 2 * passes


def test_draws_a_box_for_each_of_a_few_images(photos: Path, tiny_model: Make) -> None:
    model, data = anymask.load(tiny_model("bundled")), open_dataset(photos)
    network = cast(nn.Module, model.network)
    picture = PromptValidation(model.variant, Subset(data, [0, 1]), MaskFilter()).draw(network)
    assert picture is not None
    assert picture.size == (512, 256)
    assert PromptValidation(model.variant, data, MaskFilter(min_area=9999)).draw(network) is None


def test_masks_are_needed(photos: Path, tiny_model: Make) -> None:
    model, data = anymask.load(tiny_model("bundled")), open_dataset(photos)
    user = PromptValidation(model.variant, data, MaskFilter(min_area=9999))
    with pytest.raises(InputError, match=r"masks to validate on in 6 images, got none .*--val"):
        user(cast(nn.Module, model.network))

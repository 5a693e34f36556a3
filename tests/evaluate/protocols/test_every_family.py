"""Clicks and boxes with a small network of every family, whatever it knows and lacks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models.tiny import tiny

from anymask.errors import CapabilityError
from anymask.evaluate.protocols.boxes import Boxes
from anymask.evaluate.protocols.points import Points
from anymask.models.build import build
from anymask.models.variants import VARIANTS
from anymask.predict.instances import InstanceSegmenter
from anymask.predict.segmenter import Segmenter

FAMILIES = {variant.family: variant for variant in VARIANTS}


def segmenter(family: str) -> Segmenter:
    torch.manual_seed(0)
    variant = tiny(FAMILIES[family])
    network = build(variant).eval()
    if variant.kind == "instances":
        return InstanceSegmenter(variant, network, "0" * 64)
    return Segmenter(variant, network, "0" * 64)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gets_through(squares: Any, family: str) -> None:
    model = segmenter(family)
    points, boxes = Points(counts=(1, 6, 9), max_clicks=9), Boxes()
    if "points" not in model.variant.capabilities:
        with pytest.raises(CapabilityError, match="does not know points"):
            points.measure(model, squares[0])
        assert 0 <= boxes.measure(model, squares[0])[0]["tight"] <= 1
        return
    (row,) = rows = points.measure(model, squares[0])
    cells = points.summarise({"squares": {"a": rows}}).tables[0].rows[0]
    assert 0 <= cells[2] <= 1
    assert (cells[4] is None) == (family == "efficient-sam")  # which takes six points
    assert len(row["first"]) <= 9
    assert 0 <= boxes.measure(model, squares[0])[0]["tight"] <= 1
    assert points.draw(model, squares[0], row).size == (64, 48)

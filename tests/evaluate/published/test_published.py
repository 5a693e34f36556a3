"""The published order of work computes what ours computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny

from anymask import load
from anymask.errors import CapabilityError, InputError
from anymask.evaluate.published.segmenter import published
from anymask.models.build import build
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
FORMS = ({"points": [(20, 20)]}, {"points": [(20, 20), (5, 9)]}, {"box": (10, 5, 50, 35)})


def model_of(name: str) -> Segmenter:
    variant = tiny(find(name))
    torch.manual_seed(0)
    network = build(variant).eval()
    for weights in network.parameters():
        if not weights.any():
            torch.nn.init.normal_(weights, std=0.02)
    return Segmenter(variant, network, "random")


@pytest.mark.parametrize("name", ["sam-vit-b", "mobile-sam", "efficient-sam-ti"])
def test_answers_are_the_same(name: str) -> None:
    ours = model_of(name)
    theirs = published(ours)
    assert type(ours.network.image_encoder) is type(build(ours.variant).image_encoder)
    for prompt in FORMS:
        wanted, found = (model.predict(IMAGE, **prompt) for model in (ours, theirs))
        assert len(wanted) == len(found) > 0
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-4)
        spread = wanted.logits.std()
        np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-3 * spread)


def test_everything_is_the_same_and_goes_another_way(monkeypatch) -> None:
    from anymask.evaluate.published import everything

    ours = model_of("mobile-sam")
    theirs, calls = published(ours), []
    enlarge = everything.enlarge
    monkeypatch.setattr(everything, "enlarge", lambda *args: calls.append(1) or enlarge(*args))
    settings = {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    wanted, found = (model.generate(IMAGE, **settings) for model in (ours, theirs))
    assert calls
    assert len(wanted) == len(found) > 0
    np.testing.assert_allclose(sorted(found.scores), sorted(wanted.scores), atol=1e-4)


def test_what_was_not_published_so_is_refused() -> None:
    with pytest.raises(CapabilityError, match="anymask-compact"):
        published(load("bundled", "cpu", runtime="torch"))
    theirs = published(model_of("mobile-sam")).network
    assert theirs.moved("cpu", torch.float32) is theirs
    with pytest.raises(InputError, match="bfloat16"):
        theirs.moved("cpu", torch.bfloat16)

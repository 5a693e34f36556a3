from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny
from torch import nn

from anymask.errors import CapabilityError
from anymask.models.build import build
from anymask.models.efficient_sam import EfficientSam, PlainVit, published_name
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter

TINY = tiny(find("efficient-sam-ti"))
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> Segmenter:
    torch.manual_seed(0)
    network = build(TINY).eval()
    nn.init.ones_(network.mask_decoder.iou_prediction_head.layers[2].bias)  # sure of everything
    return Segmenter(TINY, network, "tiny")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("image_encoder.blocks.1.mlp.lin1.weight", "image_encoder.blocks.1.mlp.fc1.weight"),
        (
            "mask_decoder.transformer.layers.0.mlp.lin1.bias",
            "mask_decoder.transformer.layers.0.mlp.layers.0.0.bias",
        ),
        (
            "mask_decoder.transformer.layers.1.mlp.lin2.bias",
            "mask_decoder.transformer.layers.1.mlp.fc.bias",
        ),
        (
            "mask_decoder.output_hypernetworks_mlps.3.layers.1.weight",
            "mask_decoder.output_hypernetworks_mlps.3.layers.1.0.weight",
        ),
        (
            "mask_decoder.iou_prediction_head.layers.2.weight",
            "mask_decoder.iou_prediction_head.fc.weight",
        ),
        (
            "mask_decoder.output_upscaling.3.bias",
            "mask_decoder.final_output_upscaling_layers.1.0.bias",
        ),
        ("prompt_encoder.invalid_points.weight", "prompt_encoder.invalid_points.weight"),
    ],
)
def test_keys_have_their_published_names(ours: str, theirs: str) -> None:
    assert published_name(ours) == theirs
    network = build(TINY)
    assert ours in dict(network.named_parameters())
    assert theirs in network.state_dict()
    assert ours == theirs or ours not in network.state_dict()


def test_weights_go_in_and_out_under_a_prefix_and_in_a_copy() -> None:
    one, other = nn.Sequential(build(TINY)), nn.Sequential(copy.deepcopy(build(TINY)))
    state = one.state_dict()
    assert "0.image_encoder.blocks.0.mlp.fc1.weight" in state
    other.load_state_dict(state)
    torch.testing.assert_close(dict(other.state_dict()), dict(state), rtol=0, atol=0)
    del state["0.mask_decoder.iou_prediction_head.fc.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(state)


def test_a_position_table_of_the_right_size_stays_as_it_is() -> None:
    encoder = PlainVit(TINY.network.encoder, out=8)
    nn.init.normal_(encoder.pos_embed)
    side = encoder.trained_grid
    kept = encoder.position((side, side)).flatten(1, 2)
    torch.testing.assert_close(kept, encoder.pos_embed[:, 1:])
    assert encoder.position((4, 5)).shape == (1, 4, 5, 32)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"points": [(5, 5)], "labels": [0]}, "background points"),
        ({"mask": np.ones((40, 60), bool)}, "masks as prompts"),
        ({"points": [(5, 5)], "mask_logits": np.zeros((16, 16), np.float32)}, "masks as prompts"),
    ],
)
def test_what_it_does_not_know_is_refused(model: Segmenter, asked: dict, words: str) -> None:
    with pytest.raises(CapabilityError, match=words):
        model.predict(PICTURE, **asked)


@pytest.mark.parametrize("asked", [{"points": [(5, 5)]}, {"box": (1, 1, 30, 30)}])
def test_three_answers_unless_one_is_asked_for(model: Segmenter, asked: dict) -> None:
    masks = model.predict(PICTURE, **asked)
    assert len(masks) == 3
    assert np.all(np.diff(masks.scores) <= 0)
    assert len(model.predict(PICTURE, **asked, multimask=False)) == 1


@pytest.mark.parametrize(
    ("count", "box", "used"), [(8, None, 6), (7, None, 6), (5, (1, 1, 30, 30), 4)]
)
def test_what_is_too_much_is_left_out_and_said(
    model: Segmenter, count: int, box: tuple[int, ...] | None, used: int
) -> None:
    points = np.random.default_rng(1).uniform(1, 39, (count, 2))
    photo = model.embed(PICTURE)
    with pytest.warns(UserWarning, match=f"reads 6 points.* the last {count - used} are left out"):
        all_points = model.predict(photo, points=points, box=box)
    first = model.predict(photo, points=points[:used], box=box)  # no warning, or the test fails
    np.testing.assert_allclose(all_points.logits, first.logits, atol=1e-5)


def test_it_finds_everything(model: Segmenter) -> None:
    found = model.generate(
        PICTURE, points_per_side=3, pred_iou_thresh=0.5, stability_score_thresh=0, box_nms_thresh=1
    )
    assert isinstance(model.network, EfficientSam)
    assert 9 <= len(found) <= 27
    assert found.size_hw == (40, 60)

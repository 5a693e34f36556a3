from __future__ import annotations

import math

import pytest
import torch
from tests.models.tiny import prompts
from torch import Tensor

from anymask.models.config import (
    DecoderConfig,
    EfficientSamConfig,
    PlainVitConfig,
    SamConfig,
    VitConfig,
)
from anymask.models.prompt_batch import PromptBatch
from anymask.models.prompt_encoder import PointEncoder, PromptEncoder, with_corners

WIDTH = 8


@pytest.fixture
def encoder() -> PromptEncoder:
    torch.manual_seed(0)
    vit = VitConfig(width=8, depth=1, heads=1, global_blocks=(), side=64)
    return PromptEncoder(SamConfig(vit, DecoderConfig(width=WIDTH)))


def batch(points: list[list[float]], labels: list[int], box: list[float] | None) -> PromptBatch:
    return PromptBatch(
        points_xy=torch.tensor(points).reshape(1, -1, 2),
        labels=torch.tensor([labels], dtype=torch.int64),
        boxes=None if box is None else torch.tensor([box]),
        mask_logits=None,
        frame_hw=(64, 64),
    )


@pytest.mark.parametrize(
    ("points", "labels", "box", "wanted_points", "wanted_labels"),
    [
        pytest.param([[1.0, 2.0]], [1], None, [[1, 2], [0, 0]], [1, -1], id="point: padded"),
        pytest.param(
            [[1.0, 2.0], [3.0, 4.0]], [0, 1], None, [[1, 2], [3, 4], [0, 0]], [0, 1, -1],
            id="points: padded once",
        ),
        pytest.param([], [], [5.0, 6.0, 7.0, 8.0], [[5, 6], [7, 8]], [2, 3], id="box: corners"),
        pytest.param(
            [[1.0, 2.0]], [0], [5.0, 6.0, 7.0, 8.0], [[1, 2], [5, 6], [7, 8]], [0, 2, 3],
            id="box and point: no padding",
        ),
        pytest.param([], [], None, [], [], id="nothing: nothing"),
        pytest.param([[1.0, 2.0]], [-1], None, [[1, 2], [0, 0]], [-1, -1], id="padded already"),
    ],
)  # fmt: skip
def test_tokens_follow_the_form_of_the_prompt(
    points: list[list[float]],
    labels: list[int],
    box: list[float] | None,
    wanted_points: list[list[int]],
    wanted_labels: list[int],
) -> None:
    got_points, got_labels = with_corners(batch(points, labels, box))
    assert got_points[0].tolist() == wanted_points
    assert got_labels[0].tolist() == wanted_labels


def position_code(encoder: PromptEncoder | PointEncoder, x: float, y: float) -> Tensor:
    position = torch.tensor([x, y])
    matrix = encoder.pe_layer.positional_encoding_gaussian_matrix
    angle = 2 * math.pi * (2 * position - 1) @ matrix
    return torch.cat([angle.sin(), angle.cos()])


@torch.no_grad()
def test_a_token_is_the_code_of_the_pixels_centre_plus_its_kind(encoder: PromptEncoder) -> None:
    tokens, _ = encoder(batch([[10.0, 20.0], [30.0, 40.0]], [1, 0], [1.0, 2.0, 63.0, 62.0]))
    kinds = [encoder.point_embeddings[i].weight[0] for i in (1, 0, 2, 3)]
    places = [(10, 20), (30, 40), (1, 2), (63, 62)]
    for token, kind, (x, y) in zip(tokens[0], kinds, places, strict=True):
        wanted = position_code(encoder, (x + 0.5) / 64, (y + 0.5) / 64) + kind
        torch.testing.assert_close(token, wanted)


@torch.no_grad()
def test_the_padding_token_has_no_position(encoder: PromptEncoder) -> None:
    tokens, _ = encoder(batch([[10.0, 20.0]], [1], None))
    torch.testing.assert_close(tokens[0, 1], encoder.not_a_point_embed.weight[0])


@torch.no_grad()
def test_the_image_code_is_that_of_the_cells_centres(encoder: PromptEncoder) -> None:
    code = encoder.image_code()
    assert code.shape == (1, WIDTH, 4, 4)
    torch.testing.assert_close(code[0, :, 1, 3], position_code(encoder, 3.5 / 4, 1.5 / 4))


@torch.no_grad()
def test_the_map_comes_from_the_mask_or_from_its_absence(encoder: PromptEncoder) -> None:
    _, without = encoder(prompts(3, 1))
    assert without.shape == (1, WIDTH, 1, 1)
    torch.testing.assert_close(without.flatten(), encoder.no_mask_embed.weight[0])
    _, masked = encoder(prompts(3, 1, mask_hw=(16, 16)))
    assert masked.shape == (3, WIDTH, 4, 4)


# ---- EfficientSAM's --------------------------------------------------------------------------


@pytest.fixture
def point_encoder() -> PointEncoder:
    torch.manual_seed(0)
    vit = PlainVitConfig(width=8, heads=1, depth=1, side=64)
    return PointEncoder(EfficientSamConfig(vit, DecoderConfig(width=WIDTH), max_points=4))


@torch.no_grad()
def test_efficient_sam_reads_the_box_first_and_fills_up(point_encoder: PointEncoder) -> None:
    tokens, added = point_encoder(batch([[10.0, 20.0]], [1], [1.0, 2.0, 63.0, 62.0]))
    kinds = [
        point_encoder.bbox_top_left_embeddings,
        point_encoder.bbox_bottom_right_embeddings,
        point_encoder.point_embeddings,
        point_encoder.invalid_points,
    ]
    places = [(1, 2), (63, 62), (10, 20), (-1, -1)]
    assert tokens.shape == (1, 4, WIDTH)
    for token, kind, (x, y) in zip(tokens[0], kinds, places, strict=True):
        wanted = position_code(point_encoder, (x + 0.5) / 64, (y + 0.5) / 64) + kind.weight[0]
        torch.testing.assert_close(token, wanted)
    assert not added.any()


@torch.no_grad()
def test_a_point_beside_the_object_is_but_a_place(point_encoder: PointEncoder) -> None:
    tokens, _ = point_encoder(batch([[10.0, 20.0]], [0], None))
    torch.testing.assert_close(tokens[0, 0], position_code(point_encoder, 10.5 / 64, 20.5 / 64))


@torch.no_grad()
def test_what_efficient_sam_has_no_room_for_is_cut(point_encoder: PointEncoder) -> None:
    points = [[float(i), 5.0] for i in range(6)]
    with pytest.warns(UserWarning, match="the last 2 are left out"):
        tokens, _ = point_encoder(batch(points, [1] * 6, None))
    kept, _ = point_encoder(batch(points[:4], [1] * 4, None))
    torch.testing.assert_close(tokens, kept)

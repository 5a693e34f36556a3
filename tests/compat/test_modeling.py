"""The three modules with the original's arguments."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anymask.compat import Sam, SamPredictor
from anymask.errors import InputError


def test_the_modules_say_their_sizes(sam: Sam) -> None:
    encoder = sam.prompt_encoder
    assert sam.image_encoder.img_size == 64
    assert encoder.embed_dim == 32
    assert encoder.image_embedding_size == (4, 4)
    assert encoder.input_image_size == (64, 64)
    assert encoder.mask_input_size == (16, 16)
    assert encoder.get_dense_pe().shape == (1, 32, 4, 4)
    assert encoder.num_point_embeddings == len(encoder.point_embeddings) == 4
    assert sam.mask_decoder.num_mask_tokens == 4
    assert sam.mask_decoder.num_multimask_outputs == 3
    assert sam.mask_decoder.transformer_dim == 32
    assert (sam.mask_threshold, sam.image_format) == (0.0, "RGB")


POINTS = torch.rand(3, 2, 2) * 64, torch.tensor([[1, 0], [1, -1], [0, 1]])
BOXES = torch.tensor([[1.0, 2, 30, 40], [5, 5, 60, 60], [0, 0, 64, 64]])
MASKS = torch.randn(3, 1, 16, 16)


@pytest.mark.parametrize(
    ("given", "sparse_shape"),
    [
        ({}, (1, 0, 32)),
        ({"points": POINTS}, (3, 3, 32)),
        ({"points": (POINTS[0], POINTS[1].float())}, (3, 3, 32)),
        ({"boxes": BOXES}, (3, 2, 32)),
        ({"boxes": BOXES[:, None]}, (3, 2, 32)),
        ({"points": POINTS, "boxes": BOXES}, (3, 4, 32)),
        ({"masks": MASKS}, (3, 0, 32)),
        ({"points": POINTS, "boxes": BOXES, "masks": MASKS}, (3, 4, 32)),
        ({"points": POINTS, "masks": MASKS[:1]}, (3, 3, 32)),
    ],
)
def test_every_prompt_becomes_embeddings(
    sam: Sam, given: dict[str, torch.Tensor], sparse_shape: tuple[int, ...]
) -> None:
    nothing = dict.fromkeys(("points", "boxes", "masks"))
    sparse, dense = sam.prompt_encoder(**(nothing | given))
    assert sparse.shape == sparse_shape
    assert dense.shape == (sparse_shape[0], 32, 4, 4)


def test_as_many_boxes_as_points(sam: Sam) -> None:
    with pytest.raises(InputError, match="as many boxes as rows of points, got 2 and 3"):
        sam.prompt_encoder(points=POINTS, boxes=BOXES[:2], masks=None)


@pytest.mark.parametrize("multimask", [False, True])
def test_gradients_reach_what_they_shall(sam: Sam, multimask: bool) -> None:
    embedding = torch.randn(1, 32, 4, 4, requires_grad=True)
    sparse, dense = sam.prompt_encoder(points=POINTS, boxes=BOXES, masks=MASKS)
    low_res, iou = sam.mask_decoder(
        image_embeddings=embedding,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
    )
    k = 3 if multimask else 1
    assert low_res.shape == (3, k, 16, 16) and iou.shape == (3, k)
    masks = sam.postprocess_masks(low_res, (48, 64), torch.Size([30, 40]))
    assert masks.shape == (3, k, 30, 40)
    (masks.sum() + iou.sum()).backward()
    assert embedding.grad is not None and embedding.grad.abs().sum() > 0
    kernel = sam.prompt_encoder.mask_downscaling[0].weight
    tokens = sam.mask_decoder.mask_tokens.weight
    for weight in (kernel, tokens):
        assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_one_map_for_all_prompts_answers_like_many(sam: Sam) -> None:
    embedding, code = torch.randn(1, 32, 4, 4), sam.prompt_encoder.get_dense_pe()
    sparse, dense = sam.prompt_encoder(points=POINTS, boxes=None, masks=None)
    once = sam.mask_decoder(embedding, code, sparse, dense, True)
    repeated = sam.mask_decoder(embedding.expand(3, -1, -1, -1), code, sparse, dense.clone(), True)
    torch.testing.assert_close(once, repeated, rtol=1e-4, atol=1e-5)


def test_preprocessing_normalises_then_pads(sam: Sam) -> None:
    pixels = torch.full((3, 40, 64), 200.0)
    frame = sam.preprocess(pixels)
    assert frame.shape == (3, 64, 64)
    torch.testing.assert_close(
        frame[:, 39, 63], (200 - sam.pixel_mean[:, 0, 0]) / sam.pixel_std[:, 0, 0]
    )
    assert not frame[:, 40:].any()
    assert sam.preprocess(pixels[None].expand(2, -1, -1, -1)).shape == (2, 3, 64, 64)


def test_answers_follow_the_weights(sam: Sam, image: np.ndarray[Any, Any]) -> None:
    """Whatever is worked out ahead from weights must not outlive them."""

    def answer(model: Sam) -> Tensor:
        predictor = SamPredictor(model)
        predictor.set_image(image)
        box = torch.tensor([[5.0, 4.0, 40.0, 50.0]])
        return predictor.predict_torch(None, None, box, return_logits=True)[0]

    other = copy.deepcopy(sam)
    before = answer(other)
    torch.testing.assert_close(before, answer(sam))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    after = answer(other)
    assert not torch.allclose(before, after, atol=1e-3)
    sam.load_state_dict(other.state_dict())
    torch.testing.assert_close(answer(sam), after)


def test_moving_moves_everything(sam: Sam) -> None:
    assert sam.device == torch.device("cpu")
    sam.to(device="meta")
    assert sam.device == sam.prompt_encoder.get_dense_pe().device == torch.device("meta")
    assert {tensor.device.type for tensor in sam.state_dict().values()} == {"meta"}


def test_every_path_of_the_original_is_there(sam: Sam) -> None:
    from anymask.compat import modeling
    from anymask.compat.automatic_mask_generator import SamAutomaticMaskGenerator
    from anymask.compat.build_sam import sam_model_registry
    from anymask.compat.modeling.common import LayerNorm2d, MLPBlock
    from anymask.compat.modeling.image_encoder import Attention, Block, ImageEncoderViT, PatchEmbed
    from anymask.compat.modeling.mask_decoder import MLP, MaskDecoder
    from anymask.compat.modeling.prompt_encoder import PositionEmbeddingRandom, PromptEncoder
    from anymask.compat.modeling.sam import Sam as Whole
    from anymask.compat.modeling.tiny_vit_sam import TinyViT
    from anymask.compat.modeling.transformer import TwoWayAttentionBlock, TwoWayTransformer
    from anymask.compat.predictor import SamPredictor

    assert type(sam) is Whole is modeling.Sam
    assert type(sam.image_encoder) is ImageEncoderViT is modeling.ImageEncoderViT
    assert type(sam.mask_decoder) is MaskDecoder is modeling.MaskDecoder
    assert type(sam.prompt_encoder) is PromptEncoder is modeling.PromptEncoder
    assert type(sam.mask_decoder.transformer) is TwoWayTransformer is modeling.TwoWayTransformer
    assert type(sam.mask_decoder.iou_prediction_head) is MLP
    assert type(sam.prompt_encoder.pe_layer) is PositionEmbeddingRandom
    kinds = {type(module) for module in sam.modules()}
    assert {Block, Attention, PatchEmbed, MLPBlock, LayerNorm2d, TwoWayAttentionBlock} <= kinds
    assert modeling.TinyViT is TinyViT
    assert all((SamAutomaticMaskGenerator, SamPredictor, sam_model_registry))

"""SAM as transformers.js reads it: its names and files, and what it has no names for.

Its ``SamModel`` hands on embeddings, points, labels and boxes, of these what the decoder's graph
asks for by name, and fails if the caller did not give that. So all prompts have to go through the
points, which are always there:

- a box is two points with the labels 2 and 3, as in SAM's original graph;
- what only fills up has the label -10, and no token sees it: prompts of any kinds share a call, and
  a prompt of nothing else is none at all;
- the padding point that SAM was trained with is added to each prompt that wants one;
- a mask changes the embedding, to which the original adds it, in a graph of its own;
- the single answer is two more outputs, which ``model.forward`` returns beside the three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.errors import CapabilityError, InputError
from anymask.export.graphs import OFFSET, choose
from anymask.export.parts import DecoderOptions, Part
from anymask.geometry import stability_score
from anymask.models.config import SamConfig, VitConfig
from anymask.models.mask_decoder import SLOTS
from anymask.models.prompt_encoder import BOTTOM_RIGHT, PADDING, TOP_LEFT, PromptEncoder
from anymask.models.sam import Promptable, Sam
from anymask.models.transformers_js import CODE, FILL, SINGLE
from anymask.models.weights.transformers_layout import make_config, make_preprocessor_config

if TYPE_CHECKING:
    from anymask.models.exported import Precision
    from anymask.models.variants import Variant

__all__ = [
    "SUFFIXES",
    "check_network",
    "check_options",
    "file_name",
    "make_configs",
    "parts_of",
]

SUFFIXES: Mapping[Precision, tuple[str, str]] = {
    "float32": ("", "fp32"),
    "fp16": ("_fp16", "fp16"),
    "int8-dynamic": ("_quantized", "q8"),
    "int8": ("_quantized", "q8"),
}
"""What that library's file names end in, by the precision, and its word for it (``dtype``)."""

_FILES = {
    "encoder": "vision_encoder",
    "decoder": "prompt_encoder_mask_decoder",
    "mask_encoder": "mask_encoder",
}


class VisionEncoder(nn.Module):
    """Frames to embeddings, and to the position code of their cells."""

    def __init__(self, network: Promptable) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode normalised frames (b, 3, side, side): twice (b, c, grid, grid)."""
        image = self.network.encode(pixels, (0, 0))["image"]
        code = self.network.prompt_encoder.image_code()
        return image, code.expand(image.shape[0], -1, -1, -1)


class MaskEncoder(nn.Module):
    """Put a mask into an embedding, as which the decoder then takes it."""

    def __init__(self, encoder: PromptEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:
        """Add logits (n, 1, 4 grid, 4 grid) to embeddings (1 or n, c, grid, grid): (n, c, ...).

        The decoder will add what stands for no mask, so that is taken away here.
        """
        return image + (self.encoder._map(masks) - self.encoder.no_mask())


class PromptEncoderMaskDecoder(nn.Module):
    """Embeddings of b images and p prompts on each to masks."""

    def __init__(self, network: Promptable, options: DecoderOptions) -> None:
        super().__init__()
        self.network, self.options = network, options

    def forward(
        self, image: Tensor, code: Tensor, points: Tensor, labels: Tensor
    ) -> tuple[Tensor, ...]:
        """Answer prompts.

        Args:
            image: (b, c, grid, grid), or of one image for all.
            code: Position code of the cells, the same for all images.
            points: (b, p, n, 2), x before y, pixels of the frame.
            labels: int64 (b, p, n): 1 foreground, 0 background, 2 and 3 corners of a box, -1
                padding as SAM was trained with, -10 nothing.

        Returns:
            Scores (b, p, 3), logits (b, p, 3, 4 grid, 4 grid); the same of the single answer.
            With `DecoderOptions.single_mask` (b, p, 1) and (b, p, 1, ...) of the one to choose.
        """
        b, p = labels.shape[:2]
        encoder = self.network.prompt_encoder
        assert isinstance(encoder, PromptEncoder)
        places, kinds = _padded(points.flatten(0, 1), labels.flatten(0, 1))
        ignored = kinds < PADDING
        tokens = encoder._tokens(places, kinds.clamp(min=PADDING))
        each = image[:, None].expand(b, p, -1, -1, -1).flatten(0, 1)
        low_res, scores = self.network.mask_decoder(
            each, code[:1], tokens, encoder.no_mask(), ignored=ignored
        )
        if self.options.stability_score:
            scores = stability_score(low_res, 0.0, OFFSET)
        if self.options.single_mask:
            low_res, scores = choose(low_res, scores, (~ignored).sum(dim=1, keepdim=True))
        k, side = 1 if self.options.single_mask else SLOTS, 4 * encoder.grid
        scores, low_res = scores.view(b, p, k), low_res.view(b, p, k, side, side)
        if self.options.single_mask:
            return scores, low_res
        return scores[:, :, 1:], low_res[:, :, 1:], scores[:, :, :1], low_res[:, :, :1]


def _padded(points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Add a padding point to prompts (m, n) that have something but no box; to others nothing."""
    box = ((labels == TOP_LEFT) | (labels == BOTTOM_RIGHT)).sum(dim=1, keepdim=True)
    some = (labels >= PADDING).sum(dim=1, keepdim=True)
    wanted = (box == 0) & (some > 0)
    pad = torch.where(wanted, torch.full_like(some, PADDING), torch.full_like(some, FILL))
    return F.pad(points, (0, 0, 0, 1)), torch.cat([labels, pad], dim=1)


def check_options(precision: Precision, raw_image: bool, extra_metrics: bool) -> None:
    """Check that the library can use what is asked for.

    Raises:
        InputError: It cannot.
    """
    if precision not in SUFFIXES:
        raise InputError(
            f"expected a precision that transformers.js has a name for, got {precision}; quantize "
            "to fp16, int8 or int8-dynamic"
        )
    if raw_image or extra_metrics:
        what = "raw_image" if raw_image else "extra_metrics"
        raise InputError(
            f"expected options that transformers.js can use, got {what}: its processor prepares "
            "the frames, and its model reads scores and masks; leave it out, or export to onnx"
        )


def check_network(network: nn.Module, variant: Variant) -> None:
    """Check that a model is a SAM in what the library does before and after the graphs, too.

    Raises:
        CapabilityError: It is not.
    """
    wanted = variant.preprocessing
    plain = wanted.pad == "square" and wanted.encoder_side is None
    other = wanted.squash or wanted.centre or wanted.stretch
    if isinstance(network, Sam) and plain and not other:
        return
    raise CapabilityError(
        f"expected SAM B, L or H or MobileSAM for transformers.js, whose SamModel reads no other "
        f"features, frames or prompts, got {variant.name}; export it to onnx, or another model"
    )


def parts_of(network: Promptable, variant: Variant, options: DecoderOptions) -> Iterator[Part]:
    """List the three graphs."""
    side = variant.preprocessing.side
    prompts, width = network.prompt_encoder, network.mask_decoder.iou_token.weight.shape[1]
    assert isinstance(prompts, PromptEncoder)
    rng = torch.Generator().manual_seed(0)
    maps = torch.randn(2, width, prompts.grid, prompts.grid, generator=rng)
    names = ("image_embeddings", CODE)
    yield Part(
        "encoder",
        VisionEncoder(network),
        {"pixel_values": torch.randn(2, 3, side, side, generator=rng)},
        names,
        {name: {0: "batch"} for name in ("pixel_values", *names)},
    )
    inputs = {
        "image_embeddings": maps,
        CODE: maps,
        "input_points": torch.rand(2, 3, 5, 2, generator=rng) * side,
        "input_labels": torch.tensor([[0, 1, -10, 2, 3], [1, 1, -1, 0, -10], [-10] * 5]).repeat(
            2, 1, 1
        ),
    }
    answers: tuple[str, ...] = ("iou_scores", "pred_masks")
    if not options.single_mask:
        answers += tuple(f"{SINGLE}{name}" for name in answers)
    sizes = {name: {0: "batch"} for name in names}
    sizes |= {name: {0: "batch", 1: "prompts", 2: "points"} for name in list(inputs)[2:]}
    sizes |= {name: {0: "batch", 1: "prompts"} for name in answers}
    yield Part("decoder", PromptEncoderMaskDecoder(network, options), inputs, answers, sizes)
    masks = torch.randn(2, 1, 4 * prompts.grid, 4 * prompts.grid, generator=rng)
    yield Part(
        "mask_encoder",
        MaskEncoder(prompts),
        {"image_embeddings": maps[:1], "input_masks": masks},
        ("image_embeddings_with_masks",),
        {
            "image_embeddings": {0: "images"},
            "input_masks": {0: "batch"},
            "image_embeddings_with_masks": {0: "batch"},
        },
    )


def file_name(role: str, precision: Precision) -> str:
    """Name the file of a graph in the folder."""
    return f"onnx/{_FILES[role]}{SUFFIXES[precision][0]}.onnx"


def make_configs(
    variant: Variant, precision: Precision, beside: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Describe model and preprocessing as the library reads them, by file name.

    Args:
        variant: The model.
        precision: That of the graphs; the library looks for no other unless it is told.
        beside: Roles of the graphs whose weights lie in a file of their own.
    """
    network = variant.network
    assert isinstance(network, SamConfig)
    config = make_config(network) if isinstance(network.encoder, VitConfig) else _other(network)
    own: dict[str, Any] = {"dtype": SUFFIXES[precision][1]}
    if beside:
        own["use_external_data_format"] = {_FILES[role]: 1 for role in beside}
    return {
        "config.json": {**config, "transformers.js_config": own},
        "preprocessor_config.json": make_preprocessor_config(variant.preprocessing),
    }


def _other(network: SamConfig) -> dict[str, Any]:
    """Describe a SAM whose encoder `transformers` does not have."""
    like = make_config(SamConfig(VitConfig(8, 1, 1, (), network.encoder.side), network.decoder))
    vision = {"image_size": network.encoder.side, "num_channels": 3}
    vision["output_channels"] = network.decoder.width
    return {**like, "vision_config": {"model_type": "tiny_vit", **vision}}

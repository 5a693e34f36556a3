"""SAM 2 with samexporter's names, inputs and outputs, for programs that run its graphs.

Those go by the order of inputs and outputs, so it is kept: the encoder gives the image's embedding
last, and the decoder takes no size and gives two things, the three masks of an unclear prompt in
low resolution and their scores. The padding point that SAM 2 was trained with is added by the
decoder, beside points and box alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from anymask.errors import CapabilityError, InputError
from anymask.export.graphs import Sam2Decoder
from anymask.export.parts import DecoderOptions, Part
from anymask.export.parts import parts_of as plain_parts_of
from anymask.models.prompt_encoder import PADDING
from anymask.models.sam2 import Detailed
from anymask.models.samexporter import ENCODER_INPUT, FEATURES, LIMIT, LOGITS

if TYPE_CHECKING:
    from anymask.models.variants import Variant

__all__ = ["check_network", "check_options", "file_name", "parts_of"]


class Encoder(nn.Module):
    """Frames to features, in samexporter's order."""

    def __init__(self, network: Detailed) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Encode normalised frames (b, 3, side, side)."""
        features = self.network.encode(pixels, (0, 0))
        return tuple(features[name] for name in FEATURES)


class Decoder(nn.Module):
    """Features and n prompts to masks of low resolution."""

    def __init__(self, decoder: Sam2Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self,
        image: Tensor,
        high_res_0: Tensor,
        high_res_1: Tensor,
        points: Tensor,
        labels: Tensor,
        mask: Tensor,
        has_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Answer prompts in the slots of an unclear one, or in the one that is to be chosen."""
        features = (image, high_res_1, high_res_0)  # as `Sam2Decoder.features` has them
        points, labels = F.pad(points, (0, 0, 0, 1)), F.pad(labels, (0, 1), value=PADDING)
        low_res, scores = self.decoder.in_low_resolution(*features, points, labels, mask, has_mask)
        if not self.decoder.single_mask:
            low_res, scores = low_res[:, 1:], scores[:, 1:]
        return low_res.clamp(-LIMIT, LIMIT), scores


def check_options(raw_image: bool, extra_metrics: bool) -> None:
    """Check that programs made for samexporter's graphs can use what is asked for.

    Raises:
        InputError: They cannot.
    """
    if raw_image or extra_metrics:
        what = "raw_image" if raw_image else "extra_metrics"
        raise InputError(
            f"expected options that samexporter's graphs have, got {what}: their users prepare the "
            "frames, and read masks and scores; leave it out, or export to onnx"
        )


def check_network(network: nn.Module, variant: Variant) -> None:
    """Check that a model is a SAM 2.

    Raises:
        CapabilityError: It is not.
    """
    if not isinstance(network, Detailed):
        raise CapabilityError(
            f"expected SAM 2 or 2.1 for samexporter's names, got {variant.name}; export it to "
            "onnx, whose decoder has the names of SAM's original, or another model"
        )


def parts_of(network: Detailed, variant: Variant, options: DecoderOptions) -> Iterator[Part]:
    """List the two graphs."""
    encoder, decoder = plain_parts_of(network, variant, options)
    assert isinstance(decoder.module, Sam2Decoder)
    sizes = {ENCODER_INPUT: encoder.sizes["pixels"]}
    sizes |= {name: encoder.sizes[name] for name in FEATURES.values()}
    yield Part(
        "encoder",
        Encoder(network),
        {ENCODER_INPUT: encoder.inputs["pixels"]},
        tuple(FEATURES.values()),
        sizes,
    )
    order = [FEATURES[name] for name in ("image", "high_res_0", "high_res_1")]
    order += ["point_coords", "point_labels", "mask_input", "has_mask_input"]
    inputs = {name: decoder.inputs[name] for name in order}
    sizes = {name: decoder.sizes[name] for name in order}
    sizes |= {"has_mask_input": {0: "flags"}}  # one for all, or one for each
    sizes |= {name: {0: "prompts"} for name in (LOGITS, "iou_predictions")}
    yield replace(
        decoder,
        module=Decoder(decoder.module),
        inputs=inputs,
        outputs=(LOGITS, "iou_predictions"),
        sizes=sizes,
    )


def file_name(role: str, variant: Variant) -> str:
    """Name the file of a graph, as samexporter's scripts do: ``sam2.1_hiera_tiny.encoder.onnx``."""
    return f"{Path(variant.weights.file).stem}.{role}.onnx"

"""The graphs of a model: what there is to record of each family, with examples and open sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from anymask.errors import CapabilityError
from anymask.export.graphs import Decoder, Encoder, decoder_of
from anymask.models.compact import CompactNet
from anymask.models.detector import Detector
from anymask.models.fastsam import FastSam
from anymask.models.saliency import Saliency
from anymask.models.sam import Promptable
from anymask.models.sam2 import Detailed
from anymask.models.sam_hq import HqPromptable
from anymask.models.variants import Variant

__all__ = ["DecoderOptions", "Part", "parts_of", "side_parts", "tensor_names"]


@dataclass(frozen=True)
class DecoderOptions:
    """What the decoder's graph gives, as the original's options have it."""

    single_mask: bool = False
    """One mask for each prompt, not all four."""
    stability_score: bool = False
    """Score by stability instead of the predicted IoU."""
    extra_metrics: bool = False
    """Give stability and area of each mask, too."""


@dataclass(frozen=True)
class Part:
    """One graph to be."""

    role: str
    """``encoder``, ``decoder``, ``detector``, ``saliency`` or ``mask_encoder``."""
    module: nn.Module
    """What is recorded."""
    inputs: dict[str, Tensor]
    """Examples by name."""
    outputs: tuple[str, ...]
    """Names of what comes out."""
    sizes: dict[str, dict[int, str]]
    """Sizes that stay open."""


def tensor_names(network: nn.Module) -> dict[str, str]:
    """Name the encoder's outputs, by the features of an embedding.

    Raises:
        CapabilityError: It is no network that can be exported.
    """
    if isinstance(network, Detailed):
        fine = {f"high_res_{i}": f"high_res_feats_{i}" for i in (0, 1)}
        return {"image": "image_embed", **fine}  # as samexporter calls them
    if isinstance(network, HqPromptable):
        return {"image": "image_embeddings", "fine": "fine_embeddings"}
    if isinstance(network, Promptable):
        return {"image": "image_embeddings"}
    if isinstance(network, CompactNet):
        names = ("key4", "key8", "key16", "image4", "image8", "image16", "image32")
        return {name: name for name in (*names, "colour", "boundary")}
    if isinstance(network, FastSam):
        return {name: name for name in ("prototypes", "stride8", "stride16", "stride32")}
    raise CapabilityError(
        f"expected a network of anymask, got {type(network).__name__}, which cannot be recorded; "
        "export a model from `anymask models`"
    )


def parts_of(network: nn.Module, variant: Variant, options: DecoderOptions) -> Iterator[Part]:
    """List the graphs of a model: encoder and decoder, or of FastSAM all in one.

    Raises:
        CapabilityError: It is no network that can be exported.
    """
    names = tensor_names(network)
    pixels = _frame(network, variant)
    encoder = Encoder(network, tuple(names))
    with torch.no_grad():
        made = encoder(pixels)
    features = dict(zip(names, made, strict=True))
    open_sizes = _open(network)
    sizes = {"pixels": {0: "batch", **open_sizes("frame")}}
    sizes |= {own: {0: "batch", **open_sizes(own)} for own in names.values()}
    yield Part("encoder", encoder, {"pixels": pixels}, tuple(names.values()), sizes)
    if not isinstance(network, FastSam):
        yield _decoder(network, variant, features, names, options)


def _decoder(
    network: nn.Module,
    variant: Variant,
    features: dict[str, Tensor],
    names: dict[str, str],
    options: DecoderOptions,
) -> Part:
    decoder = decoder_of(
        network,
        variant.preprocessing,
        single_mask=options.single_mask,
        use_stability=options.stability_score,
        extra_metrics=options.extra_metrics,
    )
    own = {names[name]: features[name][:1].contiguous() for name in decoder.features}
    stride = 4 if isinstance(network, Promptable) else 2
    low_hw = _mask_hw(network, variant)
    inputs = {**own, **_prompts(low_hw, low_hw[0] * stride)}
    extra = ("stability_scores", "areas") if options.extra_metrics else ()
    outputs = ("masks", "iou_predictions", *extra, "low_res_masks")
    return Part("decoder", decoder, inputs, outputs, _decoder_sizes(network, decoder, own, outputs))


def _decoder_sizes(
    network: nn.Module, decoder: Decoder, own: dict[str, Tensor], outputs: tuple[str, ...]
) -> dict[str, dict[int, str]]:
    open_sizes = _open(network)
    sizes = {name: dict(open_sizes(name)) for name in own}
    sizes |= {name: {0: "prompts", 1: "points"} for name in ("point_coords", "point_labels")}
    sizes |= {"mask_input": {0: "masks", **open_sizes("low_res")}, "has_mask_input": {0: "masks"}}
    sizes |= {name: {0: "prompts"} for name in outputs}
    sizes["masks"] |= {2: "image_height", 3: "image_width"}
    sizes["low_res_masks"] |= open_sizes("low_res")
    return sizes


def _prompts(low_hw: tuple[int, int], side: int) -> dict[str, Tensor]:
    """Make prompts of all kinds, of which none is alike: as many of each as nothing else is."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.tensor([[1.0, 0.0, -1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 2.0, 3.0]])
    return {
        "point_coords": torch.rand(2, 5, 2, generator=rng) * side,
        "point_labels": labels,
        "mask_input": torch.randn(2, 1, *low_hw, generator=rng),
        "has_mask_input": torch.tensor([1.0, 0.0]),
        "orig_im_size": torch.tensor([1.5 * side, 1.2 * side]).round(),
    }


def _open(network: nn.Module) -> Any:
    """Make what names the open sizes of a map: none where the frame is always the same."""

    def name(of: str) -> dict[int, str]:
        if isinstance(network, Promptable):
            return {}
        return {2: f"{of}_height", 3: f"{of}_width"}

    return name


def _frame(network: nn.Module, variant: Variant) -> Tensor:
    """Make an example of a frame, no larger than need be."""
    side = variant.preprocessing.for_encoder.side
    height, width = (side, side) if isinstance(network, Promptable) else (96, 160)
    rng = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, height, width, generator=rng)


def _mask_hw(network: nn.Module, variant: Variant) -> tuple[int, int]:
    frame = _frame(network, variant).shape
    found: tuple[int, int] = network.mask_hw((frame[2], frame[3]))  # type: ignore[operator]
    return found


def side_parts(detector: Detector, saliency: Saliency) -> Iterator[Part]:
    """List the graphs of what comes with the bundled model: words to boxes, and the subject."""
    pixels = torch.zeros(2, 3, 300, 300)
    batch = {name: {0: "batch"} for name in ("pixels", "codes", "logits")}
    yield Part("detector", detector, {"pixels": pixels}, ("codes", "logits"), batch)
    pixels = torch.zeros(2, 3, 320, 320)
    batch = {name: {0: "batch"} for name in ("pixels", "logits")}
    yield Part("saliency", saliency, {"pixels": pixels}, ("logits",), batch)

"""The original's builders, one for each size, and the registry of them."""

from __future__ import annotations

import os
from collections.abc import Callable

from anymask.compat.modeling import MaskDecoder, PromptEncoder, Sam
from anymask.models.build import build, build_empty
from anymask.models.sam import Sam as Network
from anymask.models.variants import Variant, find
from anymask.models.weights import fill, read_state
from anymask.models.weights.loading import in_original_layout, without_prefix

__all__ = [
    "assemble",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "build_sam_vit_t",
    "sam_model_registry",
]

Checkpoint = str | os.PathLike[str] | None


def build_sam_vit_h(checkpoint: Checkpoint = None) -> Sam:
    """Build SAM with a ViT-H encoder; see `assemble`."""
    return assemble(find("sam-vit-h"), checkpoint)


def build_sam_vit_l(checkpoint: Checkpoint = None) -> Sam:
    """Build SAM with a ViT-L encoder; see `assemble`."""
    return assemble(find("sam-vit-l"), checkpoint)


def build_sam_vit_b(checkpoint: Checkpoint = None) -> Sam:
    """Build SAM with a ViT-B encoder; see `assemble`."""
    return assemble(find("sam-vit-b"), checkpoint)


def build_sam_vit_t(checkpoint: Checkpoint = None) -> Sam:
    """Build MobileSAM; see `assemble`."""
    return assemble(find("mobile-sam"), checkpoint)


build_sam = build_sam_vit_h

sam_model_registry: dict[str, Callable[..., Sam]] = {
    "default": build_sam,
    "vit_h": build_sam_vit_h,
    "vit_l": build_sam_vit_l,
    "vit_b": build_sam_vit_b,
    "vit_t": build_sam_vit_t,
}


def assemble(variant: Variant, checkpoint: Checkpoint = None) -> Sam:
    """Build a variant of SAM on the CPU, in inference mode.

    Args:
        variant: A row of the table of variants with SAM's prompt encoder and mask decoder.
        checkpoint: Path of a weight file of exactly this variant; None: random weights.

    Raises:
        WeightsError: The file is missing, damaged, or another network's.
    """
    network = (build if checkpoint is None else build_empty)(variant)
    assert isinstance(network, Network)
    how = variant.preprocessing
    sam = Sam(
        network.image_encoder,
        PromptEncoder(network.config),
        MaskDecoder(network.config.decoder),
        how.mean,
        how.std,
    )
    sam.image_encoder.img_size = how.side
    if checkpoint is not None:
        state = without_prefix(in_original_layout(read_state(checkpoint)), sam.state_dict())
        fill(sam, state, checkpoint, name=variant.name)
    return sam.eval()

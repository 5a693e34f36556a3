"""Every variant small enough to run in milliseconds, and prompts for it."""

from __future__ import annotations

from dataclasses import replace

import torch

from anymask.models.config import DecoderConfig, SamConfig
from anymask.models.variants import Variant
from anymask.prompt import PromptBatch

SIDE = 64


def tiny(variant: Variant) -> Variant:
    """The same kind of network, a few dozen channels wide, for frames of 64 x 64."""
    preprocessing = replace(variant.preprocessing, side=SIDE)
    if isinstance(variant.network, SamConfig):
        # Windows of 3 on a grid of 4, so that they have to be filled up.
        encoder = replace(
            variant.network.encoder,
            width=32, depth=2, heads=2, global_blocks=(1,), side=SIDE, window=3,
        )  # fmt: skip
        network = SamConfig(encoder, DecoderConfig(width=32, heads=4, mlp=64))
        return replace(variant, network=network, preprocessing=preprocessing)
    small = replace(
        variant.network,
        encoder_widths=(8, 12, 16, 32), encoder_depths=(1, 1, 1, 2), heads=2,
        pyramid_widths=(8, 12, 16, 16), key_widths=(4, 8, 8), decoder_widths=(8, 8, 16, 16),
        quality_width=8,
    )  # fmt: skip
    return replace(variant, network=small, preprocessing=preprocessing)


def prompts(
    n: int, points: int, *, box: bool = False, mask_hw: tuple[int, int] | None = None, seed: int = 0
) -> PromptBatch:
    """Random prompts in a frame of 64 x 64."""
    rng = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 2, 2, generator=rng) * SIDE
    return PromptBatch(
        points_xy=torch.rand(n, points, 2, generator=rng) * SIDE,
        labels=torch.randint(2, (n, points), generator=rng),
        boxes=corners.sort(dim=1).values.flatten(1) if box else None,
        mask_logits=torch.randn(n, 1, *mask_hw, generator=rng) * 4 if mask_hw else None,
        frame_hw=(SIDE, SIDE),
    )

"""Every variant small enough to run in milliseconds, and prompts for it."""

from __future__ import annotations

from dataclasses import replace

import torch

from anymask.models.config import (
    CompactConfig,
    DecoderConfig,
    EfficientSamConfig,
    EfficientVitConfig,
    FastSamConfig,
    HieraConfig,
    PlainVitConfig,
    Sam2Config,
    SamConfig,
    SamHqConfig,
    TinyVitConfig,
    VitConfig,
)
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant

SIDE = 64


def tiny(variant: Variant) -> Variant:
    """The same kind of network, a few dozen channels wide, for frames of 64 x 64."""
    shares = variant.preprocessing.encoder_side
    encoder_side = None if shares is None else SIDE * shares // variant.preprocessing.side
    return replace(
        variant,
        network=small(variant.network),
        preprocessing=replace(variant.preprocessing, side=SIDE, encoder_side=encoder_side),
    )


def small(network: SamConfig | Sam2Config | EfficientSamConfig | FastSamConfig | CompactConfig):
    """The same numbers, but smaller."""
    decoder = {"width": 32, "heads": 4, "mlp": 64}
    match network:
        case SamConfig(encoder=VitConfig()):
            # Windows of 3 on a grid of 4, so that they have to be filled up.
            encoder = VitConfig(width=32, depth=2, heads=2, global_blocks=(1,), side=SIDE, window=3)
            return SamConfig(encoder, DecoderConfig(**decoder))
        case SamConfig(encoder=TinyVitConfig()):
            # Windows of 3 and 2 on grids of 8, 4 and 4.
            encoder = TinyVitConfig(
                (16, 24, 32, 32), (1, 1, 2, 1), (2, 2, 4), (3, 3, 2), classes=5, side=SIDE
            )
            return SamConfig(encoder, DecoderConfig(**decoder))
        case SamConfig(encoder=EfficientVitConfig()):
            wide = len(network.encoder.widths) - 5  # stages, and the side that they need
            encoder = replace(
                network.encoder,
                depths=(1,) * (5 + wide),
                widths=(8, 8, 16, 32, 32, 32)[: 5 + wide],
                neck_depth=1,
                side=SIDE,
                input_side=SIDE // 2 << wide,
            )
            return SamConfig(encoder, replace(network.decoder, **decoder))
        case SamHqConfig():
            plain = small(SamConfig(network.encoder))
            early = 1 if isinstance(network.encoder, TinyVitConfig) else 0
            return replace(network, encoder=plain.encoder, early=early, decoder=plain.decoder)
        case Sam2Config():
            # Windows of 6 on a grid of 4, so that they have to be filled up, pooled ones too.
            encoder = HieraConfig(
                (1, 2, 2, 1), (4,), width=8, windows=(8, 4, 6, 3), trained_grid=3, side=SIDE
            )
            memory = network.memory and replace(network.memory, width=16, depth=2, mlp=48)
            return Sam2Config(encoder, DecoderConfig(**decoder), memory=memory)
        case EfficientSamConfig():
            encoder = PlainVitConfig(width=32, depth=2, heads=2, side=SIDE, trained_grid=3)
            return EfficientSamConfig(encoder, replace(network.decoder, **decoder))
        case CompactConfig():
            return CompactConfig(
                encoder_widths=(8, 12, 16, 32), encoder_depths=(1, 1, 1, 2), heads=2,
                pyramid_widths=(8, 12, 16, 16), key_widths=(4, 8, 8),
                decoder_widths=(8, 8, 16, 16), quality_width=8, trunk=network.trunk,
            )  # fmt: skip
        case FastSamConfig():
            return replace(network, widths=(4, 8, 8, 16, 16), depths=(1, 1, 1, 1), neck_depth=1)


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

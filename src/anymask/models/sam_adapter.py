"""SAM-Adapter (Chen et al., 2023, "SAM fails to segment anything?"): one kind of thing, unprompted.

Every block of a vision transformer is told beforehand what the image holds of detail: its high
frequencies, cut into patches, plus the patches' own tokens, both brought down to a few channels. A
small layer of each block's own makes of them what it needs, and one layer that all blocks share
brings it up to the width of the tokens, to which it is added. This learns together with the mask
decoder; the transformer itself stays as it is. No prompt is asked for: the network's first answer
to nothing at all is the mask of whatever it was trained to find.

The layer that is shared begins at zero (the authors' at small random numbers), so that the network
answers as before until it has learned something.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anymask.errors import CapabilityError, InputError
from anymask.models.kernels import Linear
from anymask.models.parts import learn_only
from anymask.models.vit import PatchEmbed, Transformer

__all__ = [
    "PLACE",
    "SamAdapter",
    "SamAdapterConfig",
    "add_sam_adapter",
    "find_encoder",
    "fitting",
    "high_frequencies",
]

PLACE = "image_encoder.adapter"
"""Where a SAM-Adapter is in its network."""


@dataclass(frozen=True)
class SamAdapterConfig:
    """The numbers of a SAM-Adapter; the usual ones are its authors'."""

    reduction: int = 32
    """How many times narrower than the tokens it is inside."""
    low_share: float = 0.25
    """Share of the spectrum, around its middle, that does not count as high frequencies."""
    whole: tuple[str, ...] = ("mask_decoder",)
    """Parts of the network that learn besides."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.reduction < 1 or not 0 <= self.low_share < 1:
            raise InputError(
                f"expected a reduction of at least 1 and a low share from 0 to below 1, got "
                f"{self.reduction} and {self.low_share}; 32 and 0.25 are usual"
            )


class SamAdapter(nn.Module):
    """What each block of an image encoder is told."""

    def __init__(self, config: SamAdapterConfig, width: int, patch: int, depth: int) -> None:
        super().__init__()
        inside = max(1, width // config.reduction)
        self.low_share = config.low_share
        self.of_detail = PatchEmbed(inside, patch)
        self.of_tokens = Linear(width, inside)
        self.of_block = nn.ModuleList(Linear(inside, inside) for _ in range(depth))
        self.act = nn.GELU()
        self.up = Linear(inside, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, pixels: Tensor, tokens: Tensor) -> Iterator[Tensor]:
        """Yield for one block after another what is added to the tokens that go into it.

        Args:
            pixels: What the encoder sees, (b, 3, h, w).
            tokens: Its patches, before their positions are added, (b, h', w', width).
        """
        detail = self.of_detail(high_frequencies(pixels, self.low_share).to(pixels.dtype))
        facts = detail + self.of_tokens(tokens)
        for layer in self.of_block:
            yield self.up(self.act(layer(facts)))


def add_sam_adapter(network: nn.Module, config: SamAdapterConfig) -> None:
    """Give a network a SAM-Adapter, and let nothing learn but it and the parts that learn besides.

    Args:
        network: Changed in place.
        config: Its numbers.

    Raises:
        CapabilityError: The network's image encoder is no plain vision transformer.
        InputError: It has one already, or no such part.
    """
    encoder = find_encoder(network)
    encoder.adapter = fitting(encoder, config)
    learn_only(network, [PLACE, *config.whole])


def find_encoder(network: nn.Module) -> Transformer:
    """Find the image encoder of a network that can have a SAM-Adapter and has none.

    Raises:
        CapabilityError: It is no plain vision transformer.
        InputError: It has one.
    """
    encoder = getattr(network, "image_encoder", None)
    if not isinstance(encoder, Transformer):
        raise CapabilityError(
            f"expected a SAM or EfficientSAM for a SAM-Adapter, got a {type(network).__name__} "
            f"whose image encoder is no plain vision transformer; use LoRA instead"
        )
    if encoder.adapter is not None:
        raise InputError("expected a network without a SAM-Adapter, got one that has it; load anew")
    return encoder


def fitting(encoder: Transformer, config: SamAdapterConfig) -> SamAdapter:
    """Make a SAM-Adapter of an encoder's size, on its device and of its dtype."""
    weight = encoder.patch_embed.proj.weight
    adapter = SamAdapter(config, weight.shape[0], weight.shape[2], len(encoder.blocks))
    return adapter.to(weight)


def high_frequencies(pixels: Tensor, low_share: float) -> Tensor:
    """Take out of images what changes slowly: edges and textures remain.

    Args:
        pixels: (b, c, h, w).
        low_share: Share of the spectrum's area, a square around the constant, that is taken out.

    Returns:
        How much is left at each pixel, float32 (b, c, h, w), not below 0.
    """
    h, w = pixels.shape[-2:]
    reach = int((h * w * low_share) ** 0.5 / 2)
    slow_y, slow_x = (_slow(side, reach, pixels.device) for side in (h, w))
    spectrum = torch.fft.fft2(pixels.float())
    rest: Tensor = torch.fft.ifft2(spectrum.masked_fill(slow_y[:, None] & slow_x, 0))
    return rest.real.abs()


def _slow(side: int, reach: int, device: torch.device) -> Tensor:
    """Find waves of a spectrum along a side that go round less than ``reach`` times, (side,)."""
    wave = torch.arange(side, device=device)
    wave = torch.where(wave < (side + 1) // 2, wave, wave - side)  # the second half goes backwards
    return (-reach <= wave) & (wave < reach)

"""Architecture numbers of the networks, one frozen dataclass per family; imports without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "CompactConfig",
    "DecoderConfig",
    "EfficientSamConfig",
    "EfficientVitConfig",
    "FastSamConfig",
    "HieraConfig",
    "MemoryConfig",
    "PlainVitConfig",
    "Sam2Config",
    "SamConfig",
    "SamHqConfig",
    "TinyVitConfig",
    "VitConfig",
]


@dataclass(frozen=True)
class VitConfig:
    """The numbers of SAM's image encoder; the sizes B, L and H differ in the first four."""

    width: int
    """Channels of the tokens."""
    depth: int
    """Blocks."""
    heads: int
    """Attention heads of each block."""
    global_blocks: tuple[int, ...]
    """Indices of the blocks that attend over the whole image; the others attend inside windows."""
    side: int = 1024
    """Height and width of the square frame that the encoder takes, in pixels."""
    patch: int = 16
    """Height and width of the square of pixels that becomes one token."""
    window: int = 14
    """Height and width of an attention window, in tokens."""
    mlp: int | None = None
    """Hidden channels of the blocks' MLPs; None: four times the width."""

    @property
    def grid(self) -> int:
        """Tokens along one side of the image, which is also the side of the embedding."""
        return self.side // self.patch


@dataclass(frozen=True)
class TinyVitConfig:
    """The numbers of MobileSAM's image encoder; a tuple goes through its four stages."""

    widths: tuple[int, int, int, int] = (64, 128, 160, 320)
    """Channels."""
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    """Blocks: convolutions in the first stage, attention in the others."""
    heads: tuple[int, int, int] = (4, 5, 10)
    """Attention heads of the last three stages ..."""
    windows: tuple[int, int, int] = (7, 14, 7)
    """... and the height and width of their windows, in cells."""
    classes: int = 1000
    """Outputs of a classifier that lies in the weight file and is never asked."""
    side: int = 1024
    """Height and width of the square frame that the encoder takes, in pixels."""

    @property
    def grid(self) -> int:
        """Cells along one side of the embedding."""
        return self.side // 16


@dataclass(frozen=True)
class PlainVitConfig:
    """The numbers of EfficientSAM's image encoder; the sizes Ti and S differ in the first two."""

    width: int
    """Channels of the tokens."""
    heads: int
    """Attention heads of each block."""
    depth: int = 12
    """Blocks; all of them attend over the whole image."""
    side: int = 1024
    """Height and width of the square frame that the encoder takes, in pixels."""
    patch: int = 16
    """Height and width of the square of pixels that becomes one token."""
    trained_grid: int = 14
    """Rows and columns of the position table, which is stretched to the grid."""

    @property
    def grid(self) -> int:
        """Tokens along one side of the image, which is also the side of the embedding."""
        return self.side // self.patch


@dataclass(frozen=True)
class EfficientVitConfig:
    """The numbers of EfficientViT-SAM's image encoder; a tuple goes through its stages.

    The map's sides halve with every stage: convolutions first, attention in the last ones.
    """

    depths: tuple[int, ...]
    """Blocks of each stage, besides the one that halves the map."""
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Channels."""
    fused: int = 2
    """Stages after the first whose blocks have their 3 x 3 convolution in all channels at once."""
    attentive: int = 1
    """Stages at the end with attention."""
    window: int = 5
    """Height and width of the convolution that gives attention its second, coarser scale."""
    neck_depth: int = 4
    """Blocks of the neck ..."""
    neck_expansion: int = 1
    """... and their hidden channels per channel."""
    input_side: int = 512
    """Height and width of the square frame that the encoder takes, in pixels."""
    side: int = 1024
    """Height and width of the square frame that prompts live in, in pixels."""

    @property
    def grid(self) -> int:
        """Cells along one side of the embedding, which is the third last stage's map."""
        return self.input_side >> (len(self.widths) - 2)


@dataclass(frozen=True)
class HieraConfig:
    """The numbers of SAM 2's image encoder; a tuple of four goes through strides 4, 8, 16, 32.

    Each stage has twice the channels and heads of the one before.
    """

    depths: tuple[int, int, int, int]
    """Blocks of each stage."""
    global_blocks: tuple[int, ...]
    """Indices of the blocks that attend over the whole image; the others attend inside windows."""
    width: int = 96
    """Channels of the first stage ..."""
    heads: int = 1
    """... and its attention heads."""
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    """Height and width of an attention window, in tokens of each stage."""
    trained_grid: int = 7
    """Rows and columns of the position table that is stretched to the grid."""
    side: int = 1024
    """Height and width of the square frame that the encoder takes, in pixels."""

    @property
    def grid(self) -> int:
        """Cells along one side of the embedding."""
        return self.side // 16


@dataclass(frozen=True)
class DecoderConfig:
    """The numbers of the mask decoder that reads prompts as tokens."""

    width: int = 256
    """Channels of the embedding, of the prompt tokens and of the decoder."""
    depth: int = 2
    """Two-way blocks."""
    heads: int = 8
    """Attention heads."""
    mlp: int = 2048
    """Hidden channels of the blocks' MLPs."""
    activation: Literal["relu", "gelu"] = "relu"
    """Between the linear layers."""
    norm: Literal["pixel", "map"] = "pixel"
    """What is brought to mean 0 and deviation 1 in the up-sampling: each pixel, or the whole."""
    norm_eps: float = 1e-5
    """What keeps the transformer's normalisation from dividing by zero."""
    add_code: bool = False
    """Add the tokens' position code to the tokens themselves, not only to queries and keys."""


@dataclass(frozen=True)
class SamConfig:
    """The numbers that make a SAM: an encoder, and the decoder that all of them share."""

    encoder: VitConfig | TinyVitConfig | EfficientVitConfig
    """The image encoder."""
    decoder: DecoderConfig = DecoderConfig()
    """The mask decoder."""
    mask_channels: int = 16
    """Channels of the last hidden map through which a mask prompt is encoded."""


@dataclass(frozen=True)
class SamHqConfig:
    """The numbers that make a SAM-HQ: a SAM, and what reads an early map of its encoder."""

    encoder: VitConfig | TinyVitConfig
    """The image encoder."""
    early: int
    """Index of its block, or of TinyViT's stage, whose map the decoder reads as well."""
    decoder: DecoderConfig = DecoderConfig()
    """The mask decoder."""
    mask_channels: int = 16
    """Channels of the last hidden map through which a mask prompt is encoded."""
    alone: bool = False
    """Answer with the high-quality mask alone, where it is usually added to SAM's."""

    @property
    def early_width(self) -> int:
        """Channels of the early map."""
        if isinstance(self.encoder, TinyVitConfig):  # whose stages end with the next one's channels
            return self.encoder.widths[self.early + 1]
        return self.encoder.width


@dataclass(frozen=True)
class MemoryConfig:
    """The numbers of SAM 2's memory of a clip; the last four are what 2.1 has and 2.0 has not."""

    width: int = 64
    """Channels of what is remembered of each cell."""
    frames: int = 7
    """Frames that are read: one row for all with prompts, the others for the latest ones."""
    pointers: int = 16
    """Frames whose object pointers are read, at most; those with prompts come besides."""
    depth: int = 4
    """Layers in which a frame reads the memory."""
    mlp: int = 2048
    """Hidden channels of these layers."""
    fuser_depth: int = 2
    """Convolution blocks in which a frame and its mask become one."""
    occlusion_vector: bool = True
    """Add a vector to what is remembered of a frame in which the thing is hidden."""
    pointer_times: bool = True
    """Tell pointers by how long ago they were made ..."""
    pointer_projection: bool = True
    """... through a learned layer ..."""
    signed_times: bool = True
    """... and by whether that was before or will be after."""


@dataclass(frozen=True)
class Sam2Config:
    """The numbers that make a SAM 2."""

    encoder: HieraConfig
    """The image encoder."""
    decoder: DecoderConfig = DecoderConfig()
    """The mask decoder."""
    mask_channels: int = 16
    """Channels of the last hidden map through which a mask prompt is encoded."""
    memory: MemoryConfig | None = MemoryConfig()
    """What remembers a clip; None: it takes images only."""


@dataclass(frozen=True)
class EfficientSamConfig:
    """The numbers that make an EfficientSAM."""

    encoder: PlainVitConfig
    """The image encoder."""
    decoder: DecoderConfig = DecoderConfig(activation="gelu", norm="map", add_code=True)
    """The mask decoder."""
    max_points: int = 6
    """Points that the decoder reads, a box counting as two."""


@dataclass(frozen=True)
class CompactConfig:
    """The numbers that make the bundled model; a tuple goes through strides 4, 8, 16, 32."""

    encoder_widths: tuple[int, int, int, int] = (40, 80, 144, 224)
    """Channels of the encoder's stages."""
    encoder_depths: tuple[int, int, int, int] = (2, 2, 3, 3)
    """Blocks of each stage: residual convolutions, at stride 32 attention."""
    heads: int = 7
    """Attention heads at stride 32."""
    pyramid_widths: tuple[int, int, int, int] = (48, 80, 96, 128)
    """Channels of the top-down pyramid."""
    key_widths: tuple[int, int, int] = (24, 48, 64)
    """Channels of the pixel keys at strides 4, 8, 16, which prompts are compared with."""
    boundary_width: int = 32
    """Channels of what refines the boundary map."""
    decoder_widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    """Channels of the decoder."""
    quality_width: int = 64
    """Hidden channels of the head that predicts each mask's IoU."""
    trunk: bool = True
    """Add the maps of a trained MobileNetV2 to those of the encoder's own stages."""


@dataclass(frozen=True)
class FastSamConfig:
    """The numbers that make a FastSAM; a tuple goes through rising strides."""

    widths: tuple[int, int, int, int, int]
    """Channels of the backbone at strides 2, 4, 8, 16, 32."""
    depths: tuple[int, int, int, int]
    """Residual blocks of the backbone's stages at strides 4, 8, 16, 32."""
    neck_depth: int
    """Blocks of each stage of the neck."""
    bins: int = 16
    """Distances from 0 on, in cells, over which the head spreads each edge of a box (reg_max)."""
    prototypes: int = 32
    """Maps that are mixed into the masks."""

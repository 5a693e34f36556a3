"""The bundled model: a small encoder and a decoder that is fed similarity maps.

SAM's decoder reads a prompt as tokens and must learn from a billion masks how a token selects
pixels. With a few thousand photos that is too much to ask. Here the comparison is made by hand and
only its use is learned: the encoder gives every pixel a key, a click is compared with all keys by
cosine, and the resulting maps (at three scales, for foreground and background, beside distances to
the clicks, the inside of the box, similar colours and the previous mask) are the input channels of
a small convolutional U-shaped decoder. Whatever depends on the image alone is computed in
``encode``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.config import CompactConfig
from anymask.models.kernels import Conv2d, saves_memory
from anymask.models.prompt_batch import PromptBatch
from anymask.models.prompt_maps import (
    COARSE_MAPS,
    FINE_MAPS,
    InputProjection,
    Pointwise,
    PromptMapMaker,
    PromptMaps,
)
from anymask.models.torch_network import TorchNetwork
from anymask.models.trunk import TAP_WIDTHS, Trunk

__all__ = ["TAPS", "CompactDecoder", "CompactEncoder", "CompactNet", "has_trunk"]

TAPS = "encoder.taps."
"""How the keys of the trunk, and of what joins it to the encoder, begin."""

Features = Mapping[str, Tensor]

_PROMPTS_AT_ONCE = 8  # on a CPU, whose caches hold no more; and memory is not fetched anew
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of the pixels that come in


class ConvNorm(nn.Sequential):
    """A convolution followed by batch normalisation."""

    def __init__(self, inside: int, outside: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outside),
        )


class Residual(nn.Module):
    """Two normalised 3x3 convolutions around an identity (He et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = ConvNorm(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Mixer(nn.Module):
    """A transformer block over all cells of the coarsest map: every cell sees the whole image.

    A depthwise convolution stands in for position embeddings, so that any image size will do.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.position = Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        x = x + self.position(x)
        tokens = x.flatten(2).transpose(1, 2)
        qkv = self.qkv(self.norm1(tokens)).reshape(b, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c)
        tokens = tokens + self.out(mixed)
        tokens = tokens + self.mlp(self.norm2(tokens))
        mapped: Tensor = tokens.transpose(1, 2).reshape(b, c, h, w)
        return mapped


class Taps(nn.Module):
    """What a trained trunk sees, for each stage of the encoder to add to its own maps.

    The 1x1 convolutions start at zero, so that an encoder that has learned without a trunk begins
    where it stood.
    """

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.backbone = Trunk()
        self.mixes = nn.ModuleList(
            Conv2d(tap, width, 1) for tap, width in zip(TAP_WIDTHS, widths, strict=True)
        )
        for weights in self.mixes.parameters():
            nn.init.zeros_(weights)
        # From pixels normalised for our own stages to the -1..1 that the trunk has learned from.
        mean, std = torch.tensor(_MEAN)[:, None, None], torch.tensor(_STD)[:, None, None]
        self.register_buffer("scale", std / 127.5, persistent=False)
        self.register_buffer("shift", mean / 127.5 - 1, persistent=False)
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return maps at strides 4, 8, 16, 32 with the channels of the encoder's stages."""
        # In float32, whatever the pixels are: no conversion of the weights reaches these two.
        scaled = pixels.float() * self.scale + self.shift
        taps = self.backbone(scaled.to(pixels.dtype))
        return [mix(tap) for mix, tap in zip(self.mixes, taps, strict=True)]


class CompactEncoder(nn.Module):
    """Photo to a pyramid: strides 4, 8, 16 by convolutions, 32 by attention, then top-down."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        w4, w8, w16, w32 = config.encoder_widths
        n4, n8, n16, n32 = config.encoder_depths
        self.stem = nn.Sequential(
            ConvNorm(3, w4 // 2, stride=2), nn.ReLU(), ConvNorm(w4 // 2, w4, stride=2), nn.ReLU()
        )
        self.stage4 = nn.Sequential(*(Residual(w4) for _ in range(n4)))
        self.stage8 = self._stage(w4, w8, n8)
        self.stage16 = self._stage(w8, w16, n16)
        self.down32 = nn.Sequential(ConvNorm(w16, w32, stride=2), nn.ReLU())
        self.stage32 = nn.Sequential(*(Mixer(w32, config.heads) for _ in range(n32)))
        self.taps = Taps(config.encoder_widths) if config.trunk else None
        p4, p8, p16, p32 = config.pyramid_widths
        self.lateral32 = ConvNorm(w32, p32, 1)
        self.lateral16, self.top16, self.smooth16 = self._merge(w16, p32, p16)
        self.lateral8, self.top8, self.smooth8 = self._merge(w8, p16, p8)
        self.lateral4, self.top4, self.smooth4 = self._merge(w4, p8, p4)

    @staticmethod
    def _stage(inside: int, width: int, depth: int) -> nn.Sequential:
        down = (ConvNorm(inside, width, stride=2), nn.ReLU())
        return nn.Sequential(*down, *(Residual(width) for _ in range(depth)))

    @staticmethod
    def _merge(skip: int, above: int, width: int) -> tuple[ConvNorm, ConvNorm, ConvNorm]:
        return ConvNorm(skip, width, 1), ConvNorm(above, width, 1), ConvNorm(width, width)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the pyramid (strides 4, 8, 16, 32), each (b, c, h, w)."""
        taps = (None,) * 4 if self.taps is None else self.taps(pixels)
        c4 = _plus(self.stage4(self.stem(pixels)), taps[0])
        c8 = _plus(self.stage8(c4), taps[1])
        c16 = _plus(self.stage16(c8), taps[2])
        c32 = self.stage32(_plus(self.down32(c16), taps[3]))
        p32 = F.relu(self.lateral32(c32))
        p16 = _merge_down(self.lateral16(c16), self.top16(p32), self.smooth16)
        p8 = _merge_down(self.lateral8(c8), self.top8(p16), self.smooth8)
        p4 = _merge_down(self.lateral4(c4), self.top4(p8), self.smooth4)
        return p4, p8, p16, p32

    def stages(self) -> list[nn.Module]:
        """List what an image passes through before the way back up."""
        deepest = nn.Sequential(self.down32, self.stage32)
        own: list[nn.Module] = [self.stem, self.stage4, self.stage8, self.stage16, deepest]
        return own if self.taps is None else [self.taps.backbone, *own]


def _plus(maps: Tensor, tap: Tensor | None) -> Tensor:
    return maps if tap is None else maps + tap


def _merge_down(skip: Tensor, above: Tensor, smooth: nn.Module) -> Tensor:
    enlarged = F.interpolate(above, size=skip.shape[-2:], mode="nearest")
    return F.relu(smooth(F.relu(skip + enlarged)))


class PlainResidual(nn.Module):
    """A residual block without normalisation.

    The rounds of a prompt (first click, corrections) have different statistics, which a batch norm
    would mix up; starting the branch at zero keeps the depth trainable without any.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Conv2d(width, width, 3, padding=1)
        self.second = Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return _leaky_relu(_add_to(self.second(_leaky_relu(self.first(x))), x))


def _leaky_relu(x: Tensor) -> Tensor:
    """Leaky, because plain rectified units died by the dozen in the decoder's first steps.

    In place: nothing that it is applied to is needed again, and fresh memory is what costs here.
    """
    return F.leaky_relu(x, 0.1, inplace=True)


def _add_to(x: Tensor, other: Tensor) -> Tensor:
    """Add to a fresh result, in place for the same reason; not where that would round the sum."""
    return x.add_(other) if x.dtype == other.dtype else x + other


class CompactDecoder(nn.Module):
    """Prompt maps plus image features to four mask logits and their expected IoU."""

    MASKS = 4  # slot 0 the single answer, slots 1..3 the nested ones, as in SAM

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        d4, d8, d16, d32 = config.decoder_widths
        self.enter4 = InputProjection(FINE_MAPS, d4)
        self.enter8 = InputProjection(COARSE_MAPS, d8)
        self.enter16 = InputProjection(COARSE_MAPS, d16)
        self.down8 = Conv2d(d4, d8, 3, 2, 1)
        self.down16 = Conv2d(d8, d16, 3, 2, 1)
        self.down32 = Conv2d(d16, d32, 3, 2, 1)
        self.norm8 = nn.GroupNorm(4, d8)
        self.norm16 = nn.GroupNorm(8, d16)
        self.norm32 = nn.GroupNorm(8, d32)
        self.block8 = PlainResidual(d8)
        self.block16 = PlainResidual(d16)
        self.block32 = nn.Sequential(PlainResidual(d32), PlainResidual(d32))
        self.whole = nn.Linear(d32, d32)
        self.up16 = Pointwise(d32, d16)
        self.up8 = Pointwise(d16, d8)
        self.up4 = Pointwise(d8, d4)
        self.mix16 = Conv2d(d16, d16, 3, padding=1)
        self.mix8 = Conv2d(d8, d8, 3, padding=1)
        self.mix4 = Conv2d(d4, d4, 3, padding=1)
        self.masks = Pointwise(d4, self.MASKS * 4)
        self.slot = nn.Parameter(torch.zeros(self.MASKS, config.quality_width))
        self.quality_in = nn.Linear(3 * d8 + d32 + 4, config.quality_width)
        self.quality_out = nn.Linear(config.quality_width, 1)

    def forward(
        self, maps: PromptMaps, features: Features, slots: slice, out: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return logits (n, k, h/2, w/2) of the frame and expected IoU (n, k) of some slots.

        Args:
            maps: Of n prompts.
            features: Of their image.
            slots: Which answers.
            out: Where the logits are written, in inference; None: into fresh memory.
        """
        x4 = _leaky_relu(self.enter4.enter(maps.fine, features["image4"]))
        entered8 = self.enter8.enter(maps.coarse8, features["image8"])
        x8 = self.block8(_leaky_relu(self.norm8(_add_to(self.down8(x4), entered8))))
        entered16 = self.enter16.enter(maps.coarse16, features["image16"])
        x16 = self.block16(_leaky_relu(self.norm16(_add_to(self.down16(x8), entered16))))
        x32 = self.block32(_leaky_relu(self.norm32(_add_to(self.down32(x16), features["image32"]))))
        pooled = x32.mean(dim=(2, 3))
        x32 = x32 + self.whole(pooled)[:, :, None, None]
        y16 = self._upsample_add(x16, self.up16(x32), self.mix16)
        y8 = self._upsample_add(x8, self.up8(y16), self.mix8)
        y4 = self._upsample_add(x4, self.up4(y8), self.mix4)
        quarters = self._quarters(y4, slots)
        return _interleave(quarters, out), self._predict_iou(quarters.detach(), y8, pooled, slots)

    def _quarters(self, y4: Tensor, slots: slice) -> Tensor:
        """Compute the logits of the quarters of every cell: (n, k, 2, 2, h, w)."""
        weight, bias = (
            x.view(self.MASKS, 4, -1)[slots].flatten(0, 1) for x in self.masks.parameters()
        )
        n, h, w = y4.shape[0], *y4.shape[2:]
        logits = torch.baddbmm(bias, weight.expand(n, -1, -1), y4.flatten(2))
        return logits.view(n, -1, 2, 2, h, w)

    @staticmethod
    def _upsample_add(skip: Tensor, above: Tensor, mix: nn.Module) -> Tensor:
        enlarged = F.interpolate(above, size=skip.shape[-2:], mode="nearest")
        return _leaky_relu(mix(_leaky_relu(_add_to(enlarged, skip))))

    def _predict_iou(self, quarters: Tensor, y8: Tensor, pooled: Tensor, slots: slice) -> Tensor:
        """Predict each mask's IoU from what lies in and around it, its size and its certainty."""
        coarse = F.avg_pool2d(quarters.mean(dim=(2, 3)), 2)
        soft = torch.sigmoid(coarse)  # (n, k, h, w) at stride 8
        rim = _highest_near(soft) - soft
        under, around = _mean_under(torch.cat([soft, rim], dim=1), y8).chunk(2, dim=1)
        # Where much that differs lies under a mask, it is rarely one thing.
        spread = (_mean_under(soft, y8**2) - under**2).clamp(min=0).add(1e-4).sqrt()
        soft = soft.flatten(2)
        mass = soft.sum(-1, keepdim=True) + 1e-3
        doubt = (soft * (1 - soft)).sum(-1, keepdim=True) / mass
        peak = soft.amax(-1, keepdim=True)
        size = torch.log(mass / soft.shape[-1]) / 8
        steady = _cells_above(coarse, 1) / _cells_above(coarse, -1)
        pooled = pooled[:, None, :].expand(-1, soft.shape[1], -1)
        facts = torch.cat([under, pooled, size, doubt, peak, around, spread, steady], dim=-1)
        hidden = _leaky_relu(self.quality_in(facts) + self.slot[slots])
        return torch.sigmoid(self.quality_out(hidden)).squeeze(-1)


def _highest_near(maps: Tensor) -> Tensor:
    """Find the highest of each cell and its neighbours: (n, k, h, w).

    PyTorch's pooling notes where it was, too, which takes twenty times as long on a CPU.
    """
    if not saves_memory(maps):
        return F.max_pool2d(maps, 3, 1, 1)
    for dim in (2, 3):
        found, last = maps.clone(), maps.shape[dim] - 1
        for here, there in ((0, 1), (1, 0)):
            one = found.narrow(dim, here, last)
            torch.maximum(one, maps.narrow(dim, there, last), out=one)
        maps = found
    return maps


def _mean_under(soft: Tensor, maps: Tensor) -> Tensor:
    """Average maps (n, c, h, w) under soft masks (n, k, h, w): (n, k, c)."""
    soft = soft.flatten(2)
    shares = soft / (soft.sum(-1, keepdim=True) + 1e-3)  # first, or fp16 could not hold the sums
    return torch.matmul(shares, maps.flatten(2).transpose(1, 2))


def _cells_above(logits: Tensor, level: float) -> Tensor:
    """Count cells above a level, and one more: (n, k, 1)."""
    return (logits > level).flatten(2).sum(-1, keepdim=True, dtype=logits.dtype) + 1


def _interleave(quarters: Tensor, out: Tensor | None = None) -> Tensor:
    """Put the quarters of cells (n, k, 2, 2, h, w) where they belong: (n, k, 2h, 2w)."""
    if out is not None:
        h, w = quarters.shape[4:]
        out.view(*out.shape[:2], h, 2, w, 2).copy_(quarters.permute(0, 1, 4, 2, 5, 3))
        return out
    rows = torch.stack(quarters.unbind(dim=3), dim=-1)
    return torch.stack(rows.unbind(dim=2), dim=3).flatten(4).flatten(2, 3)


class Refinement(nn.Module):
    """What neighbouring cells say about where masks end, to be added to what each says by itself.

    It starts at zero. The decoder does not read it, so that it can learn by itself, from images of
    which every boundary was drawn.
    """

    def __init__(self, fine: int, coarse: int, width: int) -> None:
        super().__init__()
        self.enter = Conv2d(fine + coarse, width, 1)
        self.first = Conv2d(width, width, 3, padding=1)
        self.second = Conv2d(width, width, 3, padding=1)
        self.leave = Conv2d(width, 1, 1)
        for weights in self.leave.parameters():
            nn.init.zeros_(weights)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Read two maps of the pyramid, the second at half the size: (b, 1, h, w)."""
        enlarged = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        x = _leaky_relu(self.enter(torch.cat([fine, enlarged], dim=1)))
        refined: Tensor = self.leave(_leaky_relu(self.second(_leaky_relu(self.first(x)))))
        return refined


class CompactNet(TorchNetwork):
    """Encoder and decoder of the bundled model; see the module text."""

    appearance = ("key4", "key8", "key16")
    """Features that are alike in alike places of any two images (`predict.personal.persam`)."""
    texture: ClassVar[Mapping[str, float]] = {"key4": 1.0, "colour": 0.5}
    """What cells of 16 pixels are compared by (`predict.personal.matching`), and its weight."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = CompactEncoder(config)
        p4, p8, p16, p32 = config.pyramid_widths
        d4, d8, d16, d32 = config.decoder_widths
        k4, k8, k16 = config.key_widths
        self.image4 = Conv2d(p4 + 1, d4, 1)
        self.image8 = Conv2d(p8, d8, 1)
        self.image16 = Conv2d(p16, d16, 1)
        self.image32 = Conv2d(p32, d32, 1)
        self.key4 = Conv2d(p4, k4, 1)
        self.key8 = Conv2d(p8, k8, 1)
        self.key16 = Conv2d(p16, k16, 1)
        self.boundary = Conv2d(p4, 1, 1)
        self.prompt_maps = PromptMapMaker()
        self.decoder = CompactDecoder(config)
        self.refinement = Refinement(p4, p8, config.boundary_width)

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Size of the low-resolution logits: half the frame."""
        return frame_hw[0] // 2, frame_hw[1] // 2

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Compute everything that depends on the image alone.

        Args:
            pixels: Normalised, zero-padded images, float32 (b, 3, h, w), sides multiples of 32.
            resized_hw: Size without padding; not needed by this network.

        Returns:
            ``key4|8|16``: unit-length pixel keys at strides 4, 8, 16; ``image4|8|16|32``: the
            image's share of the decoder's first layers; ``colour``: the image at stride 4;
            ``boundary``: logits of "a mask ends here" at stride 4. Each (b, c, h, w).
        """
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        p4, p8, p16, p32 = self.encoder(pixels)
        boundary = self.boundary(p4)
        features = {
            "key4": F.normalize(self.key4(p4), dim=1),
            "key8": F.normalize(self.key8(p8), dim=1),
            "key16": F.normalize(self.key16(p16), dim=1),
            "image4": self.image4(torch.cat([p4, torch.sigmoid(boundary)], dim=1)),
            "image8": self.image8(p8),
            "image16": self.image16(p16),
            "image32": self.image32(p32),
            "colour": F.avg_pool2d(pixels, 4),
            "boundary": boundary + self.refinement(p4, p8),
        }
        return _channels_last(features)

    def prepare(self, features: Features) -> Features:
        """Lay features out as the decoder likes them; `encode` did all else without a prompt."""
        return _channels_last(features)

    def decode_all(
        self, features: Features, prompts: PromptBatch, slots: slice = slice(CompactDecoder.MASKS)
    ) -> tuple[Tensor, Tensor]:
        """Return all slots or some: logits (n, k, h', w') and expected IoU (n, k)."""
        if not saves_memory(features["image4"]) or len(features["image4"]) > 1:
            return self._answer(features, prompts, slots)
        answers = len(range(*slots.indices(CompactDecoder.MASKS)))
        hw = self.mask_hw(prompts.frame_hw)
        logits = features["image4"].new_empty(len(prompts), answers, *hw)
        places = torch.split(logits, _PROMPTS_AT_ONCE)
        few = zip(places, prompts.split(_PROMPTS_AT_ONCE), strict=True)
        return logits, torch.cat([self._answer(features, some, slots, out)[1] for out, some in few])

    def _answer(
        self, features: Features, prompts: PromptBatch, slots: slice, out: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Answer prompts that are worked on together."""
        maps = self.prompt_maps(features, prompts)
        logits, predicted_iou = self.decoder(maps, features, slots, out)
        # Prompts that say nothing at all are answered once for all of them.
        return logits.expand(len(prompts), -1, -1, -1), predicted_iou.expand(len(prompts), -1)

    def decode(
        self, features: Features, prompts: PromptBatch, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer prompts on one image (or on n images, one each).

        Returns:
            Logits (n, k, h', w') over the frame at half its size and expected IoU (n, k); k = 3
            nested answers with ``multimask``, else 1.
        """
        return self.decode_all(features, prompts, slice(1, 4) if multimask else slice(1))


def has_trunk(state: Mapping[str, Tensor]) -> bool:
    """Return whether weights of a `CompactNet` include a trunk, see `CompactConfig.trunk`."""
    return any(key.startswith(TAPS) for key in state)


def _channels_last(features: Features) -> dict[str, Tensor]:
    """Lay maps out as the decoder's convolutions like them best."""
    layout = torch.channels_last
    return {name: maps.contiguous(memory_format=layout) for name, maps in features.items()}

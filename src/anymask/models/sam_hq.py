"""SAM-HQ (Ke et al., 2023, "Segment Anything in High Quality"): a fifth mask, with finer edges.

One more output token makes the classifier of a mask that is read from finer maps: what the decoder
upscaled, what the embedding says at four times its resolution, and an early map of the encoder,
where edges are still sharp. The mask is added to the best of SAM's own, or stands for it alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from anymask.models.config import DecoderConfig, SamHqConfig
from anymask.models.kernels import Conv2d
from anymask.models.layers import LayerNorm2d
from anymask.models.mask_decoder import SLOTS, MaskDecoder, Perceptron
from anymask.models.prompt_batch import PromptBatch
from anymask.models.prompt_encoder import PromptEncoder
from anymask.models.sam import Promptable, build_encoder
from anymask.models.tiny_vit import TinyVit
from anymask.models.two_way import Guidance
from anymask.models.vit import ImageEncoder

__all__ = ["HqDecoder", "HqPromptable", "SamHq"]


class HqDecoder(MaskDecoder):
    """SAM's decoder; its `forward` draws the high-quality mask behind those of the slots.

    The one detail that it reads is what `fine` makes of an image.
    """

    def __init__(self, config: DecoderConfig, early_width: int) -> None:
        super().__init__(config)
        width = config.width
        self.hf_token = nn.Embedding(1, width)
        self.hf_mlp = Perceptron(width, width // 8, config.activation)
        self.compress_vit_feat = enlarging(early_width, width, width // 8)
        self.embedding_encoder = enlarging(width, width // 4, width // 8)
        self.embedding_maskfeature = nn.Sequential(
            Conv2d(width // 8, width // 4, 3, padding=1),
            LayerNorm2d(width // 4),
            nn.GELU(),
            Conv2d(width // 4, width // 8, 3, padding=1),
        )

    def fine(self, image: Tensor, early: Tensor) -> Tensor:
        """Work out what depends on the image alone: (b, c / 8, 4h, 4w).

        Args:
            image: Embedding, (b, c, h, w).
            early: The encoder's early map, (b, its channels, h, w).
        """
        fine: Tensor = self.embedding_encoder(image) + self.compress_vit_feat(early)
        return fine

    def _own_tokens(self) -> Tensor:
        return torch.cat([super()._own_tokens(), self.hf_token.weight])

    def _masks(
        self, tokens: Tensor, cells: Tensor, slots: slice, details: Sequence[Tensor], order: Tensor
    ) -> Tensor:
        upscaled = self.output_upscaling(cells).flatten(1, 3)[:, order.flatten()]
        masks = (self._classifiers(tokens, slots) @ upscaled.mT).unflatten(2, order.shape)
        maps = upscaled.mT.unflatten(2, order.shape)
        fine = self.embedding_maskfeature(maps) + details[0].to(maps.dtype)
        sharp = torch.einsum("nc,nchw->nhw", self.hf_mlp(tokens[:, 1 + SLOTS]), fine)
        return torch.cat([masks, sharp[:, None]], dim=1)


def enlarging(width: int, hidden: int, out: int) -> nn.Sequential:
    """Make two transposed convolutions, each of which doubles the sides of a map."""
    return nn.Sequential(
        nn.ConvTranspose2d(width, hidden, 2, stride=2),
        LayerNorm2d(hidden),
        nn.GELU(),
        nn.ConvTranspose2d(hidden, out, 2, stride=2),
    )


class HqPromptable(Promptable):
    """Image encoder, prompt encoder and a decoder that reads two features.

    They are ``"image"`` and ``"fine"``: (b, 256, 64, 64) and (b, 32, 256, 256) in the published
    sizes.
    """

    mask_decoder: HqDecoder
    alone: bool

    def prepare(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Do what SAM does, and keep the fine map."""
        prepared = super().prepare(features)
        return {**prepared, "fine": features["fine"].to(prepared["image"].dtype)}

    def decode_all(
        self,
        features: Mapping[str, Tensor],
        prompts: PromptBatch,
        slots: slice = slice(SLOTS),
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all slots, or in some; see `Promptable.decode_all`.

        The one with the highest predicted IoU gets the high-quality mask: added, or in its place.
        """
        logits, sharp, predicted_iou = self.answer(features, prompts, slots, guidance)
        best = predicted_iou.argmax(dim=1)[:, None, None, None]
        chosen = logits.take_along_dim(best, dim=1)
        better = sharp if self.alone else chosen + sharp
        places = torch.arange(logits.shape[1], device=logits.device)[None, :, None, None]
        return torch.where(places == best, better, logits), predicted_iou

    def answer_tokens(
        self,
        features: Mapping[str, Tensor],
        tokens: Tensor,
        added: Tensor,
        slots: slice = slice(SLOTS),
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw SAM's masks (n, k, h, w) and the high-quality one (n, 1, h, w), with IoU (n, k)."""
        masks, predicted_iou = super().answer_tokens(features, tokens, added, slots, guidance)
        return masks[:, :-1], masks[:, -1:], predicted_iou

    def _details(self, features: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return (features["fine"],)

    def _in_float(self) -> HqPromptable:
        prompt_encoder = copy.deepcopy(self.prompt_encoder).float()
        network = HqPromptable(
            nn.Identity(), prompt_encoder, copy.deepcopy(self.mask_decoder).float()
        )
        network.alone = self.alone
        return network


class SamHq(HqPromptable):
    """SAM-HQ, or Light HQ-SAM with MobileSAM's encoder."""

    image_encoder: ImageEncoder | TinyVit

    def __init__(self, config: SamHqConfig) -> None:
        encoder, width = config.encoder, config.decoder.width
        super().__init__(
            build_encoder(encoder, width),
            PromptEncoder(config),
            HqDecoder(config.decoder, config.early_width),
        )
        self.config, self.alone = config, config.alone

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Encode images (b, 3, side, side); see `Network.encode`."""
        pixels = pixels.to(self.mask_decoder.iou_token.weight.dtype)
        image, early = self.image_encoder.with_early(pixels, self.config.early)
        assert early is not None
        return {"image": image, "fine": self.mask_decoder.fine(image, early)}

"""The network of Segment Anything (Kirillov et al., 2023), with the key names of its files."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from anymask.models.config import SamConfig
from anymask.models.mask_decoder import MaskDecoder
from anymask.models.prompt_encoder import PromptEncoder
from anymask.models.vit import ImageEncoder
from anymask.prompt import PromptBatch

__all__ = ["Sam"]


class Sam(nn.Module):
    """Image encoder, prompt encoder and mask decoder; fulfils `Network`.

    It has one feature, ``"image"``: (b, decoder width, grid, grid), so (b, 256, 64, 64) in the
    published sizes.
    """

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config.encoder, config.decoder.width)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config.decoder)

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Tell the size of the mask logits: four per cell of the embedding in each direction."""
        side = 4 * self.config.encoder.grid
        return side, side

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Encode images (b, 3, side, side); see `Network.encode`."""
        dtype = self.image_encoder.pos_embed.dtype
        return {"image": self.image_encoder(pixels.to(dtype))}

    def decode(
        self, features: Mapping[str, Tensor], prompts: PromptBatch, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts with three masks each, or with one; see `Network.decode`."""
        logits, iou = self.decode_all(features, prompts)
        slots = slice(1, None) if multimask else slice(0, 1)
        return logits[:, slots], iou[:, slots]

    def decode_all(
        self, features: Mapping[str, Tensor], prompts: PromptBatch
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all four slots.

        Args:
            features: ``"image"`` of one image, or of n images with one prompt each.
            prompts: n prompts.

        Returns:
            Mask logits float32 (n, 4, 4 * grid, 4 * grid) and predicted IoU float32 (n, 4).
        """
        tokens, added = self.prompt_encoder(prompts)
        code = self.prompt_encoder.image_code()
        logits, iou = self.mask_decoder(features["image"].to(code.dtype), code, tokens, added)
        return logits.float(), iou.float()

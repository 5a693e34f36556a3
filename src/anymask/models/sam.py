"""The networks of Segment Anything (Kirillov et al., 2023) and MobileSAM (Zhang et al., 2023).

Both have the key names of their files. They differ in the image encoder alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from anymask.models.config import SamConfig, TinyVitConfig
from anymask.models.mask_decoder import MaskDecoder
from anymask.models.prompt_encoder import PointEncoder, PromptEncoder
from anymask.models.tiny_vit import TinyVit
from anymask.models.vit import ImageEncoder
from anymask.prompt import PromptBatch

__all__ = ["Promptable", "Sam"]


class Promptable(nn.Module):
    """Image encoder, prompt encoder and mask decoder in a row; fulfils `Network`.

    It has one feature, ``"image"``: (b, decoder width, grid, grid), so (b, 256, 64, 64) in the
    published sizes.
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        prompt_encoder: PromptEncoder | PointEncoder,
        mask_decoder: MaskDecoder,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Tell the size of the mask logits: four per cell of the embedding in each direction."""
        return 4 * self.prompt_encoder.grid, 4 * self.prompt_encoder.grid

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Encode images (b, 3, side, side); see `Network.encode`."""
        return {"image": self.image_encoder(pixels.to(self.mask_decoder.iou_token.weight.dtype))}

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


class Sam(Promptable):
    """SAM with one of its own image encoders or with MobileSAM's."""

    def __init__(self, config: SamConfig) -> None:
        encoder, width = config.encoder, config.decoder.width
        super().__init__(
            TinyVit(encoder, width)
            if isinstance(encoder, TinyVitConfig)
            else ImageEncoder(encoder, width),
            PromptEncoder(config),
            MaskDecoder(config.decoder),
        )
        self.config = config

"""The networks of Segment Anything (Kirillov et al., 2023) and of those that took its decoder.

MobileSAM (Zhang et al., 2023) and EfficientViT-SAM (Zhang, Cai & Han, 2024) differ from it in the
image encoder alone. All have the key names of their files.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from anymask.models.config import EfficientVitConfig, SamConfig, TinyVitConfig, VitConfig
from anymask.models.efficient_vit import EfficientVit
from anymask.models.kernels import natively_supported, saves_memory
from anymask.models.mask_decoder import SLOTS, MaskDecoder
from anymask.models.prompt_batch import PromptBatch
from anymask.models.prompt_encoder import PointEncoder, PromptEncoder
from anymask.models.tiny_vit import TinyVit
from anymask.models.torch_network import TorchNetwork
from anymask.models.two_way import FirstLook, Guidance
from anymask.models.vit import ImageEncoder

__all__ = ["Promptable", "Sam", "build_encoder"]


class Promptable(TorchNetwork):
    """Image encoder, prompt encoder and mask decoder in a row; fulfils `Network`.

    It has one feature, ``"image"``: (b, decoder width, grid, grid), so (b, 256, 64, 64) in the
    published sizes.
    """

    appearance = ("image",)
    """Features that are alike in alike places of any two images (`predict.personal.persam`)."""
    texture: ClassVar[Mapping[str, float]] = {"image": 1.0}
    """What cells of 16 pixels are compared by (`predict.personal.matching`), and its weight."""

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

    def prepare(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Add the cells' position code and the decoder's first look; see `Network.prepare`."""
        if self._unsupported(features):
            return self._in_float().prepare(features)
        code = self.prompt_encoder.image_code()
        image = features["image"].to(code.dtype).contiguous(memory_format=torch.channels_last)
        look = self.mask_decoder.look(image, code, self.prompt_encoder.no_mask())
        return {"image": image, "code": code, **look._asdict()}

    def decode(
        self, features: Mapping[str, Tensor], prompts: PromptBatch, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts with three masks each, or with one; see `Network.decode`."""
        return self.decode_all(features, prompts, slice(1, SLOTS) if multimask else slice(1))

    def decode_all(
        self,
        features: Mapping[str, Tensor],
        prompts: PromptBatch,
        slots: slice = slice(SLOTS),
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all slots, or in some.

        Args:
            features: ``"image"`` of one image, or of n images with one prompt each; or what
                `prepare` made of one image.
            prompts: n prompts.
            slots: Which of the slots to answer in.
            guidance: Where and what to look for, beside the prompts; None: nothing in particular.

        Returns:
            Mask logits float32 (n, k, 4 * grid, 4 * grid) and predicted IoU float32 (n, k).
        """
        logits, predicted_iou = self.answer(features, prompts, slots, guidance)
        return logits, predicted_iou

    def answer(
        self,
        features: Mapping[str, Tensor],
        prompts: PromptBatch,
        slots: slice = slice(SLOTS),
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, ...]:
        """Say all that the decoder says, in float32; see `decode_all`."""
        if self._unsupported(features):
            return self._in_float().answer(features, prompts, slots, guidance)
        tokens, added = self.prompt_encoder(prompts)
        return self.answer_tokens(features, tokens, added, slots, guidance)

    def answer_tokens(
        self,
        features: Mapping[str, Tensor],
        tokens: Tensor,
        added: Tensor,
        slots: slice = slice(SLOTS),
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, ...]:
        """Answer prompts that are encoded: tokens (n, t, c), and a map to add to the image."""
        image, code, look = features["image"].to(tokens.dtype), features.get("code"), None
        if code is None:
            code = self.prompt_encoder.image_code()
        elif added.shape[-1] == 1:  # no mask: the look at the image holds
            look = FirstLook(*(features[name] for name in FirstLook._fields))
        if guidance is not None:
            guidance = Guidance(*(part.to(tokens.dtype) for part in guidance))
        parts = self.mask_decoder(
            image, code, tokens, added, look, slots, guidance, details=self._details(features)
        )
        return tuple(part.float() for part in parts)

    def _details(self, features: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Give what the decoder reads of an image besides its embedding: nothing."""
        return ()

    def _unsupported(self, features: Mapping[str, Tensor]) -> bool:
        """Return whether a CPU is asked to compute in a type that it has no units for."""
        dtype = self.mask_decoder.iou_token.weight.dtype
        return saves_memory(features["image"]) and not natively_supported(dtype)

    def _in_float(self) -> Promptable:
        """Copy all but the image encoder to float32, which takes less time than it saves."""
        prompt_encoder = copy.deepcopy(self.prompt_encoder).float()
        return Promptable(nn.Identity(), prompt_encoder, copy.deepcopy(self.mask_decoder).float())


class Sam(Promptable):
    """SAM with one of its own image encoders, or with that of another family."""

    def __init__(self, config: SamConfig) -> None:
        encoder, width = config.encoder, config.decoder.width
        super().__init__(
            build_encoder(encoder, width),
            PromptEncoder(config),
            MaskDecoder(config.decoder),
        )
        self.config = config


def build_encoder(config: VitConfig | TinyVitConfig | EfficientVitConfig, out: int) -> nn.Module:
    """Build the encoder that some numbers belong to."""
    match config:
        case TinyVitConfig():
            return TinyVit(config, out)
        case EfficientVitConfig():
            return EfficientVit(config, out)
        case VitConfig():
            return ImageEncoder(config, out)

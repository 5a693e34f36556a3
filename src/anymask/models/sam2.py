"""The network of SAM 2 and 2.1 (Ravi et al., 2024, "SAM 2: Segment Anything in Images and Videos").

An image is a clip of one frame: what would be read from a memory is a learned vector then.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from anymask.models.config import MemoryConfig, Sam2Config
from anymask.models.detailed_decoder import Decoded, DetailedDecoder, in_cells
from anymask.models.efficient_sam import rename_keys
from anymask.models.hiera import HieraEncoder
from anymask.models.mask_decoder import SLOTS, Perceptron
from anymask.models.memory import MemoryAttention, MemoryEncoder, map_code, time_code
from anymask.models.prompt_batch import PromptBatch
from anymask.models.prompt_encoder import PADDING, PromptEncoder
from anymask.models.sam import Promptable
from anymask.models.two_way import Guidance

__all__ = ["Detailed", "Sam2", "published_name", "single_answer", "stability"]

_OFFSET, _STABLE = 0.05, 0.98  # of logits, and of the areas above and below: for `single_answer`

PUBLISHED_NAMES = {
    r"^(prompt_encoder|mask_decoder)\.": r"sam_\1.",
    r"\.mlp\.lin1\.": ".mlp.layers.0.",
    r"\.mlp\.lin2\.": ".mlp.layers.1.",
}
"""Where the published files call a part by another name than SAM's."""


class Detailed(Promptable):
    """Image encoder, prompt encoder and a decoder that reads three features.

    They are ``"image"``, and ``"high_res_1"`` and ``"high_res_0"`` at half and a quarter of its
    stride: (b, 256, 64, 64), (b, 64, 128, 128) and (b, 32, 256, 256) in the published sizes.
    """

    mask_decoder: DetailedDecoder

    def prepare(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Do what SAM does, and lay out the fine maps as the decoder adds them."""
        if self._unsupported(features):
            return self._in_float().prepare(features)
        fine, finer = self._details(features)
        return {**super().prepare(features), "fine": fine, "finer": finer}

    def decode(
        self, features: Mapping[str, Tensor], prompts: PromptBatch, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer with three masks each, or with one, which is slot 0 only if that is stable."""
        if multimask or self.training:
            return super().decode(features, prompts, multimask)
        decoded = self.answer(features, prompts)
        slot = single_answer(decoded)[:, None]
        logits = decoded.logits.take_along_dim(slot[..., None, None], dim=1)
        return logits, decoded.predicted_iou.take_along_dim(slot, dim=1)

    def decode_all(
        self,
        features: Mapping[str, Tensor],
        prompts: PromptBatch,
        slots: slice = slice(SLOTS),
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all slots, or in some; see `Promptable.decode_all`."""
        decoded = self.answer(features, prompts, slots, guidance)
        return decoded.logits, decoded.predicted_iou

    def answer(
        self,
        features: Mapping[str, Tensor],
        prompts: PromptBatch,
        slots: slice = slice(SLOTS),
        guidance: Guidance | None = None,
    ) -> Decoded:
        """Say all that the decoder says, in float32; see `decode_all`."""
        return Decoded(*super().answer(features, prompts, slots, guidance))

    def answer_tokens(
        self,
        features: Mapping[str, Tensor],
        tokens: Tensor,
        added: Tensor,
        slots: slice = slice(SLOTS),
        guidance: Guidance | None = None,
    ) -> Decoded:
        """Answer prompts that are encoded: tokens (n, t, c), and a map to add to the image."""
        return Decoded(*super().answer_tokens(features, tokens, added, slots, guidance))

    def _details(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        dtype = self.mask_decoder.iou_token.weight.dtype
        if "fine" in features:
            return features["fine"], features["finer"]
        fine, finer = features["high_res_1"].to(dtype), features["high_res_0"].to(dtype)
        return in_cells(fine, 1), in_cells(finer, 2)

    def _in_float(self) -> Detailed:
        prompt_encoder = copy.deepcopy(self.prompt_encoder).float()
        return Detailed(nn.Identity(), prompt_encoder, copy.deepcopy(self.mask_decoder).float())


class Sam2(Detailed):
    """SAM 2 or 2.1; its `state_dict` has the key names of the published files."""

    untaught = (
        "maskmem_tpos_enc",
        "no_mem_pos_enc",
        "no_obj_ptr",
        "no_obj_embed_spatial",
        "mask_downsample.",
        "memory_attention.",
        "memory_encoder.",
        "obj_ptr_proj.",
        "obj_ptr_tpos_proj.",
        "mask_decoder.pred_obj_score_head.",
    )
    """Parameters whose names begin so are for clips alone: no mask in an image teaches them."""

    obj_ptr_tpos_proj: nn.Linear

    def __init__(self, config: Sam2Config) -> None:
        width = config.decoder.width
        super().__init__(
            HieraEncoder(config.encoder, width),
            PromptEncoder(config),
            DetailedDecoder(config.decoder),
        )
        self.config = config
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, width))
        if config.memory is not None:
            self._remember(width, config.memory)
        rename_keys(self, published_name)

    def _remember(self, width: int, memory: MemoryConfig) -> None:
        """Make the parts that are for clips alone."""
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(memory.frames, 1, 1, memory.width))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, width))  # in the files, never read
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, width))
        if memory.occlusion_vector:
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, memory.width))
        self.mask_downsample = nn.Conv2d(1, 1, 4, stride=4)
        self.memory_attention = MemoryAttention(width, memory)
        self.memory_encoder = MemoryEncoder(width, memory)
        self.obj_ptr_proj = Perceptron(width, width, "relu")
        if memory.pointer_projection:
            self.obj_ptr_tpos_proj = nn.Linear(width, memory.width)

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Encode images (b, 3, side, side), each as a clip of one frame; see `Network.encode`."""
        maps = self.see(pixels)
        return {**maps, "image": maps["image"] + self.no_mem_embed.mT[..., None]}

    def see(self, pixels: Tensor) -> dict[str, Tensor]:
        """Encode frames (b, 3, side, side) of which nobody says whether there is a memory."""
        decoder = self.mask_decoder
        pixels = pixels.to(decoder.iou_token.weight.dtype)
        image, finer, fine = self.image_encoder(pixels, (decoder.conv_s0, decoder.conv_s1))
        return {"image": image, "high_res_1": fine, "high_res_0": finer}

    def recall(
        self,
        image: Tensor,
        maps: Sequence[tuple[Tensor, int]],
        pointers: Sequence[tuple[Tensor, int]],
        span: int,
    ) -> Tensor:
        """Let a frame read what is remembered of one thing.

        Args:
            image: What `see` saw of the frame, (1, c, h, w).
            maps: What `remember` made of other frames, (1, c', h, w) each, and how many frames ago,
                1 the frame before; 0 for those with prompts, however long ago.
            pointers: Object pointers (1, c) of other frames, and how many frames ago each was.
            span: The most that this can be.

        Returns:
            (1, c, h, w).
        """
        memory = self._memory
        where = map_code(memory.width, (image.shape[2], image.shape[3])).to(image)
        rows = self.maskmem_tpos_enc[:, 0, 0]
        tokens = [one.flatten(2).mT for one, _ in maps]
        # The last row is for frames with prompts, the first for the frame before.
        code = [where.flatten(2).mT + rows[ago - 1] for _, ago in maps]
        pieces = image.shape[1] // memory.width
        tokens += [pointer.view(1, pieces, memory.width) for pointer, _ in pointers]
        code += self._times([ago / max(1, span) for _, ago in pointers], pieces, image)
        still = pieces * len(pointers)
        read: Tensor = self.memory_attention(image, torch.cat(tokens, 1), torch.cat(code, 1), still)
        return read

    def _times(self, times: list[float], pieces: int, like: Tensor) -> list[Tensor]:
        """Code when pointers were made, (1, pieces, c') each."""
        memory = self._memory
        if not memory.signed_times:
            times = [abs(time) for time in times]
        code = like.new_zeros(len(times), memory.width)
        if memory.pointer_times:
            width = like.shape[1] if memory.pointer_projection else memory.width
            code = time_code(like.new_tensor(times), width).to(like)
            code = self.obj_ptr_tpos_proj(code) if memory.pointer_projection else code
        return [one.expand(1, pieces, -1) for one in code]

    def remember(self, image: Tensor, mask: Tensor, is_there: bool) -> Tensor:
        """Make of a frame and the mask in it what later frames read.

        Args:
            image: What `see` saw of the frame, (1, c, h, w).
            mask: -10 outside of the thing to 10 inside, (1, 1, side, side).
            is_there: Whether the thing is seen at all.

        Returns:
            (1, c', h, w).
        """
        remembered: Tensor = self.memory_encoder(image, mask.to(image.dtype))
        if not is_there and self._memory.occlusion_vector:
            remembered = remembered + self.no_obj_embed_spatial[..., None, None]
        return remembered

    def point_at(self, token: Tensor, is_there: bool) -> Tensor:
        """Make an object pointer (1, c) of the token (1, c) of the mask that was chosen."""
        pointer: Tensor = self.obj_ptr_proj(token.to(self.no_obj_ptr.dtype))
        return pointer if is_there else self.no_obj_ptr

    def point_at_mask(self, features: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """Make an object pointer (1, c) of a mask that is given: 0 or 1, (1, 1, side, side)."""
        encoder = cast(PromptEncoder, self.prompt_encoder)
        small = self.mask_downsample(mask.to(self.no_obj_ptr.dtype))
        decoded = self.answer_tokens(features, self.silence(), encoder._map(small))
        pointer = self.point_at(decoded.tokens[:, 0], bool(decoded.object_score > 0))
        return pointer if mask.any() else self.no_obj_ptr

    def silence(self) -> Tensor:
        """Encode that nothing is said of a frame: two padding points, (1, 2, c)."""
        points = self.no_obj_ptr.new_zeros(1, 2, 2)
        labels = torch.full((1, 2), PADDING, device=points.device)
        tokens: Tensor = self.prompt_encoder._tokens(points, labels)
        return tokens

    @property
    def _memory(self) -> MemoryConfig:
        assert self.config.memory is not None
        return self.config.memory


def stability(logits: Tensor) -> Tensor:
    """Measure how little masks (..., h, w) change with the threshold, 0 to 1: (...)."""
    inner = (logits > _OFFSET).sum(dim=(-2, -1)).float()
    outer = (logits > -_OFFSET).sum(dim=(-2, -1)).float()
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)


def single_answer(decoded: Decoded) -> Tensor:
    """Choose the slot of the one answer: slot 0 if it is stable, else the best of the others.

    Args:
        decoded: Of all slots.

    Returns:
        int64 (n,).
    """
    best = 1 + decoded.predicted_iou[:, 1:].argmax(dim=1)
    return torch.where(stability(decoded.logits[:, 0]) >= _STABLE, 0, best)


def published_name(key: str) -> str:
    """Translate a key of our modules into that of the published files."""
    for ours, theirs in PUBLISHED_NAMES.items():
        key = re.sub(ours, theirs, key)
    return key

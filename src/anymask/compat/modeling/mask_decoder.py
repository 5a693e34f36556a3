"""Embeddings to masks and their predicted IoU, in the original's words."""

from __future__ import annotations

from torch import Tensor

from anymask.models import mask_decoder
from anymask.models.mask_decoder import Perceptron as MLP

__all__ = ["MLP", "MaskDecoder"]


class MaskDecoder(mask_decoder.MaskDecoder):
    """Embeddings to masks and their predicted IoU.

    Attributes:
        num_multimask_outputs: Masks of one prompt, if it wants several.
        num_mask_tokens: As many, and the one for those that want one.
        transformer_dim: Channels of an embedding.
    """

    num_multimask_outputs = mask_decoder.SLOTS - 1
    num_mask_tokens = mask_decoder.SLOTS

    @property
    def transformer_dim(self) -> int:
        """Channels of an embedding."""
        return int(self.iou_token.weight.shape[1])

    def forward(  # type: ignore[override]  # the same work, in other words
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts.

        Args:
            image_embeddings: (1, 256, 64, 64), or (n, 256, 64, 64) for one prompt each.
            image_pe: From `PromptEncoder.get_dense_pe`.
            sparse_prompt_embeddings: From the prompt encoder, (n, tokens, 256).
            dense_prompt_embeddings: From the prompt encoder, (n, 256, 64, 64).
            multimask_output: Three masks for each prompt instead of one.

        Returns:
            Mask logits (n, k, 256, 256) and predicted IoU (n, k), in the network's order.
        """
        return self.predict_masks(
            image_embeddings,
            image_pe,
            sparse_prompt_embeddings,
            dense_prompt_embeddings,
            slice(1, mask_decoder.SLOTS) if multimask_output else slice(1),
        )

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        slots: slice = slice(mask_decoder.SLOTS),
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all four slots, or in some; see `forward`."""
        n, dense = len(sparse_prompt_embeddings), dense_prompt_embeddings
        if n == 0:
            k = len(range(*slots.indices(mask_decoder.SLOTS)))
            side = 4 * image_embeddings.shape[-1]
            empty = image_embeddings.new_zeros
            return empty((0, k, side, side)), empty((0, k))
        if dense.stride(0) == 0:  # one map for all prompts, so the image is worked on once
            dense = dense[:1]
        sparse = sparse_prompt_embeddings
        logits, scores = super().forward(image_embeddings, image_pe, sparse, dense, slots=slots)
        return logits, scores

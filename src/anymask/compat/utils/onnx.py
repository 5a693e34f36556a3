"""SAM's prompt encoder and mask decoder as one graph of tensors, to be traced and exported."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.compat.modeling import Sam
from anymask.geometry import stability_score

__all__ = ["SamOnnxModel"]


class SamOnnxModel(nn.Module):
    """Everything after the image encoder, for one image.

    Sizes stay tensors all the way, because a trace would freeze a number.

    Attributes:
        model: The `Sam` it belongs to.
        return_single_mask: One mask for each prompt, not all four: the first slot if there are
            several points, else the best of the others.
        use_stability_score: Score by stability instead of predicted IoU.
        return_extra_metrics: Return stability and area of the masks, too.
        stability_score_offset: How far the threshold moves to measure the stability.
    """

    def __init__(
        self,
        model: Sam,
        return_single_mask: bool,
        use_stability_score: bool = False,
        return_extra_metrics: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.return_single_mask = return_single_mask
        self.use_stability_score = use_stability_score
        self.return_extra_metrics = return_extra_metrics
        self.stability_score_offset = 1.0

    @torch.no_grad()
    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        orig_im_size: Tensor,
    ) -> tuple[Tensor, ...]:
        """Answer n prompts.

        Args:
            image_embeddings: (1, 256, 64, 64).
            point_coords: (n, p, 2), x before y, pixels of the frame. A box is two points; without
                a box one point of padding must follow, at (0, 0) with label -1.
            point_labels: float (n, p): 1 object, 0 background, 2 and 3 the box's top left and
                bottom right corner, -1 padding.
            mask_input: Logits (1, 1, 256, 256); zeros if there are none.
            has_mask_input: float (1,), 1 or 0.
            orig_im_size: float (2,), height and width of the image.

        Returns:
            Mask logits of the image's size (n, k, h, w), scores (n, k), low resolution logits
            (n, k, 256, 256); with extra metrics masks, scores, stability, areas, low resolution.
        """
        encoder, threshold = self.model.prompt_encoder, self.model.mask_threshold
        low_res, scores = self.model.mask_decoder.predict_masks(
            image_embeddings,
            encoder.get_dense_pe(),
            encoder.embed_tokens(point_coords, point_labels),
            encoder.embed_mask(mask_input, has_mask_input),
        )
        if self.use_stability_score:
            scores = stability_score(low_res, threshold, self.stability_score_offset)
        if self.return_single_mask:
            low_res, scores = self._choose(low_res, scores, point_coords.shape[1])
        masks = self._enlarge(low_res, orig_im_size)
        if not self.return_extra_metrics:
            return masks, scores, low_res
        stability = stability_score(masks, threshold, self.stability_score_offset)
        areas = (masks > threshold).sum(dim=(-2, -1))
        return masks, scores, stability, areas, low_res

    def _choose(self, low_res: Tensor, scores: Tensor, points: int) -> tuple[Tensor, Tensor]:
        """Choose one slot for each prompt, by arithmetic: a trace would freeze a comparison."""
        first = torch.zeros_like(scores)
        first[:, 0] = 1000.0  # far beyond any score, up from three points on, down before
        slot = (scores + (points - 2.5) * first).argmax(dim=1, keepdim=True)
        return torch.take_along_dim(low_res, slot[..., None, None], 1), scores.gather(1, slot)

    def _enlarge(self, low_res: Tensor, orig_im_size: Tensor) -> Tensor:
        """Carry logits to the image's size, as `Sam.postprocess_masks` does with numbers."""
        side = self.model.image_encoder.img_size
        resized = torch.floor(orig_im_size * (side / orig_im_size.max()) + 0.5).long()
        framed = F.interpolate(low_res, (side, side), mode="bilinear", align_corners=False)
        shown = framed[..., : resized[0], : resized[1]]
        whole = orig_im_size.long()
        size: Any = (whole[0], whole[1])  # of tensors, which is fine while tracing
        return F.interpolate(shown, size, mode="bilinear", align_corners=False)

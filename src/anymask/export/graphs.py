"""What is exported: the parts of a network as functions of named tensors, to be recorded.

Whatever a prompt may have or lack is an input, so that one graph answers all of them. Sizes stay
tensors all the way, because a recorded number is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.geometry import stability_score
from anymask.models.compact import CompactNet
from anymask.models.mask_decoder import SLOTS
from anymask.models.prompt_batch import PromptBatch
from anymask.models.prompt_encoder import PointEncoder, PromptEncoder
from anymask.models.prompt_maps import PromptMaps
from anymask.models.sam import Promptable
from anymask.models.sam2 import Detailed, single_answer
from anymask.models.sam_hq import HqPromptable
from anymask.models.variants import Preprocessing

__all__ = [
    "OFFSET",
    "CompactDecoder",
    "Decoder",
    "Encoder",
    "Sam2Decoder",
    "SamDecoder",
    "SamHqDecoder",
    "choose",
    "decoder_of",
    "enlarge",
]

OFFSET = 1.0
"""How far the threshold moves to measure the stability, as in the original's graph."""

_FOREGROUND, _BACKGROUND, _TOP_LEFT, _BOTTOM_RIGHT = 1, 0, 2, 3


class Encoder(nn.Module):
    """Frames to features."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(names)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Encode normalised frames (b, 3, h, w)."""
        features = self.network.encode(pixels, (0, 0))  # type: ignore[operator]
        return tuple(features[name] for name in self.names)


class Decoder(nn.Module):
    """Features of an image and n prompts to masks, with the names and options of SAM's original.

    Attributes:
        single_mask: One mask for each prompt, not all four: the first slot if there are several
            points, else the best of the others.
        use_stability: Score by stability instead of predicted IoU.
        extra_metrics: Return stability and area of the masks, too.
    """

    features: tuple[str, ...] = ("image",)
    """Names of the features that it reads."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        single_mask: bool = False,
        use_stability: bool = False,
        extra_metrics: bool = False,
    ) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.single_mask, self.use_stability = single_mask, use_stability
        self.extra_metrics = extra_metrics

    def answer(
        self,
        features: Sequence[Tensor],
        points: Tensor,
        labels: Tensor,
        mask: Tensor,
        has_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts with all that `Network.decode` says: the one answer, and the three.

        Returns:
            Logits (n, 4, h', w') and predicted IoU (n, 4).
        """
        raise NotImplementedError

    def frame_hw(self, low_res: Tensor) -> Any:
        """Give the size of the frame that low resolution masks cover."""
        return self.preprocessing.side, self.preprocessing.side

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Answer n prompts.

        Args:
            *inputs: The features (1, c, h, w) in their order, and then

                - points, float (n, p, 2), x before y, pixels of the frame;
                - labels, float (n, p): 1 foreground, 0 background, 2 and 3 the top left and bottom
                  right corner of a box, -1 padding;
                - mask logits (1 or n, 1, h', w'), and whether they are meant, (1,) or (n,);
                - the size of the image, float (2,), height before width; 0, 0: the masks stay as
                  they are.

        Returns:
            Mask logits of the image's size (n, k, h, w), scores (n, k), low resolution logits (n,
            k, h', w'); with extra metrics masks, scores, stability, areas, low resolution.
        """
        *prompts, size_hw = inputs
        low_res, scores = self.in_low_resolution(*prompts)
        masks = enlarge(low_res, size_hw, self.frame_hw(low_res), self.preprocessing)
        if not self.extra_metrics:
            return masks, scores, low_res
        stability = stability_score(masks, 0.0, OFFSET)
        return masks, scores, stability, (masks > 0).sum(dim=(-2, -1)), low_res

    def in_low_resolution(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Answer n prompts as `forward` does, without a size: logits (n, k, h', w'), scores."""
        *features, points, labels, mask, has_mask = inputs
        low_res, scores = self.answer(features, points, labels, mask, has_mask)
        if self.use_stability:
            scores = stability_score(low_res, 0.0, OFFSET)
        return choose(low_res, scores, points.shape[1]) if self.single_mask else (low_res, scores)


class SamDecoder(Decoder):
    """SAM's, MobileSAM's and EfficientSAM's prompt encoder and mask decoder."""

    def __init__(self, network: Promptable, preprocessing: Preprocessing, **options: bool) -> None:
        super().__init__(preprocessing, **options)
        self.network = network

    def answer(
        self,
        features: Sequence[Tensor],
        points: Tensor,
        labels: Tensor,
        mask: Tensor,
        has_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all slots."""
        encoder = self.network.prompt_encoder
        kinds = labels.long()
        added = encoder.no_mask()
        if isinstance(encoder, PointEncoder):
            spare = encoder.max_points - points.shape[1]
            points = F.pad(points, (0, 0, 0, spare), value=-1.0)  # a negative number cuts
            kinds = F.pad(kinds, (0, spare), value=-1)
            outside = (points < 0) | (kinds < 0)[..., None]  # wherever a client puts its padding
            points = points.masked_fill(outside, -1.0)
        else:
            assert isinstance(encoder, PromptEncoder)
            given = has_mask.reshape(-1, 1, 1, 1)
            added = given * encoder._map(mask) + (1 - given) * added
        return self._decoded(features, encoder._tokens(points, kinds), added)

    def _decoded(
        self, features: Sequence[Tensor], tokens: Tensor, added: Tensor
    ) -> tuple[Tensor, Tensor]:
        code = self.network.prompt_encoder.image_code()
        return self.network.mask_decoder(features[0], code, tokens, added)  # type: ignore[no-any-return]


class SamHqDecoder(SamDecoder):
    """SAM-HQ's, whose high-quality mask improves the one answer, and the best of the three."""

    features = ("image", "fine")
    network: HqPromptable

    def _decoded(
        self, features: Sequence[Tensor], tokens: Tensor, added: Tensor
    ) -> tuple[Tensor, Tensor]:
        named = dict(zip(self.features, features, strict=True))
        logits, sharp, scores = self.network.answer_tokens(named, tokens, added)
        best = 1 + scores[:, 1:].argmax(dim=1, keepdim=True)
        slots = torch.arange(SLOTS, device=scores.device)[None]
        # Slot 0 is the one answer, which is the best of one.
        chosen = ((slots == best) | (slots == 0)).to(scores.dtype)[..., None, None]
        kept = (1 - chosen) * logits if self.network.alone else logits
        return kept + chosen * sharp, scores


class Sam2Decoder(SamDecoder):
    """SAM 2's, whose one answer in slot 0 is another one's wherever slot 0 is not stable."""

    features = ("image", "high_res_1", "high_res_0")
    network: Detailed

    def _decoded(
        self, features: Sequence[Tensor], tokens: Tensor, added: Tensor
    ) -> tuple[Tensor, Tensor]:
        named = dict(zip(self.features, features, strict=True))
        decoded = self.network.answer_tokens(named, tokens, added)
        logits, scores = decoded.logits, decoded.predicted_iou
        slot = single_answer(decoded)[:, None]
        everywhere = slot[..., None, None].expand(-1, -1, *logits.shape[2:])
        one = logits.gather(1, everywhere), scores.gather(1, slot)
        return torch.cat([one[0], logits[:, 1:]], dim=1), torch.cat([one[1], scores[:, 1:]], dim=1)


class CompactDecoder(Decoder):
    """The bundled model's prompt maps and decoder."""

    features = (
        "key4",
        "key8",
        "key16",
        "image4",
        "image8",
        "image16",
        "image32",
        "colour",
    )
    """What `CompactNet.encode` gives, but for the boundary."""

    def __init__(self, network: CompactNet, preprocessing: Preprocessing, **options: bool) -> None:
        super().__init__(preprocessing, **options)
        self.network = network

    def frame_hw(self, low_res: Tensor) -> Any:
        """Give the size of the frame: twice that of the masks."""
        return low_res.shape[2] * 2, low_res.shape[3] * 2

    def answer(
        self,
        features: Sequence[Tensor],
        points: Tensor,
        labels: Tensor,
        mask: Tensor,
        has_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all slots.

        All maps are drawn, and those of what a prompt lacks are replaced by what stands for that.
        """
        named = dict(zip(self.features, features, strict=True))
        first, last = (_corner(points, labels, kind) for kind in (_TOP_LEFT, _BOTTOM_RIGHT))
        frame_hw = mask.shape[2] * 2, mask.shape[3] * 2
        boxes = torch.cat([first, last], dim=1)
        masks = mask.expand(points.shape[0], -1, -1, -1)
        prompts = PromptBatch(points, labels, boxes, masks, frame_hw)
        maps = self.network.prompt_maps(named, prompts)
        there = [_any(labels == kind) for kind in (_FOREGROUND, _BACKGROUND, _TOP_LEFT)]
        given = has_mask.reshape(-1, 1, 1, 1)
        fine = [*_gated(maps.fine[:3], there), *maps.fine[3:7]]
        fine += [maps.fine[7] * there[2], maps.fine[8] * given]
        gated = PromptMaps(fine, _gated(maps.coarse8, there), _gated(maps.coarse16, there))
        return self.network.decoder(gated, named, slice(4))  # type: ignore[no-any-return]


def _corner(points: Tensor, labels: Tensor, kind: int) -> Tensor:
    """Take the point of a kind, (n, 2); 0, 0 if there is none."""
    return (points * (labels == kind)[..., None].to(points.dtype)).sum(dim=1)


def _any(which: Tensor) -> Tensor:
    """Return 1 for a prompt that has some, else 0: (n, 1, 1, 1)."""
    return which.to(torch.float32).amax(dim=1).reshape(-1, 1, 1, 1)


def _gated(maps: Sequence[Tensor], there: Sequence[Tensor]) -> list[Tensor]:
    """Turn off similarity to what is not there: to clicks of either kind, and to the box."""
    near, far, box = maps
    clicks = [
        torch.cat([some[:, :1], some[:, 1:] * is_there], dim=1)
        for some, is_there in ((near, there[0]), (far, there[1]))
    ]
    return [*clicks, box * there[2]]


def choose(low_res: Tensor, scores: Tensor, points: Any) -> tuple[Tensor, Tensor]:
    """Choose one slot for each prompt, by arithmetic: a recorded comparison is frozen."""
    first = torch.zeros_like(scores)
    first[:, 0] = 1000.0  # far beyond any score: up from three points on, down before
    slot = (scores + (points - 2.5) * first).argmax(dim=1, keepdim=True)
    everywhere = slot[..., None, None].expand(-1, -1, *low_res.shape[2:])
    return low_res.gather(1, everywhere), scores.gather(1, slot)


def enlarge(low_res: Tensor, size_hw: Tensor, frame_hw: Any, wanted: Preprocessing) -> Tensor:
    """Carry logits to the image's size, as `Transform.masks_to_image` does with numbers.

    Args:
        low_res: (n, k, h', w'), covering the frame.
        size_hw: Size of the image, float (2,); 0, 0: the logits stay as they are.
        frame_hw: Size of the frame.
        wanted: How an image came into the frame.

    Returns:
        (n, k, h, w).
    """
    low_hw = _pair(low_res.shape[2], low_res.shape[3])
    stay = size_hw.max() <= 0
    target_hw = torch.where(stay, low_hw, size_hw.long())
    if wanted.enlarge == "direct":
        return _bilinear(low_res, target_hw)
    if wanted.enlarge == "bicubic":
        return F.interpolate(low_res, _sides(target_hw), mode="bicubic", align_corners=False)
    scale = wanted.side / size_hw.max().clamp(min=1)
    resized = torch.floor(size_hw * scale + 0.5).long().clamp(min=1)
    resized_hw = torch.where(stay, low_hw, resized)
    whole_hw = torch.where(stay, low_hw, _pair(*frame_hw))
    framed = _bilinear(low_res, whole_hw)
    return _bilinear(framed[..., : resized_hw[0], : resized_hw[1]], target_hw)


def _bilinear(maps: Tensor, size_hw: Tensor) -> Tensor:
    return F.interpolate(maps, _sides(size_hw), mode="bilinear", align_corners=False)


def _sides(size_hw: Tensor) -> Any:
    return size_hw[0], size_hw[1]  # of tensors, which is fine while recording


def _pair(height: Any, width: Any) -> Tensor:
    """Put two sizes, numbers or recorded ones, into a tensor."""
    return torch.stack([torch.as_tensor(height).long(), torch.as_tensor(width).long()])


def decoder_of(network: nn.Module, preprocessing: Preprocessing, **options: bool) -> Decoder:
    """Choose the decoder of a network."""
    makers: dict[type, Callable[..., Decoder]] = {
        CompactNet: CompactDecoder,
        HqPromptable: SamHqDecoder,
        Detailed: Sam2Decoder,
    }
    make: Callable[..., Decoder] = SamDecoder
    for kind, own in makers.items():
        if isinstance(network, kind):
            make = own
    return make(network, preprocessing, **options)

"""A SAM that computes in the published order of work, from the pixels to everything mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from anymask.errors import CapabilityError, InputError
from anymask.evaluate.published import everything
from anymask.evaluate.published.decoder import PlainDecoder
from anymask.evaluate.published.encoder import plain
from anymask.models.network import Network
from anymask.models.prompt_batch import PromptBatch
from anymask.models.sam import Promptable
from anymask.models.sam2 import Detailed
from anymask.predict.segmenter import Segmenter

if TYPE_CHECKING:
    from anymask.image.image import ImageLike
    from anymask.masks.masks import Masks

__all__ = ["PublishedNetwork", "PublishedSegmenter", "published"]


class PublishedNetwork:
    """The weights of a SAM behind the `Network` protocol, in the published order of work.

    Args:
        network: Whose weights are used; it stays as it is.
    """

    version = 0

    def __init__(self, network: Promptable) -> None:
        self.network = network
        self.encoder = plain(network.image_encoder)
        self.decoder = PlainDecoder(network.mask_decoder)
        weights = network.mask_decoder.iou_token.weight
        self.device, self.dtype = weights.device, weights.dtype

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the mask logits."""
        return self.network.mask_hw(frame_hw)

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Encode images; see `Network.encode`."""
        return {"image": self.encoder(pixels.to(self.dtype))}

    def prepare(self, features: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Leave the features as they are: every prompt begins anew."""
        return features

    def decode(
        self, features: Mapping[str, Tensor], prompts: PromptBatch, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts; see `Network.decode`."""
        encoder = self.network.prompt_encoder
        tokens, added = encoder(prompts)
        image = features["image"].to(tokens.dtype)
        logits, iou = self.decoder(image, encoder.image_code(), tokens, added)
        slots = slice(1, 4) if multimask else slice(1)
        return logits[:, slots].float(), iou[:, slots].float()

    def moved(self, device: Any, dtype: Any) -> PublishedNetwork:
        """Stay.

        Raises:
            InputError: Another device or dtype is wanted.
        """
        if (torch.device(device), dtype) != (self.device, self.dtype):
            raise InputError(
                f"expected {self.dtype} on {self.device} for the published order of work, got "
                f"{dtype} on {device}; load the weights so"
            )
        return self


@dataclass(frozen=True, eq=False, repr=False)
class PublishedSegmenter(Segmenter):
    """A `Segmenter` whose everything mode enlarges all masks before it sorts them out."""

    def _find(self, image: ImageLike, settings: Any, progress: object = None) -> Masks:
        with torch.inference_mode():
            return everything.generate(self, image, settings)


def published(model: Segmenter) -> Segmenter:
    """Let a model compute in the published order of work, from the same weights.

    Args:
        model: A SAM, MobileSAM or EfficientSAM that PyTorch computes.

    Raises:
        CapabilityError: It is another model.

    Examples:
        >>> from anymask import load
        >>> slow = published(load("sam-vit-b"))  # doctest: +SKIP
    """
    if not isinstance(model.network, Promptable) or isinstance(model.network, Detailed):
        raise CapabilityError(
            f"expected a SAM, MobileSAM or EfficientSAM of PyTorch for the published order of "
            f"work, got {model.variant.name}; leave runtime published out for it"
        )
    network = cast(Network, PublishedNetwork(model.network))
    return PublishedSegmenter(model.variant, network, model.weights_digest)

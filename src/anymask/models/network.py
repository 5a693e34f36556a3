"""What every promptable network can do, whatever is inside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing import Self

    import torch
    from torch import Tensor

    from anymask.models.prompt_batch import PromptBatch

__all__ = ["Network"]


class Network(Protocol):
    """An ``nn.Module`` that encodes images once and decodes any number of prompts afterwards.

    It works in the model frame only: preprocessing and the way back to original pixels are not its
    business. It keeps no state between calls, so several threads may share it.
    """

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Tell the (height, width) of the mask logits for a frame of the given size."""
        ...

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Turn images into features.

        Args:
            pixels: (b, 3, h, w), RGB, normalised, zeros in the padding (bottom and right), of the
                network's floating-point type.
            resized_hw: Size of the image inside that frame, the same for the whole batch.

        Returns:
            Named feature maps, each (b, c, h', w').
        """
        ...

    def prepare(self, features: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Work out what prompts on an image share, for those who will ask several times.

        Args:
            features: What `encode` returned for that image, each (1, c, h', w').

        Returns:
            Features for `decode` that save it time. They are larger, and not to be stored.
        """
        ...

    def decode(
        self, features: Mapping[str, Tensor], prompts: PromptBatch, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts on one image.

        Args:
            features: What `encode` returned for that image, each (1, c, h', w'); or what `prepare`
                made of it, for the same answers.
            prompts: n prompts of the same shape, in frame pixels.
            multimask: Three answers per prompt (k = 3: whole, part, subpart), not one (k = 1).

        Returns:
            Mask logits (n, k, *mask_hw), covering the whole frame; and predicted IoU (n, k). Both
            in the network's order of answers, not sorted.
        """
        ...

    # What callers use of nn.Module, so that a Network need not be cast to one.

    def eval(self) -> Self:
        """Switch to inference."""
        ...

    def train(self, mode: bool = ...) -> Self:
        """Switch to training."""
        ...

    def to(self, device: torch.device | str | None = ..., dtype: torch.dtype | None = ...) -> Self:
        """Move to a device or convert to a floating-point type, in place."""
        ...

    def parameters(self, recurse: bool = ...) -> Iterator[torch.nn.Parameter]:
        """Iterate over the learned tensors."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """List every tensor under its key in the weight file."""
        ...

"""What a model has to bring to be asked by `Segmenter`, whatever computes inside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from anymask.arrays import Array, Device, Dtype

if TYPE_CHECKING:
    from typing import Self

    from anymask.models.prompt_batch import PromptBatch

__all__ = ["MEMBERS", "Network"]


class Network(Protocol):
    """Encodes images once and decodes any number of prompts afterwards.

    Anything with these eight members is one: an ``nn.Module`` (see `torch_network`), a session of
    another runtime, a service. It works in the model's frame only: preprocessing, and the way back
    to pixels of the image, are not its business. It keeps no state between calls, so several
    threads may share it.

    What it is given are numpy arrays if its `device` is a string, such as ``"cpu"``: then nothing
    around it needs PyTorch. If its `device` is a `torch.device`, these are tensors there. It may
    return either, of any floating-point dtype.

    Examples:
        A network without PyTorch, which finds what is as bright as the first point:

        >>> import numpy as np
        >>> class Brightness:
        ...     device, dtype, version = "cpu", "float32", 0
        ...
        ...     def mask_hw(self, frame_hw):
        ...         return frame_hw[0] // 4, frame_hw[1] // 4
        ...
        ...     def encode(self, pixels, resized_hw):
        ...         b, _, h, w = pixels.shape
        ...         cells = pixels.mean(axis=1).reshape(b, 1, h // 4, 4, w // 4, 4)
        ...         return {"grey": cells.mean(axis=(3, 5))}
        ...
        ...     def prepare(self, features):
        ...         return features
        ...
        ...     def decode(self, features, prompts, multimask):
        ...         grey = features["grey"][0, 0]
        ...         x, y = prompts.points_xy[:, 0].astype(int).T // 4
        ...         logits = 2 - abs(grey - grey[y, x][:, None, None])
        ...         k = 3 if multimask else 1
        ...         return logits[:, None].repeat(k, axis=1), np.full((len(prompts), k), 0.5)
        ...
        ...     def moved(self, device, dtype):
        ...         raise InputError("Brightness computes on the CPU in float32; leave it there")
        >>> from dataclasses import replace
        >>> from anymask import InputError, Segmenter
        >>> from anymask.models.variants import find
        >>> variant = find("sam-vit-b")
        >>> variant = replace(variant, name="brightness", capabilities=frozenset(["points"]))
        >>> model = Segmenter(variant, Brightness(), "version 1 of Brightness")
        >>> image = np.zeros((40, 60, 3), np.uint8)
        >>> image[10:20, 10:30] = 255
        >>> model.predict(image, points=[(15, 15)]).areas.tolist()
        [200]
    """

    @property
    def device(self) -> Device:
        """Where it computes: a string for numpy arrays, a `torch.device` for tensors there."""
        ...

    @property
    def dtype(self) -> Dtype:
        """Floating-point dtype of what it takes: for arrays its name, such as "float32"."""
        ...

    @property
    def version(self) -> int:
        """A number that changes whenever its weights do; of fixed weights any, such as 0.

        What `prepare` returned is used again as long as the version is the same.
        """
        ...

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) of the mask logits for a frame of the given size."""
        ...

    def encode(self, pixels: Array, resized_hw: tuple[int, int]) -> Mapping[str, Array]:
        """Turn images into features.

        Args:
            pixels: (b, 3, h, w), RGB, normalised, zeros in the padding, of the network's dtype.
            resized_hw: Size of the image inside that frame, the same for the whole batch.

        Returns:
            Named feature maps, each (b, c, h', w').
        """
        ...

    def prepare(self, features: Mapping[str, Array]) -> Mapping[str, Array]:
        """Work out what prompts on an image share, for those who will ask several times.

        Args:
            features: What `encode` returned for that image, each (1, c, h', w').

        Returns:
            Features for `decode` that save it time; often the same ones. They may be larger, and
            are not stored.
        """
        ...

    def decode(
        self, features: Mapping[str, Array], prompts: PromptBatch, multimask: bool
    ) -> tuple[Array, Array]:
        """Answer n prompts on one image.

        Args:
            features: What `encode` returned for that image, each (1, c, h', w'); or what `prepare`
                made of it, for the same answers.
            prompts: n prompts of the same form, in frame pixels.
            multimask: Three answers per prompt (k = 3: whole, part, subpart), not one (k = 1).

        Returns:
            Mask logits (n, k, *mask_hw), covering the whole frame; and predicted IoU (n, k). Both
            in the network's order of answers, not sorted.
        """
        ...

    def moved(self, device: Any, dtype: Any) -> Self:
        """Return a copy of the network on another device or of another dtype; this one stays.

        Args:
            device: Of the same kind as its own.
            dtype: Of the same kind as its own.

        Raises:
            InputError: It cannot be moved there, in one sentence.
        """
        ...


MEMBERS = tuple(name for name in vars(Network) if not name.startswith("_"))
"""What a `Network` has, by name."""

"""What a model must be able to do to be shown an example; `Segmenter` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, overload

from anymask.arrays import Array, Device, Dtype
from anymask.embedding import Embedding
from anymask.image.image import ImageLike
from anymask.masks.masks import Masks
from anymask.models.network import Network
from anymask.models.variants import Variant
from anymask.prompt import Prompt

__all__ = ["Model"]


class Model(Protocol):
    """Embeds images and answers prompts."""

    @property
    def variant(self) -> Variant:
        """Which model it is."""
        ...

    @property
    def network(self) -> Network:
        """Its network, which names the features that can be compared."""
        ...

    @property
    def device(self) -> Device:
        """Where it computes."""
        ...

    @property
    def dtype(self) -> Dtype:
        """Floating-point dtype that it computes in."""
        ...

    @overload
    def embed(  # type: ignore[overload-overlap]  # a str is a sequence of str: it counts as one
        self, image: ImageLike
    ) -> Embedding: ...
    @overload
    def embed(self, image: Sequence[ImageLike]) -> list[Embedding]: ...
    def embed(self, image: Any) -> Any:
        """Encode an image, or each of a list; see `Segmenter.embed`."""
        ...

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[Array, Array]:
        """Answer prompts with logits and predicted IoU; see `Segmenter.decode`."""
        ...

    def predict(self, embedding: Embedding, *, prompts: Prompt, multimask: bool) -> Masks:
        """Answer a prompt with masks, best first; see `Segmenter.predict`."""
        ...

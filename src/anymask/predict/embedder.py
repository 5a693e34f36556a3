"""A model whose encoder can be asked: from images to embeddings, the slow part."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast, overload

import numpy as np
import numpy.typing as npt

from anymask.arrays import Array, Device, Dtype, copied, inference, placed
from anymask.device import find_device, find_dtype
from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.image.image import Image, ImageLike
from anymask.image.transform import Transform
from anymask.models.network import MEMBERS, Network
from anymask.models.variants import Variant
from anymask.parallel import threads_work
from anymask.predict.compiled import Encode, compile_encoder
from anymask.predict.recent import Recent

if TYPE_CHECKING:
    from anymask.everything.search import Promptable

__all__ = ["IMAGES_AT_ONCE", "Embedder", "alike"]

IMAGES_AT_ONCE = 8
"""Images of a list that are in memory together."""

_PREPARED_AT_ONCE = 4  # embeddings kept as the decoder likes them: some 14 MB each for a SAM


@dataclass(frozen=True, eq=False)
class Embedder:
    """What a `Segmenter` is made of, and how it encodes images.

    Attributes:
        variant: Which model it is.
        network: Its network, in inference mode; anything with the members of `Network`.
        weights_digest: Tells its weights from all others: the SHA-256 of their file, in hex.
        scout: Loads a model that sees boundaries, for everything mode of a model that does not
            (sampler "boxes"); None: there is none.
        compile: Whether the encoder is compiled before it is used; see `predict.compiled`.
    """

    variant: Variant
    network: Network
    weights_digest: str
    scout: Callable[[], Promptable] | None = field(default=None, kw_only=True, repr=False)
    compile: bool = field(default=False, kw_only=True)
    _prepared: Recent[Embedding, Mapping[str, Array]] = field(
        default_factory=lambda: Recent(_PREPARED_AT_ONCE), init=False, repr=False
    )

    _known: tuple[Image, Embedding] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that the network is one."""
        if missing := [name for name in MEMBERS if not hasattr(self.network, name)]:
            raise InputError(
                f"expected a network with {', '.join(MEMBERS)}, got "
                f"{type(self.network).__name__} without {', '.join(missing)}; add what is missing, "
                "see anymask.models.network.Network"
            )
        if self.compile:
            _ = self._compiled  # refuses what cannot be compiled

    def __repr__(self) -> str:
        """Name the model and its device."""
        return f"Segmenter({self.variant.name!r}, device={str(self.device)!r})"

    @property
    def device(self) -> Device:
        """Where it computes: a `torch.device`, or a string if its network does without PyTorch."""
        return self.network.device

    @property
    def dtype(self) -> Dtype:
        """Floating-point dtype that it computes in."""
        return self.network.dtype

    def to(
        self,
        device: Device | None = None,
        dtype: Dtype | None = None,
    ) -> Self:
        """Make the same model on another device or of another dtype.

        This one stays as it is, so that whoever shares it can go on using it. Embeddings fit both.

        Args:
            device: As for `load`; None: the same.
            dtype: As for `load`; None: the same.

        Raises:
            InputError: There is no such device, or it does not have that dtype, or the network
                cannot be moved.
        """
        here, now = self.device, self.dtype
        if isinstance(here, str):
            now = getattr(self.network, "computing", now)  # whose arrays are float32 all the same
            place, kind = str(device or here), str(dtype or now).removeprefix("torch.")
            return replace(self, network=self.network.moved(place, kind))
        where = here if device is None else find_device(device)
        number = find_dtype(now if dtype is None else dtype, where)
        return replace(self, network=self.network.moved(where, number))

    def knowing(self, image: Image, embedding: Embedding) -> Self:
        """Make the same model that need not encode this image again.

        For verbs that take images alone, such as `generate` and ``predict(text=...)``.

        Args:
            image: The very object that is given to them later.
            embedding: What this model made of it.

        Examples:
            >>> from anymask import Image, load
            >>> model, image = load(), Image.open("docs/pictures/coffee.jpg")
            >>> model.knowing(image, model.embed(image)).subject(image).labels
            ('subject',)
        """
        self._check_embedding(embedding)
        same = copy.copy(self)  # what was prepared for the decoder is shared
        object.__setattr__(same, "_known", (image, embedding))
        return same

    @overload
    def embed(  # type: ignore[overload-overlap]  # a str is a sequence of str: it counts as one
        self, image: ImageLike
    ) -> Embedding: ...
    @overload
    def embed(self, image: Sequence[ImageLike]) -> list[Embedding]: ...

    def embed(self, image: ImageLike | Sequence[ImageLike]) -> Embedding | list[Embedding]:
        """Encode an image, or each image of a list; the slow part, done once per image.

        Of a list, a few images are read at a time, and those whose frames have one size go through
        the network together.

        Args:
            image: Path, bytes, Pillow image or array; see `Image.open`.

        Raises:
            InputError: It is missing, damaged, or no image.
        """
        if not isinstance(image, (list, tuple)):
            return self._embed([Image.open(cast(ImageLike, image))])[0]
        embeddings = []
        for start in range(0, len(image), IMAGES_AT_ONCE):
            few = image[start : start + IMAGES_AT_ONCE]
            embeddings += self._embed([Image.open(one) for one in few])
        return embeddings

    @threads_work()
    def _embed(self, images: Sequence[Image]) -> list[Embedding]:
        """Encode a few images, in their order."""
        wanted = self.variant.preprocessing
        transforms = [wanted.fit(image.size_hw) for image in images]
        seen = [wanted.seen(transform) for transform in transforms]
        embeddings = self._known_ones(images)
        new = [i for i in range(len(images)) if i not in embeddings]
        groups = alike([(seen[i].resized_hw, seen[i].frame_hw) for i in new])
        for places in ([new[n] for n in group] for group in groups):
            resized = np.stack([seen[i].resize(images[i], wanted.resize) for i in places])
            features = self._encode(resized, seen[places[0]])
            for n, i in enumerate(places):
                # Copies, so that one embedding does not keep those of its neighbours in memory.
                own = {name: copied(maps[n : n + 1]) for name, maps in features.items()}
                signature = self._sign(transforms[i], resized[n])
                embeddings[i] = Embedding(own, transforms[i], signature, images[i].source)
        return [embeddings[i] for i in range(len(images))]

    def _known_ones(self, images: Sequence[Image]) -> dict[int, Embedding]:
        """Find what need not be encoded: the same pixels in memory, or all of them cropped."""
        if self._known is None:
            return {}
        image, embedding = self._known
        place = image.pixels.__array_interface__["data"], image.pixels.shape
        return {
            i: embedding
            for i, one in enumerate(images)
            if (one.pixels.__array_interface__["data"], one.pixels.shape) == place
        }

    def _encode(self, resized: npt.NDArray[Any], transform: Transform) -> Mapping[str, Array]:
        """Normalise images, (b, h, w, 3) from 0 to 255, pad them, and run the encoder.

        The transform is that of the encoder's frame.
        """
        frames = self.variant.preprocessing.frames(resized, transform, self.device)
        with inference(self.device):
            pixels = placed(frames, self.device, self.dtype)
            encode = self._compiled if self.compile else self.network.encode
            features = encode(pixels, transform.resized_hw)
            return {name: placed(maps, self.device) for name, maps in features.items()}

    @cached_property
    def _compiled(self) -> Encode:
        return compile_encoder(self.network)

    def _sign(self, transform: Transform, resized: npt.NDArray[Any]) -> str:
        """Tell an embedding by the model and by what the network saw of the image."""
        shown = hashlib.sha256(f"{transform}".encode() + resized.tobytes()).hexdigest()
        return f"{self._signature}-{shown[:32]}"

    @property
    def _signature(self) -> str:
        """What all embeddings of this model have in common: the preprocessing and the weights."""
        identity = f"{self.variant.preprocessing} {self.weights_digest}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    def _check_embedding(self, embedding: Embedding) -> None:
        if not isinstance(embedding, Embedding):
            raise InputError(
                f"expected an Embedding, got {type(embedding).__name__}; embed the image first"
            )
        if not embedding.signature.startswith(self._signature):
            raise InputError(
                f"expected an embedding that {self.variant.name} made with these weights, got one "
                "of another model; embed the image with this one"
            )


def alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """Group the numbers of equal keys, in the order in which they first come."""
    groups: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    return list(groups.values())

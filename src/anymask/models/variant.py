"""What a row of the table of models is made of: see `anymask.models.variants`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from anymask.config import GenerateConfig, InstanceConfig
from anymask.errors import CapabilityError, WeightsError
from anymask.models.config import (
    CompactConfig,
    EfficientSamConfig,
    FastSamConfig,
    Sam2Config,
    SamConfig,
    SamHqConfig,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt

    from anymask.arrays import Array, Device
    from anymask.image.transform import Enlarging, Resizing, Transform

__all__ = ["Capability", "Kind", "Preprocessing", "Variant", "WeightSource"]

Capability = Literal["points", "negative_points", "box", "mask", "text", "multimask", "nothing"]
Kind = Literal["promptable", "instances"]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input."""

    side: int
    """Longest side after resizing, in pixels."""
    pad: Literal["square"] | int | None = "square"
    """Padding at the bottom and right: to a square, to a multiple of this number, or none."""
    encoder_side: int | None = None
    """Longest side for the encoder; none: ``side``, the frame that prompts and masks live in."""
    squash: bool = False
    """Resize to a square without keeping the aspect ratio."""
    centre: bool = False
    """Pad on all four sides alike, not only at the bottom and right."""
    fill: float | None = None
    """Grey value 0..255 of the padding before normalising; none: zeros after it."""
    resize: Resizing = "antialias"
    """How the image is resized."""
    enlarge: Enlarging = "bilinear"
    """How masks come back to the size of the image."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Subtracted from the RGB values 0..255 ..."""
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    """... which are then divided by this."""
    clamp: float | None = None
    """How far from 0 the logits may be that are given out, for they may come back as prompts."""

    @property
    def for_encoder(self) -> Preprocessing:
        """How an image becomes what the encoder sees, whose frame may be another than the prompts'.

        Examples:
            >>> Preprocessing(side=1024, encoder_side=512).for_encoder.side
            512
        """
        if self.encoder_side is None:
            return self
        return replace(self, side=self.encoder_side, encoder_side=None)

    def fit(self, size_hw: tuple[int, int]) -> Transform:
        """Fit an image of (height, width) into the frame of prompts and masks."""
        from anymask.image.transform import Transform  # here: the table is read without numpy

        return Transform.fit(
            size_hw,
            side=self.side,
            pad=self.pad,
            squash=self.squash,
            centre=self.centre,
            enlarge=self.enlarge,
        )

    def frames(self, resized: npt.NDArray[Any], transform: Transform, device: Device) -> Array:
        """Normalise and pad images that were brought to the size of the frame.

        Args:
            resized: What `Transform.resize` made of each, (b, h, w, 3), 0 to 255.
            transform: The way of all of them into the frame.
            device: That of the network: a string for a numpy array, a `torch.device` for a tensor
                there, as which the numbers are worked out where they are needed.

        Returns:
            float32 (b, 3, *transform.frame_hw), what the network takes.
        """
        from anymask.arrays import placed  # here, for the table is read without numpy

        if isinstance(device, str):
            return self._normalised(resized, transform)
        pixels = placed(resized, device).permute(0, 3, 1, 2).float()
        mean, std = (pixels.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        b, _, h, w = pixels.shape
        frames = pixels.new_zeros((b, 3, *transform.frame_hw))
        if self.fill is not None:
            frames += (self.fill - mean) / std
        top, left = transform.offset_hw
        frames[:, :, top : top + h, left : left + w] = (pixels - mean) / std
        return frames

    def _normalised(
        self, resized: npt.NDArray[Any], transform: Transform
    ) -> npt.NDArray[np.float32]:
        """Do the same in numpy, channel by channel: a few times as fast as all at once."""
        import numpy as np

        (b, h, w, _), (top, left) = resized.shape, transform.offset_hw
        frames = np.zeros((b, 3, *transform.frame_hw), dtype=np.float32)
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            where = frames[:, channel]
            if self.fill is not None:
                where += np.float32((self.fill - mean) / std)
            inside = where[:, top : top + h, left : left + w]
            np.subtract(resized[..., channel], np.float32(mean), out=inside)
            inside /= np.float32(std)
        return frames


@dataclass(frozen=True)
class WeightSource:
    """Where weights come from, and how to recognise them."""

    file: str
    """File name, in the package's ``models/bundled`` or in the cache folder; or a whole path."""
    licence: str
    """SPDX name of the licence of the weights."""
    url: str | None = None
    """Public address; ``None`` for weights that ship inside the package."""
    sha256: str | None = None
    """SHA-256 of the file in hex, or the leading part of it that was published."""
    size: int | None = None
    """Bytes of the file."""


@dataclass(frozen=True)
class Variant:
    """One row of the table of models."""

    name: str
    """What `load` and the command line call it."""
    family: str
    """Models of one family share their code."""
    summary: str
    """One line for people who choose."""
    network: (
        SamConfig
        | SamHqConfig
        | Sam2Config
        | EfficientSamConfig
        | FastSamConfig
        | CompactConfig
        | None
    )
    """Architecture numbers; their class decides which network is built. None: another package's."""
    preprocessing: Preprocessing
    """How an image becomes the network's input."""
    parameters: int
    """Number of learned values."""
    capabilities: frozenset[Capability]
    """Prompts and answers that the model knows."""
    weights: WeightSource
    """Where the weights come from."""
    paper: tuple[str, str] | None = None
    """Title and address of the publication."""
    aliases: tuple[str, ...] = ()
    """Other names that mean this variant."""
    kind: Kind = "promptable"
    """Its decoder answers each prompt; or it finds all instances at once, and prompts select."""
    generate: GenerateConfig | InstanceConfig = field(default_factory=GenerateConfig)
    """What everything mode looks for and drops, unless told otherwise."""
    never_alone: frozenset[Capability] = frozenset()
    """Prompts that it understands only beside a point on the object, a box or a text.

    A mask among them is completed by what it implies; background points are refused.
    """
    always_three: bool = False
    """Three answers to every prompt unless told otherwise, not only to a single point."""

    def __post_init__(self) -> None:
        """Check that the settings are those of its kind, and that there is something to load."""
        if not isinstance(self.weights, WeightSource):
            raise WeightsError(
                f"expected a WeightSource as the weights of {self.name}, got {self.weights!r}; for "
                "a model without a weight file, such as a service, name a file of its package"
            )
        wanted = _SETTINGS.get(self.kind)
        if wanted is None:
            kinds = " or ".join(_SETTINGS)
            raise WeightsError(
                f"expected {self.name} to be of the kind {kinds}, got {self.kind!r}; correct it"
            )
        if not isinstance(self.generate, wanted):
            raise WeightsError(
                f"expected {wanted.__name__} as the settings of {self.name}, which is of the kind "
                f"{self.kind!r}, got {type(self.generate).__name__}; correct one of the two"
            )

    @property
    def max_points(self) -> int | None:
        """Points that one prompt may have, a box counting as two; None: any number."""
        return getattr(self.network, "max_points", None)

    @property
    def remembers(self) -> bool:
        """Whether its network has a memory for clips, by which it follows things."""
        return getattr(self.network, "memory", None) is not None

    @property
    def takes_words(self) -> bool:
        """Whether it cuts out what words name: from the boxes of a grounder, or by itself."""
        return not self.capabilities.isdisjoint({"box", "text"})

    def unprompted(self) -> Variant:
        """Describe the same model after it learned to find one kind of thing, and is not asked."""
        return replace(self, capabilities=frozenset({"nothing"}), always_three=False)

    def check_capable(self, needs: Iterable[str]) -> None:
        """Check that the model knows all that is needed, such as `Prompt.required_capabilities`.

        Raises:
            CapabilityError: It does not.
        """
        for need in needs:
            if need not in self.capabilities:
                known = ", ".join(_WORDS[c] for c in _WORDS if c in self.capabilities)
                raise CapabilityError(
                    f"{self.name} does not know {_WORDS[need]}, only {known}; "
                    "ask in another way or load another model"
                )


_SETTINGS = {"promptable": GenerateConfig, "instances": InstanceConfig}

_WORDS = {
    "points": "points",
    "negative_points": "background points (label 0)",
    "box": "boxes",
    "mask": "masks as prompts",
    "text": "text",
    "multimask": "three answers to one prompt (multimask)",
    "nothing": "images without a prompt",
}

"""What a row of the table of models is made of: see `anymask.models.variants`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

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
from anymask.models.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Capability", "Kind", "Variant", "WeightSource"]

Capability = Literal["points", "negative_points", "box", "mask", "text", "multimask", "nothing"]
Kind = Literal["promptable", "instances"]


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

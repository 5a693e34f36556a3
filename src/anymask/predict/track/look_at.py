"""How a model looks at a frame: by a memory of its own if it has one, else by the light tracker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from anymask.image.image import Image
from anymask.masks.masks import Masks
from anymask.predict.track.cells import Model
from anymask.predict.track.frame import Frame
from anymask.predict.track.step import step
from anymask.predict.track.track import Track
from anymask.prompt import Prompt

__all__ = ["Looked", "look_at"]


class Looked(Protocol):
    """A frame that things can be followed into."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the frame."""
        ...

    def step(
        self,
        track: Track,
        prompts: Mapping[str, Prompt],
        index: int,
        taken: npt.NDArray[np.bool_] | None = None,
        *,
        empty: bool = False,
    ) -> tuple[Track, Masks]:
        """Go on to it; see `step.step`."""
        ...


@dataclass(frozen=True, eq=False)
class _Light:
    """A frame that the light tracker looks at."""

    frame: Frame

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.frame.embedding.size_hw

    def step(
        self,
        track: Track,
        prompts: Mapping[str, Prompt],
        index: int,
        taken: npt.NDArray[np.bool_] | None = None,
        *,
        empty: bool = False,
    ) -> tuple[Track, Masks]:
        return step(self.frame, track, prompts, index, taken, empty=empty)


def look_at(model: Model, image: Image) -> Looked:
    """Look at a frame in the way of a model."""
    if not remembers(model):
        return _Light(Frame.of(model, image))
    from anymask.predict.track.remember import MemoryFrame  # brings PyTorch with it

    return MemoryFrame.of(model, image)


def remembers(model: Any) -> bool:
    """Return whether a model follows things by a memory of its own."""
    return bool(getattr(model.variant, "remembers", False)) and hasattr(model.network, "recall")

"""What paints a hole: one small protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Engine", "Request", "Task"]

Task = Literal["remove", "fill", "replace"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is wanted of an engine, beside the pixels."""

    task: Task
    """remove: as if the thing had not been there; fill: a new thing; replace: a new background."""
    prompt: str = ""
    """What to paint; nothing when a thing is removed."""
    negative: str | None = None
    """What not to paint."""
    seed: int = 0
    """Start of the random numbers."""
    steps: int | None = None
    """Steps of diffusion; None: as the pipeline has it."""
    strength: float | None = None
    """How much noise is added to what was there, up to 1; None: 1, which forgets it."""
    guidance: float | None = None
    """How closely the prompt is followed; None: as the pipeline has it."""
    size: int | None = None
    """Longest side at which to work; None: what suits the engine."""
    control: npt.NDArray[np.uint8] | None = None
    """What a ControlNet is to see, RGB, as large as the pixels; None: the engine has none."""
    progress: Callable[[int, int], None] = lambda done, total: None
    """Called with the steps done and their number; may raise, to end the work."""


class Engine(Protocol):
    """Paints holes. Any number of threads may use one at the same time.

    Of ``negative``, ``steps``, ``strength`` and ``guidance`` it is asked only those that its
    attribute ``settings``, a frozenset of names, lists; without that attribute, all of them.

    Examples:
        >>> class Grey:
        ...     tasks = frozenset({"remove"})
        ...     identity = {"engine": "grey"}
        ...     def paint(self, pixels, hole, request):
        ...         return np.where(hole[..., None], np.uint8(128), pixels)
        >>> from anymask.extras import inpaint
        >>> image = inpaint(np.zeros((4, 6, 3), np.uint8), np.eye(4, 6, dtype=bool), engine=Grey())
        >>> image.pixels[0, :2].tolist()
        [[128, 128, 128], [0, 0, 0]]
    """

    @property
    def tasks(self) -> frozenset[Task]:
        """What it can do."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """What decides how its results look, as a run that resumes compares it."""
        ...

    def paint(
        self, pixels: npt.NDArray[np.uint8], hole: npt.NDArray[np.bool_], request: Request
    ) -> npt.NDArray[np.uint8]:
        """Paint the hole of a part of an image.

        Args:
            pixels: uint8 (h, w, 3), RGB, the hole and what is around it.
            hole: bool (h, w), true at least somewhere; what the image has there does not count
                when a thing is removed.
            request: What is wanted.

        Returns:
            uint8 (h, w, 3). Only what lies in the hole is used.
        """
        ...

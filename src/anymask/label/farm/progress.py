"""How far a farm is, how fast it goes, and how long it will take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["FarmProgress", "Meter", "Stage"]

Stage = Literal["listing", "reading", "labelling", "writing"]
_RECENT = 500  # of what was done last tells how fast it goes


@dataclass(frozen=True)
class FarmProgress:
    """How far a farm is.

    Attributes:
        stage: What it is doing: listing the source, reading images to tell their contents apart,
            labelling, or writing what is still to be written.
        done: Of that, how much this run has done.
        total: How much there was to do when the stage began; None: nobody knows.
        failed: How much of what is done failed.
        masks: Masks that this run found.
        rate: How much is done a second now; None: too early to tell.
        left: Seconds that the stage will still take; None: nobody knows.
    """

    stage: Stage
    done: int
    total: int | None
    failed: int
    masks: int
    rate: float | None
    left: float | None


class Meter:
    """Counts what a stage has done, and tells it.

    Args:
        stage: Which one.
        total: How much there is to do; None: nobody knows.
        tell: Is told of every step.
        clock: Gives seconds.

    Examples:
        >>> told = []
        >>> meter = Meter("labelling", 4, told.append, iter(range(9)).__next__)
        >>> meter.add(masks=7)
        >>> told[-1].done, told[-1].masks, told[-1].rate, told[-1].left
        (1, 7, 1.0, 3.0)
    """

    def __init__(
        self,
        stage: Stage,
        total: int | None,
        tell: Callable[[FarmProgress], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage, self._total, self._tell, self._clock = stage, total, tell, clock
        self._done = self._failed = self._masks = 0
        self._times: deque[float] = deque([clock()], maxlen=_RECENT + 1)
        self._say()

    def add(self, *, failed: bool = False, masks: int = 0) -> None:
        """Count one thing that is done."""
        self._done += 1
        self._failed += failed
        self._masks += masks
        self._times.append(self._clock())
        self._say()

    def _say(self) -> None:
        if self._tell is None:
            return
        passed, steps = self._times[-1] - self._times[0], len(self._times) - 1
        rate = steps / passed if steps and passed > 0 else None
        left = None if rate is None or self._total is None else (self._total - self._done) / rate
        counted = self._done, self._total, self._failed, self._masks
        self._tell(FarmProgress(self._stage, *counted, rate, left))

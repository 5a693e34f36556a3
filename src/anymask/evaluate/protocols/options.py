"""The options of each protocol: a dataclass whose fields are its flags.

They stand apart from what the protocols do, so that the command line can show its help without
loading PyTorch and NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anymask.config import Personalizing
from anymask.data.mask_filter import MaskFilter
from anymask.errors import InputError

__all__ = [
    "BoxesOptions",
    "CoveringOptions",
    "EdgesOptions",
    "InstancesOptions",
    "PerSegOptions",
    "PointsOptions",
    "ProposalsOptions",
    "TextOptions",
]


@dataclass(frozen=True)
class PointsOptions:
    """Click on each mask, then correct the prediction click by click."""

    counts: tuple[int, ...] = (1, 2, 3, 5, 9)
    """Numbers of clicks that the table shows."""
    max_clicks: int = 20
    """Clicks at most, for the number of clicks to 85 and 90 % IoU."""
    start: Literal["deepest", "random"] = "deepest"
    """The first click: the point farthest from the mask's border, or any point of the mask."""
    multimask: Literal["first", "always"] = "first"
    """Predict three masks from the first click only, or from every click."""
    peers: tuple[Literal["felzenszwalb"], ...] = ()
    """Classical tools that get the same first click."""
    mask_filter: MaskFilter = field(default_factory=MaskFilter)
    """Which masks take part."""

    name = "points"

    def __post_init__(self) -> None:
        """Check that there is something to count."""
        if not self.counts or min(*self.counts, self.max_clicks) < 1:
            raise InputError(
                f"expected numbers of clicks of at least 1, got counts {self.counts} and "
                f"max_clicks {self.max_clicks}; 1 2 3 5 9 and 20 are usual"
            )


@dataclass(frozen=True)
class BoxesOptions:
    """Draw a box around each mask: once along its pixels, once with jittered sides."""

    spread: float = 0.1
    """Standard deviation of the jitter, as a share of the box's side."""
    max_shift: float = 20.0
    """Largest move of a side, in pixels."""
    peers: tuple[Literal["grabcut"], ...] = ()
    """Classical tools that get the same tight boxes."""
    mask_filter: MaskFilter = field(default_factory=MaskFilter)
    """Which masks take part."""

    name = "boxes"

    def __post_init__(self) -> None:
        """Check the jitter."""
        if not (0 <= self.spread < math.inf and 0 <= self.max_shift < math.inf):
            raise InputError(
                f"expected spread and max_shift of at least 0, got {self.spread} and "
                f"{self.max_shift}; 0.1 and 20 are SAM's"
            )


@dataclass(frozen=True)
class EdgesOptions:
    """Find everything, take its edges, and compare them with every annotator's."""

    points_per_side: int = 16
    """Points along each side of the grid of prompts."""
    nms: float = 0.7
    """Of two masks whose boxes have a higher IoU than this, the better one counts."""
    reach: float = 0.0075
    """How far an edge may be from where a person drew it, as a share of the diagonal."""
    peers: tuple[Literal["canny", "sobel"], ...] = ()
    """Classical detectors to measure on the same images."""

    name = "edges"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.points_per_side < 1 or not (0 < self.nms <= 1 and 0 < self.reach < 1):
            raise InputError(
                "expected points_per_side of at least 1, nms above 0 and at most 1, and reach "
                f"between 0 and 1, got {self.points_per_side}, {self.nms} and {self.reach}; "
                "16, 0.7 and 0.0075 are usual"
            )


@dataclass(frozen=True)
class CoveringOptions:
    """Find everything, paint one label map of it, and see how it covers what people drew."""

    points_per_side: int | None = None
    """Points along each side of the grid of prompts; None: as the model's settings say."""
    peers: tuple[Literal["felzenszwalb"], ...] = ()
    """Classical tools to measure on the same images."""
    scales: tuple[float, ...] = (100, 200, 300, 400, 600, 800, 1000, 1500, 2000, 3000, 4000, 6000)
    """Scales of Felzenszwalb's regions, of which the best one for the whole set counts."""

    name = "covering"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.points_per_side is not None and self.points_per_side < 1:
            raise InputError(
                f"expected points_per_side of at least 1, got {self.points_per_side}; leave it out "
                "to have the model's own"
            )
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise InputError(f"expected scales above 0, got {self.scales}; 100 to 6000 are usual")


@dataclass(frozen=True)
class ProposalsOptions:
    """Find everything, and count which of the true masks are among the best of it."""

    counts: tuple[int, ...] = (10, 100, 1000)
    """Numbers of masks of an image that count, best first."""
    points_per_side: int = 64
    """Points along each side of the grid of prompts; 64 is the paper's."""
    nms: float = 0.9
    """Of two masks whose boxes have a higher IoU than this, the better one counts; 0.9 is the
    paper's."""
    ranking: Literal["paper", "model"] = "paper"
    """paper: the grid alone, ranked by the mean of predicted IoU and stability; model: with the
    further prompts and the ranking of the model's own settings."""

    name = "proposals"

    def __post_init__(self) -> None:
        """Check the limits."""
        if not self.counts or min(self.counts) < 1:
            raise InputError(
                f"expected numbers of masks of at least 1, got {self.counts}; 10 100 1000 are usual"
            )


@dataclass(frozen=True)
class InstancesOptions:
    """Draw a mask for each box that a detector found."""

    boxes: Path
    """The detector's boxes: JSON in COCO's format of results."""
    rounds: int = 1
    """How often a prediction is fed back together with its box; 1 is the paper's."""
    limit: int | None = None
    """At most so many boxes of each image, the best ones; None: all."""
    score: Literal["detector", "product"] = "detector"
    """What masks are ranked by: the detector's score, or its product with the predicted IoU."""

    name = "instances"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.rounds < 0 or (self.limit is not None and self.limit < 1):
            raise InputError(
                f"expected rounds of at least 0 and a limit of at least 1, got {self.rounds} and "
                f"{self.limit}; 1 round and no limit are usual"
            )


@dataclass(frozen=True)
class TextOptions:
    """Prompt with the name of each category of an image."""

    template: str = "{}"
    """The prompt, with {} for the name; "a photo of a {}" suits some models better."""
    present_only: bool = False
    """Leave out the categories that are known to be absent."""

    name = "text"

    def __post_init__(self) -> None:
        """Check that the name is in the prompt."""
        if "{}" not in self.template:
            raise InputError(
                f"expected a template with {{}} for the name, got {self.template!r}; add it"
            )


@dataclass(frozen=True)
class PerSegOptions:
    """Show the model an object in one image, and let it find the object in others."""

    name = "perseg"
    method: Personalizing = "match"
    """match: ours, which may find nothing; persam, persam-f: as published."""

"""The click loop with a depth read-out: one embedding, one depth map, any number of clicks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anymask.errors import InputError
from anymask.extras.depth.depth_map import DepthMap
from anymask.extras.depth.files import DepthFile
from anymask.extras.depth.measure import MaskDepth, measure_mask
from anymask.extras.depth.network import DEFAULT, Estimator
from anymask.image.image import Image, ImageLike

if TYPE_CHECKING:
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["Reading", "Session"]


@dataclass(frozen=True)
class Reading:
    """What is known after a click.

    Attributes:
        mask: The mask so far, one.
        depth: Its depth, in units of the map; ``rank`` is None, for there is one mask.
        at_click: The map's value where the last click was; None where it is unknown, or if the
            last prompt was a box.
        unit: "m", or "" for relative inverse depth, where large is near.
    """

    mask: Masks
    depth: MaskDepth
    at_click: float | None
    unit: str

    def __str__(self) -> str:
        """Say it in one line."""
        if self.depth.median is None:
            return f"{int(self.mask.areas[0]) if len(self.mask) else 0:,} pixels, depth unknown"
        low, high = self.depth.p10, self.depth.p90
        numbers = f"{self.depth.median:.3g} ({low:.3g} to {high:.3g}) {self.unit}".rstrip()
        return f"{int(self.mask.areas[0]):,} pixels, depth {numbers}"


class Session:
    """Clicks on one image, each of which refines the mask and reports its depth.

    The image is decoded, embedded and its depth estimated once, when the session begins.

    Args:
        image: Path, bytes, Pillow image or array.
        model: What cuts out: what `anymask.load` returned, or takes.
        depth: The depth: a `DepthMap`, an array or a file; or who estimates it: an `Estimator`, or
            what `load` takes.

    Attributes:
        image: The image.
        depth: Its depth, at its size.
        embedding: What the model made of it.

    Raises:
        InputError: Image or depth cannot be read, or have different proportions.
        WeightsError: A model cannot be found.
        MissingExtraError: The depth is to be estimated, and transformers is not installed.

    Examples:
        >>> import numpy as np
        >>> photo = np.zeros((48, 64, 3), np.uint8)
        >>> photo[10:30, 20:40] = 255
        >>> metres = np.where(photo[..., 0] > 0, 2.0, 5.0)
        >>> session = Session(photo, depth=DepthMap(metres, "metric"))
        >>> session.click(30, 20).at_click
        2.0
        >>> session.click(5, 5, background=True).depth.known
        1.0
        >>> session.undo().at_click, session.clicks
        (2.0, ((30.0, 20.0, True),))
    """

    def __init__(
        self,
        image: ImageLike,
        *,
        model: str | os.PathLike[str] | Segmenter = "bundled",
        depth: DepthMap | Estimator | DepthFile = DEFAULT,
    ) -> None:
        from anymask.extras.depth.sources import find_depth

        self.image = Image.open(image)
        source = find_depth(depth)
        if isinstance(model, str | os.PathLike):
            from anymask.predict.loading import load

            model = load(model)
        self.depth = source.of(self.image)
        self._model = model
        self.embedding = model.embed(self.image)
        self._clicks: list[tuple[float, float, bool]] = []
        self._box: tuple[float, float, float, float] | None = None
        self._answers: list[Reading] = []
        self._boxed: list[bool] = []

    @property
    def clicks(self) -> tuple[tuple[float, float, bool], ...]:
        """All clicks so far: x, y, and whether it is on the object."""
        return tuple(self._clicks)

    @property
    def reading(self) -> Reading | None:
        """What the last click brought; None before the first."""
        return self._answers[-1] if self._answers else None

    def click(self, x: float, y: float, *, background: bool = False) -> Reading:
        """Click, and get the mask that all clicks so far describe, with its depth.

        Args:
            x: In pixels of the image, from the left.
            y: From the top.
            background: The pixel does not belong to the object.

        Raises:
            InputError: The point lies outside, or the first click is a background point.
            CapabilityError: The model does not know this kind of click.
        """
        at = self.depth.at(x, y)
        if background and not self._clicks and self._box is None:
            raise InputError(
                "expected a click on the object first, got a background point; click on it"
            )
        clicks = [*self._clicks, (float(x), float(y), not background)]
        reading = self._ask(clicks, self._box, at)
        self._clicks = clicks
        return self._keep(reading, boxed=False)

    def box(self, xyxy: tuple[float, float, float, float]) -> Reading:
        """Begin with a box around the object instead of a click.

        Raises:
            InputError: There was a click or a box already; `reset` first.
        """
        if self._answers:
            raise InputError("expected a box before all clicks, got one after them; reset first")
        x0, y0, x1, y1 = (float(edge) for edge in xyxy)
        box = (x0, y0, x1, y1)
        reading = self._ask([], box, float("nan"))
        self._box = box
        return self._keep(reading, boxed=True)

    def undo(self) -> Reading | None:
        """Take the last click or box back; gives what was known before it."""
        if self._answers:
            self._answers.pop()
            if self._boxed.pop():
                self._box = None
            else:
                self._clicks.pop()
        return self.reading

    def reset(self) -> None:
        """Forget all clicks, for another object; embedding and depth stay."""
        self._clicks, self._box, self._answers, self._boxed = [], None, [], []

    def _keep(self, reading: Reading, *, boxed: bool) -> Reading:
        self._answers.append(reading)
        self._boxed.append(boxed)
        return reading

    def _ask(
        self,
        clicks: list[tuple[float, float, bool]],
        box: tuple[float, float, float, float] | None,
        at: float,
    ) -> Reading:
        from anymask.prompt import Prompt

        last = self.reading
        logits = None if last is None else last.mask.logits
        feeds = "mask" in self._model.variant.capabilities and logits is not None
        prompt = Prompt(
            points_xy=[(x, y) for x, y, _ in clicks] or None,
            labels=[int(on) for *_, on in clicks] if clicks else None,
            box=box,
            mask_logits=logits[0] if feeds and logits is not None else None,
        )
        mask = self._model.predict(self.embedding, prompts=prompt).best()
        none = MaskDepth(None, None, None, 0.0)
        depth = measure_mask(self.depth, mask) if len(mask) else none
        return Reading(mask, depth, None if at != at else at, self.depth.unit)

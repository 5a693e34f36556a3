"""Depth of many images: the map of each, and how far away what masks cover is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask import formats
from anymask.batch.job import Everything, Job, MaskJob, Segment, Watch, answer
from anymask.errors import InputError
from anymask.extras.depth.measure import Measured, measure
from anymask.extras.depth.picture import draw
from anymask.extras.depth.sources import DepthFrom
from anymask.extras.given_masks import GivenMasks
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    import PIL.Image

    from anymask.image.image import Image, ImageLike
    from anymask.predict.segmenter import Segmenter

__all__ = ["Depth", "EverythingDepth", "Workers"]


@dataclass(frozen=True)
class Workers:
    """Who does it.

    Attributes:
        depth: Gives the depth.
        segmenter: Finds the masks; None if there is nothing to find.
    """

    depth: DepthFrom
    segmenter: Segmenter | None = None


@dataclass(frozen=True, kw_only=True)
class Depth(Job[Workers, Measured]):
    """Get the depth of each image, and measure masks by it.

    Each image gets a picture (``-depth.png``: image, map, masks in order), the map (``-depth.npy``)
    and its masks with their depth.

    Attributes:
        finder: What finds the masks: the job of `anymask segment` that does.
        masks: Instead: masks that are there. Without either there is the map alone.
        overlay: Write the picture.
        keep_map: Write the map.
    """

    name = "depth"
    unit = "masks"
    format: str = "sa1b"
    finder: MaskJob | None = None
    masks: GivenMasks | None = None
    keep_map: bool = True

    def __post_init__(self) -> None:
        """Check the format, and that masks come from one place."""
        formats.find(self.format)
        if self.finder is not None and self.masks is not None:
            raise InputError("expected a prompt or masks, got both; say one of them")

    def identity(self, model: Workers) -> dict[str, Any]:
        """Give those of both models."""
        finder = self.finder
        asked = finder is not None and model.segmenter is not None
        found = finder.identity(model.segmenter) if finder and model.segmenter and asked else {}
        return {**found, **model.depth.identity()}

    def settings(self, model: Workers) -> dict[str, Any]:
        """Give what is measured, and what is written."""
        said: dict[str, Any] = {"masks": None}
        if self.finder is not None and model.segmenter is not None:
            said = self.finder.settings(model.segmenter)
        elif self.masks is not None:
            label = self.masks.label
            names = label if label is None or isinstance(label, str) else list(label)
            said = {"masks": self.masks.digest(), "label": names}
        drawn = {"format": self.format, "overlay": self.overlay, "map": self.keep_map}
        return {**said, **drawn}

    def work(
        self, model: Workers, source: ImageLike, watch: Watch
    ) -> tuple[Measured, Image | None]:
        """Decode the image once; find masks, get the depth, and join them."""
        from anymask.image.image import Image

        image = Image.open(source)
        watch.step()
        masks = self.find(model, image, watch)
        watch.step(", depth")
        return measure(model.depth.of(image), masks), image

    def find(self, model: Workers, image: Image, watch: Watch) -> Masks:
        """Find or take the masks of one image."""
        if self.finder is not None:
            assert model.segmenter is not None
            return self.finder.work(model.segmenter, image, watch)[0]
        if self.masks is not None:
            return replace(self.masks.of(image), source=image.source)
        return Masks.empty(image.size_hw, source=image.source)

    def draw(self, found: Measured, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw image, map and masks side by side."""
        if self.overlay:
            yield "-depth.png", draw(image, found)

    def endings(self) -> list[str]:
        """Name the picture."""
        return ["-depth.png"] * self.overlay

    def further(self, found: Measured) -> Iterator[tuple[str, bytes]]:
        """Write the map, and what the format of masks puts beside its file."""
        if self.keep_map:
            content = io.BytesIO()
            found.depth.save(content)
            yield "-depth.npy", content.getvalue()
        yield from self._writer.further(found.masks)

    def further_endings(self) -> list[str]:
        """Name these."""
        return ["-depth.npy"] * self.keep_map + self._writer.further_endings()

    def written(self) -> str:
        """Name the format of the masks."""
        return self._writer.written()

    def suffix(self) -> str:
        """Name the file of the masks."""
        return self._writer.suffix()

    def save(self, found: Measured, path: Path) -> None:
        """Write the masks."""
        self._writer.save(found.masks, path)

    def joining(self, path: Path) -> AbstractContextManager[Callable[[Path, str], None]]:
        """Join the masks of all images."""
        return self._writer.joining(path)

    def describe(self, found: Measured) -> dict[str, Any]:
        """Give depth, score, area and box of each mask, in the order of the masks."""
        known = {"depth": found.masks.image_meta["depth"]}
        if self.finder is None and self.masks is None:
            return {**known, "depth_only": True}
        answers = [
            {"label": mask.labels[0], **answer(mask), "depth": dict(mask.meta[0]["depth"])}
            for mask in found.masks
        ]
        return {**known, "answers": answers}

    @property
    def _writer(self) -> MaskJob:
        """A job that writes masks in the same form."""
        return Segment(prompts=(), format=self.format)


@dataclass(frozen=True, kw_only=True)
class EverythingDepth(Everything):
    """Find everything in each image, and write its depth into every record.

    Attributes:
        depth: Gives the depth.
    """

    depth: DepthFrom

    def settings(self, model: Segmenter) -> dict[str, Any]:
        """Say where the depth comes from, too."""
        return {**super().settings(model), **self.depth.identity()}

    def work(self, model: Segmenter, source: ImageLike, watch: Watch) -> tuple[Masks, Image | None]:
        """Search the image, and measure what was found."""
        masks, image = super().work(model, source, watch)
        if image is None:
            watch.note("too large for its depth, which is left out; shrink it first")
            return masks, image
        watch.step(", depth")
        return measure(self.depth.of(image), masks).masks, image

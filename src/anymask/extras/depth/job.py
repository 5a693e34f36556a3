"""Depth of many images: the map of each, and how far away what masks cover is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from anymask import formats
from anymask.batch.job import Add, Everything, Job, MaskJob, Segment, Watch, answer
from anymask.errors import InputError
from anymask.extras.depth.depth_map import DepthMap
from anymask.extras.depth.files import DepthFile
from anymask.extras.depth.measure import Measured, measure
from anymask.extras.depth.network import DEFAULT, Estimator
from anymask.extras.depth.picture import draw
from anymask.extras.depth.sources import DepthFrom, find_depth
from anymask.extras.given_masks import GivenMasks
from anymask.image.image import Image
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    import PIL.Image

    from anymask.folder import ResumableFolder
    from anymask.image.image import ImageLike
    from anymask.predict.segmenter import Segmenter

__all__ = ["Depth", "EverythingDepth"]

Source: TypeAlias = "DepthFrom | DepthMap | Estimator | DepthFile"
"""Where depth comes from: what gives it, a map, a network, or what `find_depth` takes."""


@dataclass(frozen=True, kw_only=True)
class Depth(Job["Segmenter | None", Measured]):
    """Get the depth of each image, and measure masks by it.

    Each image gets a picture (``-depth.png``: image, map, masks in order), the map (``-depth.npy``)
    and its masks with their depth.

    Attributes:
        depth: Where the depth comes from.
        finder: What finds the masks: the job of `anymask segment` that does.
        masks: Instead: masks that are there. Without either there is the map alone.
        overlay: Write the picture.
        keep_map: Write the map.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from anymask import process
        >>> rooms = {"room": np.zeros((20, 30, 3), np.uint8)}
        >>> job = Depth(depth=DepthMap(np.linspace(1, 3, 600).reshape(20, 30), "metric"))
        >>> report = process(rooms, tempfile.mkdtemp(), job=job)
        >>> [path.name for path in report.results[0].files]
        ['room-depth.png', 'room-depth.npy', 'room.json']
    """

    name = "depth"
    unit = "masks"
    format: str = "sa1b"
    depth: Source = DEFAULT
    finder: MaskJob | None = None
    masks: GivenMasks | None = None
    keep_map: bool = True

    def __post_init__(self) -> None:
        """Check the format, and find the depth."""
        formats.find(self.format)
        if self.finder is not None and self.masks is not None:
            raise InputError("expected a prompt or masks, got both; say one of them")
        object.__setattr__(self, "depth", _found(self.depth))

    @property
    def needs_model(self) -> bool:
        """Whether there is something to find."""
        return self.finder is not None

    def identity(self, model: Segmenter | None) -> dict[str, Any]:
        """Give the model, if there is one, and the depth."""
        asked = {} if self.finder is None or model is None else self.finder.identity(model)
        return {**asked, **_found(self.depth).identity()}

    def settings(self, model: Segmenter | None) -> dict[str, Any]:
        """Give what is measured, and what is written."""
        said: dict[str, Any] = {"masks": None}
        if self.finder is not None and model is not None:
            said = self.finder.settings(model)
        elif self.masks is not None:
            said = self.masks.settings()
        drawn = {"format": self.format, "overlay": self.overlay, "map": self.keep_map}
        return {**said, **drawn}

    def work(
        self, model: Segmenter | None, source: ImageLike, watch: Watch
    ) -> tuple[Measured, Image | None]:
        """Decode the image once; find masks, get the depth, and join them."""
        image = Image.open(source)
        watch.step()
        masks = self._masks(model, image, watch)
        watch.step(", depth")
        return measure(_found(self.depth).of(image), masks), image

    def _masks(self, model: Segmenter | None, image: Image, watch: Watch) -> Masks:
        """Find or take the masks of one image."""
        if self.finder is not None:
            assert model is not None
            return self.finder.work(model, image, watch)[0]
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

    def save(self, found: Measured, path: Path, image_path: str) -> None:
        """Write the masks."""
        self._writer.save(found.masks, path, image_path)

    @property
    def place(self) -> str:
        """The file to open of formats whose files need each other."""
        return self._writer.place

    @property
    def copies_images(self) -> bool:
        """Whether the format copies the images."""
        return self._writer.copies_images

    def joining(self, folder: ResumableFolder) -> AbstractContextManager[Add]:
        """Join the masks of all images."""
        return self._writer.joining(folder)

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

    Beside what `Everything` writes, each image gets a picture (``-depth.png``: image, map, masks in
    order).

    Attributes:
        depth: Where the depth comes from.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from anymask import process
        >>> metres = np.arange(1, 20 * 30 + 1).reshape(20, 30) / 100
        >>> job = EverythingDepth(depth=metres, options={"points_per_side": 2})
        >>> photo = np.full((20, 30, 3), 200, np.uint8)
        >>> report = process({"wall": photo}, tempfile.mkdtemp(), job=job)
        >>> [path.name for path in report.results[0].files]
        ['wall-overlay.png', 'wall-depth.png', 'wall.json']
    """

    depth: Source = DEFAULT

    def __post_init__(self) -> None:
        """Check the rest, and find the depth."""
        super().__post_init__()
        object.__setattr__(self, "depth", _found(self.depth))

    def settings(self, model: Segmenter) -> dict[str, Any]:
        """Say where the depth comes from, too."""
        return {**super().settings(model), **_found(self.depth).identity()}

    def work(self, model: Segmenter, source: ImageLike, watch: Watch) -> tuple[Masks, Image | None]:
        """Search the image, and measure what was found."""
        masks, image = super().work(model, source, watch)
        if image is None:
            watch.note("too large for its depth, which is left out; shrink it first")
            return masks, image
        watch.step(", depth")
        found = measure(_found(self.depth).of(image), masks)
        return found.masks, _Measured.of(image, found)

    def measured(self, masks: Masks, image: Image) -> Masks:
        """Write the depth of one image into the records of its masks."""
        return measure(_found(self.depth).of(image), masks).masks

    def draw(self, masks: Masks, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw all masks over the image, and image, map and masks in order side by side."""
        yield from super().draw(masks, image)
        if self.overlay and isinstance(image, _Measured) and image.found is not None:
            yield "-depth.png", draw(image, image.found)

    def endings(self) -> list[str]:
        """Name both pictures."""
        return [*super().endings(), *["-depth.png"] * self.overlay]


@dataclass(frozen=True, eq=False, repr=False)
class _Measured(Image):
    """An image that knows what was measured in it."""

    found: Measured | None = None

    @classmethod
    def of(cls, image: Image, found: Measured) -> _Measured:
        parts = (image.pixels, image.source, image.alpha, image.straight, image.geo)
        return cls(*parts, found=found)


def _found(depth: Source) -> DepthFrom:
    return depth if isinstance(depth, DepthFrom) else find_depth(depth)

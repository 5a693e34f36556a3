"""``anymask everything``: all things in each picture, without a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Suppress, arg

from anymask.cli.options import PictureOptions
from anymask.config import GenerateConfig

if TYPE_CHECKING:
    import PIL.Image

    from anymask.image import Image
    from anymask.masks import Masks
    from anymask.predict import Segmenter

__all__ = ["Everything"]


@dataclass(frozen=True)
class Search(GenerateConfig):
    """What to look for and what to drop; the defaults are SAM's."""

    points_per_side: int = 32
    """Points along each side of the grid that asks the model; more find smaller things."""
    crop_overlap_ratio: Annotated[float, arg(help_behavior_hint="(default: 0.341)")] = 512 / 1500
    """Overlap of the first layer's crops, as a share of the picture's shorter side."""
    point_grids: Suppress[None] = None
    """Own grids are for the library only."""


@dataclass(frozen=True, kw_only=True)
class Everything(PictureOptions):
    """Find everything in each picture, without a prompt."""

    search: OmitArgPrefixes[Search] = Search()
    """What to look for and what to drop; the defaults are SAM's."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.cli.run import Job, run

        job = Job(
            command="everything",
            options=self,
            settings=self._settings(),
            work=self._work,
            draw=self._draw,
            endings=[] if self.no_overlay else ["-overlay.png"],
            describe=lambda masks: {},
        )
        return run(job)

    def _settings(self) -> dict[str, Any]:
        search = asdict(self.search)
        del search["points_per_batch"]  # changes only the memory that is needed
        command = {"command": "everything", "format": self.format}
        return {**command, "overlay": not self.no_overlay, **search}

    def _work(self, model: Segmenter, image: Image) -> Masks:
        return model.generate(image, self.search)

    def _draw(self, masks: Masks, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        if not self.no_overlay:
            yield "-overlay.png", masks.draw(image)

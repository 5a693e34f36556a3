"""``anymask everything``: all things in each image, without a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.options import ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.search import Search
from anymask.config import changed

if TYPE_CHECKING:
    import PIL.Image

    from anymask.cli.parser import Command
    from anymask.cli.report import Report
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["Everything", "parse"]

_ABOUT = """Find everything in each image, without a prompt.

Each image gets an overlay and its masks. A folder that was interrupted goes on where it stopped.

Examples:
  anymask everything photo.jpg
  anymask everything photos/ --format coco -o out/
  anymask everything 'photos/**/*.jpg' --points-per-side 16 --json
  anymask everything - -o - < photo.jpg > masks.json"""

_TILE = 1024  # for images that are too large to be decoded at once

_Count = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask everything`` into a command."""
    return piped(parse_words(Everything, words, "anymask everything", _ABOUT), words)


@dataclass(frozen=True, kw_only=True)
class Everything(ImageOptions):
    """Find everything in each image, without a prompt."""

    tile: _Count = None
    """Look at squares of this many pixels, one by one, and join what crosses them; by itself only
    for images of more than 200 million pixels, in squares of 1024."""
    halo: _Count = None
    """How far each square reaches into its neighbours; by itself an eighth of its side."""
    search: OmitArgPrefixes[Search] = field(default_factory=Search)
    """What to look for and what to drop; what is not given is what suits the model."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.cli.run import Job, run

        job = Job(
            command="everything",
            options=self,
            settings=self._settings,
            work=self._work,
            draw=self._draw,
            endings=[] if self.no_overlay else ["-overlay.png"],
            describe=_describe,
        )
        return run(job)

    def find(self, model: Segmenter, image: Image) -> Masks:
        """Find everything in one image."""
        if self.tile is None:
            return model.generate(image, **self.search.given())
        from anymask.everything.tiled import generate_tiled

        given = self.search.given()
        return generate_tiled(model, image, tile=self.tile, halo=self.halo, **given)

    def _work(self, model: Segmenter, path: Path, report: Report) -> tuple[Masks, Image | None]:
        from anymask.everything.tiled import generate_tiled
        from anymask.image.geo import read_geo
        from anymask.image.image import Image
        from anymask.image.pixels import MAX_PIXELS, read_size

        h, w = read_size(path)
        large = h * w > MAX_PIXELS
        if large and self.tile is None:
            report.note(f"{path}: {w} x {h} pixels, so in tiles of {_TILE}; choose with --tile")
        image = None if large else Image.open(path)
        if image and self.tile is None:
            masks = model.generate(image, **self.search.given())
            return replace(masks, geo=read_geo(path)), image
        masks = generate_tiled(
            model,
            image or path,
            tile=self.tile or _TILE,
            halo=self.halo,
            progress=lambda done, total: report.working_on(path, f", tile {done} of {total}"),
            **self.search.given(),
        )
        return replace(masks, geo=read_geo(path)), image

    def _settings(self, model: Segmenter) -> dict[str, Any]:
        search = asdict(changed(model.variant.generate, None, self.search.given()))
        for name in ("points_per_batch", "memory"):  # change how the masks are found, not which
            search.pop(name, None)
        tiles = {"tile": self.tile, "halo": self.halo}
        return {"format": self.format, "overlay": not self.no_overlay, **tiles, **search}

    def _draw(self, masks: Masks, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        if not self.no_overlay:
            yield "-overlay.png", masks.draw(image)


def _describe(masks: Masks) -> dict[str, Any]:
    return {"dropped": dict(masks.dropped)}

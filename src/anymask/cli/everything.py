"""``anymask everything``: all things in each picture, without a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.options import PictureOptions
from anymask.config import Sampler, changed

if TYPE_CHECKING:
    import PIL.Image

    from anymask.cli.report import Report
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["Everything"]

_TILE = 1024  # for pictures that are too large to be decoded at once

_Count = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
_Number = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What to look for and what to drop; what is not given is what suits the model."""

    points_per_side: _Count = None
    """Points along each side of the grid that asks the model; more find smaller things."""
    points_per_batch: _Count = None
    """Points that are decoded together; fewer need less memory."""
    pred_iou_thresh: _Number = None
    """Keep masks whose predicted IoU is above this; 0 keeps all."""
    stability_score_thresh: _Number = None
    """Keep masks whose stability is at least this; 0 keeps all."""
    stability_score_offset: _Number = None
    """How far the threshold moves up and down to measure the stability, in logits."""
    box_nms_thresh: _Number = None
    """Of two masks whose boxes have a higher IoU than this, keep the better one."""
    crop_n_layers: _Count = None
    """Search overlapping crops, too: layer i cuts the picture into 2^i by 2^i of them."""
    crop_nms_thresh: _Number = None
    """The same as --box-nms-thresh for masks of different crops; the smaller crop wins."""
    crop_overlap_ratio: _Number = None
    """Overlap of the first layer's crops, as a share of the picture's shorter side."""
    crop_n_points_downscale_factor: _Count = None
    """Divide the points per side by this once more in every layer."""
    sampler: Annotated[Sampler | None, arg(help_behavior_hint="")] = None
    """grid: ask all points; hierarchical: coarse to fine, and not where a good mask lies already;
    boxes: around what a map of boundaries encloses, without a grid."""
    memory: _Count = None
    """MiB of memory that each picture may take beyond the model; it takes longer with less."""
    min_mask_region_area: _Count = None
    """Fill holes and remove islands of fewer pixels than this; 0 leaves the masks alone."""
    min_area: _Number = None
    """Keep masks of at least so many pixels; below 1: of at least this share of the picture."""
    max_area: _Number = None
    """Keep masks of at most so many pixels; below 1: of at most this share of the picture."""
    mask_nms_thresh: _Number = None
    """Of two masks with a higher IoU than this, keep the better one; 1 keeps both."""
    containment_nms_thresh: _Number = None
    """Of two masks that share more than this of the smaller, keep the better one; 1 keeps both."""

    confidence: _Number = None
    """FastSAM only: keep instances whose score is above this."""
    most: _Count = None
    """FastSAM only: keep at most so many instances, the best ones."""

    def given(self) -> dict[str, Any]:
        """List the settings that the user chose."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Everything(PictureOptions):
    """Find everything in each picture, without a prompt."""

    tile: _Count = None
    """Look at squares of this many pixels, one by one, and join what crosses them; by itself only
    for pictures of more than 200 million pixels, in squares of 1024."""
    halo: _Count = None
    """How far each square reaches into its neighbours; by itself an eighth of its side."""
    search: OmitArgPrefixes[Search] = Search()
    """What to look for and what to drop; what is not given is what suits the model."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.batch.run import Job, run

        job = Job(
            command="everything",
            options=self,
            settings=self._settings,
            work=self._work,
            draw=self._draw,
            endings=[] if self.no_overlay else ["-overlay.png"],
            describe=lambda masks: {},
        )
        return run(job)

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

"""``anymask everything``: all things in each picture, without a prompt."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.options import PictureOptions
from anymask.config import Sampler

__all__ = ["Everything"]

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
        from anymask.batch.job import Everything as Job
        from anymask.cli.process import process

        job = Job(
            options=self.search.given(),
            tile=self.tile,
            halo=self.halo,
            format=self.format,
            overlay=not self.no_overlay,
        )
        return process(self, job)

"""The settings of everything mode and of examples; no torch: the command line lists them."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from anymask.errors import InputError
from anymask.plain import check_choice, check_number

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "GenerateConfig",
    "InstanceConfig",
    "Keep",
    "LabelConfig",
    "Outside",
    "PersonalConfig",
    "Personalizing",
    "PointGrid",
    "Ranking",
    "Sampler",
    "changed",
]

PointGrid = tuple[tuple[float, float], ...]
Sampler = Literal["grid", "hierarchical", "boxes"]
Outside = Literal["keep", "dim", "blank"]
Keep = Literal["all", "labelled", "things"]
Ranking = Literal["iou", "outline"]


@dataclass(frozen=True)
class GenerateConfig:
    """What everything mode looks for and what it drops; the defaults are SAM's."""

    points_per_side: int | None = 32
    """Points along each side of the grid; more of them find smaller things."""
    points_per_batch: int = 64
    """Points that are decoded together; fewer need less memory. On a CPU at most 16 are."""
    pred_iou_thresh: float = 0.88
    """Keep masks whose predicted IoU is above this; 0 keeps all."""
    stability_score_thresh: float = 0.95
    """Keep masks whose stability is at least this; 0 keeps all."""
    stability_score_offset: float = 1.0
    """How far the threshold moves up and down to measure the stability, in logits."""
    box_nms_thresh: float = 0.7
    """Of two masks of one crop whose boxes have a higher IoU than this, keep the better one."""
    crop_n_layers: int = 0
    """Search overlapping crops too: layer i cuts the image into 2^i by 2^i of them."""
    crop_nms_thresh: float = 0.7
    """Of two masks of different crops whose boxes have a higher IoU, keep the smaller crop's."""
    crop_overlap_ratio: float = 512 / 1500
    """Overlap of the first layer's crops, as a share of the image's shorter side."""
    crop_n_points_downscale_factor: int = 1
    """Divide the points per side by this once more in every layer."""
    point_grids: tuple[PointGrid, ...] | None = None
    """Own points instead of a grid, with points_per_side=None: for each layer, x and y from 0 to 1
    of the crop."""
    sampler: Sampler = "grid"
    """grid: prompt all points; hierarchical: from coarse to fine, and not where a good mask lies
    already; boxes: around what a map of boundaries encloses, without a grid."""
    thing_boxes: int = 0
    """Prompt also with at most so many boxes around everyday things, proposed by the detector in
    the package; 0: with none."""
    ranking: Ranking = "iou"
    """Which of two masks is the better one, and comes first. iou: the one of the higher predicted
    IoU; outline: of the higher product of that and the share of its outline on boundaries that the
    model sees, so that things come before splinters of them; each mask keeps it as meta "ranking",
    by which overlays put things on top."""
    ranking_thresh: float = 0.0
    """Keep masks that are at least so good, by the ranking, as a share of the image's best one; 0
    keeps all."""
    memory: int = 1024
    """MiB of memory that the search may take beyond the model; it takes longer with less."""
    min_mask_region_area: int = 0
    """Fill holes and remove islands of fewer pixels than this; 0 leaves the masks alone."""
    min_area: float = 0
    """Keep masks of at least so many pixels; below 1: of at least this share of the image."""
    max_area: float | None = None
    """Keep masks of at most so many pixels; below 1: of at most this share of the image."""
    mask_nms_thresh: float = 1.0
    """Of two masks with a higher IoU than this, keep the better one; 1 keeps both."""
    containment_nms_thresh: float = 1.0
    """Of two masks that share more than this of the smaller, keep the better one; 1 keeps both."""

    def __post_init__(self) -> None:
        """Check the settings, and bring the grids into the form of tuples."""
        for name in ("points_per_batch", "crop_n_points_downscale_factor", "memory"):
            check_number(self, name, 1, whole=True)
        for name in ("crop_n_layers", "min_mask_region_area", "thing_boxes"):
            check_number(self, name, 0, whole=True)
        for name in ("pred_iou_thresh", "stability_score_thresh", "stability_score_offset"):
            check_number(self, name, 0)
        for name in ("box_nms_thresh", "crop_nms_thresh", "crop_overlap_ratio"):
            check_number(self, name, 0, 1)
        for name in ("mask_nms_thresh", "containment_nms_thresh", "ranking_thresh"):
            check_number(self, name, 0, 1)
        check_choice(self, "sampler", get_args(Sampler))
        check_choice(self, "ranking", get_args(Ranking))
        self._check_areas()
        if self.point_grids is None:
            self._check_points_per_side()
        else:
            object.__setattr__(self, "point_grids", self._checked_grids(self.point_grids))

    def _check_areas(self) -> None:
        check_number(self, "min_area", 0)
        if self.max_area is None:
            return
        check_number(self, "max_area", 0)
        if self.min_area > self.max_area and (self.min_area < 1) == (self.max_area < 1):
            raise InputError(
                f"expected max_area of at least min_area, {self.min_area}, got {self.max_area}; no "
                "mask can be both"
            )

    def _check_points_per_side(self) -> None:
        if self.points_per_side is None:
            raise InputError(
                "expected points_per_side or point_grids, got neither; give one of the two"
            )
        check_number(self, "points_per_side", 1, whole=True)
        deepest = self.points_per_side // self.crop_n_points_downscale_factor**self.crop_n_layers
        if deepest < 1:
            raise InputError(
                f"expected at least 1 point per side in every crop layer, got {deepest} in layer "
                f"{self.crop_n_layers}; raise points_per_side or lower "
                "crop_n_points_downscale_factor"
            )

    def _checked_grids(self, grids: Iterable[Any]) -> tuple[PointGrid, ...]:
        if self.points_per_side is not None:
            raise InputError(
                "expected points_per_side or point_grids, got both; set points_per_side=None"
            )
        try:
            checked = tuple(tuple((float(x), float(y)) for x, y in grid) for grid in grids)
        except (TypeError, ValueError):
            raise InputError(
                "expected point_grids as one sequence of (x, y) pairs for each crop layer, got "
                f"{reprlib.repr(grids)}; put the pairs into a list of lists"
            ) from None
        layers = self.crop_n_layers + 1
        if len(checked) < layers or not all(checked):
            raise InputError(
                f"expected point_grids of at least one point for each of {layers} crop layers, "
                f"got {[len(grid) for grid in checked]} points; add a grid or lower crop_n_layers"
            )
        if not all(0 <= v <= 1 for grid in checked for point in grid for v in point):
            raise InputError(
                "expected point_grids as shares of the crop's width and height, from 0 to 1, got "
                "others; divide pixels by the size"
            )
        return checked


@dataclass(frozen=True)
class InstanceConfig:
    """What a model that finds all instances at once keeps of them; the defaults are FastSAM's."""

    confidence: float = 0.4
    """Keep instances whose score is above this."""
    box_nms_thresh: float = 0.9
    """Of two instances whose boxes have a higher IoU than this, keep the better one."""
    max_instances: int = 300
    """Keep at most so many instances, the best ones."""
    retina: bool = True
    """Draw masks at the resolution of the image; else at that of the model, which is coarser."""
    merge_points: bool = False
    """Answer points as the original does, by uniting the masks under them, not with one mask."""
    text_thresh: float | None = None
    """Text means nothing in the image that is less alike; by itself a cosine of 0.23 for CLIP, and
    a probability of 0.05 for SigLIP."""
    text_model: str = "clip"
    """What compares text with instances: clip, siglip2, or a hub id or folder of such a model."""

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("confidence", "box_nms_thresh"):
            check_number(self, name, 0, 1)
        check_number(self, "max_instances", 1, whole=True)
        if self.text_thresh is not None:
            check_number(self, "text_thresh", -1, 1)


@dataclass(frozen=True)
class LabelConfig:
    """How masks are given names; scores of names are from 0 to 1."""

    ranker: str | None = None
    """Who gives the names. bundled: the detector inside the package, for 23 everyday things; for
    any words, siglip2, siglip2-naflex, clip, or a hub id or a folder of a SigLIP or CLIP. By itself
    bundled where that knows all words, else the first of these whose weights are here."""
    label_thresh: float | None = None
    """Least score of a name; by itself 0.3 of the detector's, 0.05 of SigLIP's, 0 of CLIP's."""
    label_margin: float = 0.01
    """How much more alike than all of label_background a name must be, as a cosine (CLIP and
    SigLIP)."""
    label_background: str = "something, a background, a texture"
    """Phrases, with commas between them, for what has none of the names (CLIP and SigLIP)."""
    label_template: str | None = None
    """Sentence for each name, with {} in it; by itself "a photo of {}" for CLIP and "this is a
    photo of {}." for SigLIP."""
    label_context: float = 0.1
    """How far the box of a mask is widened to be looked at, as a share of its longer side."""
    label_outside: Outside = "dim"
    """What becomes of what is in that box but not of the mask: keep it, dim it half way to grey, or
    blank it."""
    label_keep: Keep | None = None
    """all: every mask, those without a name, too; labelled: those with a name; things: also one
    mask for each thing, the surest of those of one name that share more than 0.8 of the smaller. By
    itself things where a data set for detectors is written (coco, yolo, voc), else all."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.label_thresh is not None:
            check_number(self, "label_thresh", 0, 1)
        check_number(self, "label_margin", -2, 2)
        check_number(self, "label_context", 0, 10)
        check_choice(self, "label_outside", get_args(Outside))
        check_choice(self, "label_keep", (None, *get_args(Keep)))
        if self.label_template is not None and self.label_template.count("{}") != 1:
            raise InputError(
                "expected a label_template with {} once, in the place of the name, got "
                f"{self.label_template!r}; write e.g. 'a photo of {{}}'"
            )


Personalizing = Literal["match", "persam", "persam-f"]


@dataclass(frozen=True)
class PersonalConfig:
    """How things that are known from examples are looked for."""

    method: Personalizing = "match"
    """match: every instance, or none, by matching forth and back; persam: one answer always, as
    published, without training; persam-f: the same, with the mixture of sizes learned."""
    threshold: float = 0.5
    """Keep what is at least this likely to be the thing, 0 to 1; 0.5 lies between other views of
    the references and what is beside the thing in them. Of match only."""
    max_instances: int = 10
    """Keep at most so many instances of each thing in an image, the likeliest. Of match only."""
    clicks: int = 6
    """Places that are tried in each round for each thing; more find smaller things. Of match
    only."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_choice(self, "method", get_args(Personalizing))
        check_number(self, "threshold", 0, 1)
        for name in ("max_instances", "clicks"):
            check_number(self, name, 1, whole=True)
        for name in ("threshold", "max_instances", "clicks"):
            value, usual = getattr(self, name), type(self).__dataclass_fields__[name].default
            if self.method != "match" and value != usual:
                raise InputError(
                    f"expected no {name} for the method {self.method}, which gives one answer "
                    f"always, got {value}; leave it out, or choose the method match"
                )


Config = TypeVar("Config", bound="GenerateConfig | InstanceConfig | LabelConfig | PersonalConfig")


def changed(default: Config, config: object, options: dict[str, Any]) -> Config:
    """Give the settings that are in force.

    Args:
        default: What is usual, such as what suits the model.
        config: What the caller wants instead, of the same class; None: the default.
        options: Single settings that should differ from that.

    Raises:
        InputError: The settings are of another class, or none has that name.
    """
    kind = type(default)
    config = default if config is None else config
    if not isinstance(config, kind):
        raise InputError(
            f"expected settings for this model as {kind.__name__}, got {type(config).__name__}; "
            "make one of those"
        )
    known = [field.name for field in fields(kind)]
    for name in options:
        if name not in known:
            raise InputError(
                f"expected settings that this model knows, {', '.join(known)}, got {name!r}; "
                "leave it out"
            )
    return replace(config, **options)

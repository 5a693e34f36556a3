"""Masks: what comes back from a prediction, a file or a person, kept run-length encoded.

One `Masks` holds any number of masks of one image, none included, together with what is known
about each: how good the model believes it to be, where it lies, and which prompt asked for it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from anymask import geometry
from anymask.errors import InputError
from anymask.masks import fields, label_map, polygon, rle
from anymask.masks.fields import Meta
from anymask.masks.overlap import MaskOverlaps, Overlap
from anymask.masks.rle import Counts
from anymask.masks.tree import Tree

if TYPE_CHECKING:
    import PIL.Image

    from anymask.image.geo import Geo
    from anymask.image.image import ImageLike
    from anymask.prompt import Prompt

__all__ = ["Masks"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Known = TypeVar("Known")
Measure = Literal["score", "stability", "area"]

_DERIVE: npt.NDArray[Any] = np.empty(0)  # stands for "not given: work it out from the masks"


def _derived() -> npt.NDArray[Any]:
    return _DERIVE


@dataclass(frozen=True, eq=False, repr=False)
class Masks:
    """The masks of one image, with everything that is known about each.

    Behaves like a list: ``len``, iteration, ``masks[0]``, ``masks[:3]`` and
    ``masks[masks.areas > 99]`` all give `Masks` again. All arrays are read-only, and all
    coordinates are pixels of the original image, x before y.

    Only ``size_hw`` and ``counts`` are needed; boxes and areas follow from them when left out.

    Attributes:
        size_hw: Height and width of the image.
        counts: Run lengths of each mask, uint32, column by column, zeros first (see `rle`).
        scores: float32 (n,), the predicted IoU: that of the mask with the true one, as the model
            predicts it; or the confidence of a detector that found the mask; NaN if unknown.
        stability: float32 (n,), share of the mask that stays when the threshold moves; NaN if not
            measured.
        boxes: float32 (n, 4), xyxy, first and last pixel inclusive (so add 1 to the last two for a
            prompt's box, which runs round the pixels); zeros for an empty mask.
        areas: int64 (n,), number of pixels.
        prompts: What asked for each mask, or None.
        crop_boxes: float32 (n, 4), xyxy, right and bottom exclusive, the part of the image that the
            model saw; None: all of it.
        logits: float32 (n, h', w'), the model's own small answer, to feed back as
            ``Prompt(mask_logits=...)``; None if not kept.
        source: Where the image came from.
        model: Name of the model.
        geo: Where on the earth the image lies; None if unknown.
        labels: What each mask shows, such as ``"dog"``; None if unknown.
        ids: A whole number for each mask, or None if unknown. The same number in another image or
            frame means the same thing.
        meta: What else is known of each mask: a read-only dict of plain JSON values each, empty for
            nothing. What a file says beside the fields above is here, such as COCO's ``iscrowd``.
        image_meta: The same of the image as a whole.
        dropped: How many answers of the model everything mode did not keep, by the setting that
            they did not meet, such as ``{"pred_iou_thresh": 3012, "box_nms_thresh": 44}``; no part
            of what is compared or written to files.

    Examples:
        >>> dense = np.zeros((2, 4, 6), bool)
        >>> dense[0, :2] = dense[1, 3] = True
        >>> masks = Masks.from_dense(dense, labels=["dog", "cat"], scores=[0.8, 0.9])
        >>> masks
        Masks(2 masks of 6 x 4: dog, cat; best score 0.90)
        >>> masks.filter(label="dog").areas.tolist(), masks.best().labels
        ([12], ('cat',))
    """

    size_hw: tuple[int, int]
    counts: tuple[Counts, ...]
    scores: FloatArray = field(default_factory=_derived)
    stability: FloatArray = field(default_factory=_derived)
    boxes: FloatArray = field(default_factory=_derived)
    areas: IntArray = field(default_factory=_derived)
    prompts: tuple[Prompt | None, ...] = ()
    crop_boxes: FloatArray | None = None
    logits: FloatArray | None = None
    source: str | None = None
    model: str | None = None
    geo: Geo | None = None
    labels: tuple[str | None, ...] = ()
    ids: tuple[int | None, ...] = ()
    meta: tuple[Meta, ...] = ()
    image_meta: Meta = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        """Check every field, fill in what was left out, and make the arrays read-only."""
        h, w = fields.check_size(self.size_hw)
        n = len(self.counts)
        counts = tuple(fields.check_counts(c, i, h, w) for i, c in enumerate(self.counts))
        scores, stability, boxes, areas = self.scores, self.stability, self.boxes, self.areas
        if scores is _DERIVE:
            scores = np.full(n, np.nan)
        if stability is _DERIVE:
            stability = np.full(n, np.nan)
        if boxes is _DERIVE:
            boxes = np.array([rle.bounding_box(c, (h, w)) for c in counts]).reshape(n, 4)
        if areas is _DERIVE:
            areas = np.array([rle.area(c) for c in counts])
        crop_boxes, logits = self.crop_boxes, self.logits
        checked = {
            "size_hw": (h, w),
            "counts": counts,
            "scores": fields.check_scores("scores", scores, n),
            "stability": fields.check_scores("stability", stability, n),
            "boxes": fields.check_array("boxes", boxes, np.float32, (n, 4)),
            "areas": fields.check_array("areas", areas, np.int64, (n,)),
            "prompts": fields.check_prompts(self.prompts, n),
            "crop_boxes": None
            if crop_boxes is None
            else fields.check_array("crop_boxes", crop_boxes, np.float32, (n, 4)),
            "logits": None if logits is None else fields.check_logits(logits, n),
            "labels": fields.check_labels(self.labels, n),
            "ids": fields.check_ids(self.ids, n),
            "meta": fields.check_metas(self.meta, n),
            "image_meta": fields.check_meta(self.image_meta, "image_meta"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    # ------------------------------------------------------------------ making

    @classmethod
    def from_dense(cls, masks: npt.ArrayLike, **known: Any) -> Masks:
        """Encode masks that are given pixel by pixel.

        Args:
            masks: bool (n, h, w), or (h, w) for one mask, original image size.
            **known: Any other field, such as ``scores`` or ``labels``.

        Raises:
            InputError: The array is not boolean or has another number of dimensions.

        Examples:
            >>> Masks.from_dense(np.ones((480, 640), bool), labels=["sky"])
            Masks(1 mask of 640 x 480: sky)
        """
        dense = np.asarray(masks)
        if dense.ndim == 2:
            dense = dense[None]
        if dense.ndim != 3 or dense.dtype != np.bool_:
            raise InputError(
                f"expected masks as a bool array of shape (n, h, w) or (h, w), got {dense.dtype} "
                f"of shape {dense.shape}; compare with a threshold first, as in masks > 0"
            )
        size_hw = (dense.shape[1], dense.shape[2])
        return cls(size_hw, tuple(rle.encode_many(dense)), **known)

    @classmethod
    def empty(
        cls, size_hw: tuple[int, int], *, source: str | None = None, model: str | None = None
    ) -> Masks:
        """Hold no mask of an image of this size."""
        return cls(size_hw, (), source=source, model=model)

    @classmethod
    def concat(cls, parts: Iterable[Masks]) -> Masks:
        """Join masks of the same image, in order.

        What only some of the parts know stays where it makes sense: a part without crop boxes saw
        the whole image; logits are kept if every part has them in one size; source, model,
        place on the earth and each entry of ``image_meta`` are kept where all agree.

        Raises:
            InputError: There is no part at all, or image sizes differ.
        """
        parts = list(parts)
        if not parts:
            raise InputError(
                "expected at least one Masks to join, got none; use Masks.empty(size_hw)"
            )
        sizes = sorted({part.size_hw for part in parts})
        if len(sizes) > 1:
            raise InputError(
                f"expected masks of one image, got (h, w) = {sizes[0]} and {sizes[1]}; join masks "
                "of the same image only"
            )
        size_hw = sizes[0]
        cropped = any(part.crop_boxes is not None for part in parts)
        return cls(
            size_hw,
            tuple(c for part in parts for c in part.counts),
            scores=np.concatenate([part.scores for part in parts]),
            stability=np.concatenate([part.stability for part in parts]),
            boxes=np.concatenate([part.boxes for part in parts]),
            areas=np.concatenate([part.areas for part in parts]),
            prompts=tuple(p for part in parts for p in part.prompts),
            crop_boxes=np.concatenate([_seen(part) for part in parts]) if cropped else None,
            logits=_join_logits(parts),
            source=_agreed([part.source for part in parts]),
            model=_agreed([part.model for part in parts]),
            geo=_agreed([part.geo for part in parts]),
            labels=tuple(label for part in parts for label in part.labels),
            ids=tuple(number for part in parts for number in part.ids),
            meta=tuple(meta for part in parts for meta in part.meta),
            image_meta=fields.agreed_meta([part.image_meta for part in parts]),
        )

    # ------------------------------------------------------------ like a list

    def __len__(self) -> int:
        """Count the masks."""
        return len(self.counts)

    def __iter__(self) -> Iterator[Masks]:
        """Go through the masks, each a `Masks` of one."""
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice | Sequence[int] | npt.NDArray[Any]) -> Masks:
        """Pick masks by number, slice, list of numbers, or bool array of shape (n,)."""
        chosen = fields.chosen(index, len(self))
        return replace(
            self,
            counts=tuple(self.counts[i] for i in chosen),
            scores=self.scores[chosen],
            stability=self.stability[chosen],
            boxes=self.boxes[chosen],
            areas=self.areas[chosen],
            prompts=tuple(self.prompts[i] for i in chosen),
            crop_boxes=None if self.crop_boxes is None else self.crop_boxes[chosen],
            logits=None if self.logits is None else self.logits[chosen],
            labels=tuple(self.labels[i] for i in chosen),
            ids=tuple(self.ids[i] for i in chosen),
            meta=tuple(self.meta[i] for i in chosen),
        )

    def __eq__(self, other: object) -> bool:
        """Compare every field; NaN equals NaN."""
        if not isinstance(other, Masks):
            return NotImplemented
        return self is other or fields.same_fields(self, other)

    __hash__ = None  # type: ignore[assignment]  # compared by content, and arrays have no hash

    def __repr__(self) -> str:
        """Say how many, what, how large, how good; see the example of the class."""
        h, w = self.size_hw
        number = "1 mask" if len(self) == 1 else f"{len(self) or 'no'} masks"
        names = _names(self.labels)
        scored = self.scores[~np.isnan(self.scores)]
        best = f"best score {scored.max():.2f}" if len(scored) else ""
        known = f": {names}; {best}" if names and best else f": {names}" if names else ""
        return f"Masks({number} of {w} x {h}{known or (best and f', {best}')})"

    # -------------------------------------------------------------- other forms

    @property
    def points_xy(self) -> tuple[npt.NDArray[np.float64] | None, ...]:
        """The points of each mask's prompt, float64 (k, 2), or None for a mask without prompt."""
        return tuple(None if p is None else p.points_xy for p in self.prompts)

    def dense(self) -> BoolArray:
        """Decode all masks: bool (n, h, w), original image size."""
        out = np.zeros((len(self), *self.size_hw), dtype=np.bool_)
        for i, counts in enumerate(self.counts):
            out[i] = rle.decode(counts, self.size_hw)
        return out

    def rle(self) -> list[dict[str, Any]]:
        """Give COCO's compressed run lengths: ``{"size": [h, w], "counts": str}`` for each mask."""
        return [{"size": list(self.size_hw), "counts": rle.to_string(c)} for c in self.counts]

    def polygons(self, tolerance: float = 0) -> list[list[FloatArray]]:
        """Trace the outline of every piece of every mask.

        The outlines run along the edges of the pixels, in the frame of boxes: (0, 0) is the upper
        left corner of the first pixel, and a mask of that pixel alone has the outline (0, 0),
        (1, 0), (1, 1), (0, 1). Filled as COCO does it, they give the very same mask again. Pixels
        that touch at a corner are one piece. A hole is joined to the outline around it by a line
        that is walked there and back.

        Args:
            tolerance: How far, in pixels, a simpler outline with fewer corners may be from the true
                one; 0: not at all, which gives steps along slanted edges. 1 is a good start.

        Returns:
            For each mask a list of float32 (k, 2) arrays, one for each piece, x before y, at least
            three corners each; clockwise as seen, holes counterclockwise.

        Examples:
            >>> Masks.from_dense(np.eye(1, dtype=bool)).polygons()[0][0].tolist()
            [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
        """
        return [polygon.trace(counts, self.size_hw, tolerance) for counts in self.counts]

    def label_map(
        self,
        order: Literal[
            "smallest_on_top", "largest_on_top", "first_on_top", "best_on_top"
        ] = "smallest_on_top",
        *,
        fill: bool = False,
    ) -> npt.NDArray[np.int32]:
        """Paint all masks into one image of numbers, in which nothing overlaps any more.

        Args:
            order: Which mask wins where several overlap; of equally large ones, the earlier one.
                The best one is that which ranks clearly higher (`GenerateConfig.ranking`
                "outline"), as in overlays; of those about as good, or without it, the smaller one.
            fill: Give what no mask covers to the nearest mask.

        Returns:
            int32 (h, w): 0 where there is no mask, else 1 + the number of the mask.

        Raises:
            MissingExtraError: Gaps are to be filled and OpenCV is not installed.

        Examples:
            >>> Masks.from_dense(np.eye(3, dtype=bool)[:, None]).label_map().tolist()
            [[1, 2, 3]]
        """
        keys = {
            "smallest_on_top": self.areas,
            "largest_on_top": -self.areas,
            "first_on_top": np.arange(len(self)),
            "best_on_top": self.areas,
        }
        if order not in keys:
            raise InputError(f"expected an order out of {', '.join(keys)}, got {order!r}; name one")
        rankings = [meta.get("ranking") if order == "best_on_top" else None for meta in self.meta]
        from_below = np.lexsort((keys[order], label_map.levels(rankings)))[::-1]
        painted = label_map.paint(((i + 1, self.counts[i]) for i in from_below), self.size_hw)
        return label_map.fill_gaps(painted) if fill else painted

    def tree(self, threshold: float = 0.9) -> Tree:
        """Find out which mask is a part of which.

        A mask's parent is the smallest mask around it: a larger one, or of equal ones an earlier
        one. Empty masks have no parent and no parts.

        Args:
            threshold: Share of a mask that has to lie inside another one, above 0 and at most 1.

        Examples:
            >>> truck, wheel = np.ones((2, 4, 6), bool)
            >>> wheel[:, 2:] = False
            >>> Masks.from_dense(np.stack([truck, wheel])).tree().parents.tolist()
            [-1, 0]
        """
        if not 0 < threshold <= 1:
            raise InputError(f"expected a threshold above 0 and up to 1, got {threshold}; try 0.9")
        return Tree(self._overlaps().parents(threshold))

    # ---------------------------------------------------------------- choosing

    def best(self) -> Masks:
        """Take the mask with the highest score; an empty `Masks` stays empty."""
        return self.sort()[:1]

    def sort(self, by: Measure = "score", *, descending: bool = True) -> Masks:
        """Order by a measure; equal masks keep their order, and unknown values (NaN) come last."""
        values = self._measure(by).astype(np.float64)
        keys = np.where(np.isnan(values), np.inf, -values if descending else values)
        return self[np.argsort(keys, kind="stable")]

    def filter(
        self,
        *,
        min_area: float | None = None,
        max_area: float | None = None,
        min_score: float | None = None,
        min_stability: float | None = None,
        label: str | Iterable[str] | None = None,
    ) -> Masks:
        """Keep the masks within all given limits, limits included; unknown values (NaN) fail.

        Args:
            min_area: In pixels; below 1, as a share of the image.
            max_area: The same.
            min_score: See `scores`.
            min_stability: See `stability`.
            label: The name, or one of several names, that a mask must have.

        Examples:
            >>> masks = Masks.from_dense(np.ones((3, 4, 6), bool), labels=["dog", "cat", None])
            >>> len(masks.filter(label=["dog", "cat"])), len(masks.filter(max_area=0.5))
            (2, 0)
        """
        keep = np.ones(len(self), dtype=np.bool_)
        if min_area is not None:
            keep &= self.areas >= self._pixels(min_area)
        if max_area is not None:
            keep &= self.areas <= self._pixels(max_area)
        if min_score is not None:
            keep &= self.scores >= min_score
        if min_stability is not None:
            keep &= self.stability >= min_stability
        if label is not None:
            wanted = {label} if isinstance(label, str) else set(label)
            keep &= np.array([name in wanted for name in self.labels], dtype=np.bool_)
        return self[keep]

    def nms(
        self,
        threshold: float = 0.7,
        kind: Literal["box"] | Overlap = "box",
        *,
        by: Literal["score", "order"] = "score",
    ) -> Masks:
        """Drop duplicates: where two masks overlap more than this, the lower score goes.

        Args:
            threshold: Highest overlap at which both stay, 0 to 1.
            kind: What the overlap is: ``"box"`` the intersection over union of the two boxes, which
                is what SAM does; ``"mask"`` that of the masks, which spares crossing things;
                ``"containment"`` the share of the smaller mask that lies in the other one, which
                also drops parts of wholes (or wholes of better parts).
            by: What makes a mask the better one: its ``"score"``, or that it comes first in the
                present ``"order"``, such as that of everything mode.

        Returns:
            The remaining masks, best first; of equal scores, the earlier one is the better one.

        Examples:
            >>> twins = Masks.from_dense(np.ones((2, 4, 6), bool), scores=[0.8, 0.9])
            >>> twins.nms()
            Masks(1 mask of 6 x 4, best score 0.90)
        """
        if not 0 <= threshold <= 1:
            raise InputError(f"expected a threshold from 0 to 1, got {threshold}; try 0.7")
        if by not in ("score", "order"):
            raise InputError(f"expected by as score or order, got {by!r}; name one")
        ranked = self.sort() if by == "score" else self
        if kind == "mask" or kind == "containment":
            return ranked[~ranked._overlaps().duplicates(threshold, kind)]
        if kind != "box":
            raise InputError(f"expected a kind out of box, mask, containment, got {kind!r}")
        # The order stands for the scores, so that unknown ones (NaN) are last here, too.
        return ranked[geometry.nms_ranked(ranked.boxes, threshold)]

    # ------------------------------------------- doors to the rooms further down

    def save(
        self,
        target: str | os.PathLike[str] | IO[bytes],
        format: str | None = None,
        **options: Any,
    ) -> None:
        """Write to a path or a file opened for bytes; see `formats.write`.

        The format follows the suffix of a path unless given.

        Examples:
            >>> import io
            >>> file = io.BytesIO()
            >>> Masks.empty((480, 640)).save(file, format="coco")
        """
        from anymask import formats

        formats.write(target, self, format=format, **options)

    def draw(self, image: ImageLike, **options: Any) -> PIL.Image.Image:
        """Lay the masks over the image in colours (options: see `draw.overlay`)."""
        from anymask import draw

        return draw.overlay(image, self, **options)

    def cutout(self, image: ImageLike, **options: Any) -> PIL.Image.Image:
        """Cut what the masks cover out of the image: RGBA (options: see `draw.cutout`)."""
        from anymask import draw

        return draw.cutout(image, self, **options)

    def matte(self, image: ImageLike) -> npt.NDArray[np.uint8]:
        """Give all masks together the soft edge that the image shows, as at hair and fur.

        Args:
            image: The image that the masks were made for.

        Returns:
            uint8 (h, w), size of the image: 0 background, 255 the object, between them how much of
            a pixel is the object. Where the image is transparent, it does not count.

        Raises:
            InputError: The image is of another size.

        Examples:
            >>> photo = np.zeros((40, 60, 3), np.uint8)
            >>> photo[:, 30:] = 200
            >>> Masks.from_dense(photo[..., 0] > 0).matte(photo)[0, 28:32].tolist()
            [0, 0, 255, 255]
        """
        from anymask import draw

        alpha: npt.NDArray[np.uint8] = np.asarray(draw.cutout(image, self, soft=True))[..., 3]
        return alpha

    # ------------------------------------------------------------------ inside

    def _overlaps(self) -> MaskOverlaps:
        return MaskOverlaps(self.counts, self.boxes.astype(np.int64), self.areas)

    def _pixels(self, limit: float) -> float:
        """Turn a limit of areas into pixels."""
        h, w = self.size_hw
        return limit * h * w if limit < 1 else limit

    def _measure(self, by: Measure) -> npt.NDArray[Any]:
        measures: dict[str, npt.NDArray[Any]] = {
            "score": self.scores,
            "stability": self.stability,
            "area": self.areas,
        }
        if by not in measures:
            raise InputError(
                f"expected a measure out of {', '.join(measures)}, got {by!r}; name one"
            )
        return measures[by]


def _seen(masks: Masks) -> FloatArray:
    """Give the crop boxes, the whole image where there are none."""
    if masks.crop_boxes is not None:
        return masks.crop_boxes
    h, w = masks.size_hw
    return np.tile(np.array([0, 0, w, h], dtype=np.float32), (len(masks), 1))


def _join_logits(parts: list[Masks]) -> FloatArray | None:
    kept = [part.logits for part in parts if len(part)]
    shapes = {None if logits is None else logits.shape[1:] for logits in kept}
    if len(shapes) != 1 or None in shapes:
        return None
    return np.concatenate([logits for logits in kept if logits is not None])


def _agreed(said: list[Known | None]) -> Known | None:
    return said[0] if len(set(said)) == 1 else None


def _names(labels: Sequence[str | None]) -> str:
    """List the names of masks, the most frequent first: ``12 person, 3 dog, cat and 2 more``."""
    counted = Counter(label for label in labels if label is not None).most_common()
    shown = [
        ("" if number == 1 else f"{number} ") + (name if len(name) <= 30 else name[:29] + "\u2026")
        for name, number in counted[:3]
    ]
    more = f" and {len(counted) - 3} more" if len(counted) > 3 else ""
    return ", ".join(shown) + more

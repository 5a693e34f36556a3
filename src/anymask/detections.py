"""Detections: boxes in an image, with scores and names; what a detector returns, whatever it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from anymask import geometry
from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.masks.fields import (
    check_array,
    check_labels,
    check_scores,
    check_size,
    chosen,
    same_fields,
)
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

if TYPE_CHECKING:
    import PIL.Image

    from anymask.image.image import ImageLike

__all__ = ["Detections"]

FloatArray = npt.NDArray[np.float32]
Measure = Literal["score", "area"]

_OF = "detection"
_UNKNOWN: FloatArray = np.empty(0, np.float32)  # stands for "not given"


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """The boxes of one image, with everything that is known about each.

    Behaves like a list, as `Masks` do: ``len``, iteration, ``detections[0]``, ``detections[:3]``
    and ``detections[detections.scores > 0.5]`` all give `Detections` again. All arrays are
    read-only.

    Attributes:
        size_hw: Height and width of the image.
        boxes: float32 (n, 4), xyxy, pixels of the image, running round the pixels as those of
            `Prompt` do: (0, 0, width, height) is the whole image. They may reach over its border.
        scores: float32 (n,), how sure the detector is; NaN if unknown.
        labels: What each box holds, by name, or None.
        source: Where the image came from.
        model: Name of the detector.

    Examples:
        >>> found = Detections((480, 640), [(10, 20, 110, 220), (300, 40, 420, 90)], [0.9, 0.4])
        >>> found[found.scores > 0.5]
        Detections(1 box of 640 x 480, best score 0.90)
    """

    size_hw: tuple[int, int]
    boxes: FloatArray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: FloatArray = field(default_factory=lambda: _UNKNOWN)
    labels: tuple[str | None, ...] = ()
    source: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        """Check every field and make the arrays read-only."""
        n = len(self.boxes) if hasattr(self.boxes, "__len__") else 0
        boxes = self.boxes if n else np.zeros((0, 4), np.float32)
        scores = np.full(n, np.nan) if self.scores is _UNKNOWN else self.scores
        checked = {
            "size_hw": check_size(self.size_hw),
            "boxes": _check_boxes(check_array("boxes", boxes, np.float32, (n, 4), _OF)),
            "scores": check_scores("scores", scores, n, _OF),
            "labels": check_labels(self.labels, n, _OF),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    # ------------------------------------------------------------------ making

    @classmethod
    def empty(
        cls, size_hw: tuple[int, int], *, source: str | None = None, model: str | None = None
    ) -> Detections:
        """Hold no box of an image of this size."""
        return cls(size_hw, source=source, model=model)

    @classmethod
    def from_masks(cls, masks: Masks) -> Detections:
        """Take the boxes of masks, with their scores and labels; an empty mask has none.

        Examples:
            >>> mask = np.zeros((48, 64), bool)
            >>> mask[10:20, 30:35] = True
            >>> Detections.from_masks(Masks.from_dense(mask)).boxes.tolist()
            [[30.0, 10.0, 35.0, 20.0]]
        """
        some = masks[masks.areas > 0]
        boxes = some.boxes + np.array([0, 0, 1, 1], np.float32)  # theirs name the last pixel
        return cls(masks.size_hw, boxes, some.scores, some.labels, masks.source, masks.model)

    @classmethod
    def concat(cls, parts: Iterable[Detections]) -> Detections:
        """Join detections in the same image, in order; what all say alike of it is kept.

        Raises:
            InputError: There is no part at all, or image sizes differ.
        """
        parts = list(parts)
        if not parts:
            raise InputError(
                "expected at least one Detections to join, got none; use Detections.empty(size_hw)"
            )
        sizes = sorted({part.size_hw for part in parts})
        if len(sizes) > 1:
            raise InputError(
                f"expected detections in one image, got (h, w) = {sizes[0]} and {sizes[1]}; join "
                "those of the same image only"
            )
        sources, models = {part.source for part in parts}, {part.model for part in parts}
        return cls(
            sizes[0],
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            tuple(label for part in parts for label in part.labels),
            sources.pop() if len(sources) == 1 else None,
            models.pop() if len(models) == 1 else None,
        )

    # ------------------------------------------------------------ like a list

    def __len__(self) -> int:
        """Count the boxes."""
        return len(self.boxes)

    def __iter__(self) -> Iterator[Detections]:
        """Go through the boxes, each a `Detections` of one."""
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice | Sequence[int] | npt.NDArray[Any]) -> Detections:
        """Pick boxes by number, slice, list of numbers, or bool array of shape (n,)."""
        numbers = chosen(index, len(self), _OF)
        return replace(
            self,
            boxes=self.boxes[numbers],
            scores=self.scores[numbers],
            labels=tuple(self.labels[i] for i in numbers),
        )

    def __eq__(self, other: object) -> bool:
        """Compare every field; NaN equals NaN."""
        if not isinstance(other, Detections):
            return NotImplemented
        return self is other or same_fields(self, other)

    __hash__ = None  # type: ignore[assignment]  # compared by content, and arrays have no hash

    def __repr__(self) -> str:
        """Say how many and how good: ``Detections(3 boxes of 640 x 480, best score 0.94)``."""
        h, w = self.size_hw
        number = "1 box" if len(self) == 1 else f"{len(self) or 'no'} boxes"
        known = self.scores[~np.isnan(self.scores)]
        best = f", best score {known.max():.2f}" if len(known) else ""
        return f"Detections({number} of {w} x {h}{best})"

    # ---------------------------------------------------------------- choosing

    @property
    def areas(self) -> FloatArray:
        """float32 (n,), pixels that each box covers, those outside of the image included."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        areas: FloatArray = sides.prod(axis=1)
        return areas

    def best(self) -> Detections:
        """Take the box with the highest score; an empty `Detections` stays empty."""
        return self.sort()[:1]

    def sort(self, by: Measure = "score", *, descending: bool = True) -> Detections:
        """Order by a measure; equal boxes keep their order, and unknown scores (NaN) come last."""
        measures = {"score": self.scores, "area": self.areas}
        if by not in measures:
            raise InputError(f"expected a measure out of score, area, got {by!r}; name one")
        values = measures[by].astype(np.float64)
        keys = np.where(np.isnan(values), np.inf, -values if descending else values)
        return self[np.argsort(keys, kind="stable")]

    def filter(
        self,
        *,
        min_score: float | None = None,
        min_area: float | None = None,
        max_area: float | None = None,
        labels: Iterable[str] | None = None,
    ) -> Detections:
        """Keep the boxes within all given limits, limits included; unknown scores (NaN) fail.

        Args:
            min_score: Least score.
            min_area: Least area in pixels; below 1, a share of the image.
            max_area: Largest area, likewise.
            labels: Names that are wanted.

        Raises:
            InputError: ``labels`` is one name instead of several.
        """
        keep = np.ones(len(self), dtype=np.bool_)
        whole = float(np.prod(self.size_hw))
        if min_score is not None:
            keep &= self.scores >= min_score
        if min_area is not None:
            keep &= self.areas >= (min_area * whole if min_area < 1 else min_area)
        if max_area is not None:
            keep &= self.areas <= (max_area * whole if max_area < 1 else max_area)
        if labels is not None:
            if isinstance(labels, str):
                raise InputError(f"expected a list of names, got {labels!r}; write [{labels!r}]")
            wanted = set(labels)
            keep &= np.array([label in wanted for label in self.labels], dtype=np.bool_)
        return self[keep]

    def nms(self, threshold: float = 0.5, *, per_label: bool = True) -> Detections:
        """Drop duplicates: where two boxes overlap more than this, the lower score goes.

        Args:
            threshold: Highest intersection over union at which both stay, 0 to 1.
            per_label: Boxes of different names leave each other alone.

        Returns:
            The remaining boxes, best first; of equal scores, the earlier one is the better one.

        Examples:
            >>> boxes, names = [(0, 0, 9, 9), (0, 0, 9, 10), (0, 0, 9, 9)], ["dog", "dog", "bed"]
            >>> Detections((20, 20), boxes, [0.7, 0.8, 0.3], names).nms().labels
            ('dog', 'bed')
        """
        if not 0 <= threshold <= 1:
            raise InputError(f"expected a threshold from 0 to 1, got {threshold}; try 0.5")
        ranked = self.sort()
        numbers = {label: i for i, label in enumerate(dict.fromkeys(ranked.labels))}
        groups = np.array([numbers[label] for label in ranked.labels], np.int64)
        return ranked[geometry.nms_ranked(ranked.boxes, threshold, groups if per_label else None)]

    def clip(self) -> Detections:
        """Cut the boxes off at the border of the image; those outside of it go."""
        h, w = self.size_hw
        clipped = replace(self, boxes=self.boxes.clip(0, np.array([w, h, w, h], np.float32)))
        return clipped[clipped.areas > 0]

    # -------------------------------------------------------------- other forms

    def prompts(self) -> list[Prompt]:
        """Turn each box into a prompt, for ``model.predict(image, prompts=...)``.

        Raises:
            InputError: A box has no area.
        """
        flat = np.flatnonzero(self.areas <= 0)
        if len(flat):
            raise InputError(
                f"expected boxes with an area, but detection {flat[0]} has none; leave such out "
                f"first, as in detections[detections.areas > 0]"
            )
        return [Prompt(box=box) for box in self.boxes]

    def masks(self) -> Masks:
        """Give the pixels inside each box as masks; a box outside of the image is an empty one.

        A pixel is inside if its centre is.
        """
        h, w = self.size_hw
        # Centres lie at half numbers, so corners are rounded; a half up, for that centre is inside.
        corners = np.ceil(self.boxes.astype(np.float64) - 0.5).clip(0, [w, h, w, h]).astype(int)
        counts = tuple(_rectangle(corner, h, w) for corner in corners.tolist())
        return Masks(
            self.size_hw,
            counts,
            scores=self.scores,
            labels=self.labels,
            source=self.source,
            model=self.model,
        )

    def draw(self, image: ImageLike, **options: Any) -> PIL.Image.Image:
        """Draw the boxes over the image, as `draw.overlay` does masks, and with its options."""
        from anymask import draw

        return draw.overlay(image, self.masks(), **{"alpha": 0.2, **options})

    def to_coco(self, image_id: int = 1) -> dict[str, Any]:
        """Give a document in COCO's layout: one image, and an annotation for each box.

        Categories are numbered from 1 on in the order in which their names come first; boxes
        without a name are of a category "object" that is marked as ``unlabelled``. Its annotations
        alone are what COCO calls results.

        Args:
            image_id: Number of the image.

        Examples:
            >>> found = Detections((48, 64), [(10, 20, 15, 40)], [0.5], ["cup"])
            >>> found.to_coco()["annotations"][0]["bbox"]
            [10.0, 20.0, 5.0, 20.0]
        """
        h, w = self.size_hw
        numbers = {label: i for i, label in enumerate(dict.fromkeys(self.labels), 1)}
        entries = []
        for i, (x0, y0, x1, y1) in enumerate(self.boxes.astype(float).tolist()):
            entry: dict[str, Any] = {"id": i + 1, "image_id": image_id}
            entry["category_id"] = numbers[self.labels[i]]
            entry |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": float(self.areas[i])}
            if not np.isnan(self.scores[i]):
                entry["score"] = float(self.scores[i])
            entries.append(entry)
        image = {"id": image_id, "width": w, "height": h, "file_name": Path(self.source or "").name}
        image |= {} if self.model is None else {"model": self.model}
        categories = [{"id": number, **_category(label)} for label, number in numbers.items()]
        return {"images": [image], "annotations": entries, "categories": categories}

    @classmethod
    def from_coco(cls, document: Mapping[str, Any], image: int | str | None = None) -> Detections:
        """Read the boxes of one image of a document in COCO's layout.

        Args:
            document: With ``images``, ``annotations`` and ``categories``.
            image: Number or file name of the image; None if there is but one.

        Raises:
            InputError: The document is not of this layout, or the image is not in it.
        """
        try:
            about = _choose_image(list(document["images"]), image)
            names = {
                entry["id"]: None if entry.get("unlabelled") is True else entry["name"]
                for entry in document.get("categories", ())
            }
            entries = [e for e in document["annotations"] if e["image_id"] == about["id"]]
            boxes = np.array([e["bbox"] for e in entries], np.float64).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            given = [e.get("score") for e in entries]
            scores = np.array([np.nan if score is None else float(score) for score in given])
            labels = tuple(names.get(e["category_id"], str(e["category_id"])) for e in entries)
            size = int(about["height"]), int(about["width"])
        except InputError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise InputError(
                f"expected a document in COCO's layout, got another ({type(error).__name__}: "
                f"{error}); give one with images, annotations and categories"
            ) from error
        return cls(
            size,
            boxes.astype(np.float32),
            scores,
            labels,
            about.get("file_name") or None,
            about.get("model"),
        )

    def save(self, target: Target) -> None:
        """Write a JSON file in COCO's layout, see `to_coco`.

        Args:
            target: A path, or a file that is open for writing bytes.

        Raises:
            OutputError: It cannot be written; what was there before is untouched.

        Examples:
            >>> import io
            >>> file = io.BytesIO()
            >>> Detections((48, 64), [(10, 20, 15, 40)], labels=["cup"]).save(file)
            >>> Detections.load(file.getvalue()).labels
            ('cup',)
        """
        with output(target) as file:
            file.write(json.dumps(self.to_coco(), ensure_ascii=False).encode())

    @classmethod
    def load(
        cls, source: str | os.PathLike[str] | bytes | IO[bytes], image: int | str | None = None
    ) -> Detections:
        """Read the boxes of one image from a JSON file in COCO's layout, see `from_coco`.

        Args:
            source: A path, what is in the file, or the file itself, open for reading bytes.
            image: Number or file name of the image; None if there is but one.

        Raises:
            InputError: It is missing, damaged, or of another layout.
        """
        from anymask.formats import annotation

        return cls.from_coco(annotation.read_json(source), image)


def _check_boxes(boxes: FloatArray) -> FloatArray:
    wrong = ~np.isfinite(boxes).all(axis=1)
    if wrong.any():
        raise InputError(
            f"expected finite corners, got {boxes[wrong][0].tolist()} for detection "
            f"{np.flatnonzero(wrong)[0]}; leave it out"
        )
    swapped = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if swapped.any():
        raise InputError(
            f"expected boxes as left, top, right, bottom, got {boxes[swapped][0].tolist()} for "
            f"detection {np.flatnonzero(swapped)[0]}; swap its corners, or add the first two to "
            f"the last two if those are a width and a height"
        )
    return boxes


def _category(label: str | None) -> dict[str, Any]:
    """Name a category; that of boxes without a name is told from a real one when it is read."""
    return {"name": "object", "unlabelled": True} if label is None else {"name": label}


def _choose_image(images: list[Mapping[str, Any]], wanted: int | str | None) -> Mapping[str, Any]:
    if wanted is None and len(images) == 1:
        return images[0]
    found = [one for one in images if wanted in (one["id"], one.get("file_name"))]
    if wanted is None or len(found) != 1:
        raise InputError(
            f"expected the number or file name of one of {len(images)} images, got {wanted!r}; "
            f"name one"
        )
    return found[0]


def _rectangle(corners: list[int], h: int, w: int) -> npt.NDArray[np.uint32]:
    """Run lengths, column by column, of a mask that is a rectangle."""
    x0, y0, x1, y1 = corners
    if x1 <= x0 or y1 <= y0:
        return np.array([h * w], np.uint32)
    columns, rows = (1, (x1 - x0) * h) if y1 - y0 == h else (x1 - x0, y1 - y0)
    runs = [x0 * h + y0, *([rows, h - rows] * columns)]
    runs[-1] = h * w - sum(runs[:-1])
    return np.array(runs if runs[-1] else runs[:-1], np.uint32)

"""PerSeg: an object that is known from one image with its mask, found in others.

As in the benchmark of PerSAM (Zhang et al., ICLR 2024): intersections and unions of all images of
an object are added up before they are divided, and the average is over objects. The image that the
object is known from does not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from anymask.data.readers.perseg import PersonalSample
from anymask.errors import CapabilityError, InputError
from anymask.evaluate.metrics import mean
from anymask.evaluate.protocol import Row, Rows, Summary, Table, flat
from anymask.evaluate.protocols.options import PerSegOptions
from anymask.evaluate.report.comparison import draw_comparison
from anymask.image.image import Image, ImageLike

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["Finder", "PerSeg", "Personalizable"]


@runtime_checkable
class Personalizable(Protocol):
    """A model that can be shown an object, as `Segmenter.personalize` has it."""

    def personalize(
        self, reference: ImageLike, mask: npt.NDArray[np.bool_], **options: Any
    ) -> Finder:
        """Learn what an object looks like.

        Args:
            reference: An image with the object.
            mask: Its pixels, (h, w).
            **options: Settings of `PersonalConfig`.
        """
        ...


class Finder(Protocol):
    """What knows an object."""

    def find(self, image: ImageLike) -> Masks:
        """Find the object in an image: masks, best first, none if it is not there."""
        ...


@dataclass(frozen=True)
class PerSeg(PerSegOptions):
    """Show the model an object in one image, and let it find the object in others."""

    legend = "In colour the prediction; the white line is the ground truth. The number is the IoU."

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Find the object in one image; the mask ranked first counts.

        Raises:
            CapabilityError: The model cannot be shown an object.
            InputError: The data set shows none.
        """
        prediction = self._find(model, sample)
        found, truth = _first(prediction, sample), sample.masks()[0]
        shared, united = (int(np.count_nonzero(x)) for x in (found & truth, found | truth))
        overlap = round(shared / united, 5)
        return [
            {
                "object": sample.meta["object"],
                "intersection": shared,
                "union": united,
                "iou": overlap,
                "score": overlap,
            }
        ]

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Average over the objects of a set."""
        overall, by_object = [], []
        for name, rows in sets.items():
            images = flat(rows)
            objects: dict[str, list[Row]] = {}
            for row in images:
                objects.setdefault(row["object"], []).append(row)
            pooled = {thing: _pooled(some) for thing, some in objects.items()}
            averages = mean(pooled.values()), mean(row["iou"] for row in images)
            overall.append((name, len(objects), len(images), *averages))
            by_object += [(name, k, len(objects[k]), value) for k, value in pooled.items()]
        note = (
            "mIoU adds up the pixels of all images of an object before it divides, and averages "
            "over objects, as the benchmark does."
        )
        header = ("set", "objects", "images", "mIoU", "mean IoU of images")
        return Summary(
            (
                Table("perseg", "An object found again", header, tuple(overall), note),
                Table(
                    "perseg-by-object",
                    "An object found again, by object",
                    ("set", "object", "images", "IoU"),
                    tuple(by_object),
                ),
            )
        )

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Draw the prediction, and the outline of the object."""
        return draw_comparison(sample.image, self._find(model, sample)[:1], sample.masks()[0])

    def _find(self, model: Segmenter, sample: Sample) -> Masks:
        if not isinstance(model, Personalizable):
            raise CapabilityError(
                f"expected a model that can be shown an object, got {model.variant.name}, which "
                "takes no reference image; load another model"
            )
        if not isinstance(sample, PersonalSample):
            raise InputError(
                f"expected a data set of objects with reference images, got "
                f"{sample.meta.get('set')!r}, which has none; give a folder in PerSeg's layout"
            )
        shown = _Shown(sample.reference.image, sample.reference.masks()[0])
        return _finder(model, self.method, shown).find(Image.open(sample.image))


@dataclass(frozen=True)
class _Shown:
    """A reference, equal to any other of the same content."""

    image: npt.NDArray[np.uint8] = field(compare=False)
    mask: npt.NDArray[np.bool_] = field(compare=False)
    digest: str = ""

    def __post_init__(self) -> None:
        content = hashlib.sha256(self.image.tobytes() + self.mask.tobytes())
        object.__setattr__(self, "digest", content.hexdigest())


@lru_cache(maxsize=4)
def _finder(model: Personalizable, method: str, shown: _Shown) -> Finder:
    """Show an object once, for all images in which it is looked for."""
    return model.personalize(Image.open(shown.image), shown.mask, method=method)


def _first(prediction: Masks, sample: Sample) -> npt.NDArray[np.bool_]:
    """Take the mask ranked first; no mask is an empty one."""
    return prediction.dense()[0] if len(prediction) else np.zeros(sample.image.shape[:2], np.bool_)


def _pooled(rows: list[Row]) -> float:
    return float(sum(row["intersection"] for row in rows) / sum(row["union"] for row in rows))

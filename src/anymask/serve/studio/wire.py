"""What goes between the studio's page and the server: things, classes, images of the folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from anymask.masks.masks import Masks
from anymask.prompt import Prompt
from anymask.serve.routes.replies import ErrorDetail
from anymask.serve.routes.schemas import RunLengths
from anymask.serve.studio.gallery import Picture
from anymask.serve.studio.project import THING, Class, Stored
from anymask.serve.wire import counts_of, masks_document, plain

__all__ = [
    "ClassRecord",
    "ConflictAnswer",
    "Export",
    "Formats",
    "SaveClasses",
    "SaveThings",
    "ThingRecord",
    "classes_document",
    "masks_of_things",
    "picture_document",
    "things_document",
]

_RULES: Any = {"use_attribute_docstrings": True, "extra": "forbid", "allow_inf_nan": False}
_ID = "studio_id"  # in a thing's meta, which the page gives back as it is: that of `Masks.ids`
_MOST = 5000  # things of an image
Formats = Literal["coco", "yolo", "labelme", "sa1b", "voc", "png", "cutout"]


@dataclass(frozen=True, kw_only=True)
class ThingRecord:
    """A mask that a person made or keeps, with the prompt that it came from."""

    __pydantic_config__: ClassVar[Any] = _RULES
    thing: str = field(metadata={"min_length": 1, "max_length": 64, "examples": ["t1"]})
    """Id by which the page knows it."""
    rle: RunLengths = field(metadata={"examples": [{"size": [4, 6], "counts": [0, 12, 12]}]})
    """Its pixels."""
    score: float | None = None
    """Predicted IoU, or the confidence of the detector that found it."""
    stability: float | None = None
    """Share that stays when the threshold moves."""
    label: str | None = field(default=None, metadata={"max_length": 1000})
    """Its class."""
    points: list[tuple[float, float]] = field(default_factory=list, metadata={"max_length": 1000})
    """Points of its prompt."""
    labels: list[Literal[0, 1]] = field(default_factory=list, metadata={"max_length": 1000})
    """Of each, 1 on the thing, 0 beside it."""
    prompt_box: tuple[float, float, float, float] | None = None
    """Box of its prompt."""
    meta: dict[str, Any] = field(default_factory=dict, metadata={"max_length": 1000})
    """What else is known."""


@dataclass(frozen=True, kw_only=True)
class SaveThings:
    """All masks of an image, and the revision that they replace."""

    __pydantic_config__: ClassVar[Any] = _RULES
    revision: int = field(metadata={"ge": 0, "le": 2**53, "examples": [0]})
    """That which was seen last."""
    things: list[ThingRecord] = field(metadata={"max_length": _MOST})
    """The masks, in their order."""


@dataclass(frozen=True, kw_only=True)
class ClassRecord:
    """A class."""

    __pydantic_config__: ClassVar[Any] = _RULES
    name: str = field(metadata={"min_length": 1, "max_length": 100})
    """What masks are called."""
    color: str = field(metadata={"min_length": 7, "max_length": 7, "examples": ["#4da3ff"]})
    """Red, green and blue in hex."""


@dataclass(frozen=True, kw_only=True)
class SaveClasses:
    """All classes, and the revision that they replace."""

    __pydantic_config__: ClassVar[Any] = _RULES
    revision: int = field(metadata={"ge": 0, "le": 2**53, "examples": [0]})
    """That which was seen last."""
    classes: list[ClassRecord] = field(metadata={"max_length": 1000})
    """The classes, in their order."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Which masks to export, and how."""

    __pydantic_config__: ClassVar[Any] = _RULES
    formats: list[Formats] = field(
        metadata={"min_length": 1, "max_length": 7, "examples": [["coco"]]}
    )
    """A folder for each in the zip."""
    pictures: list[str] | None = field(default=None, metadata={"max_length": 100_000})
    """Ids of images; None: all that have masks."""


# ------------------------------------------------------------------------- to the page


@dataclass(frozen=True, kw_only=True)
class ConflictAnswer:
    """Somebody else has saved meanwhile."""

    __pydantic_config__: ClassVar[Any] = _RULES
    error: ErrorDetail
    """What went wrong."""
    current: dict[str, Any]
    """What is stored now, with its revision."""


def picture_document(picture: Picture, masks: int, revision: int) -> dict[str, Any]:
    """Describe an image of the folder."""
    h, w = picture.size_hw
    return {
        "id": picture.id,
        "name": picture.name,
        "w": w,
        "h": h,
        "masks": masks,
        "revision": revision,
        "error": picture.error,
    }


def things_document(stored: Stored[Masks]) -> dict[str, Any]:
    """Write the masks of an image as things."""
    masks = stored.part
    records = masks_document(masks)["masks"]
    things = []
    for record, prompt, meta in zip(records, masks.prompts, masks.meta, strict=True):
        rest = {name: value for name, value in record["meta"].items() if name != THING}
        if record["id"] is not None:
            rest[_ID] = record["id"]
        things.append(
            {
                "thing": meta[THING],
                **{name: record[name] for name in ("rle", "score", "stability", "label")},
                "points": [] if prompt is None else prompt.points_xy.tolist(),
                "labels": [] if prompt is None else prompt.labels.tolist(),
                "prompt_box": None if prompt is None or prompt.box is None else prompt.box.tolist(),
                "meta": rest,
            }
        )
    return {"revision": stored.revision, "things": things}


def classes_document(stored: Stored[tuple[Class, ...]]) -> dict[str, Any]:
    """Write the classes."""
    return {"revision": stored.revision, "classes": [vars(one) for one in stored.part]}


# ----------------------------------------------------------------------- from the page


def masks_of_things(things: Sequence[ThingRecord], picture: Picture, model: str) -> Masks:
    """Read things as the masks of an image.

    Raises:
        InputError: One is not as it should be.
    """
    metas = [plain(one.meta) for one in things]
    ids = tuple(meta.pop(_ID, None) for meta in metas)
    return Masks(
        picture.size_hw,
        tuple(counts_of(vars(one.rle), picture.size_hw) for one in things),
        scores=_numbers([one.score for one in things]),
        stability=_numbers([one.stability for one in things]),
        prompts=tuple(_prompt(one, picture.size_hw) for one in things),
        labels=tuple(one.label for one in things),
        ids=ids,
        meta=tuple({**meta, THING: one.thing} for meta, one in zip(metas, things, strict=True)),
        source=picture.name,
        model=model,
    )


def _numbers(values: Sequence[float | None]) -> npt.NDArray[Any]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _prompt(thing: ThingRecord, size_hw: tuple[int, int]) -> Prompt | None:
    if not thing.points and thing.prompt_box is None:
        return None
    prompt = Prompt(thing.points or None, thing.labels or None, thing.prompt_box)
    prompt.check_inside(size_hw)
    return prompt

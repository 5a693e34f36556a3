"""What goes between the page of a label project and the server: leases, masks, their history."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

from anymask.label.queue.order import Order
from anymask.label.records import (
    ImageRecord,
    ImageState,
    LabelClass,
    Lease,
    Provenance,
    Review,
    Revision,
    Stage,
    StoredMasks,
)
from anymask.label.review.audit import Audit
from anymask.label.saving import Wanted
from anymask.label.status import Status
from anymask.serve.studio.gallery import Picture
from anymask.serve.studio.project import THING, Stored
from anymask.serve.studio.wire import Formats, ThingRecord, masks_of_things, things_document

__all__ = [
    "BeginAudit",
    "ChangeClasses",
    "ExportMasks",
    "Finish",
    "LabelThing",
    "Look",
    "Next",
    "Release",
    "Renew",
    "SaveMasks",
    "TakeLease",
    "audit_document",
    "classes_document",
    "history_document",
    "id_of",
    "lease_document",
    "masks_document",
    "picture_document",
    "status_document",
    "wanted_of",
]

_RULES: Any = {"use_attribute_docstrings": True, "extra": "forbid", "allow_inf_nan": False}
_MOST = 5000  # things of an image
_NAME = {"min_length": 1, "max_length": 100, "examples": ["ada"]}
_TOKEN = {"min_length": 1, "max_length": 64, "examples": ["2f6c"]}
_LEASE = {"ge": 1, "le": 7 * 24 * 3600}
_SPENT = {"ge": 0, "le": 1e6}
_LONG = 300.0  # seconds of a lease: the page renews it as long as somebody is there
_NUMBER = re.compile(r"m([1-9]\d{0,17})")


@dataclass(frozen=True, kw_only=True)
class Next:
    """Who wants an image to work on, and which."""

    __pydantic_config__: ClassVar[Any] = _RULES
    person: str = field(metadata=_NAME)
    """Who asks."""
    order: Order = "added"
    """What comes first."""
    state: ImageState = "open"
    """Which images: open to label, done to review."""
    audit: str | None = field(default=None, metadata={"max_length": 200})
    """Images with masks of this audit that nobody has looked at, whatever their state."""
    seconds: float = field(default=_LONG, metadata=_LEASE)
    """How long the lease lasts unless it is renewed."""
    tab: str | None = field(default=None, metadata=_TOKEN)
    """Names the page: another page of the same person gets another image."""


@dataclass(frozen=True, kw_only=True)
class TakeLease:
    """Who wants a certain image."""

    __pydantic_config__: ClassVar[Any] = _RULES
    person: str = field(metadata=_NAME)
    """Who asks."""
    image: str = field(metadata={"min_length": 1, "max_length": 1000, "examples": ["a.jpg"]})
    """Its digest, or one of its names."""
    seconds: float = field(default=_LONG, metadata=_LEASE)
    """How long the lease lasts unless it is renewed."""
    tab: str | None = field(default=None, metadata=_TOKEN)
    """Names the page: what another page of the same person has is not given."""


@dataclass(frozen=True, kw_only=True)
class Renew:
    """A lease that should go on."""

    __pydantic_config__: ClassVar[Any] = _RULES
    token: str = field(metadata=_TOKEN)
    """That of the lease."""
    seconds: float = field(default=_LONG, metadata=_LEASE)
    """How long it lasts from now on."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """A lease that is given back."""

    __pydantic_config__: ClassVar[Any] = _RULES
    token: str = field(metadata=_TOKEN)
    """That of the lease."""
    skip: bool = False
    """Put the image behind all others."""


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Work that is done."""

    __pydantic_config__: ClassVar[Any] = _RULES
    token: str = field(metadata=_TOKEN)
    """That of the lease."""
    image: str = field(metadata={"min_length": 64, "max_length": 64, "examples": ["0" * 64]})
    """Digest of the image."""
    state: ImageState = "done"
    """What it is now: done; accepted, or open again, by a reviewer."""
    seconds: float = field(default=0.0, metadata=_SPENT)
    """Time spent."""
    audit: str | None = field(default=None, metadata={"max_length": 200})
    """The masks of this audit that are as they were are right; the state stays."""
    person: str | None = field(default=None, metadata=_NAME)
    """Who says so."""


@dataclass(frozen=True, kw_only=True)
class BeginAudit:
    """An audit that begins."""

    __pydantic_config__: ClassVar[Any] = _RULES
    name: str = field(metadata={"min_length": 1, "max_length": 200, "examples": ["may"]})
    """What it is called."""
    sample: int = field(default=500, metadata={"ge": 1, "le": 1_000_000})
    """With so many masks."""
    stage: Stage | None = None
    """Only masks that are as this stage left them."""
    model_version: str | None = field(default=None, metadata={"max_length": 200})
    """Only masks whose pixels are of this version."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Images that a page shows."""

    __pydantic_config__: ClassVar[Any] = _RULES
    images: list[str] = field(default_factory=list, metadata={"max_length": 1000})
    """Their digests."""


@dataclass(frozen=True, kw_only=True)
class ChangeClasses:
    """New classes, new names, new colours."""

    __pydantic_config__: ClassVar[Any] = _RULES
    add: list[str] = field(default_factory=list, metadata={"max_length": 1000})
    """New classes; those that are there already stay."""
    rename: tuple[str, str] | None = None
    """A class, and its new name."""
    color: dict[str, str] = field(default_factory=dict, metadata={"max_length": 1000})
    """Colours of classes, such as #4da3ff."""
    seen: dict[str, str] = field(default_factory=dict, metadata={"max_length": 1000})
    """The colours that they had; another one by now is not replaced."""
    token: str | None = field(default=None, metadata={"min_length": 1, "max_length": 200})
    """Names the request: it may be sent again, and happens once."""


@dataclass(frozen=True, kw_only=True)
class ExportMasks:
    """Which masks to export, and how."""

    __pydantic_config__: ClassVar[Any] = _RULES
    formats: list[Formats] = field(
        metadata={"min_length": 1, "max_length": 7, "examples": [["coco"]]}
    )
    """A folder for each in the zip."""
    pictures: list[str] = field(metadata={"min_length": 1, "max_length": 1000})
    """Digests of images; the whole project is exported by `anymask label export`."""


@dataclass(frozen=True, kw_only=True)
class LabelThing(ThingRecord):
    """A mask of a label project."""

    __pydantic_config__: ClassVar[Any] = _RULES
    label_id: int | None = None
    """Number of its class, which counts more than its name: it may be called otherwise by now."""
    review: Review = "pending"
    """What is said of it."""
    seconds: float | None = field(default=None, metadata=_SPENT)
    """Time that somebody has worked on it since it was saved last."""
    version: str | None = field(default=None, metadata={"max_length": 200})
    """The model version that its pixels came from, empty for none; without it, the one that serves,
    of what has a predicted IoU."""


@dataclass(frozen=True, kw_only=True)
class SaveMasks:
    """All masks of an image, and the revision that they replace."""

    __pydantic_config__: ClassVar[Any] = _RULES
    revision: int = field(metadata={"ge": 0, "le": 2**53})
    """That which was seen last."""
    person: str = field(metadata=_NAME)
    """Who saves them."""
    token: str | None = field(default=None, metadata={"min_length": 1, "max_length": 200})
    """Names the request: it may be sent again, and happens once."""
    things: list[LabelThing] = field(metadata={"max_length": _MOST})
    """The masks, in their order."""


# ------------------------------------------------------------------------- to the page


def picture_document(image: ImageRecord, error: str | None = None) -> dict[str, Any]:
    """Describe an image as the studio does; its id is the digest of its content."""
    h, w = image.size_hw
    return {
        "id": image.sha256,
        "name": image.name,
        "w": w,
        "h": h,
        "masks": image.masks,
        "revision": image.revision,
        "error": error,
        "state": image.state,
        "number": image.id,
    }


def lease_document(lease: Lease) -> dict[str, Any]:
    """Describe a lease."""
    return {
        "token": lease.token,
        "seconds": lease.seconds,
        "person": lease.person,
        "picture": picture_document(lease.image),
    }


def status_document(status: Status) -> dict[str, Any]:
    """Describe how far the work is; who has what, without the tokens."""
    return {
        "images": status.images,
        "by_state": status.by_state,
        "masks": status.masks,
        "by_review": status.by_review,
        "by_stage": status.by_stage,
        "unnamed": status.unnamed,
        "seconds": status.seconds,
        "seconds_per_mask": status.seconds_per_mask,
        "timed": status.timed,
        "slow": status.slow,
        "gone": status.gone,
        "changed": status.changed,
        "version": status.version,
        "detector": status.detector,
        "people": [asdict(one) for one in status.people],
        "versions": [asdict(one) for one in status.versions],
        "classes": classes_document(status.classes),
        "leases": [
            {"person": one.person, "image": one.image.name, "seconds": one.seconds}
            for one in status.leases
        ],
    }


def classes_document(classes: Sequence[LabelClass]) -> list[dict[str, Any]]:
    """Describe the classes."""
    return [{"id": c.id, "name": c.name, "color": c.color, "masks": c.masks} for c in classes]


def id_of(mask: int) -> str:
    """Give the id by which the page knows a mask.

    Examples:
        >>> id_of(12)
        'm12'
    """
    return f"m{mask}"


def masks_document(stored: StoredMasks) -> dict[str, Any]:
    """Write the masks of an image as things, with what is known of each beside."""
    metas = ({**m, THING: id_of(i)} for m, i in zip(stored.masks.meta, stored.ids, strict=True))
    masks = replace(stored.masks, meta=tuple(metas))
    document = things_document(Stored(masks, stored.image.revision))
    for i, thing in enumerate(document["things"]):
        thing["review"] = stored.reviews[i]
        thing["known"] = {
            "mask": stored.ids[i],
            "revision": stored.revisions[i],
            "stage": stored.stages[i],
            "person": stored.people[i],
            "version": stored.versions[i],
            "origin": stored.origins[i],
        }
    return {**document, "picture": picture_document(stored.image)}


def audit_document(audit: Audit) -> dict[str, Any]:
    """Describe what an audit has found so far, and how much of it is left."""
    return {
        "name": audit.name,
        "sampled": audit.sampled,
        "waiting": len(audit.waiting),
        "rows": [asdict(one) for one in audit.rows],
    }


def history_document(history: Sequence[Revision]) -> list[dict[str, Any]]:
    """Write the history of a mask; that work on known masks was set aside is not for annotators."""
    found = []
    for one in history:
        if one.action == "retire":
            continue
        masks = replace(one.masks, meta=({**one.masks.meta[0], THING: id_of(one.mask)},))
        (thing,) = things_document(Stored(masks, 0))["things"]
        names = ("revision", "action", "deleted", "review", "stage", "person", "version")
        rest = (*names, "seconds", "at", "restores")
        found.append({name: getattr(one, name) for name in rest} | {"thing": thing})
    return found


# ----------------------------------------------------------------------- from the page


def wanted_of(
    asked: SaveMasks, picture: Picture, model: str, classes: Mapping[int, str]
) -> tuple[Wanted, Provenance]:
    """Read what the masks of an image should be, and who says so.

    Args:
        asked: What came.
        picture: The image.
        model: The version of the model that serves.
        classes: Names of the classes by their numbers.

    Raises:
        InputError: A mask is not as it should be.
    """
    masks = masks_of_things(asked.things, picture, model)
    metas = ({k: v for k, v in meta.items() if k != THING} for meta in masks.meta)
    labels = (classes.get(one.label_id or 0, one.label) for one in asked.things)
    wanted = Wanted(
        replace(masks, meta=tuple(metas), labels=tuple(labels)),
        tuple(_number(one.thing) for one in asked.things),
        tuple(one.review for one in asked.things),
        tuple(one.seconds for one in asked.things),
        tuple(_version(one, model) for one in asked.things),
    )
    return wanted, Provenance(person=asked.person, token=asked.token)


def _version(thing: LabelThing, served: str) -> str | None:
    if thing.version is None:
        return None if thing.score is None else served
    return thing.version or None


def _number(thing: str) -> int | None:
    """Give the number of a mask by its id; None for a new one, which the page has named itself."""
    found = _NUMBER.fullmatch(thing)
    return None if found is None else int(found[1])

"""What a store holds, as values: images, masks, revisions, leases, classes, versions of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from anymask.errors import InputError
from anymask.masks.masks import Masks

__all__ = [
    "HIDDEN",
    "IMAGE_STATES",
    "IN_WORK",
    "MASK_SECONDS",
    "REVIEWS",
    "SHOWN",
    "STAGES",
    "VERSION_KINDS",
    "Added",
    "Change",
    "ImageRecord",
    "ImageState",
    "LabelClass",
    "Lease",
    "LeaseConflict",
    "ModelVersion",
    "Provenance",
    "Review",
    "Revision",
    "RevisionConflict",
    "Stage",
    "StoredMasks",
    "VersionKind",
]

ImageState = Literal["open", "done", "accepted"]
"""``open``: to be labelled; ``done``: labelled, to be reviewed; ``accepted``: reviewed."""

Review = Literal["pending", "accepted", "rejected"]
"""What a reviewer said of a mask."""

Stage = Literal["assisted", "semi-automatic", "automatic", "imported"]
"""How a mask came about, in the words of the Segment Anything paper (section 4)."""

VersionKind = Literal["model", "detector"]
"""What a version is: what makes masks, or what says where things are."""

MASK_SECONDS = 30.0
"""Time budget of a mask: whoever needs longer should go on to the next image (the paper's
section 4)."""

HIDDEN: dict[ImageState, str] = {"open": "hidden", "done": "answered", "accepted": "approved"}
"""States, in the database alone, of images whose masks are known, by what people see them as."""

SHOWN: dict[str, ImageState] = {name: state for state, name in HIDDEN.items()}
"""What people see images as whose masks are known, by their state in the database."""

IN_WORK = f"state NOT IN ({', '.join(map(repr, SHOWN))})"
"""Condition of a query over ``images``: without those whose masks are known."""

IMAGE_STATES: tuple[ImageState, ...] = get_args(ImageState)
REVIEWS: tuple[Review, ...] = get_args(Review)
STAGES: tuple[Stage, ...] = get_args(Stage)
VERSION_KINDS: tuple[VersionKind, ...] = get_args(VersionKind)


@dataclass(frozen=True)
class Provenance:
    """Who or what made a change, and how.

    Attributes:
        person: Name of who did it; None: a program alone.
        version: Name of the model version that the mask came from (see `Store.add_version`); None:
            drawn by hand, or unknown.
        stage: How it came about.
        seconds: Time that it took; None if unknown.
        token: Names the request. The same token again changes nothing and gives the answer of the
            first time, so that whoever heard no answer may ask again; at most 200 characters.

    Examples:
        >>> Provenance(person="Ada", version="bundled").stage
        'assisted'
    """

    person: str | None = None
    version: str | None = None
    stage: Stage = "assisted"
    seconds: float | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        if self.stage not in STAGES:
            raise InputError(
                f"expected a stage out of {', '.join(STAGES)}, got {self.stage!r}; name one"
            )
        for what, name in (("person", self.person), ("version", self.version)):
            if name is not None:
                check_name(name, f"name of a {what}")
        if self.seconds is not None and not 0 <= self.seconds < 1e9:
            raise InputError(f"expected seconds of 0 or more, got {self.seconds}; correct them")
        check_token(self.token)


def check_token(token: str | None) -> None:
    """Refuse the name of a request that cannot be kept; None: it has none.

    Raises:
        InputError: It is empty or too long.
    """
    if token is not None and not 0 < len(token) <= 200:
        raise InputError(
            f"expected a token of 1 to 200 characters, got {len(token)}; give it another length"
        )


def check_name(name: object, what: str, longest: int = 100) -> str:
    """Check a name that people read.

    Raises:
        InputError: It is empty, too long, or holds characters that no name has.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > longest or "\0" in name:
        shown = repr(name[:40]) if isinstance(name, str) else repr(name)
        raise InputError(
            f"expected a {what} of 1 to {longest} characters, got {shown}; choose another"
        )
    return name


@dataclass(frozen=True)
class ImageRecord:
    """An image of a store.

    Attributes:
        id: Its number in the store.
        sha256: Digest of its file, by which it is known.
        size_hw: Height and width, orientation applied.
        names: Where it is: paths, relative to the folder of the project where they lie in it, or
            addresses. The same photo twice under two names is one image with two names.
        state: Whether it is to be labelled, to be reviewed, or accepted.
        masks: Number of masks.
        revision: Rises with every change of its masks or its state.
        seconds: Time that people spent on it.
        gone: Whether it was under none of its names when these were looked at last.
    """

    id: int
    sha256: str
    size_hw: tuple[int, int]
    names: tuple[str, ...]
    state: ImageState
    masks: int
    revision: int
    seconds: float
    gone: bool = False

    @property
    def name(self) -> str:
        """The first of its names; its digest if it has none any more."""
        return self.names[0] if self.names else self.sha256


@dataclass(frozen=True)
class StoredMasks:
    """The masks of an image as they are now.

    Attributes:
        image: Whose they are.
        masks: n masks; `Masks.labels` are the names of their classes.
        ids: Number of each in the store; never used again for another.
        revisions: Revision of each: name it when you change the mask.
        reviews: What reviewers said of each.
        stages: How each came about.
        people: Who changed each last, or None.
        versions: The model version that each came from, or None.
        seconds: Time that the last revision of each took, or None.
        origins: The model version that each came from at first, whatever became of it, or None.
    """

    image: ImageRecord
    masks: Masks
    ids: tuple[int, ...]
    revisions: tuple[int, ...]
    reviews: tuple[Review, ...]
    stages: tuple[Stage, ...]
    people: tuple[str | None, ...]
    versions: tuple[str | None, ...]
    seconds: tuple[float | None, ...]
    origins: tuple[str | None, ...]


@dataclass(frozen=True)
class Revision:
    """One entry in the history of a mask; none is ever changed or deleted.

    Attributes:
        mask: Number of the mask.
        revision: 1 for the first, then rising by one.
        action: ``add``, ``edit``, ``review``, ``delete`` or ``restore`` (which undo is, too); or
            ``retire``, see `anymask.label.review.honeypots`.
        masks: The mask as it was after it, a `Masks` of one.
        deleted: Whether it was deleted by it.
        review: What reviewers had said by then.
        stage: How it came about.
        person: Who, or None.
        version: The model version, or None.
        seconds: Time that it took, or None.
        at: When, in seconds since 1970, by the clock of the database.
        restores: The revision that it brought back, or None.
    """

    mask: int
    revision: int
    action: str
    masks: Masks
    deleted: bool
    review: Review
    stage: Stage
    person: str | None
    version: str | None
    seconds: float | None
    at: float
    restores: int | None


class RevisionConflict(InputError):
    """Somebody else has changed it meanwhile; nothing was changed.

    Attributes:
        current: What is there now: the latest `Revision` of the mask, or the `ImageRecord`.
    """

    def __init__(self, message: str, current: Revision | ImageRecord) -> None:
        super().__init__(message)
        self.current = current


class LeaseConflict(InputError):
    """Somebody else works on the image.

    Attributes:
        person: Who.
        seconds: For how long, unless it is renewed.
    """

    def __init__(self, image: str, person: str, seconds: float) -> None:
        super().__init__(
            f"expected the image {image!r} to be free, but {person!r} has it; take another one, or "
            "wait until it is given back"
        )
        self.person, self.seconds = person, seconds


@dataclass(frozen=True)
class Change:
    """One change of one mask, see `Store.change`.

    Attributes:
        action: ``add`` a mask, ``edit`` its pixels, class or both, ``review`` it, ``delete`` it, or
            ``restore`` an earlier revision.
        mask: Its number; None to add one.
        revision: The revision that you saw; the change is refused if there is another by now.
        masks: The mask as it should be, a `Masks` of one with its label, to add or to edit.
        review: What to say of it, to review; or with which verdict it is added.
        to: The revision to bring back, to restore; None: the one before (undo).
        seconds: Time that it took; None: what the provenance says.
        version: Name of the model version that the new pixels came from; None: what the provenance
            says.
    """

    action: Literal["add", "edit", "review", "delete", "restore"]
    mask: int | None = None
    revision: int | None = None
    masks: Masks | None = None
    review: Review | None = None
    to: int | None = None
    seconds: float | None = None
    version: str | None = None


@dataclass(frozen=True)
class Lease:
    """The right to work on an image for a while, alone.

    Attributes:
        token: Names the lease, to renew and to release it.
        image: The image.
        person: Who has it.
        seconds: How long it lasts from now on.
        mask_seconds: Time budget of a mask: as a hint, go on to the next image when one takes
            longer.
    """

    token: str
    image: ImageRecord
    person: str
    seconds: float
    mask_seconds: float = MASK_SECONDS


@dataclass(frozen=True)
class LabelClass:
    """A name for things. Masks hold its number, so it can be renamed.

    Attributes:
        id: Its number in the store.
        name: What masks have as their label.
        color: ``#rrggbb``.
        masks: Number of masks of it.
    """

    id: int
    name: str
    color: str
    masks: int = 0


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model that masks came from or that learned from them.

    Attributes:
        id: Its number in the store.
        name: What it is called, once in a project.
        path: Its weights: a path, or a name such as ``"bundled"``.
        parent: Name of the version that it was trained from, or None.
        metrics: What was measured, as plain JSON values.
        promoted: Whether it is the one in use of its kind.
        at: When it was registered, in seconds since 1970.
        kind: ``"model"``, which makes masks; or ``"detector"``, which says where things are, see
            `anymask.label.proposals`.
    """

    id: int
    name: str
    path: str
    parent: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    promoted: bool = False
    at: float = 0.0
    kind: VersionKind = "model"


@dataclass(frozen=True)
class Added:
    """What became of the images that were to be added; names each.

    Attributes:
        added: New images.
        known: Were there already, unchanged.
        again: Are new names of images that were there already.
        changed: Have another content than when they were labelled: masks stay with the old content,
            the new one waits until it is accepted (``accept_changes=True``).
        replaced: Had another content, but no masks yet or the change was accepted.
        gone: Are not there any more.
        failed: Cannot be read, with the reason.
    """

    added: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()

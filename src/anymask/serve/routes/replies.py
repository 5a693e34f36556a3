"""What comes out, as OpenAPI describes it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from anymask.serve.routes.schemas import RULES, MaskRecord, schema

__all__ = [
    "BoxRecord",
    "BoxesAnswer",
    "DepthAnswer",
    "EmbedAnswer",
    "ErrorAnswer",
    "ErrorDetail",
    "JobAnswer",
    "JobList",
    "JobResult",
    "JobResults",
    "ManyAnswers",
    "MasksAnswer",
    "ModelAnswer",
    "StatusAnswer",
]


@schema
class EmbedAnswer:
    """An embedded image."""

    __pydantic_config__: ClassVar[Any] = RULES
    session: str
    """Its id, the same for the same pixels."""
    size_hw: list[int]
    """Height and width in pixels."""
    model: str
    """Who embedded it."""
    cached: bool
    """Whether it was there already."""
    nbytes: int
    """Memory that it takes."""
    signature: str
    """Of the embedding: tells weights and preprocessing."""
    features: dict[str, list[int]]
    """Shapes of the feature maps by name."""


@schema
class MasksAnswer:
    """Masks of one image, best first."""

    __pydantic_config__: ClassVar[Any] = RULES
    size_hw: list[int]
    """Height and width of the image."""
    model: str | None
    """Who found them."""
    masks: list[MaskRecord]
    """The masks."""
    dropped: dict[str, int]
    """How many answers which setting dropped."""
    image_meta: dict[str, Any]
    """What else is known of the image."""


@schema
class ManyAnswers:
    """Answers to several prompts, or for several images, in their order."""

    __pydantic_config__: ClassVar[Any] = RULES
    answers: list[MasksAnswer] | list[list[MasksAnswer]]
    """One for each prompt or image; for several prompts about several images, lists of them."""


@schema
class BoxRecord:
    """One box."""

    box: list[float]
    """Left, top, right, bottom, around the pixels."""
    score: float | None
    """How sure the detector is."""
    label: str | None
    """What it holds."""
    __pydantic_config__: ClassVar[Any] = RULES


@schema
class BoxesAnswer:
    """Boxes in one image, best first."""

    __pydantic_config__: ClassVar[Any] = RULES
    size_hw: list[int]
    """Height and width of the image."""
    model: str | None
    """Who found them."""
    boxes: list[BoxRecord]
    """The boxes."""


@schema
class DepthAnswer:
    """Depth of masks."""

    __pydantic_config__: ClassVar[Any] = RULES
    kind: str
    """relative: inverse depth, large is near; metric: metres."""
    source: str | None
    """What estimated it."""
    masks: list[dict[str, Any]]
    """Of each mask: median, p10, p90, the known share, its rank from near to far, a plane."""
    order: list[int]
    """Numbers of the masks from near to far."""
    occlusions: list[dict[str, Any]]
    """Which mask lies in front of which."""


@schema
class ModelAnswer:
    """The model, and what is installed beside it."""

    __pydantic_config__: ClassVar[Any] = RULES
    name: str
    """Its name."""
    summary: str
    """What it is."""
    licence: str | None
    """Of its weights."""
    capabilities: list[str]
    """Which prompts it takes."""
    device: str
    """Where it computes."""
    dtype: str
    """What it computes in."""
    weights: str
    """SHA-256 of its weights."""
    version: str
    """Of anymask."""
    words: list[str]
    """What the detector inside knows by name."""
    formats: list[str]
    """How masks come back."""
    images: list[str]
    """Folders whose images jobs may read."""
    jobs: bool
    """Whether there are jobs."""


@schema
class StatusAnswer:
    """How the server is."""

    status: str
    """ok, ready or stopping."""
    __pydantic_config__: ClassVar[Any] = RULES


@schema
class ErrorDetail:
    """What went wrong."""

    __pydantic_config__: ClassVar[Any] = RULES
    code: str
    """Name of the kind of error."""
    message: str
    """One sentence: what was expected, what came, what to do."""


@schema
class ErrorAnswer:
    """An error."""

    error: ErrorDetail
    """What went wrong."""
    __pydantic_config__: ClassVar[Any] = RULES


@schema
class JobAnswer:
    """How far a job is."""

    __pydantic_config__: ClassVar[Any] = RULES
    id: str
    """Its id."""
    kind: str
    """What it does."""
    status: Literal["queued", "running", "done", "cancelled", "failed"]
    """Where it is; failed if it could not go on: single images may fail in one that is done."""
    images: str
    """What it works on."""
    output: str
    """Folder of its results, below that of the server."""
    total: int
    """Images that were not finished when it began."""
    done: int
    """Images done."""
    skipped: int
    """Images that an earlier job had done."""
    failed: int
    """Images that could not be done."""
    image: str | None
    """One that is being worked on."""
    step: str
    """How far that one is."""
    error: str | None
    """Why the job could not go on."""
    notes: list[str]
    """What is worth knowing, the first hundred sentences."""
    seconds: float
    """How long it has worked."""


@schema
class JobList:
    """Jobs, the newest first."""

    jobs: list[JobAnswer]
    """The jobs."""
    __pydantic_config__: ClassVar[Any] = RULES


@schema
class JobResult:
    """What became of one image."""

    __pydantic_config__: ClassVar[Any] = RULES
    image: str
    """Its name below the folder of the images."""
    status: str
    """done, skipped or failed."""
    files: list[str]
    """What was written for it, below the output."""
    error: str | None
    """Why it failed."""


@schema
class JobResults:
    """A page of results."""

    results: list[JobResult]
    """What became of each image."""
    total: int
    """How many there are so far."""
    __pydantic_config__: ClassVar[Any] = RULES

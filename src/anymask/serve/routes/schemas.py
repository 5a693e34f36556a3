"""What goes in, as OpenAPI describes it: plain dataclasses, in the library's words.

The sentences under the fields are their descriptions, those of inherited ones, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform

from anymask.plain import sentences

__all__ = [
    "RULES",
    "Array",
    "Detect",
    "Everything",
    "Export",
    "Folder",
    "Inpaint",
    "MaskRecord",
    "Measure",
    "Personalize",
    "Predict",
    "PromptWords",
    "Reference",
    "RunLengths",
    "Shown",
    "Subject",
    "schema",
]

Format = Literal[
    "json",
    "sa1b",
    "coco",
    "yolo",
    "labelme",
    "voc",
    "semantic",
    "grounded-sam",
    "cvat",
    "labelstudio",
    "png",
    "cutout",
    "overlay",
    "zip",
]
"""How masks come back."""

RULES: Mapping[str, Any] = {
    "extra": "forbid",
    "allow_inf_nan": False,
}
"""How pydantic reads these classes."""

_ID = "f3a1" * 16
_COUNTS = {"size": [4, 6], "counts": [0, 12, 12]}


Class = TypeVar("Class", bound=type)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def schema(kind: Class) -> Class:
    """Make a frozen dataclass whose fields have their sentences where pydantic looks for them."""
    made: Any = dataclass(frozen=True, kw_only=True)(kind)
    said = sentences(made)
    for one in fields(made):
        one.metadata = MappingProxyType({**one.metadata, "description": said[one.name]})
    found: Class = made
    return found


@schema
class Array:
    """Numbers of an array, row by row."""

    __pydantic_config__: ClassVar[Any] = RULES
    shape: list[int] = field(metadata={"min_length": 1, "max_length": 4, "examples": [[1, 2]]})
    """Its sides."""
    dtype: Literal["float16", "float32"] = "float32"
    """What each number is, in little-endian bytes."""
    data: str = field(metadata={"examples": ["AACAPwAAAEA="]})
    """These bytes in base64."""


@schema
class RunLengths:
    """A mask as COCO's run lengths, column by column, zeros first."""

    __pydantic_config__: ClassVar[Any] = RULES
    size: list[int] = field(metadata={"min_length": 2, "max_length": 2, "examples": [[4, 6]]})
    """Height and width of the image."""
    counts: str | list[int] = field(metadata={"examples": [[0, 12, 12]]})
    """The lengths, or COCO's compressed string of them."""


@schema
class PromptWords:
    """What is said about one object, in pixels of the image, x before y."""

    __pydantic_config__: ClassVar[Any] = RULES
    points: list[list[float]] | None = field(
        default=None, metadata={"max_length": 1000, "examples": [[[3, 2]]]}
    )
    """Points on the object, or beside it as the labels say; whole at the centres of pixels."""
    labels: list[Literal[0, 1]] | None = field(
        default=None, metadata={"max_length": 1000, "examples": [[1]]}
    )
    """1 for points on the object, 0 for background points; without it, all 1."""
    box: list[float] | None = field(
        default=None, metadata={"max_length": 4, "examples": [[0, 0, 4, 4]]}
    )
    """Left, top, right, bottom; whole between pixels."""
    mask: RunLengths | None = field(default=None, metadata={"examples": [_COUNTS]})
    """A rough mask, the size of the image."""
    mask_logits: Array | None = None
    """One of an earlier answer's logits, (h', w'), to improve."""


@schema
class Shown:
    """How masks come back."""

    __pydantic_config__: ClassVar[Any] = RULES
    format: Format = "json"
    """json: records with run lengths, all that is known; sa1b, coco, yolo, labelme, voc, semantic,
    grounded-sam, cvat, labelstudio, png (a label map): the file of that format; cutout: a PNG with
    everything else transparent; overlay: a PNG with the masks over the image; zip: all of these."""
    soft: bool = False
    """Give cut-outs the soft edge that the image shows, as at hair and fur."""
    logits: bool = False
    """Keep the model's own small answers, to feed back as mask_logits; of json alone."""


@schema
class Predict(PromptWords, Shown):
    """What to cut out: one object said directly, several as prompts, or all that words name."""

    __pydantic_config__: ClassVar[Any] = RULES
    session: str | list[str] = field(metadata={"examples": [_ID]})
    """Id of an embedded image; or a list of them, with a list of prompts for each, or with text."""
    prompts: list[PromptWords] | list[list[PromptWords]] | None = field(
        default=None, metadata={"max_length": 256}
    )
    """Instead of the direct words: one prompt for each object; for a list of sessions, a list of
    prompts for each."""
    text: str | list[str] | None = field(
        default=None, metadata={"max_length": 2000, "examples": ["cup. dog."]}
    )
    """What things are called: all that the words name are cut out."""
    negative: str | list[str] | None = field(default=None, metadata={"max_length": 2000})
    """With text: words for what is not meant."""
    threshold: float | dict[str, float] | None = None
    """With text: least score of the detector, for all words or for each."""
    multimask: bool | None = None
    """Three answers to each prompt (whole, part, subpart), or one; by itself three for a single
    point alone."""


@schema
class Everything(Shown):
    """Find everything, without a prompt."""

    __pydantic_config__: ClassVar[Any] = RULES
    session: str = field(metadata={"examples": [_ID]})
    """Id of an embedded image."""
    options: dict[str, Any] = field(
        default_factory=dict, metadata={"max_length": 40, "examples": [{"points_per_side": 8}]}
    )
    """Settings that differ from what suits the model, by the names of GenerateConfig; for models
    that find all at once, of InstanceConfig."""
    tile: int | None = field(default=None, metadata={"ge": 64, "le": 8192})
    """Search squares of so many pixels one by one."""
    halo: int | None = field(default=None, metadata={"ge": 0, "le": 4096})
    """How far each square reaches into its neighbours."""
    labels: list[str] | None = field(
        default=None, metadata={"max_length": 1000, "examples": [["cup", "dog"]]}
    )
    """Words to name the masks by; "bundled" alone for all that the detector inside knows."""


@schema
class Detect:
    """Find boxes of what words name."""

    __pydantic_config__: ClassVar[Any] = RULES
    session: str = field(metadata={"examples": [_ID]})
    """Id of an embedded image."""
    text: str | list[str] | None = field(
        default=None, metadata={"max_length": 2000, "examples": ["cup. dog."]}
    )
    """What to look for; without it, all that the detector knows by name."""
    negative: str | list[str] | None = field(default=None, metadata={"max_length": 2000})
    """Words for what is not meant."""
    threshold: float | dict[str, float] | None = None
    """Least score, for all words or for each."""
    format: Literal["json", "coco"] = "json"
    """json: records; coco: a file in COCO's layout."""


@schema
class Subject(Shown):
    """Cut out what an image is of."""

    __pydantic_config__: ClassVar[Any] = RULES
    session: str = field(metadata={"examples": [_ID]})
    """Id of an embedded image."""


@schema
class Reference:
    """A thing that is shown as an example."""

    __pydantic_config__: ClassVar[Any] = RULES
    session: str = field(metadata={"examples": [_ID]})
    """Id of an embedded image in which it is."""
    mask: RunLengths = field(metadata={"examples": [_COUNTS]})
    """Where it is in that."""
    name: str = field(default="thing", metadata={"min_length": 1, "max_length": 200})
    """What it is called; references of one name are views of one thing."""


@schema
class Personalize(Shown):
    """Find things that are known from examples."""

    __pydantic_config__: ClassVar[Any] = RULES
    references: list[Reference] = field(metadata={"min_length": 1, "max_length": 32})
    """The examples."""
    session: str | list[str] = field(metadata={"examples": [_ID]})
    """Id of an embedded image to search, or a list of them."""
    options: dict[str, Any] = field(
        default_factory=dict, metadata={"max_length": 10, "examples": [{"threshold": 0.5}]}
    )
    """Settings of PersonalConfig that should differ."""


@schema
class Inpaint:
    """Remove what masks cover, put something else there, or replace the background."""

    __pydantic_config__: ClassVar[Any] = RULES
    session: str = field(metadata={"examples": [_ID]})
    """Id of an embedded image."""
    masks: list[RunLengths] = field(
        metadata={"min_length": 1, "max_length": 1000, "examples": [[_COUNTS]]}
    )
    """What to change; they count together."""
    remove: bool = False
    """Paint as if the things had never been there; so does saying nothing."""
    fill: str | None = field(default=None, metadata={"max_length": 1000})
    """Paint this instead of the things."""
    replace: str | None = field(default=None, metadata={"max_length": 1000})
    """Paint this instead of everything else."""
    engine: Literal["classical", "patchmatch", "telea"] | None = None
    """What paints; by itself what the server was started with."""
    options: dict[str, Any] = field(
        default_factory=dict, metadata={"max_length": 10, "examples": [{"grow": 4}]}
    )
    """Settings of InpaintConfig that should differ."""
    format: Literal["png", "jpeg", "webp"] = "png"
    """How the image comes back."""


@schema
class Measure:
    """Say how far away things are, and what lies in front of what."""

    __pydantic_config__: ClassVar[Any] = RULES
    session: str = field(metadata={"examples": [_ID]})
    """Id of an embedded image."""
    masks: list[RunLengths] = field(
        default_factory=list, metadata={"max_length": 1000, "examples": [[_COUNTS]]}
    )
    """What to measure."""
    format: Literal["json", "npy"] = "json"
    """json: numbers for each mask, their order, who hides whom; npy: the depth of each pixel as
    float32 (h, w) in NumPy's format."""


@schema
class MaskRecord:
    """One mask, with what is known about it; unknown is null."""

    __pydantic_config__: ClassVar[Any] = {**RULES, "extra": "ignore"}
    rle: RunLengths = field(metadata={"examples": [_COUNTS]})
    """Its pixels."""
    score: float | None = None
    """Predicted IoU, or the confidence of the detector that found it."""
    stability: float | None = None
    """Share that stays when the threshold moves."""
    box: list[float] | None = None
    """Left, top, right, bottom: first and last pixel, inclusive."""
    area: int | None = None
    """Number of pixels."""
    label: str | None = field(default=None, metadata={"max_length": 1000})
    """What it shows."""
    id: int | None = field(default=None, metadata={"ge": 0, "le": 2**53})
    """Number of the thing, the same in other images."""
    meta: dict[str, Any] = field(default_factory=dict, metadata={"max_length": 1000})
    """What else is known."""
    logits: Array | None = None
    """The model's own small answer."""


@schema
class Export(Shown):
    """Turn masks into a file."""

    __pydantic_config__: ClassVar[Any] = RULES
    session: str = field(metadata={"examples": [_ID]})
    """Id of an embedded image that they belong to."""
    masks: list[MaskRecord] = field(metadata={"max_length": 5000, "examples": [[{"rle": _COUNTS}]]})
    """Records as the server gave them, as they are or changed; run lengths are enough."""


@schema
class Folder:
    """Do the same to every image of a folder, as ``anymask segment`` and its like do."""

    __pydantic_config__: ClassVar[Any] = RULES
    kind: Literal["segment", "everything", "subject", "detect"] = field(
        metadata={"examples": ["everything"]}
    )
    """What to do: segment (by prompts or text), everything, subject, or detect (boxes by text)."""
    images: str = field(
        metadata={"min_length": 1, "max_length": 1000, "examples": ["photos/march"]}
    )
    """An allowed folder by its name, or a folder or image below it."""
    output: str | None = field(default=None, metadata={"max_length": 200, "examples": ["march"]})
    """Folder for the results, below that of the server; the same again goes on where it stopped.
    By itself the id of the job."""
    prompts: list[PromptWords] | None = field(default=None, metadata={"max_length": 256})
    """Of segment: what to cut out of each image."""
    text: str | list[str] | None = field(default=None, metadata={"max_length": 2000})
    """Of segment and detect: what things are called."""
    negative: str | list[str] | None = field(default=None, metadata={"max_length": 2000})
    """With text: words for what is not meant."""
    threshold: float | dict[str, float] | None = None
    """With text: least score of the detector."""
    options: dict[str, Any] = field(default_factory=dict, metadata={"max_length": 40})
    """Of everything: settings that differ from what suits the model."""
    labels: list[str] | None = field(default=None, metadata={"max_length": 1000})
    """Of everything: words to name the masks by."""
    format: str = field(default="sa1b", metadata={"max_length": 100})
    """How results are written, a name that `anymask everything --format` takes; of detect json or
    coco."""
    overlay: bool = True
    """Draw what is found over the images."""
    cutout: bool = True
    """Of segment and subject: write what was cut out by itself."""
    overwrite: bool = False
    """Do every image again, also where results exist."""

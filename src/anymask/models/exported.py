"""A folder of exported graphs: what its ``export.json`` says, and whether the files are those.

`anymask.export` writes such folders and `models.runtime` runs them. Neither torch nor onnx is
needed to read one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from anymask.errors import AnymaskError, InputError, WeightsError
from anymask.models import cache
from anymask.models.variants import Variant
from anymask.plain import from_plain, to_plain

__all__ = [
    "FORMAT",
    "MANIFEST",
    "NEWEST_OPSET",
    "VERSION",
    "Computing",
    "Exported",
    "FileRecord",
    "Layout",
    "Precision",
    "check_dtype",
    "is_exported",
    "read_exported",
    "record",
]

MANIFEST = "export.json"
"""The file that makes a folder one of exported graphs."""

FORMAT, VERSION = "anymask-export", 1

NEWEST_OPSET = 20
"""The latest version of ONNX's operators that graphs are written in."""

Layout = Literal["onnx", "openvino", "transformers-js", "samexporter"]
Computing = Literal["float32", "bfloat16"]
Precision = Literal["float32", "fp16", "bf16", "int8-dynamic", "int8"]


@dataclass(frozen=True)
class FileRecord:
    """How a file of the folder must be."""

    size: int
    """Bytes."""
    sha256: str
    """In hex."""


@dataclass(frozen=True)
class Exported:
    """What a folder of graphs is, as `MANIFEST` has it."""

    variant: Variant
    """The model."""
    weights_digest: str
    """SHA-256 of the weights that the graphs were made from, in hex."""
    layout: Layout
    """Which files and names there are."""
    graphs: Mapping[str, str]
    """File of each graph: ``encoder``, ``decoder``, of the bundled model ``detector`` and
    ``saliency``, for transformers.js ``mask_encoder``."""
    files: Mapping[str, FileRecord]
    """Every file that the graphs need, by its path in the folder."""
    features: Mapping[str, str]
    """Names of the encoder's outputs, by those of the features in an `Embedding`."""
    mask_hw: tuple[int, int] | None
    """Size of the low resolution masks; None: that of the frame, divided by `mask_stride`."""
    mask_stride: int = 4
    """Pixels of the frame for one of the low resolution masks, along each side."""
    appearance: tuple[str, ...] = ()
    """Features that are alike in alike places of any two images."""
    texture: Mapping[str, float] = field(default_factory=dict)
    """Features that cells of 16 pixels are compared by, and their weights."""
    precision: Precision = "float32"
    """How the encoder's weights are kept, or what it computes in."""
    raw_image: bool = False
    """Whether the encoder takes uint8 images (b, h, w, 3), not preprocessed frames."""
    single_mask: bool = False
    """Whether the decoder gives one mask for each prompt, not all four."""
    stability_score: bool = False
    """Whether its scores are those of stability instead of the predicted IoU."""
    extra_metrics: bool = False
    """Whether it also gives stability and area."""
    opset: int = 18
    """Version of the operators."""
    anymask: str = ""
    """Version of anymask that wrote it."""

    def __post_init__(self) -> None:
        """Check the numbers that no graph would complain of.

        Raises:
            WeightsError: A size is none.
        """
        if self.mask_stride < 1 or min(self.mask_hw or (1,)) < 1:
            raise WeightsError(
                f"expected sizes of masks of at least 1, got a stride of {self.mask_stride} and "
                f"{self.mask_hw}; export the model again"
            )

    def to_json(self) -> dict[str, Any]:
        """Write as what JSON can hold."""
        return {"format": FORMAT, "version": VERSION, **to_plain(self)}

    @property
    def digest(self) -> str:
        """Tell embeddings of these graphs from others: the same as the weights' in float32."""
        plain = self.precision == "float32"
        return self.weights_digest if plain else f"{self.weights_digest} {self.precision}"


def is_exported(folder: str | os.PathLike[str]) -> bool:
    """Return whether a path is a folder of exported graphs."""
    try:
        return (Path(folder).expanduser() / MANIFEST).is_file()
    except (OSError, ValueError):
        return False


def check_dtype(runtime: str, device: Any, dtype: Any) -> Computing:
    """Check that graphs can be computed there and so.

    Args:
        runtime: What runs them.
        device: Such as ``"cpu"``.
        dtype: Such as ``"float32"``; None means that.

    Raises:
        InputError: They cannot.

    Examples:
        >>> check_dtype("openvino", "cpu", "bfloat16")
        'bfloat16'
    """
    wanted = str(dtype or "float32").removeprefix("torch.")
    if str(device).partition(":")[0] == "cpu":
        if wanted == "float32":
            return "float32"
        if wanted == "bfloat16" and runtime == "openvino":
            return "bfloat16"
    raise InputError(
        f"expected float32 on the CPU for exported graphs, or bfloat16 with runtime openvino, got "
        f"{wanted} on {device} with {runtime}; leave it out, or load the weights themselves with "
        "torch"
    )


def record(path: Path) -> FileRecord:
    """Note how a file is now."""
    return FileRecord(path.stat().st_size, cache.digest(path))


def read_exported(folder: Path) -> Exported:
    """Read what a folder of graphs is, and check that its files are those that were written.

    Raises:
        WeightsError: A file is missing, cut off or another one; or it is of another version.
    """
    exported = _parse(folder)
    for name, wanted in exported.files.items():
        _check(folder / name, wanted)
    return exported


def _parse(folder: Path) -> Exported:
    path = folder / MANIFEST
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"expected JSON at {str(path)!r}, got something unreadable; export the model again"
        ) from error
    if not isinstance(about, dict) or about.pop("format", None) != FORMAT:
        raise WeightsError(
            f"expected what anymask export wrote at {str(path)!r}, got other JSON; export the "
            "model again"
        )
    if (version := about.pop("version", None)) != VERSION:
        raise WeightsError(
            f"expected graphs of version {VERSION} in {str(folder)!r}, got {version!r}, written by "
            f"anymask {about.get('anymask')!r}; export the model again with this anymask"
        )
    from anymask.image import transform  # two types of the table are defined there

    try:
        exported = from_plain(Exported, about, f"{MANIFEST}: ", vars(transform))
    except AnymaskError as error:
        fault = str(error).rpartition("; ")[0]
        raise WeightsError(f"{fault} in {str(folder)!r}; export the model again") from error
    for name in (*exported.files, *exported.graphs.values()):
        if not _is_inside(name):
            raise WeightsError(
                f"expected names of files in {str(path)!r}, got {name!r}; export the model again"
            )
    if not {"encoder", "decoder"} & set(exported.graphs):
        raise WeightsError(
            f"expected a graph of the encoder in {str(path)!r}, got {_listed(exported.graphs)}; "
            "export the model again"
        )
    if missing := set(exported.graphs.values()) - set(exported.files):
        raise WeightsError(
            f"expected a size and a digest for {', '.join(sorted(missing))} in {str(path)!r}, got "
            "none; export the model again"
        )
    return exported


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _is_inside(name: str) -> bool:
    """Return whether a name is that of a file in the folder or in one right inside it."""
    parts = name.split("/")
    plain = all(part == Path(part).name and part not in ("", "..") for part in parts)
    return plain and len(parts) <= 2 and "\\" not in name and ":" not in name


def _check(path: Path, wanted: FileRecord) -> None:
    if not path.is_file():
        raise WeightsError(
            f"expected {path.name!r} in the exported folder {str(path.parent)!r}, got nothing; "
            "copy the whole folder, or export the model again"
        )
    if (size := path.stat().st_size) != wanted.size:
        raise WeightsError(
            f"expected {wanted.size} bytes of {path.name!r} in {str(path.parent)!r}, got {size}; "
            "it is cut off or another file: copy it again, or export the model again"
        )
    if cache.digest(path) != wanted.sha256:
        raise WeightsError(
            f"expected {path.name!r} in {str(path.parent)!r} as it was exported, got another of "
            "the same size; copy it again, or export the model again"
        )

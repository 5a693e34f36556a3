"""Where the depth of an image comes from: a map, a file, a folder of files, or a network."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from anymask.errors import InputError
from anymask.extras.depth.depth_map import DepthMap
from anymask.extras.depth.files import SUFFIXES, Kind
from anymask.extras.depth.network import DEFAULT, NAMES, Estimator, load
from anymask.image.image import Image

__all__ = ["DepthFrom", "find_depth"]


@runtime_checkable
class DepthFrom(Protocol):
    """Gives the depth of an image."""

    def of(self, image: Image) -> DepthMap:
        """Give the depth of an image, at its size."""
        ...

    def identity(self) -> dict[str, Any]:
        """Tell it from others: plain JSON values."""
        ...


@dataclass(frozen=True)
class _Given:
    """One map, for the one image that it belongs to."""

    depth: DepthMap

    def of(self, image: Image) -> DepthMap:
        return self.depth.fitted(image.size_hw)

    def identity(self) -> dict[str, Any]:
        content = hashlib.sha256(np.ascontiguousarray(self.depth.values).tobytes())
        return {"depth": content.hexdigest()[:16], "depth_kind": self.depth.kind}


@dataclass(frozen=True)
class _Folder:
    """A folder of files, each called as its image but for the suffix."""

    path: Path
    kind: Kind | None
    scale: float | None

    def of(self, image: Image) -> DepthMap:
        stem = Path(image.source or "").stem
        fitting = self._files.get(stem, [])
        if len(fitting) != 1:
            raise InputError(
                f"expected one depth file called {stem!r} in {str(self.path)!r}, got "
                f"{len(fitting)}; name depth files as their images"
            )
        return DepthMap.open(fitting[0], self.kind, self.scale).fitted(image.size_hw)

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in sorted(self.path.iterdir()):
            if path.suffix.lower() in SUFFIXES:
                found.setdefault(path.stem, []).append(path)
        return found

    def identity(self) -> dict[str, Any]:
        return {"depth": str(self.path), "depth_kind": self.kind, "depth_scale": self.scale}


@dataclass(frozen=True)
class _Estimated:
    """Whatever a network makes of the image."""

    estimator: Estimator

    def of(self, image: Image) -> DepthMap:
        return self.estimator.estimate(image)

    def identity(self) -> dict[str, Any]:
        return {"depth": self.estimator.name, "depth_weights": self.estimator.digest[:16]}


def find_depth(
    source: object = DEFAULT,
    *,
    kind: Kind | None = None,
    scale: float | None = None,
    device: Any = "auto",
    dtype: Any = "float32",
    offline: bool = False,
) -> DepthFrom:
    """Find what a user means by a depth.

    Args:
        source: A `DepthMap` or an array; an `Estimator`; a file of depth; a folder of such files,
            called as their images; or the name, folder or hub id of a network, as `load` takes it.
        kind: What the numbers of a file mean, see `DepthMap.open`.
        scale: How many of a file's units are a metre.
        device: Where a network computes.
        dtype: What it computes in.
        offline: Download nothing.

    Raises:
        InputError: It is none of these, or cannot be read.
        WeightsError: It is no model that estimates depth.
        MissingExtraError: It is a network, and transformers is not installed.
    """
    if isinstance(source, Estimator):
        return _Estimated(source)
    if isinstance(source, DepthMap):
        return _Given(source)
    if not isinstance(source, str | os.PathLike):
        return _Given(DepthMap.open(source, kind, scale))  # type: ignore[arg-type]  # it checks
    path = Path(source).expanduser()
    if path.is_file():
        return _Given(DepthMap.open(path, kind, scale))
    if path.is_dir() and not (path / "config.json").is_file():
        if any(entry.suffix.lower() in SUFFIXES for entry in path.iterdir()):
            return _Folder(path, kind, scale)
        raise InputError(
            f"expected depth files or the config.json of a depth model in {str(path)!r}, got "
            "neither; name another folder"
        )
    name = os.fspath(source)
    if name not in NAMES and not path.is_dir() and _is_file_name(name):
        raise InputError(
            f"expected a depth file, a folder, a hub id (org/name) or one of {', '.join(NAMES)}, "
            f"got {name!r}, which does not exist; check the spelling"
        )
    if kind is not None or scale is not None:
        raise InputError(
            f"expected a depth file along with its kind or scale, got the network {name!r}, which "
            "says by itself what its numbers are; leave them out"
        )
    return _Estimated(load(source, device=device, dtype=dtype, offline=offline))


def _is_file_name(name: str) -> bool:
    parts = name.split("/")
    return Path(name).suffix.lower() in SUFFIXES or (len(parts) != 2 or not all(parts))

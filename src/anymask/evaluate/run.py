"""Running a protocol over data sets: image by image, resumable, with a report at the end.

The folder of results holds ``run.json`` (options, model, data, versions), ``rows/<set>/<key>.json``
for every image that is finished, and the report. A run that was stopped goes on with the next
image; one with other options does not mix into the same folder.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.data.dataset import Dataset
from anymask.errors import InputError
from anymask.evaluate.protocol import EvaluationProtocol, Rows, Summary
from anymask.folder import ResumableFolder
from anymask.plain import to_plain

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter

__all__ = ["Evaluation"]

_ABOUT, _ROWS = "run.json", "rows"
_PACKAGES = (
    *("anymask", "torch", "numpy", "pillow", "opencv-python-headless"),
    *("scikit-image", "scipy", "faster-coco-eval"),
)


@dataclass(frozen=True)
class Evaluation:
    """One protocol, one model, some data sets, one folder of results."""

    protocol: EvaluationProtocol
    model: Segmenter
    sets: Mapping[str, Dataset]
    """Data sets by the name under which they are reported."""
    output: Path
    """Folder of the results; made when missing."""
    subset: Mapping[str, Any] = field(default_factory=dict)
    """Which part of the data sets is measured, as plain JSON values."""

    def _folder(self, identity: Mapping[str, Any] | None = None) -> ResumableFolder:
        """Describe the folder; other versions of packages are named in the report only."""
        return ResumableFolder(
            self.output,
            identity or {},
            holds="this measurement",
            about=_ABOUT,
            records=_ROWS,
            free=("versions",),
        )

    def forget(self) -> None:
        """Delete what has been measured, and nothing else of the folder.

        Raises:
            InputError: Another process is measuring there.
        """
        folder = self._folder()
        with folder.at_work():
            folder.forget()

    def begin(self) -> None:
        """Note what is measured how, or check that the folder holds the same measurement.

        Raises:
            InputError: The folder holds a measurement with other options.
            OutputError: It cannot be written to.
        """
        self._folder(self.describe()).begin()

    def describe(self) -> dict[str, Any]:
        """Return all that decides the numbers, as plain JSON values.

        Raises:
            InputError: A file that the options name cannot be read.
        """
        # Plain values, so that it compares equal to what is read back from a file.
        options: dict[str, Any] = to_plain(self.protocol)
        paths = {name: getattr(self.protocol, name) for name in options}
        return {
            "protocol": self.protocol.name,
            "options": options,
            "files": {k: _digest(v) for k, v in paths.items() if isinstance(v, Path)},
            "model": self.model.variant.name,
            "weights": self.model.weights_digest,
            "device": str(self.model.device),
            "data": {name: _fingerprint(data) for name, data in self.sets.items()},
            "subset": to_plain(self.subset),
            "versions": _versions(),
        }

    def todo(self) -> list[tuple[str, int]]:
        """List the images that are not finished: name of the set and index."""
        folder = self._folder()
        return [
            (name, i)
            for name, data in self.sets.items()
            for i in range(len(data))
            if folder.read(f"{name}/{data.key(i)}") is None
        ]

    def steps(self) -> Iterator[tuple[str, str]]:
        """Measure what is not finished, image by image; yields the set and key of each.

        Raises:
            InputError: Another process is measuring there.
            OutputError: The folder cannot be written to.
        """
        folder = self._folder()
        with folder.at_work():
            for name, i in self.todo():
                data = self.sets[name]
                rows = self.protocol.measure(self.model, data[i])
                folder.record(f"{name}/{data.key(i)}", rows)
                yield name, data.key(i)

    def rows(self) -> dict[str, Rows]:
        """Read the rows of every finished image, by set and key."""
        folder = self._folder()
        found: dict[str, Rows] = {}
        for name, data in self.sets.items():
            keys = [data.key(i) for i in range(len(data))]
            rows = ((key, folder.read(f"{name}/{key}")) for key in keys)
            found[name] = {key: some for key, some in rows if some is not None}
        return found

    def summary(self) -> Summary:
        """Put together what has been measured so far."""
        return self.protocol.summarise(self.rows())


def _digest(path: Path) -> str:
    """Hash a file that the options name, so that a change of it is noticed."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise InputError(
            f"expected a file that can be read, got {str(path)!r}: {error.strerror}; check the path"
        ) from error


def _fingerprint(data: Dataset) -> dict[str, Any]:
    keys = [data.key(i) for i in range(len(data))]
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    return {"images": len(keys), "keys": digest[:16]}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

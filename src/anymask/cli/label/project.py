"""What the steps of ``anymask label`` have in common: the project, and how they speak."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from anymask.cli.options import ComputeOptions, Flag, load_model

if TYPE_CHECKING:
    from anymask.label.records import Added
    from anymask.label.store import Store
    from anymask.predict.segmenter import Segmenter

__all__ = [
    "ModelOptions",
    "ProjectOptions",
    "few",
    "find_version",
    "plain_numbers",
    "ticker",
]


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """Which project."""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """The folder of the project."""
    json: Flag = False
    """Print JSON for programs."""
    debug: Flag = False
    """Show the traceback of an error."""

    def open(self) -> Store:
        """Open its store."""
        from anymask.label.store import Store

        return Store.open(self.folder)

    def print(self, document: Any, lines: Sequence[str]) -> None:
        """Print what came out: JSON for programs, or lines for people."""
        if self.json:
            plain = asdict(document) if is_dataclass(document) else document  # type: ignore[arg-type]
            print(json.dumps(plain))
        else:
            print("\n".join(lines))

    def report_added(self, found: Added) -> int:
        """Say what became of images, and give the exit code: 1 if some cannot be read."""
        self.print(found, _lines(found))
        if not self.json:
            for name, why in found.failed:
                print(f"anymask: {name}: {why}", file=sys.stderr)
        return 1 if found.failed else 0


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, and where it computes."""

    model: Annotated[str | None, arg(aliases=["-m"], metavar="MODEL", help_behavior_hint="")] = None
    """A version of the project, a name from `anymask models`, or weights; without it, the version
    in use, else the bundled model."""
    compute: OmitArgPrefixes[ComputeOptions] = field(default_factory=ComputeOptions)
    """Where and how the model computes."""

    def load(self, store: Store, name: str | None) -> tuple[str, Segmenter]:
        """Load a model, and give the name that the store has for it.

        Args:
            store: Its versions are looked through first.
            name: Which; None: the version in use, else the bundled model.
        """
        found = find_version(store, name)
        version, path = found or (name, name or "bundled")
        model = load_model(str(path), self.compute)
        return version or model.variant.name, model


_KINDS = {  # what is said of each field of `Added`, and whether its names are
    "added": ("added", False),
    "known": ("known already", False),
    "again": ("under another name of an image that is known", True),
    "replaced": ("with a new content in place of the old one", True),
    "changed": (
        "changed after labelling: the masks stay with the old content; take the new one as a new "
        "image with `anymask label add --accept-changes`",
        True,
    ),
    "gone": ("gone: put them back, or add them from where they are now", True),
    "failed": ("cannot be read", False),
}


def _lines(found: Added) -> list[str]:
    lines = []
    for kind, (said, shown) in _KINDS.items():
        if names := getattr(found, kind):
            lines.append(f"{len(names):7,d}  {said}" + (f" ({few(names)})" if shown else ""))
    return lines or ["no images"]


def find_version(store: Store, name: str | None = None) -> tuple[str, str] | None:
    """Give the name of a version of a model, and its weights as `load` takes them.

    Args:
        store: Where it is.
        name: Which; None: the one in use.

    Returns:
        None if there is none.
    """
    models = [one for one in store.versions() if one.kind == "model"]
    for one in models:
        if one.promoted if name is None else one.name == name:
            inside = store.root / one.path
            return one.name, str(inside) if inside.is_dir() else one.path
    return None


def few(names: Sequence[Any], limit: int = 3) -> str:
    """Name some, and say how many more there are."""
    shown = ", ".join(str(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def plain_numbers(document: Any) -> Any:
    """Turn values into plain ones for JSON, which knows no NaN: None stands for what is unknown."""
    if isinstance(document, float):
        return document if math.isfinite(document) else None
    if is_dataclass(document):
        return plain_numbers(asdict(document))  # type: ignore[arg-type]
    if hasattr(document, "_asdict"):
        return plain_numbers(document._asdict())
    if isinstance(document, Mapping):
        return {key: plain_numbers(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [plain_numbers(value) for value in document]
    return document


def ticker(what: str, quiet: bool) -> Callable[[int], None]:
    """Give a function that says now and then how many are done, on a terminal."""
    last = time.monotonic()

    def tick(number: int) -> None:
        nonlocal last
        if quiet or not sys.stderr.isatty() or time.monotonic() - last < 1:
            return
        last = time.monotonic()
        print(f"\ranymask: {number:,d} {what}", end="", file=sys.stderr, flush=True)

    return tick

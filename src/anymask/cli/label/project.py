"""What the steps of ``anymask label`` have in common: the project, and how they speak."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from anymask.cli.options import Flag

if TYPE_CHECKING:
    from anymask.label.records import Added
    from anymask.label.store import Store

__all__ = ["ProjectOptions", "few", "ticker", "version_in_use"]


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


def version_in_use(store: Store) -> tuple[str, str] | None:
    """Give the name of the version in use, and its weights as `load` takes them; None: none is."""
    used = next((one for one in store.versions() if one.promoted), None)
    if used is None:
        return None
    inside = store.root / used.path
    return used.name, str(inside) if inside.is_dir() else used.path


def few(names: Sequence[Any], limit: int = 3) -> str:
    """Name some, and say how many more there are."""
    shown = ", ".join(str(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


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

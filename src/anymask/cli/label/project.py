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

__all__ = ["ProjectOptions", "few", "ticker"]


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
        self.print(found, list(_lines(found)))
        if not self.json:
            for name, why in found.failed:
                print(f"anymask: {name}: {why}", file=sys.stderr)
        return 1 if found.failed else 0


def _lines(found: Added) -> list[str]:
    kinds = [
        (found.added, "added"),
        (found.known, "known already"),
        (found.again, "under another name of an image that is known"),
        (found.replaced, "with a new content in place of the old one"),
        (found.changed, "changed after labelling: the masks stay with the old content; take the "
         "new one as a new image with `anymask label add --accept-changes`"),
        (found.gone, "gone: put them back, or add them from where they are now"),
        (found.failed, "cannot be read"),
    ]  # fmt: skip
    named = {"again", "changed", "gone"}
    return [
        f"{len(names):7,d}  {said}"
        + (
            f" ({few(names)})"
            if said.partition(" ")[0].strip(":") in named or "new" in said
            else ""
        )
        for names, said in kinds
        if names
    ] or ["no images"]


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

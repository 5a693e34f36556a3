"""``anymask evaluate sets``: public data sets, and how to measure on them."""

from __future__ import annotations

import json as jsonlib
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from anymask.cli.options import Flag
from anymask.data.manifest import MANIFEST, UNKNOWN, DataSource, find

__all__ = ["Sets"]


@dataclass(frozen=True, kw_only=True)
class Sets:
    """List public data sets: their licences, where they are, how to open them."""

    names: Annotated[
        tuple[str, ...], Positional, arg(metavar="NAME...", help_behavior_hint="")
    ] = ()
    """Data sets to say more about, such as LVIS; without, all are listed."""
    json: Flag = False
    """Print one line of JSON for each data set."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Do it and return the exit code."""
        chosen = [find(name) for name in self.names] or MANIFEST
        if self.json:
            for row in chosen:
                print(jsonlib.dumps(asdict(row) | {"files": list(row.files)}))
        elif self.names:
            print("\n\n".join(map(_described, chosen)))
        else:
            _print_list(chosen)
        return 0


def _print_list(rows: Sequence[DataSource]) -> None:
    """Print two lines for each data set: its numbers in columns, and what is in it."""
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False)
    heading = f"{'name':<13}{'images':>7}{'masks':>8}  {'layout':<20}  licence"
    console.print(heading, style="bold underline", soft_wrap=True)
    for row in rows:
        numbers = f"{row.name:<13}{row.images:>7,}{row.masks:>8,}  {row.layout or '-':<20}  "
        console.print(numbers + _cut(row.licence, 27), soft_wrap=True)
        console.print(Padding(row.about, (0, 0, 0, 2), expand=False), style="dim")
    console.print(
        "\nThe data sets of the Segment Anything paper, and the part that it measured.\n"
        "anymask evaluate sets NAME says where one is and how to measure on it.",
        soft_wrap=True,
    )


def _described(row: DataSource) -> str:
    """Say all that is known of one data set."""
    if row.layout is None:
        opens, command = f"no reader: {row.note}", ""
    else:
        paths = row.opens.split(", ")
        opens = f"{' and '.join(paths)}, with {' and '.join(row.files)}"
        data = shlex.join(paths)
        command = f"anymask evaluate points --data {data} --layout {row.layout} -o runs/points"
    lines = {
        "measured": f"{row.images:,} images, {row.masks:,} masks of: {row.split}",
        "licence": row.licence,
        "get it from": row.source,
        "open": opens,
        "measure": command,
        "note": row.note if row.layout else "",
    }
    shown = (f"  {name:<12} {words}" for name, words in lines.items() if words)
    return "\n".join([f"{row.name}: {row.about}", *shown])


def _cut(words: str, width: int) -> str:
    """Shorten a line to the first part that fits, at a word."""
    if words == UNKNOWN or len(words) <= width:
        return words
    return words[: words.rfind(" ", 0, width - 3)].rstrip(",;") + " ..."

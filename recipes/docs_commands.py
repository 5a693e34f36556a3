"""Write `docs/commands.md`: the help of every command, as the command line prints it.

    python recipes/docs_commands.py

`make docs` runs it, and `tests/docs/test_site.py` fails when the page is out of date.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

from anymask import cli
from anymask.cli.distill import METHODS
from anymask.cli.evaluate import OTHERS
from anymask.cli.label import STEPS
from anymask.evaluate.protocols import PROTOCOLS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
WIDTH = 84  # what the page shows without scrolling

INNER = {"evaluate": PROTOCOLS | OTHERS, "distill": METHODS, "label": STEPS}
"""Commands that have subcommands."""

ABOUT = """\
# Commands

What `anymask COMMAND --help` says. Each flag is the argument of the same name in Python, with `_`
for `-`.

| command | |
| --- | --- |
"""


def help_of(*words: str) -> str:
    """Give what a command prints as its help, without colours."""
    plain = {"COLUMNS": str(WIDTH), "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, plain), redirect_stdout(io.StringIO()) as printed:
        try:
            cli.parse([*words, "--help"])
        except SystemExit as end:
            assert not end.code, f"anymask {' '.join(words)} --help ended with {end.code}"
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines()).strip()


def sections() -> Iterator[tuple[str, ...]]:
    """List the commands, each followed by its subcommands."""
    for name in cli.COMMANDS:
        yield (name,)
        for inner in INNER.get(name, {}):
            yield name, inner
        if name == "convert":
            yield name, "--format", "yolo"


def page() -> str:
    """Compose the page."""
    text = ABOUT
    for name, does in cli.COMMANDS.items():
        text += f"| [`anymask {name}`](#anymask-{name}) | {does} |\n"
    for words in sections():
        heading = f"{'#' * min(1 + len(words), 3)} `anymask {' '.join(words)}`"
        text += f"\n{heading}\n\n```text\n{help_of(*words)}\n```\n"
    return text


def main() -> None:
    """Write it."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""``anymask evaluate``: one subcommand for each question.

What a subcommand needs is imported once its name is known, so that the others' help stays fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from anymask.cli.parser import choose
from anymask.cli.parser import parse as parse_words
from anymask.evaluate.protocols import PROTOCOLS

if TYPE_CHECKING:
    from anymask.cli.evaluate.options import EvaluateOptions

__all__ = ["parse"]

_ABOUT = """Measure models on data sets whose masks are known.

Each protocol asks one question, in the same way of every model. Tables (Markdown, CSV, JSON), plots
and a page with the worst and the best cases go to a folder; a run that was stopped goes on with the
next image. docs/evaluation.md says what is measured how.

Examples:
  anymask evaluate points --data photos-val -o runs/points
  anymask evaluate boxes --data one two --model bundled sam-vit-b --images 100 -o runs/boxes
  anymask evaluate speed --model bundled sam-vit-b --threads 1 2 -o runs/speed
  anymask evaluate audit automatic/ corrected/ -o runs/audit
  anymask evaluate points --help"""

_OTHERS = {  # they need no data sets
    "speed": ("Speed", "Time embed, predict and everything mode; tell memory and size."),
    "audit": ("Audit", "Compare automatic masks with those that people corrected."),
}
_SUMMARIES = {name: about for name, (_, about) in (PROTOCOLS | _OTHERS).items()}


def parse(words: Sequence[str]) -> EvaluateOptions:
    """Turn the words after ``anymask evaluate`` into a command.

    Help and wrong usage end the process here.
    """
    name = choose(words, "anymask evaluate", _ABOUT, _SUMMARIES)
    command: EvaluateOptions = parse_words(
        _command(name), words[1:], f"anymask evaluate {name}", _SUMMARIES[name]
    )
    return command


def _command(name: str) -> Any:
    """Import the class whose fields are the flags of a subcommand."""
    if name in _OTHERS:
        return getattr(importlib.import_module(f"anymask.cli.evaluate.{name}"), _OTHERS[name][0])
    from anymask.cli.evaluate.measure import Measure
    from anymask.evaluate.protocols import options

    chosen: Any = getattr(options, f"{PROTOCOLS[name][0]}Options")
    return Measure[chosen]

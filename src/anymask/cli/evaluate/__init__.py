"""``anymask evaluate``: one subcommand for each question.

What a subcommand needs is imported once its name is known, so that the others' help stays fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from anymask.cli.parser import choose
from anymask.cli.parser import parse as parse_words
from anymask.evaluate.protocols import PROTOCOLS, options_class, protocol_summaries

if TYPE_CHECKING:
    from anymask.cli.evaluate.options import EvaluateOptions
    from anymask.cli.evaluate.sets import Sets

__all__ = ["OTHERS", "parse"]

_ABOUT = """Measure models on data sets whose masks are known.

Each protocol measures one thing, in the same way for every model. Tables (Markdown, CSV, JSON),
plots and a page with the worst and the best cases go to a folder; a run that was stopped goes on
with the next image. docs/evaluation.md says what is measured how.

Examples:
  anymask evaluate points --data photos-val -o runs/points
  anymask evaluate boxes --data one two --model bundled sam-vit-b --images 100 -o runs/boxes
  anymask evaluate speed --model bundled sam-vit-b --threads 1 2 -o runs/speed
  anymask evaluate audit automatic/ corrected/ -o runs/audit
  anymask evaluate sets
  anymask evaluate points --help"""

OTHERS = {  # they need no data sets
    "speed": ("Speed", "Time embed, predict and everything mode; report memory and size."),
    "audit": ("Audit", "Compare automatic masks with those that people corrected."),
    "sets": ("Sets", "List public data sets: their licences, where they are, how to open them."),
}


def parse(words: Sequence[str]) -> EvaluateOptions | Sets:
    """Turn the words after ``anymask evaluate`` into a command.

    Help and wrong usage end the process here.
    """
    summaries = {name: line for name, (_, line) in (PROTOCOLS | OTHERS).items()}
    if not words or words[0] not in summaries:
        # Other packages are looked for only where a name is not ours.
        summaries = protocol_summaries() | {name: line for name, (_, line) in OTHERS.items()}
    name = choose(words, "anymask evaluate", _ABOUT, summaries)
    kind, about = _command(name)
    command: EvaluateOptions | Sets = parse_words(
        kind, words[1:], f"anymask evaluate {name}", about
    )
    return command


def _command(name: str) -> tuple[Any, str]:
    """Import the class whose fields are the flags of a subcommand, and say what it does."""
    if name in OTHERS:
        kind, about = OTHERS[name]
        return getattr(importlib.import_module(f"anymask.cli.evaluate.{name}"), kind), about
    from anymask.cli.evaluate.measure import Measure

    chosen: Any = options_class(name)
    about = PROTOCOLS[name][1] if name in PROTOCOLS else (chosen.__doc__ or "").partition("\n")[0]
    return Measure[chosen], about

"""``anymask label``: people and models label a folder of images together, step by step."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anymask.cli.parser import choose
from anymask.cli.parser import parse as parse_words

if TYPE_CHECKING:
    from anymask.cli.parser import Command

__all__ = ["STEPS", "parse"]

_ABOUT = """Label a folder of images together: people and models.

Examples:
  anymask label stats labelled/ -o report/           # how many masks, how large, where
  anymask label stats labelled/ --metadata people.csv --by country -o report/"""

STEPS = {
    "stats": ("Stats", "Describe the masks of a data set, by group, or of two beside each other."),
}
"""The class of each step, and what it does. Its module has the class's name in small letters."""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask label`` into a command; help ends the process here."""
    name = choose(words, "anymask label", _ABOUT, {name: line for name, (_, line) in STEPS.items()})
    module = importlib.import_module(f"anymask.cli.label.{name}")
    kind = getattr(module, STEPS[name][0])
    command: Command = parse_words(kind, words[1:], f"anymask label {name}", module.ABOUT)
    return command

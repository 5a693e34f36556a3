"""``anymask label``: the data engine, one subcommand in the module of its name.

What a subcommand needs is imported once its name is known, so that the others' help stays fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anymask.cli.parser import choose

if TYPE_CHECKING:
    from anymask.cli.parser import Command

__all__ = ["COMMANDS", "parse"]

COMMANDS = {
    "farm": "Find everything in any number of images, on one machine or a cluster.",
}

_ABOUT = """Label images: people and a model together, or the model alone.

Examples:
  anymask label farm photos/ -o labelled/
  anymask label farm --help"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask label`` into a command.

    Help and wrong usage end the process here.
    """
    name = choose(words, "anymask label", _ABOUT, COMMANDS)
    command: Command = importlib.import_module(f"anymask.cli.label.{name}").parse(words[1:])
    return command

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

_ABOUT = """Label a folder of images together: people and models, with a database.

A project is a folder of images with a database in it, which keeps every mask and its whole history.
Nobody gets an image that another one has; nothing is ever overwritten. docs/label.md tells the
story from the first photo on.

Examples:
  anymask label init photos/                         # a database, and all images of the folder
  anymask label next photos/ --person ada            # an image for Ada, and for nobody else
  anymask label status photos/                       # how far is the work?
  anymask label import photos/ masks.json            # masks that are there already
  anymask label stats labelled/ -o report/           # how many masks, how large, where
  anymask label export photos/ -o out/ -f yolo       # what was labelled, in any format
  anymask label farm photos/ -o out/                 # everything in all images, without people
  anymask label init photos/ --database postgresql://ada@server/labels   # for a team"""

STEPS = {
    "init": ("Init", "Make a project of a folder: a database, and its images."),
    "add": ("Add", "Add images, or look at those that are there again."),
    "status": ("Status", "Say how far the work is, and what is wrong with files."),
    "next": ("Next", "Give a person the next image to work on, which nobody else gets."),
    "order": ("Order", "Look at what is open with models, so that what teaches most comes first."),
    "auto": ("Auto", "Let a model label what is open: fill in for people, or all alone."),
    "review": ("Review", "List the masks of an image, accept or reject some."),
    "retrain": ("Retrain", "Let the model learn from accepted masks; use it if it is better."),
    "audit": ("Audit", "Draw masks, let people correct them, tell how good they were."),
    "honeypots": ("Honeypots", "Mix known masks into the queue, and score annotators on them."),
    "stats": ("Stats", "Describe the masks of a data set, by group, or of two beside each other."),
    "classes": ("Classes", "List the classes, make new ones, rename one, give one a colour."),
    "export": ("Export", "Write the masks in any format."),
    "import": ("Import", "Read masks of any format."),
    "farm": ("Farm", "Find everything in any number of images, on one machine or a cluster."),
}
"""The class of each step, and what it does. Its module has the class's name in small letters."""

_MODULES = {"import": "import_"}


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask label`` into a command; help ends the process here."""
    name = choose(words, "anymask label", _ABOUT, {name: line for name, (_, line) in STEPS.items()})
    module = importlib.import_module(f"anymask.cli.label.{_MODULES.get(name, name)}")
    kind = getattr(module, STEPS[name][0])
    command: Command = parse_words(kind, words[1:], f"anymask label {name}", module.ABOUT)
    return command

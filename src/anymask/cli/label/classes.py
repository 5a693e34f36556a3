"""``anymask label classes``: names for things."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from tyro.conf import arg

from anymask.cli.label.project import ProjectOptions

__all__ = ["ABOUT", "Classes"]

ABOUT = """List the classes of a project, make new ones, rename one, or give one a colour.

A class keeps its number when it is renamed, so all its masks have the new name at once.

Examples:
  anymask label classes photos/
  anymask label classes photos/ --add car person
  anymask label classes photos/ --rename car automobile
  anymask label classes photos/ --color car '#4da3ff'"""


@dataclass(frozen=True, kw_only=True)
class Classes(ProjectOptions):
    """List the classes, make new ones, rename one, or give one a colour."""

    add: Annotated[tuple[str, ...], arg(metavar="NAME...", help_behavior_hint="")] = ()
    """New classes."""
    rename: Annotated[tuple[str, str] | None, arg(metavar="OLD NEW", help_behavior_hint="")] = None
    """A class, and its new name."""
    color: Annotated[tuple[str, str] | None, arg(metavar="NAME COLOR", help_behavior_hint="")] = (
        None
    )
    """A class, and its colour, such as '#4da3ff'."""

    def run(self) -> int:
        """Do it and return the exit code."""
        with self.open() as store:
            store.add_classes(self.add)
            if self.rename is not None:
                store.rename_class(*self.rename)
            if self.color is not None:
                store.recolor_class(*self.color)
            classes = store.classes()
            lines = [f"{one.masks:9,d}  {one.color}  {one.name}" for one in classes]
            self.print([asdict(one) for one in classes], lines or ["no classes"])
        return 0

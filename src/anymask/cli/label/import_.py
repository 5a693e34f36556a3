"""``anymask label import``: masks that are there already."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from anymask.cli.label.project import ProjectOptions, few, ticker
from anymask.cli.options import Format

__all__ = ["ABOUT", "Import"]

ABOUT = """Read masks of any format into a project: files, folders, data sets.

Each image is found by its file, which is added if it is new, or by its name. The same masks again
are not added twice. A COCO file of any size is read image by image.

Examples:
  anymask label import photos/ annotations.json
  anymask label import photos/ set/ --person ada --review accepted
  anymask label import photos/ anymask-out/ --images photos/"""


@dataclass(frozen=True, kw_only=True)
class Import(ProjectOptions):
    """Read masks of any format."""

    source: Annotated[Positional[Path], arg(metavar="MASKS")]
    """A file of masks, or a folder of such files or of a data set."""
    format: Annotated[Format | None, arg(aliases=["-f"], help_behavior_hint="")] = None
    """What to read; without it, what is in the files tells."""
    images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of the images; without it, they are looked for beside the masks."""
    person: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Who made the masks."""
    review: Literal["pending", "accepted", "rejected"] = "pending"
    """What reviewers have said of them."""

    def run(self) -> int:
        """Do it and return the exit code: 1 if some have no image here, or do not fit theirs."""
        from anymask.label.transfer import import_masks

        with self.open() as store:
            found = import_masks(
                store,
                self.source,
                format=self.format,
                images=self.images,
                person=self.person,
                review=self.review,
                progress=ticker("images", self.json),
            )
        known = f"; {found.known:,d} images had theirs already" if found.known else ""
        self.print(found, [f"{found.masks:,d} masks of {found.images:,d} images{known}"])
        if found.unmatched and not self.json:
            print(
                f"anymask: {len(found.unmatched):,d} images are not in the project "
                f"({few(found.unmatched)}): add them first, or say where they are (--images)",
                file=sys.stderr,
            )
        if not self.json:
            for name, why in found.failed:
                print(f"anymask: {name}: {why}", file=sys.stderr)
        return 1 if found.unmatched or found.failed else 0

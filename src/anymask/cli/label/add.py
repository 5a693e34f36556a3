"""``anymask label add``: images for a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from anymask.cli.label.project import ProjectOptions, ticker
from anymask.cli.options import Flag

__all__ = ["ABOUT", "Add"]

ABOUT = """Add images to a project; without more, those of its folder that are new.

Images are known by their content: the same photo under two names is one image with two names, and a
photo that was changed after it was labelled is told, so that its masks do not end up on another
picture. Files are read where they are and not copied.

Examples:
  anymask label add photos/
  anymask label add photos/ more/ 'usb/**/*.jpg'
  anymask label add photos/ s3://bucket/summer     # needs fsspec's package for it, such as s3fs
  anymask label add photos/ --check                # are all files still there, and the same?"""


@dataclass(frozen=True, kw_only=True)
class Add(ProjectOptions):
    """Add images to a project."""

    places: Annotated[
        tuple[str, ...], Positional, arg(metavar="PLACE...", help_behavior_hint="")
    ] = ()
    """Files, folders with all that is in them, quoted patterns, or addresses such as s3://bucket;
    without any, the folder of the project."""
    accept_changes: Flag = False
    """Where a file has another content than when it was labelled, take that as a new image."""
    check: Flag = False
    """Add nothing; look at the files of all images again."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.errors import InputError

        if self.check and (self.places or self.accept_changes):
            raise InputError(
                "expected --check alone, for it looks at all files, got places or "
                "--accept-changes, too; leave one out"
            )
        with self.open() as store:
            progress = ticker("images", self.json)
            if self.check:
                return self.report_added(store.check(progress=progress))
            places = self.places or (str(self.folder),)
            found = store.add(places, accept_changes=self.accept_changes, progress=progress)
            return self.report_added(found)

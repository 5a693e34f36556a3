"""``anymask label export``: the masks in any format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from anymask.cli.label.project import ProjectOptions, ticker
from anymask.cli.options import Flag, Format

__all__ = ["ABOUT", "Export"]

ABOUT = """Write the masks of all images that have been worked on, in any format.

Images that nobody has looked at are left out; those that are done and show nothing are written
without masks, as examples of nothing. What a format cannot hold is said in one line.

Examples:
  anymask label export photos/ -o annotations.json
  anymask label export photos/ -o set/ --format yolo --val-fraction 0.1
  anymask label export photos/ -o accepted.json --reviews accepted --provenance"""


@dataclass(frozen=True, kw_only=True)
class Export(ProjectOptions):
    """Write the masks in any format."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="PLACE")]
    """Folder for the results, made when missing; for coco it may be a file."""
    format: Annotated[Format, arg(aliases=["-f"])] = "coco"
    """What to write, see `anymask convert --format coco --help`."""
    reviews: tuple[Literal["pending", "accepted", "rejected"], ...] = ("pending", "accepted")
    """Masks of which verdicts of reviewers."""
    provenance: Flag = False
    """Say of each mask who made it, how, and by which model version, where the format can."""
    val_fraction: Annotated[float, arg(metavar="SHARE")] = 0.0
    """Share of the images for validation, in data sets; which, their names say."""
    overwrite: Flag = False
    """Replace files that are there, or add to a data set."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.label.transfer import export_masks

        with self.open() as store:
            done = export_masks(
                store,
                self.output,
                self.format,
                reviews=self.reviews,
                provenance=self.provenance,
                val_fraction=self.val_fraction,
                overwrite=self.overwrite,
                progress=ticker("images", self.json),
            )
        line = f"{done.masks:,d} masks of {done.images:,d} images as {self.format} in {self.output}"
        self.print(done, [line])
        return 0

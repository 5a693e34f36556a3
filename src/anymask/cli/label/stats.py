"""``anymask label stats``: statistics of masks as a report, by group."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from anymask.cli.options import Flag
from anymask.errors import InputError

__all__ = ["ABOUT", "Stats"]

ABOUT = """Describe the masks of a data set: how many, how large, where, how concave, how fast.

Files and folders of any format are read, and data sets as published. With --metadata and --by,
groups of images are compared, each number with an interval of 95 %. Two data sets are shown beside
each other. Tables (Markdown, CSV, JSON) and a page go to a folder. docs/statistics.md says what is
measured how.

Examples:
  anymask label stats photos/ -o report/              # what is in the store
  anymask label stats labelled/ -o report/
  anymask label stats labelled/ --metadata people.csv --by country camera -o report/
  anymask label stats made/ --reference labelled/ --metadata people.csv --by region -o report/
  anymask label stats labelled/ other-labels/ -o report/"""


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Describe the masks of a data set."""

    data: Annotated[tuple[Path, ...], Positional, arg(metavar="DATA")]
    """A folder or a file of masks, a data set, or a store; a second one is shown beside it."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-stats")
    """Folder for the report; made when missing."""
    metadata: Annotated[Path | None, arg(metavar="CSV", help_behavior_hint="")] = None
    """Table of what is known of the images, joined by file name."""
    by: Annotated[tuple[str, ...], arg(metavar="COLUMN...", help_behavior_hint="")] = ()
    """Columns of the table whose values are the groups to compare."""
    reference: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """What the masks should be; then the mean IoU is measured, too."""
    images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of the images, for formats that do not say how large they are."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Measure, write the report, and return the exit code."""
        from anymask.evaluate.report.report import markdown
        from anymask.label.report import write_stats

        if len(self.data) > 2:
            raise InputError(
                f"expected one or two data sets, got {len(self.data)}; name two at most"
            )
        summary = write_stats(
            self.output,
            self.data,
            metadata=self.metadata,
            by=self.by,
            reference=self.reference,
            images=self.images,
        )
        if not self.quiet:
            print(f"{markdown(summary)}\nThe report is {self.output / 'index.html'}.")
        return 0

"""``anymask convert --format``: masks in another format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from anymask.cli.options import Flag, Format
from anymask.cli.parser import parse as parse_words
from anymask.errors import InputError

__all__ = ["ConvertMasks", "parse"]

_ABOUT = """Write masks in another format.

Files and folders of any format are read, data sets of YOLO's and Pascal VOC's, too. What the format
cannot hold is said in one line.

Examples:
  anymask convert masks.json --format yolo -o set/
  anymask convert anymask-out/ --images photos/ --format yolo --val-fraction 0.1 -o set/
  anymask convert labelled/ --format coco -o annotations.json
  anymask convert VOC2012/ --format labelme -o for-labelme/
  anymask convert task_7.zip --format yolo -o set/  # CVAT's export with images
  anymask convert anymask-out/ --images photos/ --format cvat -o for-cvat.zip
  anymask convert masks.json -f labelstudio --image-prefix "/data/local-files/?d=" -o tasks.json"""


def parse(words: Sequence[str]) -> ConvertMasks:
    """Turn the words after ``anymask convert`` into a command."""
    return parse_words(ConvertMasks, words, "anymask convert", _ABOUT)


@dataclass(frozen=True, kw_only=True)
class ConvertMasks:
    """Write masks in another format."""

    source: Annotated[Positional[Path], arg(metavar="MASKS")]
    """A file of masks, or a folder of such files or of a data set."""
    format: Annotated[Format, arg(aliases=["-f"])]
    """What to write. sa1b, png, labelme: a file for each image; coco, cvat, labelstudio: one file
    for all; yolo, voc: a data set with its images."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """Folder for the results; made when missing. For one image, and for formats with one file for
    all, it may be a file; of cvat also a .zip, with the images."""
    source_format: Annotated[Format | None, arg(help_behavior_hint="")] = None
    """What to read; without it, what is in the files tells."""
    images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of the images; without it, they are looked for beside the masks."""
    names: Annotated[tuple[str, ...], arg(metavar="NAME...", help_behavior_hint="")] = ()
    """Labels that get the first numbers, in formats that number them; others come after."""
    image_prefix: Annotated[str, arg(metavar="ADDRESS", help_behavior_hint="")] = ""
    """What stands before the names of images in Label Studio's tasks, so that it finds them:
    '/data/local-files/?d=photos/' for local storage, or 'https://example.org/photos/'."""
    val_fraction: Annotated[float, arg(metavar="SHARE")] = 0
    """Share of the images for validation, in data sets; which, their names say."""
    overwrite: Flag = False
    """Replace files that are there, or add to a data set."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Do it and return the exit code."""
        if str(self.output) == "-":
            raise InputError(
                "expected a file or a folder for the masks, got '-'; name one with --output"
            )
        from anymask.formats.conversion import convert

        number = convert(
            self.source,
            self.output,
            self.format,
            source_format=self.source_format,
            images=self.images,
            names=self.names,
            image_prefix=self.image_prefix,
            val_fraction=self.val_fraction,
            overwrite=self.overwrite,
        )
        print(f"masks of {number} image{'s' * (number != 1)} as {self.format} in {self.output}")
        return 0

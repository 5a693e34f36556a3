"""``anymask detect``: boxes of all that words name."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Fixed, OmitArgPrefixes, Suppress, arg

from anymask.cli.examples import ExampleOptions
from anymask.cli.options import ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.places import check_commas

if TYPE_CHECKING:
    from anymask.batch.words import Detect as Job
    from anymask.cli.parser import Command
    from anymask.detections import Detections
    from anymask.image.image import Image
    from anymask.text.ground import Grounder

__all__ = ["Detect", "parse"]

_ABOUT = """Find boxes of all things in each image that a detector knows by name.

Each image gets a picture of its boxes, and a JSON file in COCO's layout. To cut the things out, say
the same words to `anymask segment`.

Examples:
  anymask detect photo.jpg
  anymask detect photos/ --text "dog. person." --format coco -o out/
  anymask detect photo.jpg --text car --threshold 0.5 --json
  anymask detect photos/ --example mug.jpg --example-box 40,60,300,380 --grounder owlv2"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask detect`` into a command."""
    check_commas(words)
    return piped(parse_words(Detect, words, "anymask detect", _ABOUT), words)


@dataclass(frozen=True, kw_only=True)
class Detect(ImageOptions):
    """Find boxes of all things in each image that a detector knows by name."""

    model: Suppress[Fixed[str]] = ""
    """There is none but the grounder."""
    dtype: Suppress[Fixed[Literal["float32"]]] = "float32"
    """It computes in this."""
    format: Annotated[Literal["json", "coco"], arg(aliases=["-f"])] = "json"
    """How boxes are written, in COCO's layout. json: a file for each image; coco: one for all."""
    no_overlay: Annotated[bool, arg(help_behavior_hint="")] = False
    """Do not draw the boxes over the image."""
    words: OmitArgPrefixes[ExampleOptions] = field(default_factory=ExampleOptions)
    """What to look for; without --text and --example, all words that the detector knows."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.cli.process import process

        return process(self, self._job())

    def _job(self) -> Job:
        """Make a job of what was said, but for who does it."""
        from anymask.batch.words import Detect as Job

        given = self.words.given()
        del given["grounder"]
        return Job(**given, format=self.format, overlay=not self.no_overlay)

    def load(self) -> Grounder:
        """Load who looks for the words."""
        from anymask.text.ground import choose, find_grounder

        job, grounder = self._job(), self.words.load(self.compute.device, self.compute.offline)
        if job.text is None:
            return find_grounder(self.words.grounder or "bundled", self.compute.device)
        return choose(job.phrases(), grounder, self.compute.device)

    def find(self, grounder: Grounder, image: Image) -> Detections:
        """Find the boxes in one image."""
        job = self._job()
        job.settings(grounder)  # checks what was said
        return job.find(grounder, image)

    def encode(self, found: Detections) -> bytes:
        """Give boxes as the content of a file."""
        file = io.BytesIO()
        found.save(file)
        return file.getvalue()

"""``anymask depth``: how far away things are, and what lies in front of what."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.examples import ExampleOptions
from anymask.cli.options import Flag, ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.places import check_commas, read_mask
from anymask.cli.where import MaskOptions
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.batch.job import MaskJob
    from anymask.cli.parser import Command
    from anymask.extras.depth.job import Depth as Job
    from anymask.extras.depth.measure import Measured
    from anymask.image.image import Image
    from anymask.predict.segmenter import Segmenter

__all__ = ["Depth", "DepthKind", "DepthOptions", "DepthScale", "parse"]

_ABOUT = """Say how far away things are in each image, and what lies in front of what.

Each image gets a picture (image, depth with a colour bar, masks in order of depth), the depth as an
array, and its masks with their depth. Without a prompt and without --masks: the depth alone.

Examples:
  anymask depth photo.jpg  # by Depth Anything V2 Small, which is fetched once
  anymask depth photo.jpg --point 500,375 --depth photo-depth.png
  anymask depth photos/ --text "dog. person." -o out/
  anymask depth rgb.png --masks masks.json --depth depth.exr --depth-kind metric
  anymask depth rgbd/color --depth rgbd/depth  # a folder of files with the same names"""

DepthKind = Annotated[
    Literal["relative", "metric"] | None,
    arg(help_behavior_hint="", metavar="{relative,metric}"),
]
DepthScale = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")]

_WHERE = (
    "expected one of --point or --box, --text, --mask and --masks, got {}; say what to measure in "
    "one of these ways"
)


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask depth`` into a command."""
    check_commas(words)
    return piped(parse_words(Depth, words, "anymask depth", _ABOUT), words)


@dataclass(frozen=True, kw_only=True)
class WhereOptions(MaskOptions):
    """What to measure: --point and --box find it; or --mask or --masks say it."""


@dataclass(frozen=True, kw_only=True)
class DepthOptions:
    """Where the depth comes from, and what its numbers mean."""

    depth: Annotated[str, arg(metavar="FILE|MODEL")] = "depth-anything-v2-small"
    """A file of depth (PNG, TIFF, NPY, EXR) for one image; a folder of them, named as the images;
    or who estimates it: depth-anything-v2-small, dpt-large, or the folder or hub id (org/name) of
    such a model."""
    depth_kind: DepthKind = None
    """What the numbers of a file are: metric, distances; or relative, inverse depth, large where it
    is near. By itself relative for images of 8 bits, else metric."""
    depth_scale: DepthScale = None
    """How many of a file's units are a metre; by itself 1000 for whole numbers, else 1."""


@dataclass(frozen=True, kw_only=True)
class Depth(ImageOptions):
    """Say how far away things are in each image, and what lies in front of what."""

    no_overlay: Flag = False
    """Do not draw image, depth and masks side by side."""
    no_map: Flag = False
    """Do not write the depth as an array (NPY)."""
    where: OmitArgPrefixes[WhereOptions] = WhereOptions()
    """What to measure: --point and --box find it; or --mask or --masks say it."""
    words: OmitArgPrefixes[ExampleOptions] = field(default_factory=ExampleOptions)
    """What to measure by name or by example."""
    source: OmitArgPrefixes[DepthOptions] = DepthOptions()
    """Where the depth comes from, and what its numbers mean."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.cli.process import process

        return process(self, self._job)

    def load(self) -> Any:
        """Load the model that finds the masks, if there is something to find."""
        return super().load() if self._job.needs_model else None

    def find(self, model: Segmenter | None, image: Image) -> Measured:
        """Measure one image."""
        if not self._given():
            raise InputError(
                "expected --point, --box, --text, --mask or --masks along with -o -, got none of "
                "them; say what to measure, or name a folder for the depth alone"
            )
        self._job.settings(model)  # checks what was said
        return self._job.work(model, image, _Silent())[0]

    def encode(self, found: Measured) -> bytes:
        """Give the masks with their depth as the content of a file."""
        file = io.BytesIO()
        found.masks.save(file, format=self.format)
        return file.getvalue()

    @cached_property
    def _job(self) -> Job:
        from anymask.extras.depth.job import Depth as Job
        from anymask.extras.depth.sources import find_depth
        from anymask.extras.given_masks import GivenMasks

        drawn: dict[str, Any] = {"overlay": not self.no_overlay, "keep_map": not self.no_map}
        given: GivenMasks | None = None
        finder: MaskJob | None = None
        match self._given():
            case "mask":
                assert self.where.mask is not None
                given = GivenMasks(read_mask(self.where.mask))
            case "masks":
                assert self.where.masks is not None
                given = GivenMasks(self.where.masks, self.where.label or None)
            case "found":
                finder = self._finder()
        depth = find_depth(
            self.source.depth,
            kind=self.source.depth_kind,
            scale=self.source.depth_scale,
            device=self.compute.device,
            dtype=self.compute.dtype,
            offline=self.compute.offline,
        )
        return Job(depth=depth, finder=finder, masks=given, format=self.format, **drawn)

    def _finder(self) -> MaskJob:
        """Make a job that finds the masks, as ``anymask segment`` does."""
        from anymask.batch.job import Segment
        from anymask.batch.words import Words

        drawn: dict[str, Any] = {"format": self.format, "overlay": False, "cutout": False}
        where = self.where
        if where.point or where.not_ or where.box:
            self.words.check_unused()
            return Segment(prompts=(where.read(self.words.given()["text"]),), **drawn)
        given = self.words.given()
        given["grounder"] = self.words.load(self.compute.device, self.compute.offline)
        return Words(**given, **drawn)

    def _given(self) -> str | None:
        """Say which way masks come: "mask", "masks", "found", or not at all."""
        where = self.where
        found = [
            f"--{flag.rstrip('_')}" for flag in ("point", "not_", "box") if getattr(where, flag)
        ]
        words = ["--text"] * bool(self.words.text) + ["--example"] * bool(self.words.example)
        files = [f"--{flag}" for flag in ("mask", "masks") if getattr(where, flag)]
        if bool(found) + bool(words) + len(files) > 1:
            raise InputError(_WHERE.format(" and ".join([*found, *words, *files])))
        where.check_label()
        if not (found or words):
            self.words.check_unused()
        return files[0].lstrip("-") if files else "found" if found or words else None


class _Silent:
    """Looks on without a word."""

    def step(self, text: str = "") -> None:
        """Go on."""

    def note(self, text: str) -> None:
        """Go on."""

"""``anymask everything``: all things in each image, without a prompt."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.depth import DepthKind, DepthScale
from anymask.cli.options import ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.search import Search
from anymask.config import LabelConfig
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.cli.parser import Command
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter
    from anymask.text.label import Labeller

__all__ = ["Everything", "parse"]

_ABOUT = """Find everything in each image, without a prompt.

Each image gets an overlay and its masks. A folder that was interrupted goes on where it stopped.

Examples:
  anymask everything photo.jpg
  anymask everything photos/ --format coco -o out/
  anymask everything 'photos/**/*.jpg' --points-per-side 16 --json
  anymask everything photos/ --labels "cat,dog,car" --format coco
  anymask everything photo.jpg --depth  # with the depth of each mask
  anymask everything - -o - < photo.jpg > masks.json"""

_DEPTH = "depth-anything-v2-small"
_Count = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask everything`` into a command."""
    words = _with_default_depth(_with_labels(words))
    return piped(parse_words(Everything, words, "anymask everything", _ABOUT), words)


def _with_default_depth(words: Sequence[str]) -> list[str]:
    """Name the usual depth model where ``--depth`` stands alone."""
    following = [*words[1:], "-"]
    alone = [
        word == "--depth" and after.startswith("-")
        for word, after in zip(words, following, strict=True)
    ]
    return [f"--depth={_DEPTH}" if one else word for one, word in zip(alone, words, strict=True)]


def _with_labels(words: Sequence[str]) -> list[str]:
    """Let ``--labels`` without words mean those that the bundled detector knows."""
    said = list(words)
    if "--labels" in said:
        place = said.index("--labels") + 1
        if place == len(said) or said[place].startswith("-"):
            said.insert(place, "bundled")
    return said


@dataclass(frozen=True, kw_only=True)
class Everything(ImageOptions):
    """Find everything in each image, without a prompt."""

    tile: _Count = None
    """Look at squares of this many pixels, one by one, and join what crosses them; by itself only
    for images of more than 200 million pixels, in squares of 1024."""
    halo: _Count = None
    """How far each square reaches into its neighbours; by itself an eighth of its side."""
    labels: Annotated[str | None, arg(metavar="WORDS", help_behavior_hint="")] = None
    """Name the masks by these words, "cat,dog,sky"; or by those in a text file, one a line; without
    words, or "bundled": by all that the bundled detector knows."""
    naming: OmitArgPrefixes[LabelConfig] = field(default_factory=LabelConfig)
    """How masks are given names, with --labels."""
    depth: Annotated[str | None, arg(metavar="[FILE|MODEL]", help_behavior_hint="")] = None
    """Write its depth into the record of each mask, and draw it: from a file of depth, a folder of
    them or a model, as `anymask depth` takes it; alone, at the end or before another option, from
    depth-anything-v2-small."""
    depth_kind: DepthKind = None
    """With --depth: what the numbers of a file mean, as for `anymask depth`."""
    depth_scale: DepthScale = None
    """With --depth: how many of a file's units are a metre."""
    search: OmitArgPrefixes[Search] = field(default_factory=Search)
    """What to look for and what to drop; what is not given is what suits the model."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.cli.process import process

        return process(self, self._job)

    def find(self, model: Segmenter, image: Image) -> Masks:
        """Find everything in one image."""
        labeller = self._job.labeller
        given = self.search.given()
        masks = model.generate(image, tile=self.tile, halo=self.halo, **given)
        masks = masks if labeller is None else labeller(masks, image)
        job = self._job
        return job.measured(masks, image) if self.depth is not None else masks

    def encode(self, found: Masks) -> bytes:
        """Give the masks of one image as the content of a file."""
        if self.format not in ("semantic", "yolo") or not self._job.classes():
            return super().encode(found)
        file = io.BytesIO()
        found.save(file, format=self.format, names=self._job.classes())
        return file.getvalue()

    @cached_property
    def _job(self) -> Any:
        from anymask.batch.job import Everything as Job

        options: dict[str, Any] = {
            "options": self.search.given(),
            "tile": self.tile,
            "halo": self.halo,
            "labeller": self._labeller(),
            "format": self.format,
            "overlay": not self.no_overlay,
        }
        if self.depth is None:
            if self.depth_kind is not None or self.depth_scale is not None:
                raise InputError(
                    "expected --depth along with what its numbers mean, got none; name its file"
                )
            return Job(**options)
        from anymask.extras.depth.job import EverythingDepth
        from anymask.extras.depth.sources import find_depth

        how: dict[str, Any] = {"device": self.compute.device, "dtype": self.compute.dtype}
        numbers: dict[str, Any] = {"kind": self.depth_kind, "scale": self.depth_scale}
        depth = find_depth(self.depth, **numbers, **how, offline=self.compute.offline)
        return EverythingDepth(**options, depth=depth)

    def _labeller(self) -> Labeller | None:
        """Get ready to name masks, if that is wanted."""
        if self.labels is None:
            if self.naming != LabelConfig():
                raise InputError(
                    "expected --labels beside what says how to name masks, got none; add words, "
                    "such as --labels cat,dog"
                )
            return None
        from anymask.text.label import load_labeller

        return load_labeller(
            self.labels, self.naming, device=self.compute.device, offline=self.compute.offline
        )

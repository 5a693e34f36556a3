"""``anymask redraw``: one region of each image, drawn anew as words say, in the shape it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.places import check_commas, read_numbers
from anymask.cli.where import ChangeOptions
from anymask.extras.edit.regions import Region
from anymask.extras.inpaint.paint import InpaintConfig, choose_task

if TYPE_CHECKING:
    from anymask.cli.parser import Command
    from anymask.extras.edit.redraw_job import Redraw as Job

__all__ = ["Redraw", "parse"]

_ABOUT = """Draw one region of each image anew as words say, in the shape that it has.

Each image gets the redrawn image, an overlay of its regions, and these as JSON. A ControlNet sees
the id map of all regions, so what is drawn keeps to the outlines; no other pixel changes.

Examples:
  anymask redraw photo.jpg --region 365,290 --fill "a blue cup" --engine PIPELINE --controlnet NET
  anymask redraw photo.jpg --masks masks.json --region 3 --fill "a blue cup" --engine PIPELINE
  anymask redraw photos/ --masks masks.json --region cup --fill "a blue cup" --engine PIPELINE"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask redraw`` into a command."""
    check_commas(words)
    return piped(parse_words(Redraw, words, "anymask redraw", _ABOUT), words)


@dataclass(frozen=True, kw_only=True)
class Redraw(ChangeOptions):
    """Draw one region of each image anew as words say, in the shape that it has."""

    region: Annotated[str, arg(metavar="X,Y|NUMBER|NAME", help_behavior_hint="")]
    """Which region: the smallest at a place, X,Y in pixels; the one of a number, 0 for the first of
    the masks; or all of a name."""
    fill: Annotated[str, arg(metavar="WORDS", help_behavior_hint="")]
    """What to draw there."""
    engine: Annotated[str, arg(metavar="PIPELINE", help_behavior_hint="")]
    """What draws: the folder or hub id (org/name) of a diffusers pipeline that paints holes."""
    controlnet: Annotated[str | None, arg(metavar="NET", help_behavior_hint="")] = None
    """Folder or hub id of a ControlNet that knows id maps, such as EditAnything's; by itself the
    one that the pipeline comes with."""
    masks: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """All regions: a file of masks, such as `anymask everything` writes; a COCO file may have those
    of many images. Without it, the model finds everything."""
    painting: OmitArgPrefixes[InpaintConfig] = field(default_factory=InpaintConfig)
    """How it is drawn; by itself the region does not grow."""

    @cached_property
    def _job(self) -> Job:
        from anymask.extras.edit.redraw import load_controlled
        from anymask.extras.edit.redraw_job import Redraw as Job

        choose_task(remove=False, fill=self.fill, replace=None)  # before weights are loaded
        region = _read(self.region)
        how = {
            "device": self.compute.device,
            "dtype": self.compute.dtype,
            "offline": self.compute.offline,
        }
        options = {f.name: getattr(self.painting, f.name) for f in fields(InpaintConfig)}
        return Job(
            fill=self.fill,
            region=region,
            masks=self.masks,
            engine=load_controlled(self.engine, self.controlnet, **how),  # type: ignore[arg-type]
            config=InpaintConfig(**options),
            format=self.format,
            overlay=not self.no_overlay,
        )


def _read(text: str) -> Region:
    """Read a place, a number or a name."""
    if text.strip().isdecimal():
        return int(text)
    if "," in text and not any(letter.isalpha() for letter in text):
        x, y = read_numbers("--region", text)
        return x, y
    return text

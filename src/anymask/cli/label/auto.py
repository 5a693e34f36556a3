"""``anymask label auto``: a model labels."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.label.project import ModelOptions, ProjectOptions, few, ticker
from anymask.label.stages import AutoConfig

__all__ = ["ABOUT", "Auto"]

ABOUT = """Let a model label all images that are open; they stay open for people.

In the semi-automatic stage, a detector says where things are and what they are called, and masks
that the model is sure of are filled in; people add the rest. A detector of the project's own (see
`anymask label retrain --learn detector`) takes the place of the bundled one, but knows no names. In
the automatic stage, everything mode finds all there is, without names. Each version does an image
once; stopped, it goes on where it was.

Examples:
  anymask label auto photos/ --stage semi-automatic --text "car. person."
  anymask label auto photos/ --model mobile-sam --limit 100
  anymask label auto photos/ --model sam-vit-h --min-iou 0.88 --min-stability 0.95"""


@dataclass(frozen=True, kw_only=True)
class Auto(ProjectOptions, ModelOptions):
    """Let a model label all images that are open."""

    limit: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Label at most so many images."""
    settings: OmitArgPrefixes[AutoConfig] = field(default_factory=AutoConfig)
    """How."""

    def run(self) -> int:
        """Do it and return the exit code: 1 if some images failed."""
        from anymask.label.stages import automatic

        with self.open() as store:
            version, model = self.load(store, self.model)
            done = automatic(
                store,
                model,
                self.settings,
                version=version,
                limit=self.limit,
                progress=ticker("images", self.json),
            )
        known = f"; {done.known:,d} images had theirs already" if done.known else ""
        self.print(done, [f"{done.masks:,d} masks of {done.images:,d} images{known}"])
        if not self.json:
            if done.leased:
                names = few(done.leased)
                print(f"left for another time, for people are at work on them: {names}")
            for name, why in done.failed:
                print(f"anymask: {name}: {why}", file=sys.stderr)
        return 1 if done.failed else 0

"""``anymask label order``: what the orders of the queue go by."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.label.project import ModelOptions, ProjectOptions, ticker
from anymask.label.queue.ordering import OrderConfig

__all__ = ["ABOUT", "Order"]

ABOUT = """Look at all images that are open with one model version or two, so that what teaches most
can come first (`anymask label next --order`).

Each image is embedded and asked for what is at some points. low-confidence goes by the predicted
IoU, for images without masks; disagreement by how well two versions agree; novelty by how far the
embedding is from all before. Stopped, it goes on where it was. After a retrain, say --again.

Examples:
  anymask label order photos/
  anymask label order photos/ --other bundled --again     # the version in use, and another
  anymask label next photos/ --person ada --order disagreement"""


@dataclass(frozen=True, kw_only=True)
class Order(ProjectOptions, ModelOptions):
    """Look at all images that are open, for the orders of the queue."""

    other: Annotated[str | None, arg(metavar="MODEL", help_behavior_hint="")] = None
    """A second version to compare with: one of the project, a name from `anymask models`, or
    weights; without it, the one that the version in use learned from, if there is one."""
    limit: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """Look at so many images at most."""
    settings: OmitArgPrefixes[OrderConfig] = field(default_factory=OrderConfig)
    """How."""

    def run(self) -> int:
        """Do it and return the exit code: 1 if some images failed."""
        from anymask.label.queue.ordering import order_images

        with self.open() as store:
            version, model = self.load(store, self.model)
            other = self.other
            if other is None:
                parents = {one.name: one.parent for one in store.versions()}
                other = parents.get(version)
            second = None if other is None else self.load(store, other)[1]
            done = order_images(
                store,
                model,
                second,
                self.settings,
                limit=self.limit,
                progress=ticker("images", self.json),
            )
        known = f"; {done.known:,d} were looked at before" if done.known else ""
        compared = f", {done.compared:,d} also with {other}" if done.compared else ""
        self.print(done, [f"{done.images:,d} images looked at with {version}{compared}{known}"])
        if not self.json:
            for name, why in done.failed:
                print(f"anymask: {name}: {why}", file=sys.stderr)
        return 1 if done.failed else 0

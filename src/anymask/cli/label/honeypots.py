"""``anymask label honeypots``: known masks that score annotators."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from anymask.cli.label.project import ProjectOptions, few, plain_numbers
from anymask.cli.options import Format

__all__ = ["ABOUT", "Honeypots", "score_lines"]

ABOUT = """Mix images whose masks are known into the queue, and say how good annotators are on them.

`anymask label next` hands them out now and then, once to each person, and nothing tells them from
others. They are no part of the work: exports, statistics, audits and retraining leave them out.

Examples:
  anymask label honeypots photos/ --add known.json
  anymask label honeypots photos/ --share 0.1             # every tenth image
  anymask label honeypots photos/                         # how good is who?
  anymask label honeypots photos/ --remove truck.jpg      # an image like all others again"""


@dataclass(frozen=True, kw_only=True)
class Honeypots(ProjectOptions):
    """Mix images whose masks are known into the queue, and score annotators."""

    add: Annotated[Path | None, arg(metavar="MASKS", help_behavior_hint="")] = None
    """Before: read known masks from a file, or a folder of such files or of a data set. Their
    images are added; those that are there already must be open and untouched by people."""
    format: Annotated[Format | None, arg(aliases=["-f"], help_behavior_hint="")] = None
    """What to read; without it, what is in the files tells."""
    images: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of the images; without it, they are looked for beside the masks."""
    remove: Annotated[tuple[str, ...], arg(metavar="IMAGE...", help_behavior_hint="")] = ()
    """Before: make these like all others; what people answered on them is forgotten."""
    share: Annotated[float | None, arg(metavar="SHARE", help_behavior_hint="")] = None
    """Before: of the images that are handed out, so many should be of these; 0.05 at first."""

    def run(self) -> int:
        """Do it and return the exit code: 1 if some known masks were refused."""
        from anymask.label.review import honeypots

        failed: tuple[tuple[str, str], ...] = ()
        with self.open() as store:
            if self.share is not None:
                honeypots.set_honeypot_share(store, self.share)
            for name in self.remove:
                honeypots.remove_honeypot(store, name)
            if self.add is not None:
                _, failed = honeypots.import_honeypots(
                    store, self.add, format=self.format, images=self.images
                )
            found = honeypots.list_honeypots(store)
            scores = honeypots.score_annotators(store)
        document = {**asdict(found), "failed": failed, "scores": plain_numbers(scores)}
        masks = sum(number for _, number in found.images)
        head = f"{len(found.images):,d} images with {masks:,d} known masks"
        if found.images:
            names = few([name for name, _ in found.images])
            head += f" ({names}); {found.share:.0%} of what is handed out"
        self.print(document, [head, *score_lines(scores)])
        if not self.json:
            for name, why in failed:
                print(f"anymask: {name}: {why}", file=sys.stderr)
        return 1 if failed else 0


def score_lines(scores: Sequence[Any]) -> Iterator[str]:
    """Say how good annotators were on known masks."""
    if not scores:
        return
    yield ""
    head = f"{'known masks, by annotator':30} {'known':>6}   found"
    yield f"{head}  IoU > 0.9  IoU > 0.75   mean  named"
    for one in scores:
        shares = f"{one.found.value:6.0%}  {one.above_90.value:9.1%}  {one.above_75.value:10.1%}"
        mean = "    -" if one.mean_iou != one.mean_iou else f"{one.mean_iou:5.3f}"
        named = f"{one.named.value:5.0%}" if one.named.number else "    -"
        yield f"{one.person:30} {one.known:6,d}  {shares}  {mean}  {named}"

"""``anymask label next``: an image to work on, for one person alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from anymask.cli.label.project import ProjectOptions

__all__ = ["ABOUT", "Next"]

ABOUT = """Give a person the next image to work on, which nobody else gets meanwhile.

It prints the image and a token. The image is the person's for --minutes; to ask again renews that.
Say --done with the token when it is labelled, which gives the next one at once. A mask should take
no longer than the time that is printed with the image; else go on to the next image.

Examples:
  anymask label next photos/ --person ada
  anymask label next photos/ --person ada --order low-confidence
  anymask label next photos/ --person ada --done 2f6c... --seconds 40
  anymask label next photos/ --person bob --state done   # to review what others labelled"""


@dataclass(frozen=True, kw_only=True)
class Next(ProjectOptions):
    """Give a person the next image to work on."""

    person: Annotated[str, arg(metavar="NAME")]
    """Who asks."""
    order: Literal["added", "low-confidence", "disagreement", "novelty"] = "added"
    """What comes first. added: as images were added; low-confidence: where models are least sure of
    their masks; disagreement: where two model versions agree least; novelty: what is least like
    all before."""
    state: Literal["open", "done"] = "open"
    """Which images: open to label, done to review."""
    minutes: Annotated[float, arg(metavar="FLOAT")] = 15.0
    """How long nobody else gets the image."""
    done: Annotated[str | None, arg(metavar="TOKEN", help_behavior_hint="")] = None
    """Before: the image of this token is labelled, or accepted if it was for review."""
    seconds: Annotated[float, arg(metavar="FLOAT")] = 0.0
    """Time that it took, with --done."""
    release: Annotated[str | None, arg(metavar="TOKEN", help_behavior_hint="")] = None
    """Before: give the image of this token back as it is."""
    skip: Annotated[str | None, arg(metavar="TOKEN", help_behavior_hint="")] = None
    """Before: give the image of this token back, to come last."""

    def run(self) -> int:
        """Do it and return the exit code: 0, also if there is no image left."""
        with self.open() as store:
            if self.done is not None:
                after = "done" if self.state == "open" else "accepted"
                store.finish(self.done, after, seconds=self.seconds)  # type: ignore[arg-type]
            for token, last in ((self.release, False), (self.skip, True)):
                if token is not None:
                    store.release(token, skip=last)
            lease = store.next(
                self.person, order=self.order, state=self.state, seconds=60 * self.minutes
            )
            if lease is None:
                self.print(None, ["no image is left, or others have those that are"])
                return 0
            image = lease.image
            h, w = image.size_hw
            budget = f"{lease.mask_seconds:g} s for a mask"
            about = f"image {image.id}, {w} x {h}, {image.masks} masks, {budget}"
            lines = [image.name, about, lease.token]
            self.print(lease, lines)
        return 0

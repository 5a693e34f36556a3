"""``anymask label status``: how far the work is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from anymask.cli.label.project import ProjectOptions, few
from anymask.cli.options import Flag

__all__ = ["ABOUT", "Status"]

ABOUT = """Say how far the work is: images, masks, classes, time, and who has which image.

With --agreement, people are compared with each other where several have made masks on one image:
masks are paired one to one, and those with an IoU of 0.5 and more count as the same thing.

Examples:
  anymask label status photos/
  anymask label status photos/ --agreement    # needs SciPy: pip install 'anymask[eval]'
  anymask label status photos/ --json"""


@dataclass(frozen=True, kw_only=True)
class Status(ProjectOptions):
    """Say how far the work is."""

    agreement: Flag = False
    """Compare people where several have made masks on one image, up to 200 images."""

    def run(self) -> int:
        """Do it and return the exit code."""
        with self.open() as store:
            status, problems = store.status(), store.problems()
            document = {**asdict(status), "problems": problems}
            lines = [*_lines(status), *_wrong(problems)]
            if self.agreement:
                from anymask.label.review.people import compare_people

                pairs = compare_people(store)
                document["agreement"] = [one.document() for one in pairs]
                lines += list(_agreement(pairs))
            head = f"project {store.project!r} in {store.database.shown}"
            self.print(document, [head, "", *lines])
        return 0


def _lines(status: Any) -> Iterator[str]:
    yield f"images   {status.images:9,d}   {_parts(status.by_state)}"
    yield f"masks    {status.masks:9,d}   {_parts(status.by_review)}"
    if status.masks:
        yield f"made     {'':9}   {_parts(status.by_stage)}"
    for one in sorted(status.classes, key=lambda one: -one.masks):
        yield f"class    {one.masks:9,d}   {one.name}"
    if status.unnamed:
        yield f"class    {status.unnamed:9,d}   (without one)"
    each = status.seconds_per_mask
    per_mask = "" if each is None else f"   {each:.1f} s for a change of a mask"
    slow = f", {status.slow:,d} of {status.timed:,d} over 30 s" if status.slow else ""
    yield f"time     {_time(status.seconds):>9}{per_mask}{slow}"
    yield f"changes  {status.revisions:9,d}"
    if status.version is not None:
        yield f"model    {status.version}"
    if status.detector is not None:
        yield f"detector {status.detector}"
    for one in status.people:
        each = one.seconds_per_mask
        per_mask = "" if each is None else f", {each:.1f} s a mask"
        yield (
            f"person   {one.person}: {one.images:,d} images in {_time(one.seconds)}, "
            f"{one.changes:,d} changes{per_mask}"
        )
    for one in status.versions:
        if any(one.by_review.values()):
            yield f"version  {one.version}: {_parts(one.by_review)} masks"
    for lease in status.leases:
        yield f"at work  {lease.person}: {lease.image.name} (for {_time(lease.seconds)})"


def _agreement(pairs: list[Any]) -> Iterator[str]:
    yield ""
    if not pairs:
        yield "no image has masks of two people"
    for one in pairs:
        found = one.document()
        iou = "no pairs" if found["mean_iou"] is None else f"mean IoU {found['mean_iou']:.3f}"
        alone = f"{found['only_first']:,d} and {found['only_second']:,d} unmatched"
        yield (
            f"{one.first} and {one.second}: {one.images:,d} images, {found['pairs']:,d} pairs, "
            f"{iou}, {alone}"
        )


def _parts(by: dict[str, int]) -> str:
    return ", ".join(f"{number:,d} {name}" for name, number in by.items() if number) or "none yet"


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _wrong(problems: list[tuple[str, str]]) -> Iterator[str]:
    for state, what in (("gone", "gone"), ("changed", "changed after labelling")):
        names = [name for name, found in problems if found == state]
        if names:
            yield f"files    {what}: {few(names)}"

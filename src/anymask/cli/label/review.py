"""``anymask label review``: verdicts on masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from anymask.cli.label.project import ProjectOptions
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.label.records import Change

__all__ = ["ABOUT", "Review"]

ABOUT = """List the masks of an image, and accept or reject some.

Each mask has a number, by which the verdict is said. Verdicts are revisions like any change.

Examples:
  anymask label review photos/ truck.jpg
  anymask label review photos/ truck.jpg --person bob --accept 3 7 --reject 9
  anymask label review photos/ truck.jpg --person bob --accept all"""


@dataclass(frozen=True, kw_only=True)
class Review(ProjectOptions):
    """List the masks of an image, and accept or reject some."""

    image: Annotated[Positional[str], arg(metavar="IMAGE")]
    """Name of the image, or its number."""
    person: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Who says so."""
    accept: Annotated[tuple[str, ...], arg(metavar="MASK...", help_behavior_hint="")] = ()
    """Masks that are right, or all."""
    reject: Annotated[tuple[str, ...], arg(metavar="MASK...", help_behavior_hint="")] = ()
    """Masks that are wrong, or all."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.label.records import Provenance

        with self.open() as store:
            image = store.image(int(self.image) if self.image.isdecimal() else self.image)
            found = store.masks(image)
            changes = self._changes(found)
            if changes:
                if self.person is None:
                    raise InputError("expected who says so, got nobody; name a --person")
                store.change(image, changes, Provenance(person=self.person))
                found = store.masks(image)
        rows = [
            {
                "mask": mask,
                "revision": found.revisions[i],
                "review": found.reviews[i],
                "label": found.masks.labels[i],
                "area": int(found.masks.areas[i]),
                "person": found.people[i],
                "version": found.versions[i],
            }
            for i, mask in enumerate(found.ids)
        ]
        self.print(rows, [_line(row) for row in rows] or ["no masks"])
        return 0

    def _changes(self, found: Any) -> list[Change]:
        from anymask.label.records import Change

        changes = []
        for names, verdict in ((self.accept, "accepted"), (self.reject, "rejected")):
            for name in map(str, found.ids) if names == ("all",) else names:
                if name not in map(str, found.ids):
                    known = ", ".join(map(str, found.ids[:10])) or "none"
                    raise InputError(f"expected masks out of {known}, got {name!r}; name one")
                at = found.ids.index(int(name))
                verdicts: Any = verdict
                changes.append(Change("review", int(name), found.revisions[at], review=verdicts))
        if len({change.mask for change in changes}) < len(changes):
            raise InputError("expected one verdict for each mask, got several; name each mask once")
        return changes


def _line(row: dict[str, Any]) -> str:
    who = row["person"] or row["version"] or "-"
    label = row["label"] or "(no class)"
    return f"{row['mask']:9d}  {row['review']:9}  {label:20}  {row['area']:9,d} px  {who}"

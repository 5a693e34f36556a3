"""What a data set on disk looks like, so that it can be recognised and opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anymask.data.dataset import Dataset
from anymask.errors import InputError

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """One way to lay out a data set in a folder."""

    name: str
    """What users call it."""
    parts: tuple[str, ...]
    """Patterns of files below the folder; each must match at least one."""
    read: Callable[[Path], Dataset]
    """Opens a folder that has all parts."""

    signs: tuple[str, ...] = ()
    """Patterns that must match, too, before a folder is taken for this layout without being told
    so, where the parts are too common."""
    check: Callable[[Path], bool] | None = None
    """The same, for what only the content of files tells."""

    def missing(self, root: Path) -> list[str]:
        """List the parts that a folder does not have."""
        return [part for part in self.parts if next(root.glob(part), None) is None]

    def fits(self, root: Path) -> bool:
        """Return whether a folder looks like this layout."""
        return (
            not self.missing(root)
            and all(next(root.glob(sign), None) for sign in self.signs)
            and (self.check is None or self.check(root))
        )

    def open(self, root: Path) -> Dataset:
        """Open a folder.

        Raises:
            InputError: A part is missing, or the reader finds more that is wrong.
        """
        if missing := self.missing(root):
            raise InputError(
                f"expected the layout {self.name!r} in {str(root)!r}, that is "
                f"{' and '.join(self.parts)}, got nothing that matches {' and '.join(missing)}; "
                "complete the folder, name the folder above or below, or another layout"
            )
        return self.read(root)

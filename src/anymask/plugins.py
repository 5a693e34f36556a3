"""Doors for other packages: formats, models and protocols that they add by an entry point.

A package that wants to add a file format says so in its ``pyproject.toml``:

    [project.entry-points."anymask.formats"]
    labelbox = "their_package.labelbox:FORMAT"

Nothing of it is imported before its name is asked for, or all names are listed. What the object
has to be is written where it is used: `anymask.formats`, `anymask.models.variants` and
`anymask.evaluate.protocols`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from anymask.errors import InputError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Group", "load_plugin", "plugin_names"]

Group = Literal["formats", "models", "protocols"]


def plugin_names(group: Group) -> list[str]:
    """List the names that other packages add, in alphabetical order, without importing anything.

    Raises:
        InputError: Two packages add the same name.
    """
    return sorted(_found(group))


def load_plugin(group: Group, name: str) -> Any | None:
    """Import what another package adds under a name; None where none does.

    Raises:
        InputError: Two packages add that name, or the one that does cannot be imported.

    Examples:
        >>> load_plugin("formats", "no-such-format") is None
        True
    """
    point = _found(group).get(name)
    if point is None:
        return None
    try:
        return point.load()
    except Exception as error:  # whatever a foreign package does wrong
        raise InputError(
            f"expected the package {_package(point)!r} to bring {name!r} for anymask.{group}, got "
            f"{type(error).__name__}: {error}; update or uninstall that package"
        ) from error


def _found(group: Group) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # most need no other package: it takes 20 ms

    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"anymask.{group}"):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise InputError(
                f"expected one package that adds {point.name!r} to anymask.{group}, got "
                f"{_package(other)!r} and {_package(point)!r}; uninstall one of them"
            )
    return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module

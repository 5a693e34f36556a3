"""Lists of commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, Union

from tyro.conf import subcommand

__all__ = ["show_list"]


@dataclass(frozen=True)
class _Listed:
    """A line in a list: to make flags of the command itself would take too long for that."""


def show_list(
    summaries: Mapping[str, str], words: Sequence[str], prog: str, about: str
) -> NoReturn:
    """Show a list of subcommands, or say that the words name none of them; ends the process.

    Args:
        summaries: One line about each, by its name.
        words: What was asked for, such as ``--help``.
        prog: The name of the command that has them.
        about: What its help begins with.
    """
    import tyro

    listed = [
        Annotated[_Listed, subcommand(name, description=line)] for name, line in summaries.items()
    ]
    listing: Any = Union[tuple(listed)]  # noqa: UP007 - as many as there are
    tyro.cli(listing, prog=prog, description=about, args=words)
    raise AssertionError("tyro ends the process")

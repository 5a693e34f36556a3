"""The options that all subcommands of ``anymask evaluate`` share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from anymask.cli.options import Flag

__all__ = ["EvaluateOptions", "Models"]

Models = Annotated[tuple[str, ...], arg(aliases=["-m"], metavar="MODEL...")]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ABC):
    """Measure models on data sets whose masks are known; see `anymask evaluate --help`."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-evaluation")
    """Folder for the report; made when missing."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""

    @abstractmethod
    def run(self) -> int:
        """Do it and return the exit code."""

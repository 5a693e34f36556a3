"""What ``anymask train`` and ``anymask distill`` share: flags, files of settings, last words."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from tyro.conf import arg

from anymask.cli.options import Flag
from anymask.cli.parser import parse
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.train.report import Report

__all__ = ["LearningOptions", "parse_learning"]

_ENDS = {"steps": "all steps made", "minutes": "time over", "patience": "no longer better"}


@dataclass(frozen=True, kw_only=True)
class LearningOptions(ABC):
    """Where a run goes, and how it treats an earlier one."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-run")
    """Folder of the run; made when missing. It loads like any model."""
    config: Annotated[Path | None, arg(metavar="YAML", help_behavior_hint="")] = None
    """Settings of a file, such as the config.yaml of another run; flags beside it win."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where to compute: cpu, cuda, mps, or auto for the fastest there is."""
    offline: Flag = False
    """Download no weights; use only what is here."""
    allow_changes: Flag = False
    """Go on with an earlier run even if the settings are others than before."""
    overwrite: Flag = False
    """Forget an earlier run in that folder."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""

    @abstractmethod
    def run(self) -> int:
        """Learn, say what it brought, and return the exit code."""

    def flags(self) -> dict[str, bool]:
        """List what a run should do about downloads, an earlier run and progress."""
        names = ("offline", "allow_changes", "overwrite", "quiet")
        return {name: getattr(self, name) for name in names}

    def conclude(self, report: Report, measured: str, words: Mapping[str, str]) -> int:
        """Say how much better the model is than before and how to use it; the exit code.

        Args:
            report: What the run brought.
            measured: What was measured.
            words: How its numbers are called, by their names in the report.
        """
        if self.quiet or os.environ.get("RANK", "0") != "0":  # torchrun's first process speaks
            return 0
        outcome = report.outcome
        print(
            f"learned from {_count(report.train_images, 'image')} in "
            f"{_count(outcome.steps, 'step')}, {outcome.seconds / 60:.1f} minutes "
            f"({_ENDS[outcome.reason]})"
        )
        if report.val_images:
            print(f"{measured} on {_count(report.val_images, 'other image')}, before and now:")
            for name in report.before:
                before, after = report.before[name], report.after[name]
                print(f"  {words[name]:<12} {before:.3f}  {after:.3f}")
        else:
            print("no image to validate on, so nobody knows how good it is; name some (--val)")
        print(f'use it: anymask.load("{self.output}"), or --model {self.output}')
        return 0


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


Command = TypeVar("Command", bound=LearningOptions)


def parse_learning(kind: type[Command], words: Sequence[str], prog: str, about: str) -> Command:
    """Turn words into a command whose ``settings`` are a dataclass.

    Help and wrong usage end the process here.

    Args:
        kind: The command, whose fields are the flags.
        words: What follows its name.
        prog: Its name.
        about: What its help begins with.

    Raises:
        InputError: The file of settings cannot be read, or holds something else.
    """
    usual: Any = kind()
    file = _file_of_settings(words)
    if file is not None:
        usual = type(usual)(settings=_read(type(usual.settings), file))
    return parse(kind, words, prog, about, usual)


def _file_of_settings(words: Sequence[str]) -> str | None:
    """Find what follows ``--config``, before flags are made of the defaults that it holds."""
    for word, following in zip(words, [*words[1:], None], strict=False):
        if word.partition("=")[0] == "--config":
            return word.partition("=")[2] or following
    return None


def _read(kind: type[Any], file: str) -> Any:
    """Read settings; those that the file does not name stay as usual."""
    from anymask.plain import from_plain, read_yaml, to_plain

    values = read_yaml(file)
    _check_names(values, file)
    values.pop("found", None)  # what the settings of a run led to
    usual = to_plain(kind())
    loop = usual.pop("loop")
    # Flags do not say which settings are the loop's, so a file need not, either.
    loop |= {name: values.pop(name) for name in [*values] if name in loop}
    own = values.pop("loop", {})
    if isinstance(own, dict):  # of anything else `from_plain` complains
        own = {**loop, **own}
    return from_plain(kind, {**usual, **values, "loop": own})


_RENAMED = {
    "rate": "lr",
    "decay": "weight_decay",
    "clip": "grad_clip",
    "average": "ema_decay",
    "floor": "min_lr_ratio",
    "batch": "batch_size",
    "hold_back": "val_fraction",
    "held_back": "val_images",
    "fresh": "from_scratch",
    "hidden": "mask_ratio",
}


def _check_names(values: Mapping[str, Any], file: str) -> None:
    """Refuse a file of settings that an earlier version wrote, and say what they are called now."""
    loop = values.get("loop")
    names = {*values, *(loop if isinstance(loop, Mapping) else ())}
    if old := [name for name in _RENAMED if name in names]:
        now = ", ".join(f"{name} is {_RENAMED[name]} now" for name in old)
        raise InputError(
            f"expected settings of this version of anymask in {file!r}, got those of an earlier "
            f"one; rename them ({now})"
        )

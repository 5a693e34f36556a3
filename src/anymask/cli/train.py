"""``anymask train``: a model becomes better at images like one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, arg

from anymask.cli.options import Flag
from anymask.train.finetune_config import FineTuneConfig

if TYPE_CHECKING:
    from anymask.train.report import Report

__all__ = ["Train", "parse"]

_ABOUT = """Let a model learn from your own images with masks.

A share of the images is held back to judge by; the best weights by that measure are kept. The run's
folder loads like any model, and the same command goes on where it stopped.

Examples:
  anymask train --data photos/ -o runs/mine
  anymask train --data photos/ --val others/ --model sam-vit-b --learn lora --rank 4 -o runs/lora
  anymask train --config runs/mine/config.yaml --rate 1e-4 -o runs/slower
  torchrun --nproc-per-node 2 -m anymask train --data photos/ -o runs/mine"""

_ROWS = {"one_click": "one click", "five_clicks": "five clicks", "box": "box", "iou": "mean"}


@dataclass(frozen=True, kw_only=True)
class Train:
    """Let a model learn from your own images with masks."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-train")
    """Folder of the run; made when missing. It loads like any model."""
    config: Annotated[Path | None, arg(metavar="YAML", help_behavior_hint="")] = None
    """Settings of a file, such as the config.yaml of another run; flags beside it win."""
    settings: OmitArgPrefixes[FineTuneConfig] = field(default_factory=FineTuneConfig)
    """What to learn from which images, and how."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where to compute: cpu, cuda, mps, or auto for the fastest there is."""
    offline: Flag = False
    """Download no weights; use only what is here."""
    changed: Flag = False
    """Go on with an earlier run even if the settings are others than before."""
    overwrite: Flag = False
    """Forget an earlier run in that folder."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Learn, say what it brought, and return the exit code."""
        from anymask.train.finetune import finetune

        report = finetune(
            self.settings,
            self.output,
            self.device,
            offline=self.offline,
            changed=self.changed,
            overwrite=self.overwrite,
            quiet=self.quiet,
        )
        if not self.quiet and os.environ.get("RANK", "0") == "0":  # torchrun's first process
            _tell(report, self.output)
        return 0


def parse(words: Sequence[str]) -> Train:
    """Turn the words after ``anymask train`` into a command.

    Help and wrong usage end the process here.

    Raises:
        InputError: The file of settings cannot be read, or holds something else.
    """
    import tyro

    file = _file_of_settings(words)
    command: Train = tyro.cli(
        Train,
        prog="anymask train",
        description=_ABOUT,
        args=words,
        default=Train() if file is None else Train(settings=_read(file)),
        config=(FlagCreatePairsOff,),
    )
    return command


def _file_of_settings(words: Sequence[str]) -> str | None:
    """Find what follows ``--config``, before flags are made of the defaults that it holds."""
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word.partition("=")[0] == "--config":
            return word.partition("=")[2] or following
    return None


def _read(file: str) -> FineTuneConfig:
    """Read settings; those that the file does not name stay as usual."""
    from anymask.train.config import from_plain, plain, read_yaml

    values = read_yaml(file)
    values.pop("found", None)  # what the settings of a run led to
    usual = plain(FineTuneConfig())
    loop = {**usual.pop("loop"), **values.pop("loop", {})}
    return from_plain(FineTuneConfig, {**usual, **values, "loop": loop})


def _tell(report: Report, folder: Path) -> None:
    """Say how much better the model is than before, and how to use it."""
    ends = {"steps": "all steps made", "minutes": "time over", "patience": "no longer better"}
    outcome = report.outcome
    print(
        f"learned from {report.learned} images in {outcome.steps} steps, "
        f"{outcome.seconds / 60:.1f} minutes ({ends[outcome.reason]})"
    )
    if report.judged:
        print(f"mean IoU on {report.judged} other images, before and now:")
        for name in report.before:
            print(f"  {_ROWS[name]:<12} {report.before[name]:.3f}  {report.after[name]:.3f}")
    else:
        print(
            "no image was held back, so how good it is nobody knows; --val names some to judge by"
        )
    print(f'use it: anymask.load("{folder}"), or --model {folder}')

"""``anymask train``: a model becomes better at images like one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.learning import LearningOptions, parse_learning
from anymask.cli.terminal import say
from anymask.errors import InputError
from anymask.train.finetuning.config import FineTuneConfig

__all__ = ["Train", "parse"]

_ABOUT = """Let a model learn from your own images with masks.

A share of the images is for validation, and the weights that do best there are kept. The run's
folder loads like any model, and the same command goes on where it stopped.

Examples:
  anymask train --data photos/ -o runs/mine
  anymask train --data photos/ --val others/ --model sam-vit-b --learn lora --rank 4 -o runs/lora
  anymask train --config runs/mine/config.yaml --lr 1e-4 -o runs/slower
  torchrun --nproc-per-node 2 -m anymask train --data photos/ -o runs/mine"""

_ROWS = {
    "one_click": "one click",
    "best_of_three": "best of 3",
    "five_clicks": "five clicks",
    "box": "box",
    "iou": "mean",
}


@dataclass(frozen=True, kw_only=True)
class Train(LearningOptions):
    """Let a model learn from your own images with masks."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-train")
    """Folder of the run; made when missing. It loads like any model."""
    settings: OmitArgPrefixes[FineTuneConfig] = field(default_factory=FineTuneConfig)
    """What to learn from which images, and how."""

    def run(self) -> int:
        """Learn, say what it brought, and return the exit code."""
        from anymask.data.open import layout_of
        from anymask.train.finetuning.finetune import finetune

        if not self.quiet and os.environ.get("RANK", "0") == "0":  # torchrun's first process
            for path in self.settings.data if self.settings.layout == "auto" else ():
                with suppress(InputError):  # which opening it will say
                    say(f"{path} is read in the layout {layout_of(path)}")
        report = finetune(self.settings, self.output, self.device, **self.flags())
        return self.conclude(report, "mean IoU", _ROWS)


def parse(words: Sequence[str]) -> Train:
    """Turn the words after ``anymask train`` into a command; see `parse_learning`."""
    return parse_learning(Train, words, "anymask train", _ABOUT)

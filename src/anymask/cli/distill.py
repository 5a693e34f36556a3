"""``anymask distill``: a small model learns from a large one, by one of three methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.learning import LearningOptions, parse_learning
from anymask.cli.parser import choose
from anymask.train.distillation.config import CoupledConfig, DecoupledConfig, SamiConfig

__all__ = ["METHODS", "parse"]

_ABOUT = """Let a small model learn from a large one, from photos without labels.

The teacher's embeddings are worked out once and kept. Some photos are for validation, and the
weights that do best there are kept. The run's folder loads like any model, and the same command
goes on where it stopped.

Examples:
  anymask distill decoupled --data photos/ --student mobile-sam --from-scratch -o runs/mobile
  anymask distill coupled --data photos/ --student runs/mobile --learn decoder -o runs/tuned
  anymask distill sami --data photos/ --from-scratch -o runs/sami
  anymask distill coupled --help"""

_ROWS = {"click": "one click", "box": "box", "iou": "mean", "similarity": "cosine"}


@dataclass(frozen=True, kw_only=True)
class _Method(LearningOptions):
    """What the methods have in common."""

    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")] = Path("anymask-distill")
    """Folder of the run; made when missing. It loads like any model."""
    settings: Any

    def run(self) -> int:
        """Learn, say what it brought, and return the exit code."""
        from anymask.train.distillation.distill import distill

        report = distill(self.settings, self.output, self.device, **self.flags())
        measured = "similarity to" if isinstance(self.settings, SamiConfig) else "mean IoU with"
        return self.conclude(report, f"{measured} the teacher", _ROWS)


@dataclass(frozen=True, kw_only=True)
class _Decoupled(_Method):
    settings: OmitArgPrefixes[DecoupledConfig] = field(default_factory=DecoupledConfig)
    """Who learns what from whom."""


@dataclass(frozen=True, kw_only=True)
class _Coupled(_Method):
    settings: OmitArgPrefixes[CoupledConfig] = field(default_factory=CoupledConfig)
    """Who learns what from whom."""


@dataclass(frozen=True, kw_only=True)
class _Sami(_Method):
    settings: OmitArgPrefixes[SamiConfig] = field(default_factory=SamiConfig)
    """Who learns what from whom."""


METHODS: dict[str, tuple[type[_Method], str]] = {
    "decoupled": (
        _Decoupled,
        "The student's encoder learns what its teacher's sees, and takes over its decoder.",
    ),
    "coupled": (
        _Coupled,
        "The student learns what its teacher answers, with prompts in the loop.",
    ),
    "sami": (
        _Sami,
        "An EfficientSAM's encoder learns what its teacher sees from a quarter of each photo.",
    ),
}


def parse(words: Sequence[str]) -> LearningOptions:
    """Turn the words after ``anymask distill`` into a command; see `parse_learning`."""
    summaries = {name: about for name, (_, about) in METHODS.items()}
    name = choose(words, "anymask distill", _ABOUT, summaries)
    return parse_learning(METHODS[name][0], words[1:], f"anymask distill {name}", summaries[name])

"""What a run brought."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anymask.train.loop import Outcome

__all__ = ["Report", "judgements"]


@dataclass(frozen=True)
class Report:
    """How a run ended, and how much better its model has become."""

    outcome: Outcome
    """How it ended."""
    learned: int
    """Number of images that it learned from."""
    judged: int
    """Number of images that it was judged by."""
    before: Mapping[str, float]
    """How good the model was by each measure; empty if no image was held back."""
    after: Mapping[str, float]
    """How good the best weights are."""


def judgements(folder: Path, metric: str) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Read the first validation of a run, and the best one by a metric; empty if there is none."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = [line["validation"] for line in lines if "validation" in line]
    if not found:
        return {}, {}
    return found[0], max(found, key=lambda facts: facts[metric])

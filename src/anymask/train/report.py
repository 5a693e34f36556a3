"""What a run brought."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anymask.train.loop import Outcome

__all__ = ["Report", "read_validations"]


@dataclass(frozen=True)
class Report:
    """How a run ended, and how much better its model has become."""

    outcome: Outcome
    """How it ended."""
    train_images: int
    """Number of images that it learned from."""
    val_images: int
    """Number of images that it was validated on."""
    before: Mapping[str, float]
    """How good the model was by each measure; empty without images to validate on."""
    after: Mapping[str, float]
    """How good the weights are that were kept."""


def read_validations(folder: Path) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Read a run's first validation, and that of the weights that were kept; empty if none was."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kept = [line["validation"] for line in lines if line.get("kept")]
    return (kept[0], kept[-1]) if kept else ({}, {})

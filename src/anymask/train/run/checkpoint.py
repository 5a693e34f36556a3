"""Checkpoints: where a run stands, all that changes, and the settings that it belongs to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from anymask.atomic import atomic_write
from anymask.errors import InputError
from anymask.folder import refuse_others
from anymask.plain import to_plain
from anymask.train.config import LoopConfig

__all__ = [
    "CHECKPOINT",
    "Place",
    "check_settings",
    "read_checkpoint",
    "settings_of",
    "write_checkpoint",
]

CHECKPOINT = "checkpoint.pt"
"""Its name in the folder of a run."""

_FORMAT = 2  # 1 had other names of settings
_FREE = ("loop.workers", "loop.save_minutes")
"""Settings without influence on what is learned."""
_REMEDY = (
    "go back to them, go on with the new ones (--allow-changes), start anew (--overwrite), or "
    "choose another folder (-o)"
)


@dataclass
class Place:
    """Where a run stands."""

    steps: int = 0
    """Steps made."""
    seconds: float = 0.0
    """Time they took, with all that goes with them."""
    validated: int = -1
    """Steps made at the last validation."""
    best: float = -math.inf
    """Best value of the metric that decides."""
    stale: int = 0
    """Validations since then."""
    window: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Sum and count of the numbers that are not recorded yet, by name."""


def settings_of(identity: Mapping[str, Any], config: LoopConfig) -> dict[str, Any]:
    """Put together all that a run is: what it learns from what, and how, as plain values."""
    settings: dict[str, Any] = to_plain({**identity, "loop": config})
    return settings


def write_checkpoint(
    path: Path, settings: Mapping[str, Any], place: Place, state: Mapping[str, Any]
) -> None:
    """Save a state, whole or not at all.

    Raises:
        InputError: Weights are not finite; the file stays as it is.
        OutputError: It cannot be written; the file that was there stays.
    """
    for name, tensor in state["weights"].items():
        if not tensor.isfinite().all():
            raise InputError(
                f"expected finite weights after step {place.steps}, got others in {name}; lower "
                "the learning rate; the last checkpoint is as it was"
            )
    content = {
        "format": _FORMAT,
        "settings": dict(settings),
        "place": asdict(place),
        "state": dict(state),
    }
    with atomic_write(path) as draft:
        try:
            with draft.open("wb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # torch's way to say that the disk is full
            raise OSError(str(error.__context__ or error)) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Any], Place, dict[str, Any]]:
    """Read the settings, the place and the state of a checkpoint.

    Raises:
        InputError: It is damaged, no checkpoint of the loop, or of another version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        version = content.get("format", 1)
        if version == _FORMAT:
            return content["settings"], Place(**content["place"]), content["state"]
    except Exception as error:  # whatever torch meets in a damaged file
        raise InputError(
            f"expected a checkpoint in {str(path)!r}, got what cannot be read "
            f"({type(error).__name__}); start anew in another folder"
        ) from error
    age = "an earlier" if version < _FORMAT else "a later"
    raise InputError(
        f"expected a run of this version of anymask in {str(path.parent)!r}, got one made by {age} "
        "version, which cannot go on; load it by --model to start from it, and start anew in "
        "another folder (-o), or in this one (--overwrite)"
    )


def check_settings(saved: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with other settings.

    Raises:
        InputError: They differ; it lists where.
    """
    refuse_others(folder, "a run with these settings", saved, wanted, _FREE, _REMEDY)

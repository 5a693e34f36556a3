"""The settings of the training loop, and YAML files of settings; no torch, as flags are made of it.

Any frozen dataclass can be written to YAML and read back: the fields that a file does not name keep
their defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from anymask.atomic import atomic_write
from anymask.config import check_number
from anymask.errors import InputError

__all__ = [
    "LoopConfig",
    "PrecisionName",
    "Schedule",
    "from_plain",
    "plain",
    "read_yaml",
    "write_yaml",
]

Schedule = Literal["cosine", "linear", "constant"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class LoopConfig:
    """How a model learns, whatever it learns."""

    steps: int = 1000
    """End after so many steps of the optimiser."""
    minutes: float | None = None
    """End after so many minutes at the latest, those before an interruption included. The schedule
    follows the clock then, so that two runs are not quite the same."""
    batch: int = 4
    """Images in a batch, in each process."""
    accumulate: int = 1
    """Batches whose gradients are added up before the optimiser makes a step."""
    rate: float = 1e-4
    """Highest learning rate."""
    decay: float = 0.01
    """Weight decay; norms and biases have none."""
    betas: tuple[float, float] = (0.9, 0.999)
    """How long AdamW remembers the gradients and their squares."""
    warmup: int = 100
    """Steps in which the rate rises from 0."""
    schedule: Schedule = "cosine"
    """How the rate falls afterwards."""
    floor: float = 0.01
    """Share of the rate that is left in the end."""
    layer_decay: float = 1.0
    """Rate of each stage of the encoder as a share of that of the stage behind it; 1: all alike."""
    clip: float = 1.0
    """Longest gradient, over all that learns; longer ones are scaled down; 0: any length."""
    precision: PrecisionName = "auto"
    """Numbers to compute with; auto: 16 bits on NVIDIA's GPUs, else 32. Weights have 32 bits."""
    average: float = 0.998
    """What the moving average of the weights keeps in each step; it is what is judged and shipped.
    0: the weights themselves."""
    anchor: float | None = None
    """Share of the weights before the first step in those that are judged and shipped, which keeps
    what few images would make a model forget; none: what suits the data, or 0."""
    seed: int = 0
    """Start of every random sequence."""
    workers: int = 1
    """Processes that prepare batches; 0: none beside the one that learns."""
    evaluate_every: int = 200
    """Steps from one validation to the next; there is one before the first step and after the last
    as well."""
    patience: int | None = None
    """End after so many validations in a row that bring nothing better; None: never."""
    save_minutes: float = 5.0
    """Minutes from one checkpoint to the next; 0: after each step."""
    record_every: int = 20
    """Steps that share a line in metrics.jsonl."""

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("steps", "batch", "accumulate", "evaluate_every", "record_every"):
            check_number(self, name, 1, whole=True)
        for name in ("warmup", "seed", "workers"):
            check_number(self, name, 0, whole=True)
        for name in ("rate", "decay", "clip", "save_minutes"):
            check_number(self, name, 0)
        for name in ("floor", "layer_decay", "average"):
            check_number(self, name, 0, 1)
        if self.minutes is not None:
            check_number(self, "minutes", 0)
        if self.anchor is not None:
            check_number(self, "anchor", 0, 1)
        if self.patience is not None:
            check_number(self, "patience", 1, whole=True)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(
                f"expected betas from 0 to below 1, got {self.betas}; 0.9, 0.999 is usual"
            )
        for name, kind in (("schedule", Schedule), ("precision", PrecisionName)):
            if getattr(self, name) not in get_args(kind):
                raise InputError(
                    f"expected {name} out of {', '.join(get_args(kind))}, got "
                    f"{getattr(self, name)!r}; name one"
                )


def plain(settings: object) -> Any:
    """Turn settings into what JSON and YAML hold: paths become text, tuples lists."""
    values = (
        asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else settings
    )
    return json.loads(json.dumps(values, default=str))


def write_yaml(path: Path, settings: object) -> None:
    """Write a dataclass or a mapping of plain values.

    Raises:
        OutputError: It cannot be written.
    """
    import yaml

    with atomic_write(path) as draft:
        draft.write_text(yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a file of settings as plain values.

    Raises:
        InputError: It cannot be read, or holds something else.
    """
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"expected settings as YAML in {str(path)!r}, got what cannot be read ({reason}); "
            "correct it, or name another file"
        ) from error
    if not isinstance(found, dict):
        raise InputError(
            f"expected settings as YAML in {str(path)!r}, got {type(found).__name__}; write one "
            "'name: value' in each line"
        )
    return found


def from_plain(kind: type[Settings], values: Mapping[str, Any], where: str = "") -> Settings:
    """Make a dataclass of plain values; what is not named keeps its default.

    Args:
        kind: The dataclass; its fields may be dataclasses, too.
        values: As `read_yaml` gives them.
        where: Begin of the names in error messages, such as ``"loop."``.

    Raises:
        InputError: A name is unknown, or a value of another type than its field.

    Example:
        >>> from_plain(LoopConfig, {"rate": "1e-3", "betas": [0.9, 0.98]}).betas
        (0.9, 0.98)
    """
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise InputError(
                f"expected settings out of {', '.join(hints)}, got {where}{name}; leave it out"
            )
    return kind(**{name: _value(hints[name], v, where + name) for name, v in values.items()})


def _value(hint: Any, value: Any, name: str) -> Any:
    """Bring one value into the type that its field asks for."""
    kind, choices = get_origin(hint) or hint, get_args(hint)
    try:
        if kind in (Union, UnionType):
            inner = next(choice for choice in choices if choice is not type(None))
            return None if value is None else _value(inner, value, name)
        if kind is tuple and isinstance(value, list | tuple):
            each = choices[:1] * len(value) if choices[-1] is ... else choices
            return tuple(_value(h, v, name) for h, v in zip(each, value, strict=True))
        if is_dataclass(kind) and isinstance(value, Mapping):
            return from_plain(hint, value, f"{name}.")
        if kind is Path and isinstance(value, str):
            return Path(value)
        if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
            return float(value)  # YAML takes 1e-4 for text
    except ValueError as error:
        if isinstance(error, InputError):
            raise
    right = value in choices if kind is Literal else type(value) is kind
    if not right:
        wanted = (
            ", ".join(map(repr, choices)) if kind is Literal else getattr(kind, "__name__", kind)
        )
        raise InputError(f"expected {name} as {wanted}, got {value!r}; change it")
    return value

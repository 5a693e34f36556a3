"""The flags of everything mode, made of its settings: name, type and sentence stand only there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from tyro.conf import arg

from anymask.config import GenerateConfig, InstanceConfig
from anymask.models.variants import VARIANTS
from anymask.plain import sentences

__all__ = ["ONLY_IN_PYTHON", "Search"]

ONLY_IN_PYTHON = {"point_grids", "retina", "merge_points", "text_thresh", "text_model"}

Usual = Mapping[str, GenerateConfig | InstanceConfig]


def _make_search(kinds: tuple[type[Any], ...], usual: Usual) -> type[Any]:
    """Make a dataclass of the settings in others, none of them chosen at first.

    Args:
        kinds: The others.
        usual: What is in force unless a flag says otherwise, by family of models, that of the
            bundled one first.
    """
    rows: dict[str, tuple[str, Any, Any]] = {}
    for kind in kinds:
        said, hints = sentences(kind), get_type_hints(kind)
        for name in [name for name in hints if name not in ONLY_IN_PYTHON | rows.keys()]:
            flag: Any = Annotated[hints[name] | None, arg(help_behavior_hint=_hint(name, usual))]
            rows[name] = (name, flag, field(default=None, metadata={"help": said.get(name)}))
    about = "What to look for and what to drop; what is not given is what suits the model."
    return make_dataclass(
        "Search", rows.values(), namespace={"__doc__": about, "given": _given}, frozen=True
    )


def _given(search: Any) -> dict[str, Any]:
    """List the settings that the user chose."""
    return {name: value for name, value in asdict(search).items() if value is not None}


def _hint(name: str, usual: Usual) -> str:
    """Say what is in force, and for which models it differs."""
    families: dict[Any, list[str]] = {}
    for family, config in usual.items():
        if hasattr(config, name):
            families.setdefault(getattr(config, name), []).append(family)
    groups = list(families.items())
    largest = max(groups[1:], key=lambda group: len(group[1]), default=None)
    only = "only " if len(groups) == 1 and len(groups[0][1]) < len(usual) / 2 else ""
    shown = []
    for i, (value, names) in enumerate(groups):
        if i == 0 and len(names) > 1 and (not largest or len(names) >= len(largest[1])):
            label = "default"
        elif i > 0 and len(names) > 1 and (value, names) == largest:
            label = "others"
        else:
            label = ", ".join("bundled" if one == next(iter(usual)) else one for one in names)
        shown.append(f"{label}: {_plain(value)}")
    return f"({only}{'; '.join(shown)})"


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "none" if value is None else str(value)


if TYPE_CHECKING:
    Search = Any
else:
    Search = _make_search(
        (GenerateConfig, InstanceConfig), {row.family: row.generate for row in VARIANTS}
    )

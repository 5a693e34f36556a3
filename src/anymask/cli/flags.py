"""Flags as the dataclasses behind them say: their sentences, values and defaults in the help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass, replace
from functools import wraps
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from anymask.errors import AnymaskError
from anymask.plain import sentences

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry

__all__ = ["RefusedError", "registry"]


def registry() -> ConstructorRegistry:
    """Tell tyro how the flags of our dataclasses read."""
    from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

    rules = ConstructorRegistry()
    asking = False

    @rules.struct_rule
    def flags(info: StructTypeInfo) -> StructConstructorSpec | None:
        nonlocal asking
        if asking or not is_dataclass(info.type):
            return None  # and tyro's own rule is next
        asking = True
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            asking = False
        assert isinstance(spec, StructConstructorSpec)
        said = sentences(info.type)
        fields = [
            replace(
                field, type=_with_looks(field.type), helptext=said.get(field.name, field.helptext)
            )
            for field in spec.fields
        ]
        made = _reporting(spec.instantiate)
        return replace(spec, instantiate=made, fields=tuple(fields))

    return rules


class RefusedError(Exception):
    """What a dataclass says of the values it was given, on its way out of tyro.

    tyro would frame every `ValueError` in a box with the name of our field.
    """

    def __init__(self, error: AnymaskError) -> None:
        super().__init__(str(error))
        self.error = error


def _reporting(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def made(*values: Any, **named: Any) -> Any:
        try:
            return make(*values, **named)
        except AnymaskError as error:
            raise RefusedError(error) from error

    return made


def _with_looks(kind: Any) -> Any:
    """Annotate the type of a flag with what its value and its default are called.

    What the dataclass says itself comes later and wins.
    """
    from tyro.conf import arg

    bare, *own = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    if get_origin(bare) not in (None, UnionType, Union, Literal, tuple) or is_dataclass(bare):
        return kind
    looks = arg(metavar=_metavar(bare), help_behavior_hint=_hint)
    return Annotated[bare, looks, *own]


def _hint(default: str) -> str:
    return "" if default in ("", "None", "False") else f"(default: {default})"


def _metavar(kind: Any) -> str | None:
    """Name a value that may be missing or come several times; None: as tyro names it."""
    parts = [part for part in get_args(kind) if part is not NoneType]
    if get_origin(kind) in (UnionType, Union) and len(parts) == 1:
        return _metavar(parts[0]) or _name(parts[0])
    if get_origin(kind) is tuple and parts[1:] == [...]:
        return f"{_metavar(parts[0]) or _name(parts[0])}..."
    return None


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, get_args(kind))) + "}"
    return str(getattr(kind, "__name__", kind)).upper()

"""Flags as the dataclasses behind them say: their sentences, values and defaults in the help."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from functools import cache, wraps
from itertools import pairwise
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from anymask.errors import AnymaskError

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry

__all__ = ["RefusedError", "registry", "sentences"]


def sentences(kind: type[Any]) -> dict[str, str]:
    """List what stands under the fields of a dataclass, each in one line, by their names.

    tyro reads it as well, but keeps the line breaks of the source, which lie wrong in a terminal.

    Examples:
        >>> from anymask.config import InstanceConfig
        >>> sentences(InstanceConfig)["confidence"]
        'Keep instances whose score is above this.'
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if is_dataclass(base):
            found |= _sentences_of(base.__module__).get(base.__name__, {})
    return found


@cache
def _sentences_of(module: str) -> dict[str, dict[str, str]]:
    """Read the sentences of all classes of a module, by the names of class and field."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:  # of a program that was shipped without its source
        return {}
    found: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {
                declared.target.id: " ".join(below.value.value.split())
                for declared, below in pairwise(node.body)
                if isinstance(declared, ast.AnnAssign)
                and isinstance(declared.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            }
    return found


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

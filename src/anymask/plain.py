"""Dataclasses as plain values, which JSON and YAML hold, and back; checks of their fields.

`to_plain` turns dataclasses into dictionaries, paths into text, tuples and sets into lists, numbers
of numpy into Python's. `from_plain` undoes it by the types of the fields: fields that are not named
keep their defaults, and what does not fit is refused in one sentence. No torch: flags are made of
settings.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import re
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from anymask.atomic import atomic_write
from anymask.errors import InputError
from anymask.optional import optional

__all__ = [
    "check_choice",
    "check_number",
    "from_plain",
    "read_yaml",
    "sentences",
    "to_plain",
    "write_yaml",
]

_CLASS = "class"  # no field can have this name
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")

T = TypeVar("T")


def to_plain(value: Any, where: str = "") -> Any:
    """Turn a value into what JSON and YAML hold.

    Where the type of a field leaves open which of several dataclasses stands there, the dictionary
    names it under ``class``.

    Args:
        value: Dataclasses, mappings, sequences and sets of text, numbers, paths, numpy's numbers
            and arrays, in any depth.
        where: What the value is called in error messages.

    Returns:
        Dictionaries, lists, text, numbers, booleans and None that share nothing with the value.

    Raises:
        InputError: There is something else in it.

    Examples:
        >>> from anymask.config import InstanceConfig
        >>> to_plain({"file": Path("a.png"), "search": InstanceConfig()})["search"]["confidence"]
        0.4
    """
    return _encode(value, where, named=False)


def _encode(value: Any, where: str, *, named: bool) -> Any:
    """Turn a value into plain ones, a dataclass with its name if that is wanted."""
    if value is None:
        return None
    for kind in (bool, int, float, str):  # numpy's float64 is a float that YAML does not know
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, PurePath):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        found = {_CLASS: type(value).__name__} if named else {}
        for field in fields(value):
            inner, is_open = getattr(value, field.name), _is_open(type(value), field.name)
            found[field.name] = _encode(inner, _inside(where, field.name), named=is_open)
        return found
    if isinstance(value, Mapping):
        return {str(k): _encode(v, _inside(where, k), named=named) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item, where, named=named) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_encode(item, where, named=named) for item in value), key=_order)
    if hasattr(value, "tolist"):  # scalars and arrays of numpy, without importing it
        return _encode(value.tolist(), where, named=named)
    raise InputError(
        f"expected {where or 'a value'} as text, numbers, paths, or lists, dictionaries and "
        f"dataclasses of these, got {_shown(value)}; describe it by one of these"
    )


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """Give the types of the fields; once for each class, for stores hold thousands of values."""
    return get_type_hints(kind)


@functools.cache
def _is_open(kind: type, name: str) -> bool:
    """Return whether several dataclasses may stand in a field, or among its items."""
    try:
        hint = _hints(kind)[name]
    except NameError:  # a type that is imported for type checkers alone
        return True
    return len(_classes([hint])) > 1


def _order(value: Any) -> tuple[str, Any]:
    """Give the members of a set the same order each time."""
    return type(value).__name__, value if isinstance(value, int | float | str) else repr(value)


def from_plain(
    kind: type[T],
    values: Mapping[str, Any],
    where: str = "",
    names: Mapping[str, Any] | None = None,
) -> T:
    """Make a dataclass of plain values; what is not named keeps its default.

    Numbers with an exponent may be text, for YAML reads ``1e-4`` as such; a whole number may stand
    for a float; ``class`` is needed only where several dataclasses may stand.

    Args:
        kind: The dataclass.
        values: As `to_plain` or `read_yaml` gives them.
        where: Begin of the names in error messages, such as ``"loop."``.
        names: Types that the fields name but the module of the dataclass imports for type checkers
            alone.

    Raises:
        InputError: A name is unknown or missing, a value of another type than its field, or refused
            by the dataclass.

    Examples:
        >>> from anymask.config import InstanceConfig
        >>> from_plain(InstanceConfig, {"confidence": 1, "box_nms_thresh": "5e-1"}).box_nms_thresh
        0.5
    """
    hints = get_type_hints(kind, localns=dict(names)) if names else _hints(kind)  # type: ignore[arg-type]
    known = [field for field in fields(kind) if field.init]  # type: ignore[arg-type]
    given = {name: value for name, value in values.items() if name != _CLASS}
    for name in given:
        if name not in [field.name for field in known]:
            raise InputError(
                f"expected settings out of {', '.join(f.name for f in known)}, got {where}{name}; "
                "leave it out"
            )
    for field in known:
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in given:
            raise InputError(f"expected {where}{field.name}, got none; add it")
    if values.get(_CLASS, kind.__name__) != kind.__name__:
        raise InputError(
            f"expected {where}{_CLASS} as {kind.__name__}, got {_shown(values[_CLASS])}; change it"
        )
    return kind(**{n: _decode(hints[n], v, where + n, names) for n, v in given.items()})


def _decode(hint: Any, value: Any, where: str, names: Mapping[str, Any] | None) -> Any:
    """Bring one value into the type that its field has."""
    kind, inside = get_origin(hint) or hint, get_args(hint)
    if kind in (Any, object):
        return value
    if kind in (Union, types.UnionType):
        return _decode_one_of(hint, value, where, names)
    if is_dataclass(kind) and isinstance(value, Mapping):
        return from_plain(kind, value, f"{where}.", names)  # type: ignore[arg-type]
    if kind in (tuple, list, set, frozenset, Sequence) and isinstance(value, list | tuple):
        fixed = kind is tuple and bool(inside) and inside[-1] is not ...
        kinds = inside if fixed else (inside or (Any,))[:1] * len(value)
        if len(kinds) == len(value):
            make = tuple if kind is Sequence else kind
            return make(_decode(k, v, where, names) for k, v in zip(kinds, value, strict=True))
    elif kind in (dict, Mapping) and isinstance(value, Mapping):
        each = inside[1] if inside else Any
        return {k: _decode(each, v, _inside(where, k), names) for k, v in value.items()}
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif kind is float and (type(value) is int or _is_exponent(value)):
        return float(value)
    elif _fits(hint, value):
        return value
    raise _misfit(hint, value, where)


def _decode_one_of(hint: Any, value: Any, where: str, names: Mapping[str, Any] | None) -> Any:
    """Decode what may be of several types: a dictionary says which, the others are told apart."""
    kinds = get_args(hint)
    if any(_fits(kind, value) for kind in kinds):
        return value
    classes = {kind.__name__: kind for kind in _classes(kinds)}
    if isinstance(value, Mapping) and len(classes) > 1:
        name = value.get(_CLASS)
        if not isinstance(name, str) or name not in classes:
            raise InputError(
                f"expected {_inside(where, _CLASS)} as one of {', '.join(classes)}, got "
                f"{_shown(name)}; change it"
            )
        return _decode(classes[name], value, where, names)
    faults = []
    for kind in kinds:
        try:
            return _decode(kind, value, where, names)
        except InputError as fault:
            faults += [fault] if kind is not types.NoneType else []
    # With one type beside None, its own complaint says more, such as what is wrong further inside.
    raise faults[0] if len(faults) == 1 else _misfit(hint, value, where)


def _fits(hint: Any, value: Any) -> bool:
    """Return whether a plain value is of a plain type already."""
    if get_origin(hint) is Literal:  # where True is not 1
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
    kind = types.NoneType if hint is None else hint
    return type(value) is kind and kind in (types.NoneType, bool, int, float, str)


def _is_exponent(value: Any) -> bool:
    return isinstance(value, str) and _EXPONENT.fullmatch(value) is not None


def _classes(hints: Sequence[Any]) -> list[type]:
    """List the dataclasses in types and what these are made of."""
    found = [hint for hint in hints if isinstance(hint, type) and is_dataclass(hint)]
    return found + [kind for hint in hints for kind in _classes(get_args(hint))]


def _inside(where: str, name: object) -> str:
    return f"{where}.{name}" if where else str(name)


def _misfit(hint: Any, value: Any, where: str) -> InputError:
    return InputError(f"expected {where} as {_words(hint)}, got {_shown(value)}; change it")


def _words(hint: Any) -> str:
    """Say a type in a few words: ``tuple[float, float]`` is a list of 2 values."""
    kind, inside = get_origin(hint) or hint, get_args(hint)
    if kind is Literal:
        return ", ".join(map(repr, inside))
    if kind in (Union, types.UnionType):
        return " or ".join(_words(k) for k in inside if k is not types.NoneType)
    if kind in (tuple, list, set, frozenset, Sequence):
        number = f" of {len(inside)}" if kind is tuple and inside and inside[-1] is not ... else ""
        return f"list{number} ({_words(inside[0])})" if inside else "list"
    if kind in (dict, Mapping):
        return "names and values"
    return str(getattr(kind, "__name__", kind))


def _shown(value: Any) -> str:
    """Write a value so that it fits into a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_number(
    config: Any,
    name: str,
    minimum: float,
    maximum: float = math.inf,
    *,
    whole: bool = False,
) -> None:
    """Check that a field of a dataclass is a finite number within limits.

    Args:
        config: The dataclass.
        name: Its field.
        minimum: Smallest value.
        maximum: Largest value.
        whole: Whether it has to be a whole number.

    Raises:
        InputError: It is not.
    """
    value = getattr(config, name)
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not (is_number and minimum <= value <= maximum and value < math.inf):  # nor NaN
        kind = "a whole number" if whole else "a number"
        limits = f"of at least {minimum}" if maximum == math.inf else f"from {minimum} to {maximum}"
        raise InputError(
            f"expected {name} as {kind} {limits}, got {value!r}; {_advice(config, name)}"
        )


def check_choice(config: Any, name: str, choices: Sequence[Any]) -> None:
    """Check that a field of a dataclass is one of some values, such as those of a ``Literal``.

    Raises:
        InputError: It is not.
    """
    value = getattr(config, name)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        known = ", ".join(map(str, choices))
        raise InputError(f"expected {name} out of {known}, got {value!r}; name one")


def _advice(config: Any, name: str) -> str:
    default = type(config).__dataclass_fields__[name].default
    if default is None:
        return "leave it out for what is usual"
    return "change it" if default is MISSING else f"the default is {default}"


def write_yaml(path: Path, settings: object) -> None:
    """Write a dataclass or a mapping as YAML, in UTF-8.

    Raises:
        OutputError: It cannot be written.
        InputError: There is something in it that YAML cannot hold.
    """
    yaml = optional("yaml")

    values = to_plain(settings)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    if "\x85" in text:  # the one letter that PyYAML reads as the end of a line, yet does not escape
        text = yaml.safe_dump(values, sort_keys=False)
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of settings as plain values.

    Raises:
        InputError: It cannot be read, or holds something else.
    """
    yaml = optional("yaml")

    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
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


# --------------------------------------------------------------------------- sentences


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


@functools.cache
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

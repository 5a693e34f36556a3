"""A row of the table of variants as JSON, so that a folder of weights explains itself."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from anymask.errors import AnymaskError, WeightsError
from anymask.models.variants import Variant

__all__ = ["describes_variant", "read_variant", "write_variant"]

_MODEL_TYPE = "anymask"


def write_variant(variant: Variant) -> dict[str, Any]:
    """Write a row as what JSON can hold.

    Dataclasses become dictionaries; where several classes may stand, ``class`` says which one does.
    """
    row = _encode(variant)
    del row["class"]  # there is only one
    return {"model_type": _MODEL_TYPE, **row}


def describes_variant(config: Mapping[str, Any]) -> bool:
    """Return whether a config was made by `write_variant`."""
    return config.get("model_type") == _MODEL_TYPE


def read_variant(config: Mapping[str, Any], origin: str) -> Variant:
    """Undo `write_variant`.

    Args:
        config: ``config.json``; what it leaves out is as usual.
        origin: Where it comes from, for messages.

    Raises:
        WeightsError: A value is not what it should be, or anymask knows no such setting.
    """
    row = {key: value for key, value in config.items() if key != "model_type"}
    try:
        variant: Variant = _decode(Variant, row, "config")
    except _Misfit as misfit:
        raise WeightsError(
            f"expected {misfit} in the config.json of {origin}; correct it, or convert the "
            f"weights again"
        ) from misfit
    return variant


class _Misfit(Exception):
    """A value that is not of the type it should have."""


def _encode(value: Any) -> Any:
    if is_dataclass(value):
        inside = {f.name: _encode(getattr(value, f.name)) for f in fields(value)}
        return {"class": type(value).__name__, **inside}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_encode(item) for item in value] if isinstance(value, tuple) else value


def _decode(wanted: Any, value: Any, where: str) -> Any:
    """Give a JSON value the type that a field has."""
    origin, inside = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return _decode_one_of(inside, value, where)
    if is_dataclass(wanted) and isinstance(value, dict):
        return _decode_fields(wanted, value, where)
    if origin in (tuple, frozenset) and isinstance(value, list):
        kinds = inside if origin is tuple and inside[-1] is not ... else inside[:1] * len(value)
        if len(kinds) == len(value):
            return origin(map(_decode, kinds, value, [where] * len(value)))
    if wanted is float and type(value) is int:
        return float(value)
    if value in inside if origin is Literal else type(value) is wanted:
        return value
    raise _Misfit(f"{where} as {getattr(wanted, '__name__', wanted)}, got {value!r:.60}")


def _decode_one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """Decode what may be of several types: a dictionary says which, the others are told apart."""
    if isinstance(value, dict):
        classes = {k.__name__: k for k in kinds if isinstance(k, type) and is_dataclass(k)}
        if value.get("class") not in classes:
            raise _Misfit(
                f"{where}.class as one of {', '.join(classes)}, got {value.get('class')!r:.60}"
            )
        return _decode(classes[value["class"]], value, where)
    for kind in kinds:
        try:
            return _decode(kind, value, where)
        except _Misfit:
            continue
    raise _Misfit(f"{where} as {' or '.join(map(str, kinds))}, got {value!r:.60}")


def _decode_fields(kind: Any, values: dict[str, Any], where: str) -> Any:
    from anymask.image import transform  # two types of the table are defined there

    types_of = get_type_hints(kind, localns=vars(transform))
    given = {name: value for name, value in values.items() if name != "class"}
    strangers = given.keys() - {field.name for field in fields(kind)}
    if strangers:
        raise _Misfit(f"only known settings under {where}, got {sorted(strangers)[0]!r:.60}")
    decoded = {
        name: _decode(types_of[name], value, f"{where}.{name}") for name, value in given.items()
    }
    try:
        return kind(**decoded)
    except (TypeError, AnymaskError) as error:  # something is missing, or does not fit the rest
        raise _Misfit(f"a whole {where}, got one where {error}") from error

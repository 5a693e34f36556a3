"""A row of the table of variants as JSON, so that a folder of weights explains itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anymask.errors import AnymaskError, WeightsError
from anymask.models.variants import Variant
from anymask.plain import from_plain, to_plain

__all__ = ["describes_variant", "read_variant", "write_variant"]

_MODEL_TYPE = "anymask"


def write_variant(variant: Variant) -> dict[str, Any]:
    """Write a row as what JSON can hold.

    Dataclasses become dictionaries; where several classes may stand, ``class`` says which one does.
    """
    return {"model_type": _MODEL_TYPE, **to_plain(variant)}


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
    from anymask.image import transform  # two types of the table are defined there

    row = {key: value for key, value in config.items() if key != "model_type"}
    try:
        return from_plain(Variant, row, "config.", vars(transform))
    except AnymaskError as error:
        fault = str(error).rpartition("; ")[0]  # without what to do about it
        raise WeightsError(
            f"{fault} in the config.json of {origin}; correct it, or convert the weights again"
        ) from error

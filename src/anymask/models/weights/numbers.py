"""Numbers in a config of transformers, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anymask.errors import WeightsError

__all__ = ["Numbers", "read_colour"]

_LARGEST = 1 << 16  # of any number; SAM-H has 5120


def read_colour(
    config: Mapping[str, Any], name: str, usual: tuple[float, float, float], origin: str
) -> tuple[float, float, float]:
    """Read values for red, green and blue, 0 to 1, as 0 to 255."""
    values = config.get(name)
    if values is None:
        return usual
    numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not numbers or len(values) != 3 or (name == "image_std" and min(values) <= 0):
        raise WeightsError(
            f"expected {name} as three numbers in the preprocessor config of {origin}, above 0 if "
            f"they are to divide by, got {values!r:.60}; correct it"
        )
    red, green, blue = (round(255 * value, 6) for value in values)
    return red, green, blue


class Numbers:
    """The numbers in one part of a config, checked."""

    def __init__(self, part: Mapping[str, Any], name: str, origin: str) -> None:
        self._part, self._name, self._origin = part, name, origin

    def __call__(self, key: str, usual: int) -> int:
        """Give a number, or what is usual."""
        value = self._part.get(key)
        value = usual if value is None else value  # null stands for what is usual
        if type(value) is not int or not 0 < value <= _LARGEST:
            raise self.fault(key, "a positive number", value)
        return value

    def several(self, key: str, usual: tuple[int, ...]) -> tuple[int, ...]:
        """Give a list of indices, or what is usual."""
        values = self._part.get(key, usual)
        if not isinstance(values, list | tuple) or not all(type(v) is int for v in values):
            raise self.fault(key, "a list of numbers", values)
        return tuple(values)

    def four(self, key: str, usual: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Give positive numbers of four stages, or what is usual."""
        values = self.several(key, usual)
        if len(values) != 4 or not all(0 < value <= _LARGEST for value in values):
            raise self.fault(key, "four positive numbers", list(values))
        return values[0], values[1], values[2], values[3]

    def square(self, key: str, usual: int) -> int:
        """Give the side of a square of which both sides are written, or what is usual."""
        values = self.several(key, (usual, usual))
        if len(values) != 2 or values[0] != values[1] or not 0 < values[0] <= _LARGEST:
            raise self.fault(key, "twice the same positive number", list(values))
        return values[0]

    def fault(self, key: str, wanted: str, got: object) -> WeightsError:
        """Make the error that says what a value should be."""
        return WeightsError(
            f"expected {self._name}.{key} as {wanted} in the config of {self._origin}, "
            f"got {got!r}; correct it"
        )

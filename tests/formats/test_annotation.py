"""What the JSON formats share; the rest of it is tested with each format."""

from __future__ import annotations

import pytest

from anymask.errors import InputError
from anymask.formats import annotation as fields


@pytest.mark.parametrize("iscrowd", ["maybe", 2, [1], -1])
def test_neither_a_crowd_nor_none(iscrowd: object) -> None:
    with pytest.raises(InputError, match="iscrowd of 0 or 1"):
        fields.read_iscrowd({"iscrowd": iscrowd})


def test_ids_in_every_form_are_one() -> None:
    assert [fields.plain_id(value) for value in (7, 7.0, "7")] == [7, 7, 7]
    assert [fields.plain_id(value) for value in ("007", "x", 7.5)] == ["007", "x", 7.5]


def test_nothing_that_is_no_number_is_left() -> None:
    given = {"a": [1, float("nan"), {"b": float("inf")}], "c": "x", "d": 2.5}
    assert fields.finite(given) == {"a": [1, None, {"b": None}], "c": "x", "d": 2.5}

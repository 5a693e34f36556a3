"""The version of a graph's operators, read without ONNX's package."""

from __future__ import annotations

import pytest

from anymask.models.onnx_file import opset


def field(number: int, value: bytes | int) -> bytes:
    """Write a field of less than 128 bytes, or a number below 128."""
    if isinstance(value, int):
        return bytes((number << 3, value))
    return bytes((number << 3 | 2, len(value))) + value


def model(*operators: bytes) -> bytes:
    """Write a model of such operators after its version, its maker and a graph."""
    return field(1, 8) + field(2, b"anymask") + field(7, b"") + b"".join(operators)


def test_the_version_is_that_of_onnxs_own_operators() -> None:
    others = field(8, field(1, b"com.microsoft") + field(2, 99))
    own = field(8, field(1, b"") + field(2, 18))
    assert opset(model(others, own)) == opset(model(own, others)) == 18
    assert opset(model(field(8, field(2, 17)))) == 17
    assert opset(model(field(8, field(1, b"ai.onnx") + field(2, 21)))) == 21
    assert opset(model(others)) == 0


@pytest.mark.parametrize(
    "strange", [field(8, field(1, 127)), field(8, field(2, b"18")), field(8, 9)]
)
def test_fields_of_another_kind_say_nothing(strange: bytes) -> None:
    assert opset(model(strange)) == 0


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_what_is_cut_off(cut: int) -> None:
    with pytest.raises(ValueError, match="cut off"):
        opset(model(field(8, field(2, 18)))[:-cut])

"""Values of more than 8 bits and arrays of every dtype."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.image.arrow import read, saved

from anymask.errors import InputError

# ---------------------------------------------------------------- more than 8 bits

RAMP16 = np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("source", ["PNG", "TIFF", "tiff_lzw", "PPM", "array", "I;16B", "big"])
def test_16_bits_are_divided_by_257(source: str) -> None:
    given_: Any = PIL.Image.fromarray(RAMP16)
    if source in ("PNG", "TIFF", "PPM"):
        given_ = saved(given_, source)
    elif source == "tiff_lzw":
        given_ = saved(given_, "TIFF", compression=source)
    elif source == "array":
        given_ = RAMP16
    elif source == "big":
        given_ = RAMP16.astype(">u2")
    else:
        given_ = PIL.Image.frombytes("I;16B", (256, 256), RAMP16.astype(">u2").tobytes())
    expected = np.repeat(((RAMP16.astype(int) + 128) // 257)[..., None], 3, axis=2)
    np.testing.assert_array_equal(read(given_), expected)


@pytest.mark.parametrize("kind", ["array", "PNG", "TIFF"])
@pytest.mark.parametrize("top", [255, 1023, 4095, 16383])
def test_fewer_bits_in_16_are_not_black(kind: str, top: int) -> None:
    values = np.array([[0, top // 2, top]], np.uint16)
    source: Any = values if kind == "array" else saved(PIL.Image.fromarray(values), kind)
    assert read(source)[0, :, 0].tolist() == [0, 127, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 200]], np.int64), [0, 100, 200]),
        (np.array([[0, 100, 200]], np.float32), [0, 100, 200]),
        (np.array([[0, 0.5, 1]], np.float16), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float64), [0, 128, 255]),
        (np.array([[-0.08, 0.5, 1.1]]), [0, 128, 255]),  # a resize that rings
        (np.array([[-20.0, 128, 270]]), [0, 128, 255]),
        (np.array([[0.0, 0, 0]]), [0, 0, 0]),
        (np.array([[0.0, 2048, 4095]]), [0, 128, 255]),
        (np.array([[0, 2**31, 2**32 - 1]], np.uint32), [0, 128, 255]),
        (np.array([[0, 2**64 - 1]], np.uint64), [0, 255]),
        (np.array([[-1000, 500, 2000]], np.int16), [0, 128, 255]),  # Hounsfield units
        (np.array([[-3.0, -2, -1]]), [0, 128, 255]),
        (np.array([[-7, -7]]), [0, 0]),
        (np.array([[0.0, 1e300]]), [0, 255]),
        (np.array([[False, True]]), [0, 255]),
    ],
)
def test_ranges(values: np.ndarray, expected: list[int]) -> None:
    assert read(values)[0, :, 0].tolist() == expected
    if values.dtype in (np.int32, np.float32):
        assert read(PIL.Image.fromarray(values))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pillow_images_of_32_bits(dtype: type) -> None:
    values = np.array([[0, 30000, 65535]], dtype)
    image = PIL.Image.fromarray(values)
    assert image.mode in ("I", "F")
    assert read(image)[0, :, 0].tolist() == [0, 117, 255]
    assert read(saved(image, "TIFF"))[0, :, 0].tolist() == [0, 117, 255]


def test_white_is_zero_in_16_bit_tiffs() -> None:
    image = PIL.Image.fromarray(np.array([[0, 65535]], np.uint16))
    data = bytearray(saved(image, "TIFF"))
    entry = data.index(struct.pack("<HHII", 262, 3, 1, 1))
    data[entry + 8] = 0
    assert read(bytes(data))[0, :, 0].tolist() == [255, 0]


# ---------------------------------------------------------------- arrays


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_colours_of_8_bits_stay(height: int, width: int, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read(rgb), rgb)
    np.testing.assert_array_equal(read(rgb / 255), rgb)
    np.testing.assert_array_equal(read(np.float32(rgb) / 255), rgb)
    np.testing.assert_array_equal(read(rgb[::-1, ::-1]), rgb[::-1, ::-1])
    np.testing.assert_array_equal(read(np.asfortranarray(rgb)), rgb)
    opaque = np.concatenate([rgb, np.full((height, width, 1), 255, np.uint8)], axis=2)
    np.testing.assert_array_equal(read(opaque), rgb)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays_with_alpha(dtype: type) -> None:
    full = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    grey = np.array([[[full, 0], [0, full], [full, full]]], dtype)
    assert read(grey, background=(9, 8, 7))[0].tolist() == [[9, 8, 7], [0] * 3, [255] * 3]
    rgba = np.array([[[full, 0, 0, 0], [0, full, 0, full]]], dtype)
    assert read(rgba)[0].tolist() == [[255, 255, 255], [0, 255, 0]]


def test_one_channel_may_have_an_axis() -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(read(values[..., None]), read(values))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"got \(5,\)"),
        (np.zeros((3, 20, 30)), r"got \(3, 20, 30\); .*transpose\(1, 2, 0\)"),
        (np.zeros((2, 20, 30, 3)), r"got \(2, 20, 30, 3\); .*one by one"),
        (np.zeros((20, 30, 5)), r"got \(20, 30, 5\)"),
        (np.zeros((0, 5)), r"at least one pixel, got .*\(0, 5"),
        (np.array([[np.nan]]), "NaN or infinity"),
        (np.array([[0, np.inf]]), "NaN or infinity"),
        (np.array([[-np.inf, 0]]), "NaN or infinity"),
        (np.array([[1j]]), "complex128"),
        (np.array([["a"]]), "<U1"),
        (np.array([[None]]), "object"),
        (np.array([[[-2.1, 0, 2.6]]]), r"down to -2\.1; undo the normalisation"),
        (np.full((2, 2, 3), -1, np.int32), "down to -1"),
    ],
)
def test_unfit_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(array)
    assert "\n" not in str(caught.value)


def test_nan_in_files_is_refused() -> None:
    image = PIL.Image.fromarray(np.array([[np.nan, 1]], np.float32))
    with pytest.raises(InputError, match="NaN or infinity"):
        read(saved(image, "TIFF"))

"""Depth whose numbers are lengths: files of all kinds, and what is refused."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from anymask.errors import InputError
from anymask.extras.depth.files import read_metres


def test_depth_files(tmp_path: Path) -> None:
    units = np.array([[0, 1500, 65535]], np.uint16)
    PIL.Image.fromarray(units).save(tmp_path / "d.png")
    nan = np.nan
    for options, metres in (
        ({}, [[nan, 1.5, 65.535]]),
        ({"scale": 5000}, [[nan, 0.3, 13.107]]),
        ({"max_depth": 10}, [[nan, 1.5, nan]]),
    ):
        np.testing.assert_array_equal(read_metres(tmp_path / "d.png", **options), metres)
    np.save(tmp_path / "d.npy", np.array([[0.5, np.nan]], np.float16))
    assert read_metres(tmp_path / "d.npy")[0, 0] == 0.5
    assert read_metres((tmp_path / "d.npy").read_bytes(), scale=2)[0, 0] == 0.25


@pytest.mark.parametrize("dtype", ["uint16", "float32", "int32"])
def test_depth_in_tiff_files(dtype: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, np.array([[1, 2], [3, 0]], dtype))
    expected = np.array([[1, 2], [3, np.nan]]) / (1 if dtype == "float32" else 1000)
    np.testing.assert_array_equal(read_metres(file.getvalue()), expected)


def _png(array: Any) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("none.png", {}, "cannot read 'none.png'"),
        (b"hello", {}, "the bytes given"),
        (_png(np.ones((2, 2), np.uint16))[:40], {}, "the bytes given is none that Pillow can read"),
        (_png(np.stack([np.eye(3, dtype=np.uint8)] * 2)), {}, "has colours"),
        (_png(np.ones((2, 2, 3), np.uint8)), {}, "the bytes given has 8"),
        (_png(np.ones((2, 2), np.uint8)), {}, "the bytes given has 8"),
        (np.ones((2, 2)), {"scale": 0}, "depth scale above 0, got 0"),
        (np.ones((2, 2)), {"max_depth": np.nan}, "max depth above 0, got nan"),
        (np.ones((2, 2), complex), {}, "one number for each pixel"),
        (np.zeros((0, 2)), {}, "one number for each pixel"),
    ],
)
def test_files_without_depth_are_refused(source: Any, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_metres(source, **options)


def test_a_pickle_in_an_npy_file_is_not_opened() -> None:
    file = io.BytesIO()
    np.save(file, np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot decode the bytes given"):
        read_metres(file.getvalue())


def test_lists_and_8_bits_with_a_scale_are_depth_too() -> None:
    assert read_metres([[1.5, 2]]).tolist() == [[1.5, 2]]
    with pytest.warns(UserWarning, match="256 steps of depth, taken as metric"):
        assert read_metres(_png(np.full((1, 2), 50, np.uint8)), 100).tolist() == [[0.5, 0.5]]

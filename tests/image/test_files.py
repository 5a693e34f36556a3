"""Broken, large and foreign files: one sentence, and no reader registered."""

from __future__ import annotations

import io
import struct
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.image.arrow import ARROW, arrow, read, saved

from anymask.errors import InputError, MissingExtraError
from anymask.image.image import Image
from anymask.image.pixels import read_size


def png_of(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that claims to be of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


# ---------------------------------------------------------------- broken files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"hello", "Pillow"),
        (b"\xff", "Pillow"),
        (b"\xff\xd8\xff", "Pillow"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"\xef\xbb\xbf\n<HTML>", "web page"),
        (b'<?xml version="1.0"?><svg/>', "drawing"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing"),
        (b"%PDF-1.7 ...", "document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "document"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00", "a video"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (saved(arrow(), "PNG")[:4], "beginning is damaged"),
        (saved(arrow(), "PNG")[:20], "damaged or cut off"),
        (saved(arrow(), "PNG")[:-40], "damaged or cut off"),
        (saved(arrow(), "JPEG")[:-300], "damaged or cut off"),
        (saved(arrow(), "JPEG")[:100], "damaged or cut off"),
        (saved(arrow(), "TIFF")[:60], "damaged or cut off"),
        (saved(arrow(), "WEBP")[:-20], "damaged or cut off"),
        (png_of(100_000, 100_000), r"at most 200 million pixels, but .* 100000 x 100000; shrink"),
        (png_of(2**31 - 1, 2**31 - 1), "at most 200 million pixels"),
        (saved(arrow(), "TIFF", tiffinfo={254: 1}), "raw file"),
    ],
)
def test_broken_files_are_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert "photo.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=message):
        read(content)


def test_missing_files_folders_and_addresses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jpg' does not exist; check the path"):
        read(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="is a folder; name a file inside it"):
        read(tmp_path)
    with pytest.raises(InputError, match=r"got the address .*; download it first"):
        read("https://example.org/photo.jpg")
    with pytest.raises(InputError, match="cannot open"):
        read("a\0b")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000"])
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(data=st.data())
def test_damage_anywhere_raises_nothing_else(kind: str, data: st.DataObject) -> None:
    content = bytearray(saved(arrow(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(len(content) // 2, len(content))) :]
    try:
        pixels = read(bytes(content))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert pixels.ndim == 3


def test_closed_pillow_images_are_refused(tmp_path: Path) -> None:
    arrow().save(tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as image:
        pass
    with pytest.raises(InputError, match="the Pillow image is closed; pass its path"):
        read(image)


def test_open_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    arrow().save(path)
    with path.open("rb") as file:
        np.testing.assert_array_equal(read(file), ARROW)
    with pytest.raises(InputError, match="the file given is closed; pass its path"):
        read(file)
    with path.open(encoding="latin-1") as text, pytest.raises(InputError, match="mode 'rb'"):
        read(text)


# ---------------------------------------------------------------- size


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_thin_and_tiny_images(size: tuple[int, int], kind: str) -> None:
    image = PIL.Image.new("RGB", size, (255, 255, 255))
    assert read(saved(image, kind)).shape == (size[1], size[0], 3)


def test_the_limit_can_be_moved() -> None:
    data = saved(arrow(), "PNG")
    with pytest.raises(InputError, match=r"but .* has 16 x 24; .* raise max_pixels"):
        read(data, max_pixels=16 * 24 - 1)
    assert read(data, max_pixels=16 * 24).shape == (24, 16, 3)
    with pytest.raises(InputError, match="raise max_pixels"):
        read(arrow(), max_pixels=5)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_pillows_own_limit_neither_warns_nor_changes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(arrow(), kind)
    for limit in (10, 300):  # far below, and below by less than half: an error and a warning
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
        assert read(data).shape == (24, 16, 3)
        assert limit == PIL.Image.MAX_IMAGE_PIXELS


def test_where_pillow_insists_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(arrow(), "WEBP")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(InputError, match=r"raise PIL\.Image\.MAX_IMAGE_PIXELS"):
        read(data)


# ------------------------------------------------- formats that need a package of their own

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1"
JPEG_XL = b"\xff\x0a" + bytes(20)


@pytest.mark.parametrize(
    ("content", "module", "line"),
    [
        (HEIC, "pillow_heif", r"HEIC image: .*pip install 'anymask\[heic\]'"),
        (JPEG_XL, "pillow_jxl", "JPEG XL image: .*pip install pillow-jxl-plugin"),
    ],
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, module: str, line: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.heic").write_bytes(content)
    for read_ in (Image.open, read_size):
        with pytest.raises(MissingExtraError, match=r"a\.heic', a " + line) as caught:
            read_(tmp_path / "a.heic")
        assert isinstance(caught.value, InputError)  # a folder's other images can be read
        assert "\n" not in str(caught.value)


class FakeReader(PIL.ImageFile.ImageFile):
    """What packages that read HEIC give Pillow: the image in a mode, with an EXIF orientation."""

    def _open(self) -> None:
        assert self.fp is not None
        if len(self.fp.read()) < 24:
            raise SyntaxError("cut off")
        self._mode, self._size = "RGBA", (2, 3)
        self.info["exif"] = PIL.Image.Exif().tobytes()

    def load(self) -> Any:
        self.im = PIL.Image.new("RGBA", self.size, (10, 20, 30, 128)).im
        return super().load()


@pytest.mark.parametrize(
    ("content", "module", "names"),
    [
        (HEIC + b"more", "pillow_heif", ("HeifImageFile",)),
        (JPEG_XL + b"more", "pillow_jxl", ("JpegXLImagePlugin", "JXLImageFile")),
    ],
)
def test_the_package_reads_it(
    monkeypatch: pytest.MonkeyPatch, content: bytes, module: str, names: tuple[str, ...]
) -> None:
    fake: Any = FakeReader
    for name in reversed(names):
        fake = types.SimpleNamespace(**{name: fake})
    monkeypatch.setitem(sys.modules, module, fake)
    image = Image.open(content)
    assert image.size_hw == (3, 2)
    assert image.alpha is not None
    assert image.alpha[0, 0] == 128
    assert image.straight is not None
    assert image.straight[0, 0].tolist() == [10, 20, 30]
    assert "HEIF" not in PIL.Image.OPEN  # the process is left as it was
    with pytest.raises(InputError, match=r"damaged or cut off \(cut off\)"):
        Image.open(content[:20])


def test_heic_files_are_read() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(PIL.Image.new("RGB", (64, 48), (200, 40, 40))).save(file, quality=90)
    image = Image.open(file.getvalue())
    assert image.size_hw == (48, 64)
    assert abs(image.pixels.astype(int) - (200, 40, 40)).max() < 6

"""Colour profiles: those that fit are applied, others ignored."""

from __future__ import annotations

import struct

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
from PIL import ImageCms
from tests.image.arrow import ARROW, arrow, read, saved


def swapped_profile(name: bytes = b"swap") -> bytes:
    """An sRGB profile whose red and blue are exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {profile[132 + 12 * i :][:4]: 132 + 12 * i for i in range(profile[131])}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    data = bytearray(profile)
    data[red + 4 : red + 12], data[blue + 4 : blue + 12] = (
        profile[blue + 4 : blue + 12],
        profile[red + 4 : red + 12],
    )
    wide = b"sRGB".decode().encode("utf-16-be")
    assert wide in data
    return bytes(data).replace(wide, name.decode().encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_embedded_profiles_are_converted(mode: str) -> None:
    image = PIL.Image.new("RGB", (2, 2), (255, 0, 51)).convert(mode)
    for source in (image, saved(image, "PNG", icc_profile=swapped_profile())):
        if isinstance(source, PIL.Image.Image):
            source.info["icc_profile"] = swapped_profile()
        np.testing.assert_allclose(read(source)[0, 0], (51, 0, 255), atol=2)


def linear_grey_profile() -> bytes:
    """A small profile of grey values that are proportional to light."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    name = b"linear grey\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">I", 0),
    }
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">I", size) + b"\0\0\0\0\x02\x10\0\0" + b"mntrGRAYXYZ "
    header = header.ljust(36, b"\0") + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + body


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profiles_are_converted(mode: str) -> None:
    image = PIL.Image.new("L", (2, 2), 128).convert(mode)
    data = saved(image, "PNG", icc_profile=linear_grey_profile())
    np.testing.assert_allclose(read(data)[0, 0], (188, 188, 188), atol=1)


def test_profiles_of_srgb_change_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(read(saved(arrow(), "PNG", icc_profile=profile)), ARROW)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_profiles_that_do_not_fit_are_ignored(mode: str) -> None:
    image = arrow().convert(mode)
    plain = read(image.copy())
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (b"nonsense", lab, swapped_profile()[:200]):
        image.info["icc_profile"] = profile
        np.testing.assert_array_equal(read(image), plain)

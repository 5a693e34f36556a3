"""Where images lie on the earth: TIFF files with its tags, and the way into files of masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.everything.test_tiled import ColourModel

from anymask import formats
from anymask.everything.tiled import generate_tiled
from anymask.image.geo import Geo, read_geo
from anymask.masks.masks import Masks

tifffile = pytest.importorskip("tifffile")

SCALE, TIEPOINT, MATRIX, KEYS, TEXT = 33550, 33922, 34264, 34735, 34737
UTM = [1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32633]
UTM_GEO = Geo((0.5, 0.0, 499_999.0, 0.0, -0.25, 4_649_001.0), 32633)


def write(path: Path, *tags: Any) -> Path:
    pixels = np.full((70, 90, 3), 250, dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=tags)
    return path


def utm(path: Path) -> Path:
    scale = SCALE, "d", 3, (0.5, 0.25, 0.0)
    tie = TIEPOINT, "d", 6, (2.0, 4.0, 0.0, 500_000.0, 4_649_000.0, 0.0)
    return write(path, scale, tie, (KEYS, "H", 12, UTM))


def test_scale_and_tie_point(tmp_path: Path) -> None:
    assert read_geo(utm(tmp_path / "a.tif")) == UTM_GEO


def test_a_matrix_with_coordinates_of_the_middles_of_pixels(tmp_path: Path) -> None:
    matrix = (2.0, 1.0, 0, 100.0, 1.0, -2.0, 0, 200.0, 0, 0, 0, 0, 0, 0, 0, 1)
    keys = [1, 1, 0, 3, 1025, 0, 1, 2, 2048, 0, 1, 4326, 2049, TEXT, 7, 0]
    tags = [(MATRIX, "d", 16, matrix), (KEYS, "H", 16, keys), (TEXT, "s", 0, "WGS 84|")]
    geo = read_geo(write(tmp_path / "a.tif", *tags))
    assert geo == Geo((2.0, 1.0, 98.5, 1.0, -2.0, 200.5), 4326, "WGS 84", geographic=True)


def test_a_system_of_ones_own_has_no_number(tmp_path: Path) -> None:
    matrix = MATRIX, "d", 16, (1.0, 0, 0, 0, 0, -1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    keys = KEYS, "H", 8, [1, 1, 0, 1, 3072, 0, 1, 32767]
    geo = read_geo(write(tmp_path / "a.tif", matrix, keys))
    assert geo == Geo((1.0, 0.0, 0.0, 0.0, -1.0, 0.0))


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"II*\0", b"II*\0\xff\xff\xff\xff"])
def test_other_files_do_not_say(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read_geo(tmp_path / "a") is None
    assert read_geo(write(tmp_path / "plain.tif")) is None


@pytest.mark.parametrize("format", ["sa1b", "coco"])
def test_files_of_masks_say_it(format: str, tmp_path: Path) -> None:
    masks = generate_tiled(ColourModel(), utm(tmp_path / "a.tif"))
    assert masks.geo == UTM_GEO
    masks.save(tmp_path / "a.json", format=format)
    assert formats.read(tmp_path / "a.json", format=format).geo == UTM_GEO


def test_masks_of_one_image_keep_it_together() -> None:
    masks = replace(Masks.empty((3, 4)), geo=UTM_GEO)
    assert Masks.concat([masks, masks]).geo == UTM_GEO
    assert Masks.concat([masks, Masks.empty((3, 4))]).geo is None

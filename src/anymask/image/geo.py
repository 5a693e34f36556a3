"""Where on the earth a picture lies, as GeoTIFF files say it (OGC standard 19-008r4)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from anymask.image.pixels import open_file
from anymask.optional import optional

__all__ = ["Geo", "read_geo"]

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_POINT = 2  # of GTRasterTypeGeoKey: coordinates are those of the middles of pixels
_USER_DEFINED = 32767


@dataclass(frozen=True)
class Geo:
    """Where on the earth the pixels of a picture lie.

    Attributes:
        transform: (a, b, c, d, e, f) with ``X = a x + b y + c`` and ``Y = d x + e y + f``, where x
            and y count pixels from the outer corner of the first; the order of rasterio's Affine.
        epsg: Number of the coordinate reference system; None if it has none.
        citation: What the file calls that system.
    """

    transform: tuple[float, ...]
    epsg: int | None = None
    citation: str | None = None


def read_geo(path: str | os.PathLike[str]) -> Geo | None:
    """Read where a picture lies.

    Returns:
        None if the file does not say, is no TIFF file, or tifffile is not installed.

    Raises:
        InputError: The file is missing.
    """
    with open_file(os.fsdecode(path)) as file:
        if file.read(4) not in _TIFF:
            return None
        file.seek(0)
        try:
            with optional("tifffile", extra="image").TiffFile(file) as tiff:
                return _from_tags(tiff.pages[0].geotiff_tags)
        except Exception:  # broken files make it raise nearly anything; reading them will say so
            return None


def _from_tags(tags: dict[str, Any] | None) -> Geo | None:
    transform = _transform(tags or {})
    if tags is None or transform is None:
        return None
    if tags.get("GTRasterTypeGeoKey") == _POINT:
        a, b, c, d, e, f = transform
        transform = a, b, c - (a + b) / 2, d, e, f - (d + e) / 2
    epsg = tags.get("ProjectedCSTypeGeoKey", tags.get("GeographicTypeGeoKey"))
    citation = tags.get("GTCitationGeoKey") or tags.get("GeogCitationGeoKey")
    if epsg is not None:
        epsg = int(epsg) if 0 < int(epsg) < _USER_DEFINED else None
    return Geo(transform, epsg, citation)


def _transform(tags: dict[str, Any]) -> tuple[float, ...] | None:
    """Give the six numbers, from a matrix, or from a scale and one point."""
    if "ModelTransformation" in tags:
        (a, b, _, c), (d, e, _, f) = tags["ModelTransformation"][:2]
    elif "ModelPixelScale" in tags and "ModelTiepoint" in tags:
        x, y, _, east, north, _ = tags["ModelTiepoint"][:6]
        a, b, d, e = tags["ModelPixelScale"][0], 0.0, 0.0, -tags["ModelPixelScale"][1]
        c, f = east - a * x, north - e * y
    else:
        return None
    return tuple(float(value) for value in (a, b, c, d, e, f))

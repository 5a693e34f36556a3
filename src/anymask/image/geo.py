"""Where on the earth an image lies, as GeoTIFF files say it (OGC standard 19-008r4)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from anymask.errors import InputError, MissingExtraError
from anymask.image.files import identify, is_tiff, open_file
from anymask.image.tiff import open_tiff

__all__ = ["Geo", "geo_from_tags", "geo_to_tags", "read_geo"]

# Tags of the file, and keys of its directory of what they mean.
_SCALE, _TIE_POINT, _MATRIX, _DIRECTORY, _TEXTS = 33550, 33922, 34264, 34735, 34737
_MODEL, _RASTER, _CITATION, _GEOGRAPHIC, _GEOGRAPHIC_CITATION, _PROJECTED = (
    1024, 1025, 1026, 2048, 2049, 3072,
)  # fmt: skip
_AREA, _POINT = 1, 2  # coordinates are those of the outer corners of pixels, or of their middles
_USER_DEFINED = 32767

# x and y of a stored pixel's corner by those of a turned one, (h, w) being the stored size:
# coefficients of x', y', w, h for x, then for y.
_TURNS = {
    2: ((-1, 0, 1, 0), (0, 1, 0, 0)),
    3: ((-1, 0, 1, 0), (0, -1, 0, 1)),
    4: ((1, 0, 0, 0), (0, -1, 0, 1)),
    5: ((0, 1, 0, 0), (1, 0, 0, 0)),
    6: ((0, 1, 0, 0), (-1, 0, 0, 1)),
    7: ((0, -1, 1, 0), (-1, 0, 0, 1)),
    8: ((0, -1, 1, 0), (1, 0, 0, 0)),
}


@dataclass(frozen=True)
class Geo:
    """Where on the earth the pixels of an image lie.

    Attributes:
        transform: (a, b, c, d, e, f) with ``X = a x + b y + c`` and ``Y = d x + e y + f``, where x
            and y count pixels from the outer corner of the first; the order of rasterio's Affine.
        epsg: Number of the coordinate reference system; None if it has none.
        citation: What the file calls that system.
        geographic: Whether that system is of longitude and latitude, not of metres on a map.

    Examples:
        >>> Geo((0.5, 0, 600_000, 0, -0.5, 5_700_000), epsg=32632).cropped(10, 20).transform
        (0.5, 0, 600005.0, 0, -0.5, 5699990.0)
    """

    transform: tuple[float, ...]
    epsg: int | None = None
    citation: str | None = None
    geographic: bool = False

    def cropped(self, x0: int, y0: int) -> Geo:
        """Give the place of a part of the image whose first pixel is (x0, y0)."""
        a, b, c, d, e, f = self.transform
        return replace(self, transform=(a, b, c + a * x0 + b * y0, d, e, f + d * x0 + e * y0))

    def turned(self, orientation: int, stored_hw: tuple[int, int]) -> Geo:
        """Give the place of the image turned upright by an EXIF orientation of 1 to 8."""
        if orientation not in _TURNS:
            return self
        h, w = stored_hw
        (xx, xy, xw, xh), (yx, yy, yw, yh) = _TURNS[orientation]
        a, b, _, d, e, _ = self.transform
        moved = self.cropped(xw * w + xh * h, yw * w + yh * h)
        _, _, c, _, _, f = moved.transform
        turned = (a * xx + b * yx, a * xy + b * yy, c, d * xx + e * yx, d * xy + e * yy, f)
        return replace(self, transform=turned)


def read_geo(path: str | os.PathLike[str]) -> Geo | None:
    """Read where an image file lies, without decoding it.

    Returns:
        None if the file does not say, or is no TIFF file.

    Raises:
        InputError: The file is missing.
    """
    with open_file(os.fsdecode(path)) as file:
        if not is_tiff(file):
            return None
        try:
            with identify(file, "") as image:
                tags, size_hw = dict(getattr(image, "tag_v2", {})), (image.height, image.width)
        except InputError:
            try:
                with open_tiff(file, "") as tiff:
                    tags, size_hw = dict(tiff.tags), tiff.size_hw
            except (InputError, MissingExtraError):
                return None  # reading its pixels will say so
        return geo_from_tags(tags, size_hw)


def geo_from_tags(tags: Mapping[int, Any], stored_hw: tuple[int, int]) -> Geo | None:
    """Read where an image lies from the tags of its TIFF file, upright; None if they do not say.

    Args:
        tags: Values by the numbers of the tags.
        stored_hw: Height and width as stored, before the orientation is applied.
    """
    try:
        transform = _transform(tags)
        if transform is None:
            return None
        keys = _keys(tags)
        if keys.get(_RASTER) == _POINT:
            a, b, c, d, e, f = transform
            transform = a, b, c - (a + b) / 2, d, e, f - (d + e) / 2
        epsg = keys.get(_PROJECTED, keys.get(_GEOGRAPHIC))
        epsg = int(epsg) if epsg is not None and 0 < epsg < _USER_DEFINED else None
        citation = keys.get(_CITATION) or keys.get(_GEOGRAPHIC_CITATION)
        geographic = _PROJECTED not in keys and _GEOGRAPHIC in keys
        geo = Geo(transform, epsg, citation, geographic)
        return geo.turned(int(tags.get(274, 1)), stored_hw)
    except (TypeError, ValueError, LookupError, AttributeError):  # tags that mean nothing
        return None


def geo_to_tags(geo: Geo) -> dict[int, tuple[float, ...] | str]:
    """Say where an image lies in the tags of a TIFF file: doubles, shorts and a text."""
    a, b, c, d, e, f = (float(value) for value in geo.transform)
    text = f"{geo.citation}|" if geo.citation else ""
    code = _USER_DEFINED if geo.epsg is None else geo.epsg
    keys = {
        _MODEL: (0, 1, 2 if geo.geographic else 1),
        _RASTER: (0, 1, _AREA),
        _CITATION: (_TEXTS, len(text), 0),
        _GEOGRAPHIC if geo.geographic else _PROJECTED: (0, 1, code),
    }
    if not text:
        del keys[_CITATION]
    directory = [1, 1, 0, len(keys)]
    for key, entry in sorted(keys.items()):
        directory += [key, *entry]
    tags: dict[int, tuple[float, ...] | str] = {_DIRECTORY: tuple(directory)}
    if b == d == 0 and a > 0 > e:  # what more programs read than a matrix
        tags |= {_SCALE: (a, -e, 0.0), _TIE_POINT: (0.0, 0.0, 0.0, c, f, 0.0)}
    else:
        tags[_MATRIX] = (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    return tags | ({_TEXTS: text} if text else {})


def _keys(tags: Mapping[int, Any]) -> dict[int, Any]:
    """Read the numbers and texts of a file's directory of keys."""
    directory = tuple(tags.get(_DIRECTORY, ()))
    texts = tags.get(_TEXTS, "")
    found: dict[int, Any] = {}
    for place in range(4, len(directory) - 3, 4):
        key, where, count, value = directory[place : place + 4]
        if where == 0:
            found[key] = value
        elif where == _TEXTS:
            found[key] = texts[value : value + count].rstrip("|\0")
    return found


def _transform(tags: Mapping[int, Any]) -> tuple[float, ...] | None:
    """Give the six numbers, from a matrix, or from a scale and one point."""
    if _MATRIX in tags:
        a, b, _, c, d, e, _, f = tags[_MATRIX][:8]
    elif _SCALE in tags and _TIE_POINT in tags:
        x, y, _, east, north, _ = tags[_TIE_POINT][:6]
        a, b, d, e = tags[_SCALE][0], 0.0, 0.0, -tags[_SCALE][1]
        c, f = east - a * x, north - e * y
    else:
        return None
    return tuple(float(value) for value in (a, b, c, d, e, f))

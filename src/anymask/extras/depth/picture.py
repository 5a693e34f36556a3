"""Pictures of depth: an image, its map with a colour bar, and masks in order of depth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw

from anymask.draw.fonts import Font, Fonts
from anymask.errors import InputError
from anymask.extras.depth.depth_map import DepthMap
from anymask.image.image import Image, ImageLike
from anymask.masks import rle

if TYPE_CHECKING:
    from anymask.extras.depth.measure import Measured

__all__ = ["colour", "side_by_side"]

Pixels = npt.NDArray[np.uint8]

# From far to near: night blue, violet, red, orange, pale yellow. The lightness rises evenly, so
# that the order of two depths can be seen without colours, too.
_STOPS = np.array(
    [(14, 12, 52), (74, 24, 122), (146, 38, 129), (212, 68, 92), (250, 133, 52), (252, 246, 178)]
)
_UNKNOWN = 128
_WHITE, _BLACK, _INK = (255, 255, 255), (0, 0, 0), (40, 40, 40)
_LONGEST = 1600  # pixels of a panel's longer side; depth has no more detail
_LEAST = 120
_TICKS = 5
_EMPTY = 0.35  # how much of an image is left where no mask is


def colour(depth: DepthMap) -> Pixels:
    """Colour a map, light where it is near: uint8 (h, w, 3); grey where it is unknown.

    Inverse depth is what is coloured, from its 1st to its 99th percentile: so near things, of which
    most is known, have most of the colours.
    """
    low, high = _limits(depth)
    return _ramp((depth.inverse - low) / (high - low))


def side_by_side(
    image: ImageLike, depth: DepthMap, measured: Measured | None = None, *, numbers: bool = True
) -> PIL.Image.Image:
    """Put an image, its depth with a colour bar, and its masks in order of depth side by side.

    Args:
        image: The image; of a large one the panels are smaller than it.
        depth: Of the same size.
        measured: Its masks, each in the colour of its median, near ones over far ones; None: there
            are none to show.
        numbers: Write the place in the order on each mask, 1 for the nearest.

    Returns:
        RGB.

    Raises:
        InputError: Image and depth have different sizes.
    """
    photo = Image.open(image)
    if photo.size_hw != depth.size_hw:
        raise InputError(
            f"expected an image and a depth of one size, got {photo.size_hw} and "
            f"{depth.size_hw}; use depth.fitted(image.size_hw)"
        )
    panels = [photo.to_pil(), depth.draw()]
    if measured is not None and len(measured):
        panels.append(_layers(photo, depth, measured))
    h, w = photo.size_hw
    factor = min(1.0, _LONGEST / max(h, w))
    factor = max(factor, _LEAST / h)
    size = max(1, round(w * factor)), max(1, round(h * factor))
    small = [panel.resize(size, PIL.Image.Resampling.LANCZOS) for panel in panels]
    letters = max(11, round(math.hypot(*size) / 45))
    if len(small) == 3 and numbers and measured is not None:
        _number(small[2], measured, factor, letters)
    bar = _bar(depth, size[1], letters)
    gap = max(4, letters // 2)
    parts = [small[0], small[1], bar, *small[2:]]
    width = sum(part.width for part in parts) + gap * (len(parts) - 1)
    canvas = PIL.Image.new("RGB", (width, size[1]), _WHITE)
    x = 0
    for part in parts:
        canvas.paste(part, (x, 0))
        x += part.width + gap
    return canvas


def _limits(depth: DepthMap) -> tuple[float, float]:
    """Find which inverse depths have the first and the last colour."""
    inverse = depth.inverse
    known = inverse[~np.isnan(inverse)]
    low, high = (float(one) for one in np.percentile(known, (1, 99)))
    if low == high:
        low, high = float(known.min()), float(known.max())
    return low, high


def _ramp(share: npt.NDArray[np.floating]) -> Pixels:
    """Give numbers of 0 (far) to 1 (near) their colour; NaN is grey."""
    places = np.clip(np.nan_to_num(share), 0, 1) * (len(_STOPS) - 1)
    stops = np.arange(len(_STOPS))
    colours = np.stack([np.interp(places, stops, _STOPS[:, i]) for i in range(3)], axis=-1)
    colours[np.isnan(share)] = _UNKNOWN
    return np.round(colours).astype(np.uint8)


def _layers(photo: Image, depth: DepthMap, measured: Measured) -> PIL.Image.Image:
    """Paint masks in the colour of their median, the nearest last."""
    low, high = _limits(depth)
    grey = photo.pixels.mean(axis=2, keepdims=True)
    canvas = np.repeat(_EMPTY * grey, 3, axis=2).astype(np.uint8)
    masks = measured.masks
    for i in reversed(measured.order):
        if not masks.areas[i]:
            continue
        x0, y0, x1, y1 = (int(edge) for edge in masks.boxes[i])
        place = (x0, y0, x1 + 1, y1 + 1)
        part = rle.decode(
            rle.crop(masks.counts[i], masks.size_hw, place), (y1 + 1 - y0, x1 + 1 - x0)
        )
        median = measured.depths[i].median
        value = np.nan if median is None else 1 / median if depth.kind == "metric" else median
        tint = _ramp(np.array((value - low) / (high - low)))
        window = canvas[y0 : y1 + 1, x0 : x1 + 1]
        shade = 0.75 + 0.25 * grey[y0 : y1 + 1, x0 : x1 + 1] / 255
        window[part] = (shade * tint)[part].astype(np.uint8)
        window[part & _edge(part)] = _WHITE
    return PIL.Image.fromarray(canvas)


def _edge(part: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Find the pixels of a mask that have one of the four around them outside."""
    padded = np.pad(part, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return ~inner


def _number(panel: PIL.Image.Image, measured: Measured, factor: float, letters: int) -> None:
    """Write the place of each mask on it, where it is seen and as far inside as may be."""
    pen, fonts = PIL.ImageDraw.Draw(panel), Fonts()
    taken: list[tuple[float, float]] = []
    for i in measured.order:
        one = measured.depths[i]
        if one.rank is None:
            continue
        place = _inside(measured, i)
        if place is None:
            continue
        x, y = (factor * (v + 0.5) for v in place)
        if any(abs(x - a) < 1.2 * letters and abs(y - b) < 1.2 * letters for a, b in taken):
            continue
        taken.append((x, y))
        font, text = fonts.of(str(one.rank), letters), str(one.rank)
        at = (x - font.width(text) / 2, y)
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            font.write(pen, (at[0] + dx, at[1] + dy), text, _BLACK)
        font.write(pen, at, text, _WHITE)


def _inside(measured: Measured, i: int) -> tuple[int, int] | None:
    """Find the pixel of a mask that is nearest to its middle."""
    masks = measured.masks
    if not masks.areas[i]:
        return None
    x0, y0, x1, y1 = (int(edge) for edge in masks.boxes[i])
    place = (x0, y0, x1 + 1, y1 + 1)
    part = rle.decode(rle.crop(masks.counts[i], masks.size_hw, place), (y1 + 1 - y0, x1 + 1 - x0))
    ys, xs = np.nonzero(part)
    best = int(np.argmin((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2))
    return int(xs[best]) + x0, int(ys[best]) + y0


def _bar(depth: DepthMap, height: int, letters: int) -> PIL.Image.Image:
    """Draw the colour bar: near above; with metres, or with words where they mean nothing."""
    low, high = _limits(depth)
    wide, pad = max(10, letters), math.ceil(0.7 * letters)
    inner = max(2, height - 2 * pad)
    ramp = _ramp(np.linspace(1, 0, inner)[:, None].repeat(wide, axis=1))
    shares = np.linspace(1, 0, _TICKS if inner > 2 * _TICKS * letters else 2)
    if depth.kind == "metric":
        texts = [f"{1 / (low + share * (high - low)):.3g} m" for share in shares]
    else:
        texts = ["near", *[""] * (len(shares) - 2), "far"]
    fonts = Fonts()
    made: list[Font] = [fonts.of(text or "far", letters) for text in texts]
    room = math.ceil(max(font.width(text) for font, text in zip(made, texts, strict=True)))
    canvas = PIL.Image.new("RGB", (wide + room + letters // 2 + 2, height), _WHITE)
    canvas.paste(PIL.Image.fromarray(ramp), (0, pad))
    pen = PIL.ImageDraw.Draw(canvas)
    for share, font, text in zip(shares, made, texts, strict=True):
        y = pad + (1 - float(share)) * (inner - 1)
        pen.line([(wide, y), (wide + letters // 4, y)], _INK)
        font.write(pen, (wide + letters // 2, y), text, _INK)
    return canvas

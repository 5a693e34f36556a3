"""Pictures of depth: an image, its map with a colour bar, and masks in order of depth."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw

from anymask.draw.fonts import Font, Fonts
from anymask.errors import InputError
from anymask.extras.depth.colour_map import limits, ramp
from anymask.extras.depth.depth_map import DepthMap
from anymask.extras.depth.measure import Measured
from anymask.image.image import Image, ImageLike
from anymask.masks import rle

__all__ = ["draw"]

_WHITE, _BLACK, _INK = (255, 255, 255), (0, 0, 0), (40, 40, 40)
_LONGEST = 1600  # pixels of a panel's longer side; depth has no more detail
_LEAST = 120
_TICKS = 5
_EMPTY = 0.35  # how much of an image is left where no mask is


def draw(image: ImageLike, found: DepthMap | Measured, *, numbers: bool = True) -> PIL.Image.Image:
    """Put an image, its depth with a colour bar, and its masks in order of depth side by side.

    Args:
        image: The image; of a large one the panels are smaller than it.
        found: Its depth, or what `measure` found: masks each in the colour of its median, near ones
            over far ones.
        numbers: Write the place in the order on each mask, 1 for the nearest.

    Returns:
        RGB.

    Raises:
        InputError: Image and depth have different sizes.

    Examples:
        >>> photo = np.zeros((40, 60, 3), np.uint8)
        >>> draw(photo, DepthMap(np.arange(2400.0).reshape(40, 60))).height
        120
    """
    depth = found if isinstance(found, DepthMap) else found.depth
    measured = found if isinstance(found, Measured) else None
    photo = Image.open(image)
    if photo.size_hw != depth.size_hw:
        raise InputError(
            f"expected an image and a depth of one size, got {photo.size_hw} and "
            f"{depth.size_hw}; use depth.fitted(image.size_hw)"
        )
    panels = [photo.to_pil(), depth.draw()]
    if measured is not None and len(measured):
        layers, owner = _layers(photo, depth, measured)
        panels.append(layers)
    h, w = photo.size_hw
    factor = min(1.0, _LONGEST / max(h, w))
    factor = max(factor, _LEAST / h)
    size = max(1, round(w * factor)), max(1, round(h * factor))
    small = [panel.resize(size, PIL.Image.Resampling.LANCZOS) for panel in panels]
    letters = max(11, round(math.hypot(*size) / 45))
    if measured is not None and len(small) == 3 and numbers:
        _number(small[2], measured, owner, factor, letters)
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


def _layers(
    photo: Image, depth: DepthMap, measured: Measured
) -> tuple[PIL.Image.Image, npt.NDArray[np.int32]]:
    """Paint masks in the colour of their median, the nearest last.

    Returns:
        The picture; and which mask is seen in each pixel, -1 for none.
    """
    low, high = limits(depth.inverse)
    grey = photo.pixels.mean(axis=2, keepdims=True)
    canvas = np.repeat(_EMPTY * grey, 3, axis=2).astype(np.uint8)
    masks = measured.masks
    owner = np.full(masks.size_hw, -1, np.int32)
    for i in reversed(measured.order):
        if not masks.areas[i]:
            continue
        place = _place(measured, i)
        size_hw = place[0].stop - place[0].start, place[1].stop - place[1].start
        box = (place[1].start, place[0].start, place[1].stop, place[0].stop)
        part = rle.decode(rle.crop(masks.counts[i], masks.size_hw, box), size_hw)
        median = measured.depths[i].median
        value = np.nan if median is None else 1 / median if depth.kind == "metric" else median
        tint = ramp(np.array((value - low) / (high - low)))
        window = canvas[place]
        window[part] = ((0.75 + 0.25 * grey[place] / 255) * tint)[part].astype(np.uint8)
        window[part & _edge(part)] = _WHITE
        owner[place][part] = i
    return PIL.Image.fromarray(canvas), owner


def _place(measured: Measured, i: int) -> tuple[slice, slice]:
    """Give the rows and columns of a mask."""
    x0, y0, x1, y1 = (int(edge) for edge in measured.masks.boxes[i])
    return slice(y0, y1 + 1), slice(x0, x1 + 1)


def _edge(part: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Find the pixels of a mask that have one of the four around them outside."""
    padded = np.pad(part, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return ~inner


def _number(
    panel: PIL.Image.Image,
    measured: Measured,
    owner: npt.NDArray[np.int32],
    factor: float,
    letters: int,
) -> None:
    """Write the place of each mask where it is seen, as near to the middle of that as may be."""
    pen, fonts = PIL.ImageDraw.Draw(panel), Fonts()
    taken: list[tuple[float, float]] = []
    for i in measured.order:
        rows, columns = _place(measured, i)
        ys, xs = np.nonzero(owner[rows, columns] == i)
        rank = measured.depths[i].rank
        if rank is None or len(xs) * factor**2 < letters**2:
            continue  # a rim that is still seen could not be told from what covers the rest
        middle = int(np.argmin((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2))
        x = factor * (xs[middle] + columns.start + 0.5)
        y = factor * (ys[middle] + rows.start + 0.5)
        if any(abs(x - a) < 1.2 * letters and abs(y - b) < 1.2 * letters for a, b in taken):
            continue
        taken.append((x, y))
        font, text = fonts.of(str(rank), letters), str(rank)
        left = x - font.width(text) / 2
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            font.write(pen, (left + dx, y + dy), text, _BLACK)
        font.write(pen, (left, y), text, _WHITE)


def _bar(depth: DepthMap, height: int, letters: int) -> PIL.Image.Image:
    """Draw the colour bar: near above; with metres, or with words where they mean nothing."""
    low, high = limits(depth.inverse)
    wide, pad = max(10, letters), math.ceil(0.7 * letters)
    inner = max(2, height - 2 * pad)
    colours = ramp(np.linspace(1, 0, inner)[:, None].repeat(wide, axis=1))
    shares = np.linspace(1, 0, _TICKS if inner > 2 * _TICKS * letters else 2)
    if depth.kind == "metric":
        texts = [f"{1 / (low + share * (high - low)):.3g} m" for share in shares]
    else:
        texts = ["near", *[""] * (len(shares) - 2), "far"]
    fonts = Fonts()
    made: list[Font] = [fonts.of(text or "far", letters) for text in texts]
    room = math.ceil(max(font.width(text) for font, text in zip(made, texts, strict=True)))
    canvas = PIL.Image.new("RGB", (wide + room + letters // 2 + 2, height), _WHITE)
    canvas.paste(PIL.Image.fromarray(colours), (0, pad))
    pen = PIL.ImageDraw.Draw(canvas)
    for share, font, text in zip(shares, made, texts, strict=True):
        y = pad + (1 - float(share)) * (inner - 1)
        pen.line([(wide, y), (wide + letters // 4, y)], _INK)
        font.write(pen, (wide + letters // 2, y), text, _INK)
    return canvas

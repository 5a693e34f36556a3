"""Masks painted: laid over an image in colours, and cut out of it.

Edges are smooth because everything is painted through a blurred mask. At a straight edge each value
of the blur lies at a certain distance from the edge, so a table from values to distances is all it
takes to fill up to the edge, to draw a line along it, or to let it fade.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageChops
import PIL.ImageFilter

from anymask.draw.legend import Legend
from anymask.draw.palette import Colour, colours
from anymask.draw.prompts import distinct, mark
from anymask.errors import InputError
from anymask.image.image import Image, ImageLike
from anymask.masks import label_map, rle
from anymask.masks.masks import Masks
from anymask.masks.matting import soften

__all__ = ["cutout", "overlay"]

Place = tuple[int, int, int, int]  # xyxy, right and bottom exclusive, as Pillow has it

_MANY_PROMPTS = 12
_MARGIN, _LEAST_MARGIN = 0.1, 8  # around a mask with a soft edge: of its diagonal, and pixels


def overlay(
    image: ImageLike,
    masks: Masks,
    *,
    alpha: float = 0.55,
    outline: bool = True,
    prompts: bool | None = None,
    legend: bool = True,
    font: str | os.PathLike[str] | None = None,
) -> PIL.Image.Image:
    """Lay masks over an image, smaller ones on top of larger ones.

    Where masks say how they rank (`GenerateConfig.ranking` "outline"), a clearly better one lies on
    top of worse ones first of all: a whole thing on top of splinters of it.

    Masks of one label have one colour, which is the same in other images as far as their labels
    allow. Masks without a label have a colour each that differs from those around.

    Args:
        image: The image that the masks were made for; where it is transparent, the background shows
            on which it was opened.
        masks: Any number of masks.
        alpha: How much the colours cover the image, from 0 (not at all) to 1 (entirely).
        outline: Draw a thin line round each mask.
        prompts: Mark what was asked: clicks on the object (green, star) and beside it (red, bar),
            and boxes. None: unless they are so many that they would hide the image.
        legend: List the labels in the corner where they hide least, the most frequent first. An
            image without room for a few letters has no legend, and long names are shortened.
        font: A font file for the legend; None: Pillow's own, and for letters that it lacks one that
            is installed on this computer.

    Returns:
        RGB, size of the image.

    Raises:
        InputError: The masks are of another size, alpha is out of range, or the font is none.

    Examples:
        >>> photo = np.zeros((48, 64, 3), np.uint8)
        >>> overlay(photo, Masks.from_dense(np.ones((48, 64), bool), labels=["night"])).size
        (64, 48)
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"expected alpha from 0 to 1, got {alpha}; 0.55 is a good start")
    canvas = _open(image, masks.size_hw).to_pil()
    chosen = colours(masks)
    _paint(canvas, masks, {i: chosen[i] for i in _upwards(masks, chosen)}, alpha, outline)
    if legend:
        Legend.of(masks, chosen, font).draw(canvas, masks)
    asked = distinct(masks.prompts)
    if prompts or (prompts is None and len(asked) <= _MANY_PROMPTS):
        for prompt in asked:
            mark(canvas, prompt)
    return canvas


def _upwards(masks: Masks, numbers: Iterable[int]) -> list[int]:
    """Sort masks by what lies on top: the last one."""
    levels = label_map.levels([meta.get("ranking") for meta in masks.meta])
    return sorted(numbers, key=lambda i: (-levels[i], -masks.areas[i]))


def _paint(
    canvas: PIL.Image.Image, masks: Masks, chosen: dict[int, Colour], alpha: float, outline: bool
) -> None:
    """Paint masks onto an image of mode RGB, in this order, in these colours."""
    image = canvas.copy()
    width = max(1.25, math.hypot(*canvas.size) / 500)
    blur = max(1.0, 0.6 * width)
    fill = _table(blur, lambda distance: distance + 0.5)
    line = _table(blur, lambda distance: width / 2 + 0.5 - abs(distance))
    for i, colour in chosen.items():
        place, cover = _cover(masks[i], margin=math.ceil(3 * blur + width))
        soft = _blur(cover, blur)
        tint = PIL.Image.new("RGB", cover.size, colour)
        tinted = PIL.Image.blend(image.crop(place), tint, alpha)
        canvas.paste(tinted, place, PIL.ImageChops.lighter(soft.point(fill), cover))
        if outline:
            canvas.paste(colour, place, soft.point(line))


def cutout(
    image: ImageLike,
    mask: Masks | npt.NDArray[np.bool_],
    *,
    crop: bool = False,
    feather: float = 1.0,
    soft: bool = False,
) -> PIL.Image.Image:
    """Cut what a mask covers out of an image.

    Args:
        image: The image that the mask was made for. Where it is transparent, so is what is cut out.
        mask: Masks, which are cut out together, or bool (h, w).
        crop: Give only as much of the image as the mask needs.
        feather: Width in pixels of the soft edge, which lies inside the mask; 0: a hard edge.
        soft: Instead, an edge as soft as the image shows it, as at hair and fur, on both sides of
            the mask's; what mixed pixels show of the background is taken out of their colours.

    Returns:
        RGBA, transparent black wherever the mask is not.

    Raises:
        InputError: The mask is of another size, or feather is out of range.

    Examples:
        >>> photo, mask = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), bool)
        >>> mask[10:20, 30:35] = True
        >>> cutout(photo, mask, crop=True).size
        (5, 10)
    """
    if not 0 <= feather < math.inf:
        raise InputError(f"expected feather of 0 pixels or more, got {feather}; 1 is a good start")
    masks = mask if isinstance(mask, Masks) else Masks.from_dense(mask)
    opened = _open(image, masks.size_hw)
    result = PIL.Image.new("RGBA", masks.size_hw[::-1])
    if not masks.areas.any():
        return result
    whole = Masks(masks.size_hw, (rle.merge(masks.counts),))
    if soft:
        _paste_soft(result, opened, whole)
        return result.crop(result.getchannel("A").getbbox()) if crop else result
    place, cover = _cover(whole, margin=math.ceil(3 * feather) + 1)
    if feather:
        # At least a quarter, so that a line of one pixel can still be seen.
        edge = _table(feather, lambda distance: max(distance / feather, 0.25))
        cover = PIL.ImageChops.darker(_blur(cover, feather).point(edge), cover)
    part, opacity = _straight(opened, place, np.asarray(cover))
    result.paste(PIL.Image.fromarray(np.dstack([part, opacity])), place)
    return result.crop(_cover(whole, margin=0)[0]) if crop else result


def _paste_soft(result: PIL.Image.Image, image: Image, mask: Masks) -> None:
    """Paste what one mask covers, with the edge that the image shows."""
    x0, y0, x1, y1 = mask.boxes[0].tolist()
    margin = _MARGIN * math.hypot(x1 - x0, y1 - y0) + _LEAST_MARGIN
    place, cover = _cover(mask, math.ceil(margin))
    window = np.s_[place[1] : place[3], place[0] : place[2]]
    found = soften(image.pixels[window], np.asarray(cover) > 0)
    part, opacity = _straight(image, place, found.alpha)
    if image.alpha is None:
        part = np.where(opacity[..., None] > 0, found.colours, 0).astype(np.uint8)
    result.paste(PIL.Image.fromarray(np.dstack([part, opacity])), place)


def _straight(
    image: Image, place: Place, cover: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Give the colours (h, w, 3) of a part and its opacity (h, w), as far as a mask covers it."""
    window = np.s_[place[1] : place[3], place[0] : place[2]]
    if image.alpha is None or image.straight is None:
        colours, opacity = image.pixels[window].copy(), cover
    else:
        colours = image.straight[window].copy()
        product = image.alpha[window].astype(np.uint16) * cover
        opacity = ((product + 127) // 255).astype(np.uint8)
    colours[opacity == 0] = 0
    return colours, opacity


# ------------------------------------------------------------------------- painting


def _open(image: ImageLike, size_hw: tuple[int, int]) -> Image:
    opened = Image.open(image)
    if opened.size_hw != size_hw:
        raise InputError(
            f"expected masks of (h, w) = {opened.size_hw} like the image, got {size_hw}; draw them "
            "on the image that they were made for"
        )
    return opened


def _cover(mask: Masks, margin: int) -> tuple[Place, PIL.Image.Image]:
    """Cut out the part of one mask that is not empty, with a margin: its place, and 0 or 255."""
    h, w = mask.size_hw
    x0, y0, x1, y1 = map(int, mask.boxes[0])
    x0, y0 = max(x0 - margin, 0), max(y0 - margin, 0)
    x1, y1 = min(x1 + 1 + margin, w), min(y1 + 1 + margin, h)
    part = rle.decode(mask.counts[0], mask.size_hw)[y0:y1, x0:x1]
    return (x0, y0, x1, y1), PIL.Image.fromarray(part.astype(np.uint8) * 255)


def _blur(cover: PIL.Image.Image, sigma: float) -> PIL.Image.Image:
    return cover.filter(PIL.ImageFilter.GaussianBlur(sigma))


def _table(sigma: float, opacity: Callable[[float], float]) -> list[int]:
    """Tabulate an opacity over the 256 values of a blurred mask.

    Args:
        sigma: Strength of the blur.
        opacity: Function of the distance to the edge in pixels, positive inside the mask; what it
            gives is cut to 0 to 1.
    """
    normal = NormalDist(0, sigma)
    inside = (normal.inv_cdf((value + 0.5) / 256) for value in range(256))
    return [round(255 * min(max(opacity(distance), 0), 1)) for distance in inside]

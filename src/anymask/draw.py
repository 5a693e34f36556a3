"""Pictures of masks: an overlay in colours, and a cut-out on nothing.

Edges are smooth because everything is painted through a blurred mask. At a straight edge each value
of the blur lies at a certain distance from the edge, so a table from values to distances is all it
takes to fill up to the edge, to draw a line along it, or to let it fade.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageChops
import PIL.ImageDraw
import PIL.ImageFilter

from anymask.errors import InputError
from anymask.image.colour import Colour
from anymask.image.image import Image, ImageLike
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

__all__ = ["cutout", "overlay"]

Lab = npt.NDArray[np.float64]  # (3,)
Place = tuple[int, int, int, int]  # xyxy, right and bottom exclusive, as Pillow has it

_MANY_PROMPTS = 12

# ------------------------------------------------------------------------ pictures


def overlay(
    image: ImageLike,
    masks: Masks,
    *,
    alpha: float = 0.55,
    outline: bool = True,
    prompts: bool | None = None,
) -> PIL.Image.Image:
    """Lay masks over a picture, each in its own colour, smaller ones on top of larger ones.

    Args:
        image: The picture that the masks were made for.
        masks: Any number of masks.
        alpha: How much the colours cover the picture, from 0 (not at all) to 1 (entirely).
        outline: Draw a thin line round each mask.
        prompts: Mark what was asked: clicks on the object (green, star) and beside it (red, bar),
            and boxes. None: unless they are so many that they would hide the picture.

    Returns:
        RGB, size of the picture.

    Raises:
        InputError: The masks are of another size, or alpha is out of range.

    Example:
        >>> photo = np.zeros((48, 64, 3), np.uint8)
        >>> overlay(photo, Masks.from_dense(np.ones((48, 64), bool))).size
        (64, 48)
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"expected alpha from 0 to 1, got {alpha}; 0.55 is a good start")
    picture = _open(image, masks.size_hw)
    canvas = picture.copy()
    width = max(1.25, _diagonal(picture) / 500)
    blur = max(1.0, 0.6 * width)
    fill = _table(blur, lambda distance: distance + 0.5)
    line = _table(blur, lambda distance: width / 2 + 0.5 - abs(distance))
    for i, colour in _colours(masks).items():
        place, cover = _cover(masks[i], margin=math.ceil(3 * blur + width))
        soft = _blur(cover, blur)
        tint = PIL.Image.new("RGB", cover.size, colour)
        tinted = PIL.Image.blend(picture.crop(place), tint, alpha)
        canvas.paste(tinted, place, PIL.ImageChops.lighter(soft.point(fill), cover))
        if outline:
            canvas.paste(colour, place, soft.point(line))
    asked = _distinct(masks.prompts)
    if prompts or (prompts is None and len(asked) <= _MANY_PROMPTS):
        for prompt in asked:
            _mark(canvas, prompt)
    return canvas


def cutout(
    image: ImageLike,
    mask: Masks | npt.NDArray[np.bool_],
    *,
    crop: bool = False,
    feather: float = 1.0,
) -> PIL.Image.Image:
    """Cut what a mask covers out of a picture.

    Args:
        image: The picture that the mask was made for.
        mask: Masks, which are cut out together, or bool (h, w).
        crop: Give only as much of the picture as the mask needs.
        feather: Width in pixels of the soft edge, which lies inside the mask; 0: a hard edge.

    Returns:
        RGBA, transparent black wherever the mask is not.

    Raises:
        InputError: The mask is of another size, or feather is out of range.

    Example:
        >>> photo, mask = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), bool)
        >>> mask[10:20, 30:35] = True
        >>> cutout(photo, mask, crop=True).size
        (5, 10)
    """
    if not 0 <= feather < math.inf:
        raise InputError(f"expected feather of 0 pixels or more, got {feather}; 1 is a good start")
    masks = mask if isinstance(mask, Masks) else Masks.from_dense(mask)
    picture = _open(image, masks.size_hw)
    result = PIL.Image.new("RGBA", picture.size)
    if not masks.areas.any():
        return result
    whole = Masks(masks.size_hw, (rle.merge(masks.counts),))
    place, cover = _cover(whole, margin=math.ceil(3 * feather) + 1)
    if feather:
        # At least a quarter, so that a line of one pixel can still be seen.
        edge = _table(feather, lambda distance: max(distance / feather, 0.25))
        cover = PIL.ImageChops.darker(_blur(cover, feather).point(edge), cover)
    part = np.array(picture.crop(place))
    opacity = np.array(cover)
    part[opacity == 0] = 0
    result.paste(PIL.Image.fromarray(np.dstack([part, opacity])), place)
    return result.crop(_cover(whole, margin=0)[0]) if crop else result


# ------------------------------------------------------------------------- painting


def _open(image: ImageLike, size_hw: tuple[int, int]) -> PIL.Image.Image:
    picture = Image.open(image)
    if picture.size_hw != size_hw:
        raise InputError(
            f"expected masks of (h, w) = {picture.size_hw} like the picture, got {size_hw}; draw "
            "them on the picture that they were made for"
        )
    return picture.to_pil()


def _diagonal(picture: PIL.Image.Image) -> float:
    return math.hypot(*picture.size)


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


# --------------------------------------------------------------------------- colours


# Oklab (Ottosson, 2020), in which equal distances look equally far: to cone responses, whose cubes
# turn into linear sRGB.
_TO_CONES = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_TO_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _oklab(lightness: float, chroma: float, hue: float) -> Lab:
    """Find a colour, with as much of its chroma as a screen can show.

    Args:
        lightness: From 0 (black) to 1 (white).
        chroma: From 0 (grey) to about 0.3.
        hue: Degrees; red is at 29, yellow at 110, green at 142, blue at 264.
    """
    turn = math.radians(hue)
    lab = np.array([lightness, chroma * math.cos(turn), chroma * math.sin(turn)])
    while _linear(lab).min() < 0 or _linear(lab).max() > 1:
        lab[1:] *= 0.98
    return lab


def _linear(lab: Lab) -> npt.NDArray[np.float64]:
    linear: npt.NDArray[np.float64] = _TO_LINEAR @ (_TO_CONES @ lab) ** 3
    return linear


def _rgb(lab: Lab) -> Colour:
    linear = _linear(lab).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(value) for value in np.rint(255 * curved))
    return red, green, blue


def _palette() -> npt.NDArray[np.float64]:
    """Choose 24 bright colours, (24, 3) in Oklab: hues turn by the golden angle from blue on."""
    hues = 255 + 137.508 * np.arange(24)
    # Yellow and green look dirty unless they are light, blue and purple are strong when dark.
    lightness = 0.74 + 0.1 * np.cos(np.radians(hues - 120)) + np.tile([0, 0.04, -0.04], 8)
    return np.array([_oklab(*colour) for colour in zip(lightness, [0.2] * 24, hues, strict=True)])


def _colours(masks: Masks) -> dict[int, Colour]:
    """Give each mask a colour that differs well from those of the masks that may touch it.

    Returns:
        Colours by number of the mask, the largest mask first; empty masks have none.
    """
    palette = _palette()
    contrast = np.linalg.norm(palette[:, None] - palette[None], axis=2).clip(max=0.2)
    low, high = masks.boxes[:, :2] - 2, masks.boxes[:, 2:] + 2
    chosen = np.zeros(len(masks), dtype=np.int64)
    order = np.argsort(-masks.areas, kind="stable")[: np.count_nonzero(masks.areas)]
    for rank, i in enumerate(order):
        done = order[:rank]
        near = done[(low[done] <= high[i]).all(axis=1) & (low[i] <= high[done]).all(axis=1)]
        quality = contrast[:, chosen[near]].min(axis=1, initial=1)
        turned = (np.arange(len(palette)) + rank) % len(palette)  # start elsewhere for each mask
        chosen[i] = turned[np.argmax(quality[turned])]
    return {int(i): _rgb(palette[chosen[i]]) for i in order}


# --------------------------------------------------------------------------- prompts

_GREEN = _rgb(_oklab(0.70, 0.2, 148))
_RED = _rgb(_oklab(0.62, 0.24, 25))
_WHITE = (255, 255, 255)
_FINE = 4  # clicks are drawn this much larger and then reduced, which smooths them
_ROWS = 256  # of a box that are drawn at a time, so that its size does not fill the memory


def _distinct(prompts: Iterable[Prompt | None]) -> list[Prompt]:
    """List the prompts that show something, each once, however many masks answer it."""
    found = {}
    for prompt in prompts:
        if prompt is not None and (len(prompt.points_xy) or prompt.box is not None):
            box = None if prompt.box is None else prompt.box.tobytes()
            found[prompt.points_xy.tobytes(), prompt.labels.tobytes(), box] = prompt
    return list(found.values())


def _mark(canvas: PIL.Image.Image, prompt: Prompt) -> None:
    radius = max(4.5, _diagonal(canvas) / 85)
    if prompt.box is not None:
        _mark_box(canvas, prompt.box, max(3.2, radius / 3))
    for (x, y), label in zip(prompt.points_xy.tolist(), prompt.labels, strict=True):
        middle_xy = (x + 0.5, y + 0.5)  # of the pixel that the point names
        _mark_click(canvas, middle_xy, radius, foreground=bool(label))


def _mark_box(canvas: PIL.Image.Image, box: npt.NDArray[np.float64], width: float) -> None:
    """Draw a rounded frame along a box: a green line on a wider white one."""
    x0, y0, x1, y1 = box.tolist()
    corner = min(3 * width, (x1 - x0) / 2, (y1 - y0) / 2)
    margin = math.ceil(width) + 1
    left, right = max(math.floor(x0) - margin, 0), min(math.ceil(x1) + margin, canvas.width)
    top, bottom = max(math.floor(y0) - margin, 0), min(math.ceil(y1) + margin, canvas.height)
    for start in range(top, bottom if left < right else top, _ROWS):
        stop = min(start + _ROWS, bottom)
        # Distance to a rectangle with round corners, at the middle of every pixel.
        x = np.abs(np.arange(left, right) + 0.5 - (x0 + x1) / 2) - (x1 - x0) / 2 + corner
        y = np.abs(np.arange(start, stop) + 0.5 - (y0 + y1) / 2) - (y1 - y0) / 2 + corner
        x, y = x[None, :], y[:, None]
        inside = np.minimum(np.maximum(x, y), 0)
        distance = np.abs(np.hypot(np.maximum(x, 0), np.maximum(y, 0)) + inside - corner)
        for colour, thickness in ((_WHITE, width), (_GREEN, 0.55 * width)):
            opacity = (255 * np.clip(thickness / 2 + 0.5 - distance, 0, 1)).astype(np.uint8)
            canvas.paste(colour, (left, start, right, stop), PIL.Image.fromarray(opacity))


def _mark_click(
    canvas: PIL.Image.Image, at_xy: tuple[float, float], radius: float, foreground: bool
) -> None:
    """Draw a disc with a white rim: green with a star on the object, red with a bar beside it."""
    side = 2 * math.ceil(radius + 2)
    left, top = math.floor(at_xy[0]) - side // 2, math.floor(at_xy[1]) - side // 2
    x, y = _FINE * (at_xy[0] - left), _FINE * (at_xy[1] - top)
    fine = PIL.Image.new("RGBA", (side * _FINE, side * _FINE))
    pen = PIL.ImageDraw.Draw(fine)
    r = radius * _FINE
    pen.circle((x, y), 1.1 * r, (0, 0, 0, 70))
    pen.circle((x, y), r, _WHITE)
    pen.circle((x, y), 0.8 * r, _GREEN if foreground else _RED)
    if foreground:
        turns = (math.pi * (i / 5 - 0.5) for i in range(10))
        lengths = (0.62 * r, 0.27 * r) * 5
        star = [
            (x + n * math.cos(t), y + n * math.sin(t)) for t, n in zip(turns, lengths, strict=True)
        ]
        pen.polygon(star, _WHITE)
    else:
        pen.rounded_rectangle(
            (x - 0.45 * r, y - 0.13 * r, x + 0.45 * r, y + 0.13 * r), 0.13 * r, _WHITE
        )
    mark = fine.reduce(_FINE)
    canvas.paste(mark, (left, top), mark)

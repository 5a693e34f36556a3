"""Drag-in: what was cut out of one image, placed in another, scaled and turned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import InputError
from anymask.extras.edit.harmonise import harmonised
from anymask.extras.edit.layer import Layer, cut_out, over, shadow_of
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.plain import check_choice, check_number

__all__ = ["BLENDS", "Blend", "PasteConfig", "Pasted", "paste"]

Blend = Literal["alpha", "poisson"]
BLENDS: tuple[Blend, ...] = ("alpha", "poisson")

_LARGEST = 1000.0  # scale
_MARGIN = 2  # transparent pixels around a thing, so that its edge is smooth when it is turned


@dataclass(frozen=True)
class PasteConfig:
    """How a cut-out is placed and blended in."""

    scale: float = 1.0
    """How much larger the thing becomes; 0.5 is half as large."""
    rotate: float = 0.0
    """Degrees by which it is turned, counter-clockwise."""
    blend: Blend = "alpha"
    """alpha: its colours stay, with a soft edge; poisson: its gradients stay, and its colours
    become those around it, which suits what was cut out loosely, with some of its surroundings."""
    shadow: bool = False
    """Let it cast a soft shadow to the right and below."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_number(self, "scale", 0, _LARGEST)
        if self.scale == 0:
            raise InputError("expected a scale above 0, got 0; 1 keeps the size")
        check_number(self, "rotate", -math.inf)
        check_choice(self, "blend", BLENDS)


@dataclass(frozen=True, eq=False)
class Pasted:
    """An image with something pasted into it.

    Attributes:
        image: The image, as large as the one pasted onto.
        alpha: uint8 (h, w), how much of each pixel is the pasted thing: 0 none, 255 all of it.
        shadow: uint8 (h, w), how dark its shadow is: 0 none. Pixels where both are 0 are as they
            were, to the bit.
    """

    image: Image
    alpha: npt.NDArray[np.uint8]
    shadow: npt.NDArray[np.uint8]

    @property
    def masks(self) -> Masks:
        """The pasted thing as one mask of the image: what is at least half it."""
        return Masks.from_dense(self.alpha >= 128)


def paste(
    cut: ImageLike,
    onto: ImageLike,
    *,
    at: Sequence[float],
    mask: Masks | npt.NDArray[np.bool_] | None = None,
    config: PasteConfig | None = None,
    **options: Any,
) -> Pasted:
    """Paste what was cut out of one image into another.

    What reaches over the border is cut off, and no pixel changes outside of the pasted thing and
    its shadow. A transparent image stays one.

    Args:
        cut: The cut-out: an image that is transparent around the thing, such as `Masks.cutout`
            gives and `anymask segment` writes. Or any image, with a mask of the thing.
        onto: The image to paste into; upright, with 8 bits per channel, as `Image.open` gives it.
        at: Where the middle of the thing (of the box round it) goes: x, y in pixels of ``onto``.
            It may lie outside, as long as some of the thing is inside.
        mask: Of ``cut``, what to paste: `Masks`, which count together, or bool (h, w). Its edge
            becomes as soft as ``cut`` shows it, but for ``blend="poisson"``.
        config: How; None: the usual.
        **options: Single settings of `PasteConfig`, such as ``scale=0.5, shadow=True``.

    Raises:
        InputError: Nothing of ``cut`` is transparent and there is no mask; all of it is; the mask
            is of another size, or empty; nothing of the thing would be seen; or a setting is not
            what it should be.

    Examples:
        >>> cut = np.zeros((10, 10, 4), np.uint8)
        >>> cut[3:7, 3:7] = 255  # a white square, transparent around
        >>> pasted = paste(cut, np.zeros((20, 30, 3), np.uint8), at=(8, 6), scale=2)
        >>> pasted.image.size_hw, pasted.masks.areas.tolist()
        ((20, 30), [64])
    """
    settings = _settings(config, options)
    x, y = _checked_place(at)
    photo = Image.open(onto)
    thing = _thing(Image.open(cut), mask, soft=settings.blend == "alpha")
    layer = _placed(thing, x, y, settings, photo.size_hw)
    if settings.blend == "poisson":
        layer = replace(layer, colours=_harmonised(layer, photo))
    shadow = np.zeros(photo.size_hw, np.uint8)
    result = photo
    if settings.shadow:
        cast = shadow_of(layer, photo.size_hw)
        result, shadow = over(result, cast), cast.spread(photo.size_hw)
    return Pasted(over(result, layer), layer.spread(photo.size_hw), shadow)


def _settings(config: PasteConfig | None, options: dict[str, Any]) -> PasteConfig:
    known = PasteConfig.__dataclass_fields__
    for name in options:
        if name not in known:
            raise InputError(
                f"expected settings of pasting, {', '.join(known)}, got {name!r}; leave it out"
            )
    return replace(config or PasteConfig(), **options)


def _checked_place(at: Sequence[float]) -> tuple[float, float]:
    try:
        x, y = (float(value) for value in at)
    except (TypeError, ValueError):
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise InputError(f"expected a place as two numbers, x and y, got {at!r}; try (500, 375)")
    return x, y


def _thing(
    cut: Image, mask: Masks | npt.NDArray[np.bool_] | None, *, soft: bool
) -> PIL.Image.Image:
    """Cut out the thing, RGBA, no larger than it is."""
    if mask is not None:
        shown = PIL.Image.fromarray(cut_out(cut, mask, soft=soft))
    elif cut.alpha is None:
        raise InputError(
            f"expected a cut-out that is transparent around the thing, got {cut}, which is opaque "
            "everywhere; cut the thing out first (anymask segment), or give a mask of it (--mask)"
        )
    else:
        shown = cut.to_pil(alpha=True)
    box = shown.getchannel("A").getbbox()
    if box is None:
        what = "a mask that covers something" if mask is not None else "a cut-out with a thing"
        raise InputError(f"expected {what}, got nothing but transparency; choose another one")
    return shown.crop(box)


def _placed(
    thing: PIL.Image.Image, x: float, y: float, settings: PasteConfig, size_hw: tuple[int, int]
) -> Layer:
    """Scale, turn and place a thing; what is not in the image is cut off."""
    scale, angle = settings.scale, math.fmod(settings.rotate, 360)
    if max(thing.size) * scale < 1:
        raise InputError(
            f"expected a scale that leaves a pixel of the thing, which is {thing.width} x "
            f"{thing.height}, got {scale:g}; choose a larger one"
        )
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in thing.size)
        thing, scale = thing.resize((width, height), PIL.Image.Resampling.LANCZOS), 1.0
    middle = x, y
    if angle % 90 == 0:  # the edge falls between pixels
        thing, angle = thing.rotate(angle, expand=True), 0
        left, top = (
            math.floor(v + 1 - side * scale / 2) for v, side in zip((x, y), thing.size, strict=True)
        )
        middle = left + thing.width * scale / 2 - 0.5, top + thing.height * scale / 2 - 0.5
    if angle == 0 and scale == 1:  # every pixel stays what it is
        whole = left, top, left + thing.width, top + thing.height
        place = _inside(whole, size_hw)
        part = thing.crop((place[0] - left, place[1] - top, place[2] - left, place[3] - top))
    else:
        place = _inside(_turned_box(thing.size, middle, scale, angle), size_hw)
        part = _turned(thing, middle, scale, angle, place)
    pixels = np.asarray(part)
    if not pixels[..., 3].any():
        raise InputError(
            f"expected a place at which some of the thing lies in the {size_hw[1]} x {size_hw[0]} "
            f"image, got {x:g},{y:g}; move it inside (--at)"
        )
    return Layer(place[0], place[1], pixels[..., :3], pixels[..., 3])


def _inside(
    box: tuple[float, float, float, float], size_hw: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Cut a box off at the borders of the image; one that lies outside becomes a pixel wide."""
    height, width = size_hw
    x0, y0 = (
        int(min(max(math.floor(v), 0), n - 1))
        for v, n in zip(box[:2], (width, height), strict=True)
    )
    x1 = int(min(max(math.ceil(box[2]), x0 + 1), width))
    y1 = int(min(max(math.ceil(box[3]), y0 + 1), height))
    return x0, y0, x1, y1


def _turned_box(
    size: tuple[int, int], middle: tuple[float, float], scale: float, angle: float
) -> tuple[float, float, float, float]:
    """Give the box round a thing that is turned about its middle, with a margin."""
    x, y = middle
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    width, height = (side * scale for side in size)
    across = (cos * width + sin * height) / 2 + _MARGIN * scale
    down = (sin * width + cos * height) / 2 + _MARGIN * scale
    return x + 0.5 - across, y + 0.5 - down, x + 0.5 + across, y + 0.5 + down


def _turned(
    thing: PIL.Image.Image,
    middle: tuple[float, float],
    scale: float,
    angle: float,
    place: tuple[int, int, int, int],
) -> PIL.Image.Image:
    """Draw what is seen of a scaled and turned thing in a part of the image."""
    padded = PIL.Image.new("RGBA", (thing.width + 2 * _MARGIN, thing.height + 2 * _MARGIN))
    padded.paste(thing, (_MARGIN, _MARGIN))
    left, top, right, bottom = place
    cos, sin = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale
    # From the middle of the thing in the image, at whole pixels plus a half, back to the thing.
    across, down = left - middle[0] - 0.5, top - middle[1] - 0.5
    back = (
        *(cos, -sin, cos * across - sin * down + padded.width / 2),
        *(sin, cos, sin * across + cos * down + padded.height / 2),
    )
    how = PIL.Image.Transform.AFFINE, back, PIL.Image.Resampling.BICUBIC
    return padded.transform((right - left, bottom - top), *how)


def _harmonised(layer: Layer, photo: Image) -> npt.NDArray[np.uint8]:
    """Give a layer the light of what is around it."""
    behind = photo.pixels if photo.straight is None else photo.straight
    counts = np.ones(layer.alpha.shape, np.bool_)
    if photo.alpha is not None:
        counts = photo.alpha[layer.window] > 0
    inside = np.pad(layer.alpha >= 128, 1)
    # Beyond the border of the image a thing goes on; elsewhere it ends with its layer.
    rows, columns = layer.window
    height, width = photo.size_hw
    for side, at_border in (
        (np.s_[0], rows.start == 0),
        (np.s_[-1], rows.stop == height),
        (np.s_[:, 0], columns.start == 0),
        (np.s_[:, -1], columns.stop == width),
    ):
        if at_border:
            inside[side] = np.pad(layer.alpha >= 128, 1, mode="edge")[side]
    return harmonised(layer.colours, inside, behind[layer.window], counts)

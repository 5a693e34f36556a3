"""Everyday edits: another background, another colour of the thing, or both."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageColor
import PIL.ImageFilter
import PIL.ImageOps

from anymask.errors import InputError
from anymask.extras.edit.layer import cut_out
from anymask.extras.edit.recolour import Tint
from anymask.extras.inpaint.region import smooth_fill
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.plain import check_number

__all__ = ["WORDS", "EditConfig", "colour_of", "edit", "is_image", "open_background"]

Pixels = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

WORDS = ("blur", "grey", "transparent")
"""What a background can be, beside a colour or an image."""

_BLUR = 0.015  # of the longer side
_STRIP = 256  # rows at a time, which bounds the memory
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_FINE = 4.0  # pixels: a blur of more is made at a smaller size


@dataclass(frozen=True)
class EditConfig:
    """What becomes of the thing and of its background; at least one of both."""

    background: ImageLike | None = None
    """blur, grey (the image without its colours) or transparent; a colour such as white or #808080;
    or an image, which is cropped
    to the same proportions and scaled to cover everything."""
    colour: str | None = None
    """Another colour for the thing, such as red or #c02040. Its light and shade stay."""
    blur: float | None = None
    """How strong the blur is: its standard deviation in pixels. Without it, 1.5 % of the image's
    longer side."""
    hard_edges: bool = False
    """Take the mask as it is, instead of an edge as soft as the image shows it."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.background is None and self.colour is None:
            raise InputError(
                "expected a background or a colour, got neither; try --background blur"
            )
        _check_background(self.background)
        if self.colour is not None and colour_of(self.colour) is None:
            raise InputError(
                f"expected a colour for the thing, got {self.colour!r}; write a name such as red, "
                "or #rrggbb"
            )
        if self.blur is not None:
            check_number(self, "blur", 0)
            if self.background != "blur":
                raise InputError(
                    "expected a strength of the blur along with the background blur, got another "
                    "background; leave one of them out"
                )


def edit(
    image: ImageLike,
    masks: Masks | npt.NDArray[np.bool_] | None = None,
    *,
    config: EditConfig | None = None,
    **options: Any,
) -> Image:
    """Change the background of a thing, its colour, or both.

    Args:
        image: What `Image.open` takes.
        masks: The thing: `Masks` of the image, which count together, or bool (h, w). None: the
            main subject, which the bundled model finds.
        config: What to do; or
        **options: the settings of `EditConfig`, such as ``background="blur"``.

    Returns:
        The image, of the same size. All that is the thing for sure keeps its pixels, unless it gets
        another colour; all that is background for sure, unless that is changed. A transparent image
        stays one, unless its background becomes a colour or an image.

    Raises:
        InputError: The masks do not fit the image, cover nothing, or leave no background to change;
            no main subject is found; or a setting is not what it should be.

    Examples:
        >>> photo = np.full((40, 60, 3), (40, 120, 200), np.uint8)
        >>> mask = np.zeros((40, 60), bool)
        >>> photo[10:30, 20:40], mask[10:30, 20:40] = (200, 30, 30), True
        >>> grey = edit(photo, mask, background="grey")
        >>> grey.pixels[0, 0].tolist(), grey.pixels[20, 30].tolist()
        ([105, 105, 105], [200, 30, 30])
        >>> edit("photo.jpg", background="blur").save("sharp.png")  # doctest: +SKIP
    """
    known = EditConfig.__dataclass_fields__
    for name in options:
        if name not in known:
            raise InputError(
                f"expected settings of editing, {', '.join(known)}, got {name!r}; leave it out"
            )
    settings = replace(config, **options) if config is not None else EditConfig(**options)
    photo = Image.open(image)
    return _edited(photo, _subject(photo) if masks is None else masks, settings)


def colour_of(text: str) -> tuple[int, int, int] | None:
    """Read a colour as CSS writes it: RGB of 0 to 255; None: it is none, or not opaque.

    Examples:
        >>> colour_of("#ff8000"), colour_of("white"), colour_of("photo.jpg")
        ((255, 128, 0), (255, 255, 255), None)
    """
    try:
        red, green, blue, *alpha = PIL.ImageColor.getrgb(text.strip())
    except (ValueError, AttributeError):
        return None
    return None if alpha not in ([], [255]) else (red, green, blue)


def is_image(background: ImageLike | None) -> bool:
    """Return whether a background is an image, neither a word nor a colour."""
    if not isinstance(background, str):
        return background is not None
    return background not in WORDS and colour_of(background) is None


def open_background(background: ImageLike) -> Image:
    """Open a background that is an image."""
    if isinstance(background, str | os.PathLike):
        background = Path(background).expanduser()
    return Image.open(background)


# ------------------------------------------------------------------------- inside


def _check_background(background: ImageLike | None) -> None:
    if not isinstance(background, str) or not is_image(background):
        return
    if not Path(background).expanduser().is_file():
        raise InputError(
            f"expected a background out of {', '.join(WORDS)}, a colour or the path of an image, "
            f"got {background!r}; check the spelling"
        )


def _subject(photo: Image) -> Masks:
    from anymask.predict.loading import load

    found: Masks = load().subject(photo)
    if not len(found):
        raise InputError(
            "expected an image with a main subject, got one without; say what is meant by masks"
        )
    return found


def _edited(photo: Image, masks: Masks | npt.NDArray[np.bool_], settings: EditConfig) -> Image:
    straight = photo.pixels if photo.straight is None else photo.straight
    cut = cut_out(Image(straight), masks, soft=not settings.hard_edges)
    thing, cover = cut[..., :3], cut[..., 3]
    if not cover.any():
        raise InputError("expected a mask that covers something, got an empty one; draw it again")
    if settings.background is not None and (cover == 255).all():
        raise InputError(
            "expected a mask that leaves some background to change, got one of the whole image; "
            "cover the thing only"
        )
    tint = None
    if settings.colour is not None:
        rgb = colour_of(settings.colour)
        assert rgb is not None
        tint = Tint.of(thing[cover >= 128] if (cover >= 128).any() else thing[cover > 0], rgb)
    word = settings.background if isinstance(settings.background, str) else None
    if word == "transparent":
        return _cut_free(photo, thing, cover, tint)
    behind = _behind(settings, straight, cover)
    below = None if photo.alpha is None else photo.alpha
    replaced = settings.background is not None and word not in WORDS
    share = cover if below is None or not replaced else _times(cover, below)
    colours = _mixed(straight, thing, cover, share, behind, tint, grey=word == "grey")
    if below is None or replaced:
        return Image(colours, photo.source, geo=photo.geo)
    return _laid(photo, colours, below)


def _mixed(
    straight: Pixels,
    thing: Pixels,
    cover: Pixels,
    share: Pixels,
    behind: Pixels | None,
    tint: Tint | None,
    *,
    grey: bool,
) -> Pixels:
    """Put the thing, as it is to be, over its background, as it is to be.

    Args:
        straight: The image.
        thing: The thing's own colours, without what its edge shows of the background.
        cover: How much of each pixel is the thing.
        share: How much of each pixel of the result is to be.
        behind: The new background; None: what was there beside the thing, or its ``grey``.
        tint: The thing's new colour.
        grey: Whether the background becomes grey.
    """
    result = straight.copy()
    for top in range(0, len(result), _STRIP):
        rows = slice(top, top + _STRIP)
        part = share[rows][..., None].astype(np.float32) / 255
        own = thing[rows].astype(np.float32)
        if behind is None:
            rest = np.maximum(straight[rows] - cover[rows][..., None] / np.float32(255) * own, 0)
            rest = np.repeat((rest @ _LUMA)[..., None], 3, 2) if grey else rest
        else:
            rest = behind[rows] * (1 - part)
        new = own if tint is None else tint.apply(own)
        mixed = np.clip(np.rint(new * part + rest), 0, 255).astype(np.uint8)
        untouched = (share[rows] == 255) if tint is None else np.zeros(mixed.shape[:2], np.bool_)
        if behind is None and not grey:
            untouched |= share[rows] == 0
        result[rows] = np.where(untouched[..., None], straight[rows], mixed)
    return result


def _behind(settings: EditConfig, straight: Pixels, cover: Pixels) -> Pixels | None:
    """Make the new background; None: it is made of what is there, pixel by pixel."""
    background = settings.background
    if background is None or (isinstance(background, str) and background == "grey"):
        return None
    if isinstance(background, str) and background == "blur":
        sigma = _BLUR * max(cover.shape) if settings.blur is None else settings.blur
        return _blurred(straight, cover, sigma)
    colour = colour_of(background) if isinstance(background, str) else None
    if colour is not None:
        return np.broadcast_to(np.array(colour, np.uint8), straight.shape)
    size = cover.shape[1], cover.shape[0]
    picture = open_background(background).to_pil()
    return np.asarray(PIL.ImageOps.fit(picture, size, PIL.Image.Resampling.LANCZOS))


def _blurred(straight: Pixels, cover: Pixels, sigma: float) -> Pixels:
    """Blur what is beside the thing, as if the thing were not there, or it would have a halo."""
    height, width = cover.shape
    step = max(1, int(sigma / _FINE))
    small = max(1, math.ceil(width / step)), max(1, math.ceil(height / step))
    beside = PIL.Image.fromarray(np.dstack([straight, 255 - cover]))
    if step > 1:
        beside = beside.resize(small, PIL.Image.Resampling.BOX)
    pixels = np.asarray(beside)
    seen = pixels[..., 3] >= 128
    if not seen.any():
        seen = pixels[..., 3] > 0
    filled = np.clip(np.rint(smooth_fill(pixels[..., :3], seen)), 0, 255).astype(np.uint8)
    blur = PIL.Image.fromarray(filled).filter(PIL.ImageFilter.GaussianBlur(sigma / step))
    return np.asarray(blur.resize((width, height), PIL.Image.Resampling.BICUBIC))


def _cut_free(photo: Image, thing: Pixels, cover: Pixels, tint: Tint | None) -> Image:
    """Make all but the thing transparent."""
    colours = thing
    if tint is not None:
        colours = np.rint(tint.apply(thing.astype(np.float32))).astype(np.uint8)
    alpha = cover if photo.alpha is None else _times(cover, photo.alpha)
    colours = np.where(alpha[..., None] > 0, colours, np.uint8(0))
    return replace(Image.open(np.dstack([colours, alpha])), source=photo.source, geo=photo.geo)


def _laid(photo: Image, colours: Pixels, alpha: Pixels) -> Image:
    """Give a transparent image other colours; pixels that keep theirs look as they did."""
    share = alpha[..., None].astype(np.float32) / 255
    laid = np.rint(colours * share + 255 * (1 - share)).astype(np.uint8)
    same = (colours == photo.straight).all(axis=2, keepdims=True)
    return replace(photo, pixels=np.where(same, photo.pixels, laid), straight=colours)


def _times(a: Pixels, b: Pixels) -> Pixels:
    product = (a.astype(np.uint16) * b + 127) // 255
    return product.astype(np.uint8)

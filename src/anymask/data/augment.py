"""Augmentation that keeps masks with their pixels: warped crops, pasted objects, other light.

Those that make one sample of another are what `anymask.data.item.Items` takes. Everything else
works on plain arrays: an image uint8 (h, w, 3) and its layers of label maps stacked to int32
(layers, h, w), 0 = unknown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from anymask.data.dataset import Sample
from anymask.optional import optional

__all__ = [
    "change_light",
    "cropped",
    "mirrored",
    "paste_object",
    "paste_shapes",
    "vary",
    "warped_crop",
]


def vary(sample: Sample, rng: np.random.Generator, side: int = 1024) -> Sample:
    """Change a sample as if it were another image of the same things, by another camera.

    Args:
        sample: The image and its layers.
        rng: Random generator.
        side: Height and width of the result in pixels. Most of it shows the image, between a little
            smaller than if all of it fitted in, and nearly twice as large.
    """
    fitting = side / max(sample.image.shape[:2])
    part = cropped(sample, rng, side, (0.9 * fitting, 1.8 * fitting))
    return replace(part, image=change_light(part.image, rng))


def cropped(
    sample: Sample, rng: np.random.Generator, side: int, zoom: tuple[float, float] = (0.45, 1.8)
) -> Sample:
    """Take a square out of a sample, see `warped_crop`; what lies beyond the image is void."""
    nothing = np.zeros(sample.image.shape[:2], np.bool_)
    known = ~(nothing if sample.void is None else sample.void)
    whole = replace(sample, layers=(*sample.layers, known))
    image, maps = warped_crop(whole, side, rng, zoom)
    layers = tuple(layer.astype(np.uint16) for layer in maps[:-1])
    return replace(sample, image=image, layers=layers, void=maps[-1] == 0, names=())


def mirrored(sample: Sample, rng: np.random.Generator) -> Sample:
    """Swap left and right in every other sample."""
    if rng.random() < 0.5:
        return sample
    layers = tuple(layer[:, ::-1] for layer in sample.layers)
    void = None if sample.void is None else sample.void[:, ::-1]
    return replace(sample, image=sample.image[:, ::-1], layers=layers, void=void)


def warped_crop(
    sample: Sample,
    side: int,
    rng: np.random.Generator,
    zoom: tuple[float, float] = (0.45, 1.8),
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a square out of a sample, scaled, turned, squeezed and mirrored at random, in one warp.

    Args:
        sample: The image and its layers.
        side: Height and width of the result in pixels.
        rng: Random generator.
        zoom: Least and most magnification, drawn evenly on a logarithmic scale.

    Returns:
        Image uint8 (side, side, 3) and layers int32 (n, side, side); beyond the image's edge both
        are 0.
    """
    cv2 = optional("cv2", extra="image")
    h, w = sample.image.shape[:2]
    matrix = _crop_matrix(h, w, side, rng, zoom)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    image = sample.image
    if scale < 0.6:  # a warp samples single pixels: blur first what shrinks a lot
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    grey = tuple(float(v) for v in (124, 116, 104))
    image = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=grey)
    layers = [
        cv2.warpAffine(layer.astype(np.float32), matrix, (side, side), flags=cv2.INTER_NEAREST)
        for layer in sample.layers
    ]
    return image, np.stack(layers).astype(np.int32)


def _crop_matrix(
    h: int, w: int, side: int, rng: np.random.Generator, zoom: tuple[float, float]
) -> np.ndarray:
    """Map image pixels to crop pixels: (2, 3). Small zooms stop where the image fills the crop."""
    least = max(zoom[0], 0.9 * side / max(h, w))
    scale = np.exp(rng.uniform(np.log(least), np.log(max(least, zoom[1]))))
    squeeze = np.exp(rng.uniform(-0.15, 0.15))
    angle = rng.normal(0, 0.12) if rng.random() < 0.4 else 0.0
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirror * scale * squeeze, scale / squeeze])
    reach = side / scale / 2  # half the crop's side in image pixels
    centre = [
        rng.uniform(reach, extent - reach) if extent > 2 * reach else extent / 2 + rng.normal(0, 8)
        for extent in (w, h)
    ]
    offset = np.array([side / 2, side / 2]) - linear @ np.array(centre)
    return np.concatenate([linear, offset[:, None]], axis=1)


def paste_object(
    image: np.ndarray,
    layers: np.ndarray,
    donor: np.ndarray,
    donor_mask: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Paste a masked object of another crop over this one; it becomes a mask of every layer.

    Args:
        image: uint8 (s, s, 3).
        layers: int32 (n, s, s).
        donor: Image to take the object from, uint8 (s, s, 3).
        donor_mask: Its pixels, bool (s, s).
        rng: Random generator.
    """
    dx, dy = (int(v) for v in rng.integers(-image.shape[0] // 3, image.shape[0] // 3, 2))
    donor = np.roll(donor, (dy, dx), (0, 1))
    mask = _shifted(donor_mask, dy, dx)
    return _paste(image, layers, donor, mask)


def paste_shapes(
    image: np.ndarray, layers: np.ndarray, texture: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Lay one to three ellipses or polygons over a crop, plain or filled with another's texture."""
    cv2 = optional("cv2", extra="image")
    side = image.shape[0]
    for _ in range(int(rng.integers(1, 4))):
        canvas = np.zeros((side, side), np.uint8)
        centre = rng.uniform(0, side, 2)
        size = side * np.exp(rng.uniform(np.log(0.03), np.log(0.3)))
        if rng.random() < 0.5:
            axes = tuple(int(max(2, size * rng.uniform(0.4, 1))) for _ in range(2))
            middle = (int(centre[0]), int(centre[1]))
            cv2.ellipse(canvas, middle, axes, rng.uniform(0, 180), 0, 360, 1, -1)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
            rays = size * rng.uniform(0.4, 1, len(angles))
            corners = centre + rays[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
            cv2.fillPoly(canvas, [corners.astype(np.int32)], 1)
        fill = texture
        if rng.random() < 0.5:
            colour = rng.integers(0, 256, 3)
            fill = np.clip(colour + rng.normal(0, rng.uniform(0, 20), image.shape), 0, 255)
        image, layers = _paste(image, layers, fill.astype(np.uint8), canvas.astype(bool))
    return image, layers


def _paste(
    image: np.ndarray, layers: np.ndarray, donor: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    cv2 = optional("cv2", extra="image")
    soft = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0)[..., None]  # no razor-sharp seam
    image = (image * (1 - soft) + donor * soft + 0.5).astype(np.uint8)
    layers = np.where(mask[None], layers.max() + 1, layers)
    return image, layers


def _shifted(mask: np.ndarray, dy: int, dx: int) -> np.ndarray:
    rolled = np.roll(mask, (dy, dx), (0, 1))
    h, w = mask.shape
    rolled[: max(dy, 0)] = False
    rolled[h + min(dy, 0) :] = False
    rolled[:, : max(dx, 0)] = False
    rolled[:, w + min(dx, 0) :] = False
    return rolled


def change_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary an image's brightness, contrast, colour, sharpness, noise and JPEG quality."""
    cv2 = optional("cv2", extra="image")
    out: Any = image
    if rng.random() < 0.8:
        hsv = cv2.cvtColor(out, cv2.COLOR_RGB2HSV).astype(np.float32)
        hsv[..., 0] = (hsv[..., 0] + rng.normal(0, 6)) % 180
        hsv[..., 1] *= rng.uniform(0.5, 1.5)
        hsv[..., 2] = 255 * (hsv[..., 2] / 255) ** np.exp(rng.normal(0, 0.3))
        hsv[..., 2] = (hsv[..., 2] - 128) * rng.uniform(0.7, 1.3) + 128 + rng.normal(0, 15)
        hsv[..., 1:] = np.clip(hsv[..., 1:], 0, 255)
        out = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    if rng.random() < 0.1:
        out = np.repeat(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.15:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 12), out.shape)
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        out = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(out)

"""The masks of a frame: given, in files, or found by a model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from anymask import formats
from anymask.errors import InputError
from anymask.extras.given_masks import GivenMasks
from anymask.image.image import Image
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter

__all__ = ["Finder", "MaskSource", "finder"]

MaskSource: TypeAlias = "Masks | str | os.PathLike[str] | None"
Finder: TypeAlias = "Callable[[Image, str], Masks]"
"""Gives the masks of an image, whose frame has a name, in the size of this image."""

_COCO = "annotations.json"  # what a run over a folder calls the file for all images
_ENDINGS = (".json", ".png")


def finder(source: MaskSource, model: Segmenter | str, *, several: bool) -> Finder:
    """Make what finds the masks of each frame.

    Args:
        source: Masks of one image; a file of masks, for several frames in COCO's layout; a folder
            of files named like the images, as `anymask everything` writes it; None: the model
            finds everything.
        model: Or the name of one, loaded once it is needed.
        several: Whether there are several frames. Their masks may have the size that images had
            before they were scaled down to that of the depth.

    Raises:
        InputError: There is no such file or folder, or it has the masks of one frame only.
    """
    if isinstance(source, Masks):
        if several:
            raise InputError(
                "expected masks for each of several frames, got those of one; name a folder of "
                "files, or give Frame(masks=...)"
            )
        return lambda image, name: source
    if source is not None:
        path = Path(source)
        if not path.exists():
            raise InputError(f"expected masks at {str(path)!r}, got no such file; check the name")
        if several:
            return lambda image, name: fit(_read(path, image, name, several=True), image)
        return lambda image, name: _read(path, image, name, several=False)
    return _Everything(model)


def fit(masks: Masks, image: Image) -> Masks:
    """Bring masks to the size of an image with the same proportions.

    Raises:
        InputError: The proportions are others.
    """
    (h, w), (mask_h, mask_w) = image.size_hw, masks.size_hw
    if (h, w) == (mask_h, mask_w):
        return masks
    # Only within half a pixel of equal proportions, or of ScanNet's 1296 x 968 to 640 x 480.
    if abs(mask_w * h / (mask_h * w) - 1) > 0.01 or mask_h < h:
        raise InputError(
            f"expected masks of {w} x {h} pixels, got {mask_w} x {mask_h}; give those of this image"
        )
    rows = ((np.arange(h) + 0.5) * mask_h / h).astype(int)
    columns = ((np.arange(w) + 0.5) * mask_w / w).astype(int)
    dense = np.zeros((len(masks), h, w), np.bool_)
    for i, mask in enumerate(masks):
        dense[i] = mask.dense()[0][np.ix_(rows, columns)]
    return Masks.from_dense(dense, labels=masks.labels, source=masks.source)


def _read(path: Path, image: Image, name: str, *, several: bool) -> Masks:
    image_name = Path(image.source or name).name
    if not path.is_dir():
        if several:  # which must be named there, even if it is the only one
            return formats.read(path, "coco", file_name=image_name)
        return GivenMasks(path).of(image)
    for stem in dict.fromkeys((name, Path(image_name).stem, image_name)):
        for ending in _ENDINGS:
            if (found := path / f"{stem}{ending}").is_file():
                return formats.read(found)
    if (together := path / _COCO).is_file():
        return formats.read(together, "coco", file_name=image_name)
    raise InputError(
        f"expected masks of frame {name!r} in {str(path)!r}, got no {name}.json or {name}.png; "
        "make them: anymask everything"
    )


class _Everything:
    """Finds everything, by a model that is loaded at the first image."""

    def __init__(self, model: Segmenter | str) -> None:
        self._model: Any = model

    def __call__(self, image: Image, name: str) -> Masks:
        from anymask.predict import loading

        if isinstance(self._model, str):
            self._model = loading.load(self._model)
        found: Masks = self._model.generate(image)
        return found

"""Everything in an image, with its depth."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from anymask.extras.depth.depth_map import DepthMap
from anymask.extras.depth.files import DepthFile, Kind
from anymask.extras.depth.measure import Measured, measure
from anymask.extras.depth.network import DEFAULT, Estimator
from anymask.extras.depth.sources import find_depth
from anymask.image.image import Image, ImageLike

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter

__all__ = ["everything"]


def everything(
    image: ImageLike,
    depth: DepthMap | Estimator | DepthFile = DEFAULT,
    *,
    depth_kind: Kind | None = None,
    depth_scale: float | None = None,
    model: str | os.PathLike[str] | Segmenter = "bundled",
    **options: Any,
) -> Measured:
    """Find everything in an image and measure it, as ``anymask everything --depth`` does.

    The image is decoded once, for the masks and for its depth.

    Args:
        image: What `Image.open` takes.
        depth: Its depth: a `DepthMap`, an array or a file; or who estimates it: an `Estimator`, or
            what `load` takes.
        depth_kind: What the numbers of a file mean, see `DepthMap.open`.
        depth_scale: How many of a file's units are a metre.
        model: What finds the masks: what `anymask.load` returned, or takes.
        **options: Of `Segmenter.generate`, such as ``min_area=500``.

    Returns:
        The masks with their depth, their order from near to far, and who hides whom; `draw` makes
        the usual picture of it.

    Raises:
        InputError: Image or depth cannot be read, or have different proportions.
        WeightsError: A model cannot be found.
        MissingExtraError: The depth is to be estimated, and transformers is not installed.

    Examples:
        >>> import numpy as np
        >>> photo = np.full((48, 64, 3), 30, np.uint8)
        >>> photo[10:30, 20:40] = (250, 180, 20)
        >>> metres = np.where(photo[..., 0] > 99, 2.0, 5.0)
        >>> found = everything(photo, metres, points_per_side=4)
        >>> found.depths[found.order[0]].median
        2.0
        >>> everything("photo.jpg", "photo-depth.png").masks.save("photo.json")  # doctest: +SKIP
    """
    photo = Image.open(image)
    source = find_depth(depth, kind=depth_kind, scale=depth_scale)
    if isinstance(model, str | os.PathLike):
        from anymask.predict.loading import load

        model = load(model)
    return measure(source.of(photo), model.generate(photo, **options))

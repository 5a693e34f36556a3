"""Classical tools that take the same prompts, to be measured beside a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from anymask.optional import optional

__all__ = ["felzenszwalb", "felzenszwalb_maps", "grabcut"]

BoolArray = npt.NDArray[np.bool_]

_SCALES = (100, 300, 1000)
_SMOOTHING, _SMALLEST = 0.8, 50
_ROUNDS = 5
_PIXELS_NEEDED = 6  # to learn five colours of the background from


def felzenszwalb(
    image: npt.NDArray[np.uint8], clicks_xy: Sequence[tuple[float, float]]
) -> list[BoolArray]:
    """Predict the regions under each click.

    Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, as
    scikit-image has it.

    Args:
        image: (h, w, 3), RGB.
        clicks_xy: Points of the image.

    Returns:
        For each click (3, h, w): its region at the scales 100, 300 and 1000.
    """
    maps = felzenszwalb_maps(image, _SCALES)
    return [
        np.stack([regions == regions[int(y), int(x)] for regions in maps]) for x, y in clicks_xy
    ]


def felzenszwalb_maps(
    image: npt.NDArray[np.uint8], scales: Sequence[float]
) -> list[npt.NDArray[np.int64]]:
    """Divide an image into regions, once for each scale: larger ones for larger scales.

    Args:
        image: (h, w, 3), RGB.
        scales: What scikit-image calls so, k of the paper for colours up to 255.

    Returns:
        A label map (h, w) for each scale, of regions of at least 50 pixels.
    """
    segmentation = optional("skimage.segmentation", extra="eval")
    return [
        segmentation.felzenszwalb(image, scale=scale, sigma=_SMOOTHING, min_size=_SMALLEST)
        for scale in scales
    ]


def grabcut(image: npt.NDArray[np.uint8], box: npt.ArrayLike) -> BoolArray:
    """Predict what GrabCut finds in a box after five rounds.

    Rother, Kolmogorov and Blake, "GrabCut", SIGGRAPH 2004, as OpenCV has it. A box that leaves no
    background to learn from is its own prediction.

    Args:
        image: (h, w, 3), RGB.
        box: xyxy, running round the pixels.

    Returns:
        (h, w).
    """
    cv2 = optional("cv2", extra="image")
    x0, y0, x1, y1 = np.rint(np.asarray(box)).astype(int)
    marks = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    marks[y0:y1, x0:x1] = cv2.GC_PR_FGD
    inside = marks == cv2.GC_PR_FGD
    if inside.any() and np.count_nonzero(~inside) >= _PIXELS_NEEDED:
        colours = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        bgr = np.ascontiguousarray(image[..., ::-1])
        cv2.grabCut(bgr, marks, None, *colours, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found: BoolArray = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return found

"""The names of the original ``segment_anything`` package, and of MobileSAM's copy of it.

A script that was written for them runs on anymask after its imports are changed:

    from segment_anything import SamPredictor, sam_model_registry   # before
    from anymask.compat import SamPredictor, sam_model_registry     # after

Modules, names, arguments, defaults, shapes and dtypes are the original's, so are its frames and
orders: masks in the network's slots, boxes of records as xywh. New code is better off with
`anymask.load`, whose values check themselves. What differs is listed in ``docs/compat.md``.
"""

from __future__ import annotations

from anymask.compat.automatic_mask_generator import SamAutomaticMaskGenerator
from anymask.compat.build_sam import (
    build_sam,
    build_sam_vit_b,
    build_sam_vit_h,
    build_sam_vit_l,
    build_sam_vit_t,
    sam_model_registry,
)
from anymask.compat.modeling import Sam
from anymask.compat.predictor import NoImageError, SamPredictor
from anymask.compat.utils.onnx import SamOnnxModel
from anymask.compat.utils.transforms import ResizeLongestSide

__all__ = [
    "NoImageError",
    "ResizeLongestSide",
    "Sam",
    "SamAutomaticMaskGenerator",
    "SamOnnxModel",
    "SamPredictor",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "build_sam_vit_t",
    "sam_model_registry",
]

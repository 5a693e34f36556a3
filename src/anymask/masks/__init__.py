"""The masks of one image, how each is written, and how they relate to each other.

`masks` is the value that everything else hands round; `rle`, `polygon` and `label_map` are three
ways to write a mask down; `overlap` and `tree` compare masks of one image. `enlarge` makes masks of
the small answers of a model, tile by tile (`axis`).
"""

from anymask.masks.masks import Masks

__all__ = ["Masks"]

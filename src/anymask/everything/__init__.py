"""Everything mode: a mask for each thing in an image, without a prompt.

`generate` searches one image, `tiled` one that is larger than memory; `sampling` says where the
model is prompted and `search` what becomes of its answers. The others are their tools: how whole a
mask is (`wholeness`, `neighbours`), and tiles laid out (`grid`), joined (`stitch`) and complemented
by a look at the whole (`overview`).
"""

from anymask.everything.generate import generate
from anymask.everything.tiled import generate_tiled

__all__ = ["generate", "generate_tiled"]

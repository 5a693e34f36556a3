"""Inpainting: remove a thing from an image, put another one there, or replace its background.

`paint` is the verb. `region` says where to paint: a mask that grows, with a soft edge, and the part
of the image around it. `engine` is the protocol of what paints there, and `find` finds one;
`classical`, `lama` and `diffusion` are engines. `job` does it for a folder of images.
"""

from anymask.extras.inpaint.engine import Engine, Request
from anymask.extras.inpaint.find import find_engine
from anymask.extras.inpaint.paint import InpaintConfig, inpaint

__all__ = ["Engine", "InpaintConfig", "Request", "find_engine", "inpaint"]

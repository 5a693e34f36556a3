"""Depth: how far away what masks cover is, what lies in front of what, and how flat it is.

`depth_map` is the value, `files` and `exr` read it, `colour_map` and `picture` draw it. `network`
estimates it from an image. `measure` joins it with masks: numbers for each, their order, hints of
who hides whom, and `things` finds the masks, too. `session` is the click loop, `job` does it for a
folder of images.
"""

from anymask.extras.depth.depth_map import DepthMap
from anymask.extras.depth.measure import MaskDepth, Measured, Occlusion, measure
from anymask.extras.depth.network import Estimator, estimate, load
from anymask.extras.depth.picture import draw
from anymask.extras.depth.session import Reading, Session
from anymask.extras.depth.things import everything

__all__ = [
    "DepthMap",
    "Estimator",
    "MaskDepth",
    "Measured",
    "Occlusion",
    "Reading",
    "Session",
    "draw",
    "estimate",
    "everything",
    "load",
    "measure",
]

"""From images with depth and masks to labelled points in space, of one frame or of many."""

from anymask.extras.lift.frame import Frame
from anymask.extras.lift.merge import MergeConfig, merge, refine, transfer
from anymask.extras.lift.point_cloud import PointCloud
from anymask.extras.lift.sam3d_objects import write_sam3d_objects
from anymask.extras.lift.scene import Scene, lift

__all__ = [
    "Frame",
    "MergeConfig",
    "PointCloud",
    "Scene",
    "lift",
    "merge",
    "refine",
    "transfer",
    "write_sam3d_objects",
]

"""From images with depth and masks to labelled points in space, of one frame or of many."""

from anymask.extras.lift.frame import Frame
from anymask.extras.lift.lifting import lift
from anymask.extras.lift.merge import MergeConfig, merge, refine, transfer
from anymask.extras.lift.point_cloud import PointCloud
from anymask.extras.lift.sam3d_objects import write_sam3d_objects
from anymask.extras.lift.scene import Scene
from anymask.extras.lift.surface import label_scan

__all__ = [
    "Frame",
    "MergeConfig",
    "PointCloud",
    "Scene",
    "label_scan",
    "lift",
    "merge",
    "refine",
    "transfer",
    "write_sam3d_objects",
]

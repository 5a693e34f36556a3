"""Layers that the parts of SAM share."""

from anymask.models.layers import MLP as MLPBlock
from anymask.models.layers import LayerNorm2d

__all__ = ["LayerNorm2d", "MLPBlock"]

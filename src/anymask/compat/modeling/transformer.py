"""The two-way transformer of the mask decoder, for scripts that look for its layers."""

from anymask.models.two_way import Attention, TwoWayTransformer
from anymask.models.two_way import TwoWayBlock as TwoWayAttentionBlock

__all__ = ["Attention", "TwoWayAttentionBlock", "TwoWayTransformer"]

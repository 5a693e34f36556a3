"""Weights: find them, read them without running anything, and fill a network with them."""

from __future__ import annotations

from anymask.models.build import build
from anymask.models.weights.loading import cache_dir, fill, load_network, read_state, recognise

__all__ = ["build", "cache_dir", "fill", "load_network", "read_state", "recognise"]

"""Weights: find them, read them without running anything, and fill a network with them.

    locate      a name, path, address or hub id -> a file or folder (download.py, hub.py)
    read        a file or folder -> tensors by key (files.py, pickles.py, folder.py)
    load        tensors -> the variant they belong to, and its network (loading.py, filling.py)
    adapt       what a network learned beside its weights, to a file and back (adapters.py)

A file is read by what is in it: safetensors, or a PyTorch file of any age. Nothing in it is run.
"""

from __future__ import annotations

from anymask.models.build import build
from anymask.models.weights.files import read_state
from anymask.models.weights.filling import fill
from anymask.models.weights.loading import load_network, recognise

__all__ = ["build", "fill", "load_network", "read_state", "recognise"]

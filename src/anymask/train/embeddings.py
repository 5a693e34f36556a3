"""Embeddings of many images, worked out by all processes of a run together."""

from __future__ import annotations

import os

from rich.console import Console

from anymask.data.dataset import Dataset
from anymask.data.embeddings import EmbeddingStore, fill
from anymask.predict.segmenter import Segmenter
from anymask.train.run.distributed import Group

__all__ = ["fill_together"]


def fill_together(
    folder: str | os.PathLike[str], model: Segmenter, data: Dataset, group: Group, *, quiet: bool
) -> EmbeddingStore:
    """Fill a store with all processes of a group, show how it goes, and open it.

    Args:
        folder: The store; made when missing.
        model: Whose encoder looks at the images.
        data: Its keys name the images in the store.
        group: Who shares the work.
        quiet: Show nothing.

    Raises:
        InputError: As for `fill`.
        OutputError: As for `fill`.
    """
    with Console(stderr=True, quiet=quiet or not group.leads).status("encoding") as status:
        for done in fill(folder, model, data, group.process, group.processes):
            status.update(f"encoding images: {done * group.processes} of {len(data)}")
    group.gather(None)  # wait for the others
    return EmbeddingStore(folder, model)

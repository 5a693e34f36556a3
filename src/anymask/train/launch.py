"""What fine-tuning and distillation share: options, the identity of a run, and the run itself."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from torch import nn

from anymask.data.dataset import Dataset
from anymask.data.stream import ByPosition, Stream
from anymask.plain import to_plain
from anymask.train.config import LoopConfig
from anymask.train.loop import fit
from anymask.train.objective import Objective, SaveModel, Validation
from anymask.train.report import Report, read_validations

__all__ = ["MAX_VAL_IMAGES", "RunOptions", "Split", "identity_of", "launch"]

MAX_VAL_IMAGES = 40
"""Images that a model is validated on at most; more make it slow, and the result hardly surer."""


class RunOptions(TypedDict, total=False):
    """What a run does about downloads, an earlier run and progress; all are False by default."""

    offline: bool
    """Download no weights."""
    allow_changes: bool
    """Go on even if the settings are others than before."""
    overwrite: bool
    """Forget an earlier run in the folder."""
    quiet: bool
    """Show no progress."""


class Split(NamedTuple):
    """The images of a run."""

    train: Dataset
    """To learn from."""
    val: Dataset
    """To validate on; may be none."""


def identity_of(
    config: object, split: Split, found: Mapping[str, Any], free: Collection[str] = ()
) -> dict[str, Any]:
    """Describe all that decides how a run goes, as plain values.

    Args:
        config: The settings; those of the loop are left out, for the loop adds them.
        split: The images.
        found: What else the settings led to, such as the weights.
        free: Settings that decide nothing.
    """
    settings = {k: v for k, v in to_plain(config).items() if k not in ("loop", *free)}
    keys = [[data.key(i) for i in range(len(data))] for data in split]
    images = {
        "train_images": len(split.train),
        "val_images": len(split.val),
        "images": f"{zlib.crc32(json.dumps(keys).encode()):08x}",
    }
    return {**settings, "found": {**found, **images}}


def launch(
    network: nn.Module,
    items: ByPosition,
    objective: Objective,
    loop: LoopConfig,
    out: Path,
    *,
    split: Split,
    identity: Mapping[str, Any],
    validation: Validation | None,
    save_model: SaveModel,
    options: RunOptions,
) -> Report:
    """Let a network learn from items, and report what it brought; see `fit`.

    Args:
        network: What learns.
        items: What batches are made of.
        objective: What is learned from a batch.
        loop: How.
        out: Folder of the run.
        split: The images of the run.
        identity: See `identity_of`.
        validation: Measures the network.
        save_model: Writes it.
        options: See `RunOptions`.
    """
    outcome = fit(
        network,
        Stream(items, loop.batch_size, workers=loop.workers),
        objective,
        loop,
        out,
        identity=identity,
        validation=validation,
        save_model=save_model,
        allow_changes=options.get("allow_changes", False),
        overwrite=options.get("overwrite", False),
        quiet=options.get("quiet", False),
    )
    before, after = read_validations(out)
    return Report(outcome, len(split.train), len(split.val), before, after)

"""Fine-tuning: a model becomes better at images like one's own.

    config = FineTuneConfig(data=(Path("photos"),), learn="decoder")
    report = finetune(config, Path("runs/mine"))
    anymask.load("runs/mine")

Where only the decoder learns, each image is encoded once and its features are kept in the run's
folder, so that an epoch takes seconds even with a large encoder.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anymask.data.augment import vary
from anymask.data.dataset import Dataset
from anymask.data.embeddings import EmbeddingStore
from anymask.data.item import Choosing, Items
from anymask.data.joined import Joined
from anymask.data.open import open_dataset
from anymask.data.portion import Portion, Subset
from anymask.data.stream import Stream
from anymask.data.truths import Choice
from anymask.data.views import Views
from anymask.errors import InputError
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter
from anymask.train.config import LoopConfig
from anymask.train.embeddings import fill_together
from anymask.train.finetuning.config import FineTuneConfig
from anymask.train.finetuning.trainable import choose_trainable
from anymask.train.loop import check_unchanged, fit
from anymask.train.objective import Objective, Validation
from anymask.train.report import Report, judgements
from anymask.train.run.distributed import Group, joined, own_device
from anymask.train.segmentation.interactive import Interactive, InteractiveConfig
from anymask.train.segmentation.promptless import OneKind, Promptless, Unprompted
from anymask.train.segmentation.scene import encoder_learns
from anymask.train.segmentation.validate import SimulatedUser

__all__ = ["finetune", "split"]

_EMBEDDINGS = "embeddings"
_MOST_JUDGED = 40  # images; more make validation slow, not much surer
_FEW = 100  # images, with which a model forgets more than it should


def finetune(
    config: FineTuneConfig,
    out: Path,
    device: str = "auto",
    *,
    offline: bool = False,
    changed: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Report:
    """Let a model learn from images with masks; the same call goes on where one stopped.

    Args:
        config: What to learn from what, and how.
        out: Folder of the run, which `load` takes afterwards.
        device: Where to compute.
        offline: Download no weights.
        changed: Go on even if the settings are others than before.
        overwrite: Forget an earlier run in that folder.
        quiet: Show no progress.

    Raises:
        CapabilityError: The model cannot learn in this way.
        InputError: The data or the settings are not what they should be, or the loss is not finite.
        WeightsError: The model is unknown, or its weights are missing or damaged.
        OutputError: Something cannot be written.

    Example:
        >>> finetune(FineTuneConfig(data=(Path("photos"),)), Path("mine")).after  # doctest: +SKIP
        {'one_click': 0.52, 'best_of_three': 0.58, 'five_clicks': 0.77, 'box': 0.76, 'iou': 0.66}
    """
    model = load(config.model, own_device(device), offline=offline)
    network = cast(nn.Module, model.network)
    asks = Interactive(model.variant, _questions(config))
    objective: Objective = Promptless(model.variant) if config.learn == "adapter" else asks
    with torch.random.fork_rng([]):
        torch.manual_seed(config.loop.seed)  # what is added begins the same in every run
        save = choose_trainable(model, config, out.resolve().name)
    learned, judged = split(config)
    config = replace(config, loop=_anchored(config, len(learned)))
    identity = _identity(model, config, learned, judged)
    with joined(model.device) as group:
        if overwrite:
            shutil.rmtree(out / _EMBEDDINGS, ignore_errors=True)
        elif not changed:
            check_unchanged(out, identity, config.loop)  # to encode the images may take long
        items = _items(model, learned, config, out, group, quiet=quiet)
        outcome = fit(
            network,
            Stream(items, config.loop.batch, workers=config.loop.workers),
            objective,
            config.loop,
            out,
            identity=identity,
            validation=_validation(model, judged, config) if len(judged) else None,
            ship=save,
            changed=changed,
            overwrite=overwrite,
            quiet=quiet,
        )
    before, after = judgements(out)
    return Report(outcome, len(learned), len(judged), before, after)


def _anchored(config: FineTuneConfig, images: int) -> LoopConfig:
    """Stay halfway between what was and what few images teach (Wortsman et al., 2022).

    What a SAM-Adapter adds has no sense before it has learned, so that goes all the way.
    """
    if config.loop.anchor is not None:
        return config.loop
    few = images <= _FEW and config.learn != "adapter"
    return replace(config.loop, anchor=0.5 if few else 0.0)


def split(config: FineTuneConfig) -> tuple[Dataset, Dataset]:
    """Open the data sets: images to learn from, and others to judge by, which may be none.

    For a model that will not be asked, the masks of an image become one.

    Raises:
        InputError: There is no image to learn from.
    """
    if not config.data:
        raise InputError("expected at least one data set to learn from, got none; name it (--data)")
    chance = config.loop.seed
    data = Portion(images=config.images, draw=chance).of(_open(config.data, config), None)
    if config.val:
        return data, _open(config.val, config)
    held = max(1, round(config.hold_back * len(data))) if config.hold_back and len(data) > 1 else 0
    order = np.random.default_rng([chance, zlib.crc32(b"held back")]).permutation(len(data))
    return Subset(data, sorted(order[held:].tolist())), Subset(data, sorted(order[:held].tolist()))


def _open(paths: Sequence[Path], config: FineTuneConfig) -> Dataset:
    data = Joined([open_dataset(path, config.layout) for path in paths])
    if not len(data):
        raise InputError(
            f"expected images with masks in {' and '.join(map(str, paths))}, got none; check the "
            "paths"
        )
    return OneKind(data, config.names) if config.learn == "adapter" else data


def _questions(config: FineTuneConfig) -> InteractiveConfig:
    """Ask as people do: in the middle of things, seldom often, looking at what is ranked first."""
    shares = 1 / np.arange(1, config.rounds + 1)
    return InteractiveConfig(
        repeats=config.rounds // 5,
        lengths=tuple((shares / shares.sum()).tolist()),
        remember=0.8,
        boxes=0.4,
        middle=0.7,
        alpha=0.5,
        agreement=0.05,
        ranked=0.3,
        judgement=4,
        single=1,
        nested=0.25,
    )


def _items(
    model: Segmenter,
    data: Dataset,
    config: FineTuneConfig,
    out: Path,
    group: Group,
    *,
    quiet: bool,
) -> Items:
    """Give images where the encoder learns, and else what it makes of them and of their copies."""
    make = partial(Items, choosing=Choosing(config.masks), seed=config.loop.seed)
    wanted = model.variant.preprocessing
    change = (partial(vary, side=wanted.side),) if config.views else ()
    if encoder_learns(cast(nn.Module, model.network)):
        return make(data, wanted, augment=change)
    views = Views(data, config.views, change, config.loop.seed)
    # No more than the run will look at.
    most = config.loop.steps * config.loop.batch * config.loop.accumulate * group.processes
    seen = Portion(images=most, draw=config.loop.seed).of(views, None)
    store = fill_together(out / _EMBEDDINGS, model, seen, group, quiet=quiet)
    return make(seen, wanted, recall=partial(_recall, store))


def _recall(store: EmbeddingStore, key: str, image: npt.NDArray[np.uint8]) -> Mapping[str, Tensor]:
    return store.read(key, image).features


def _identity(
    model: Segmenter, config: FineTuneConfig, learned: Dataset, judged: Dataset
) -> dict[str, Any]:
    """Tell all that decides how a run goes: the settings, and what they led to."""
    settings = asdict(config)
    del settings["loop"]  # the loop adds it
    keys = [[data.key(i) for i in range(len(data))] for data in (learned, judged)]
    found = {
        "variant": model.variant.name,
        "weights": model.weights_digest,
        "learned": len(learned),
        "judged": len(judged),
        "images": f"{zlib.crc32(json.dumps(keys).encode()):08x}",
    }
    return {**settings, "found": found}


def _validation(model: Segmenter, judged: Dataset, config: FineTuneConfig) -> Validation:
    some = Portion(images=_MOST_JUDGED, draw=0).of(judged, None)
    if config.learn == "adapter":
        return Unprompted(model.variant, some)
    choice = Choice(min_area=Choosing().min_area, max_share=Choosing().max_share, per_image=16)
    network = cast(nn.Module, model.network)
    return SimulatedUser(model.variant, some, choice, encoder_learns=encoder_learns(network))

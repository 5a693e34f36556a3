"""Fine-tuning: a model becomes better at images like one's own.

    config = FineTuneConfig(data=(Path("photos"),), learn="decoder")
    report = finetune(config, Path("runs/mine"))
    anymask.load("runs/mine")

Where only the decoder learns, each image is encoded once and its features are kept in the run's
folder, so that an epoch takes seconds even with a large encoder.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Unpack, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anymask.data.augment import vary
from anymask.data.dataset import Dataset
from anymask.data.embeddings import EmbeddingStore
from anymask.data.item import Items
from anymask.data.mask_filter import TRAINING_FILTER
from anymask.data.subset import Subset
from anymask.data.views import Views
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter
from anymask.train.config import LoopConfig
from anymask.train.embeddings import fill_together
from anymask.train.finetuning.config import FineTuneConfig
from anymask.train.finetuning.split import VALIDATED, split_images
from anymask.train.finetuning.trainable import choose_trainable
from anymask.train.launch import RunOptions, identity_of, launch
from anymask.train.loop import check_unchanged
from anymask.train.objective import Objective, Validation
from anymask.train.report import Report
from anymask.train.run.distributed import Group, joined, own_device
from anymask.train.segmentation.encoded_batch import encoder_learns
from anymask.train.segmentation.interactive import Interactive, InteractiveConfig
from anymask.train.segmentation.promptless import Promptless, Unprompted
from anymask.train.segmentation.validate import PromptValidation

__all__ = ["finetune"]

_EMBEDDINGS = "embeddings"
_FEW = 100  # images, with which a model forgets more than it should


def finetune(
    config: FineTuneConfig, out: Path, device: str = "auto", **options: Unpack[RunOptions]
) -> Report:
    """Let a model learn from images with masks; the same call goes on where one stopped.

    Args:
        config: What to learn from what, and how.
        out: Folder of the run, which `load` takes afterwards.
        device: Where to compute.
        **options: ``offline``, ``allow_changes``, ``overwrite`` and ``quiet``, see `RunOptions`.

    Raises:
        CapabilityError: The model cannot learn in this way.
        InputError: The data or the settings are not what they should be, or the loss is not finite.
        WeightsError: The model is unknown, or its weights are missing or damaged.
        OutputError: Something cannot be written.

    Examples:
        >>> finetune(FineTuneConfig(data=(Path("photos"),)), Path("mine")).after  # doctest: +SKIP
        {'one_click': 0.52, 'best_of_three': 0.58, 'five_clicks': 0.77, 'box': 0.76, 'iou': 0.66}
    """
    model = load(config.model, own_device(device), offline=options.get("offline", False))
    network = cast(nn.Module, model.network)
    prompted = Interactive(model.variant, _prompting(config))
    objective: Objective = Promptless(model.variant) if config.learn == "adapter" else prompted
    with torch.random.fork_rng([]):
        torch.manual_seed(config.loop.seed)  # what is added begins the same in every run
        save = choose_trainable(model, config, out.resolve().name)
    split = split_images(config, model.variant.preprocessing)
    config = replace(config, loop=_anchored(config, len(split.train)))
    found = {"variant": model.variant.name, "weights": model.weights_digest}
    identity = identity_of(config, split, found)
    with joined(model.device) as group:
        if options.get("overwrite"):
            shutil.rmtree(out / _EMBEDDINGS, ignore_errors=True)
        elif not options.get("allow_changes"):
            check_unchanged(out, identity, config.loop)  # to encode the images may take long
        quiet = options.get("quiet", False)
        return launch(
            network,
            _items(model, split.train, config, out, group, quiet=quiet),
            objective,
            config.loop,
            out,
            split=split,
            identity=identity,
            validation=_validation(model, split.val, config) if len(split.val) else None,
            save_model=save,
            options=options,
        )


def _anchored(config: FineTuneConfig, images: int) -> LoopConfig:
    """Stay halfway between what was and what few images teach (Wortsman et al., 2022).

    What a SAM-Adapter adds has no sense before it has learned, so that goes all the way.
    """
    if config.loop.anchor is not None:
        return config.loop
    few = images <= _FEW and config.learn != "adapter"
    return replace(config.loop, anchor=0.5 if few else 0.0)


def _prompting(config: FineTuneConfig) -> InteractiveConfig:
    """Prompt as people do: in the middle of things, a few times, looking at the first mask."""
    shares = 1 / np.arange(1, config.rounds + 1)
    return InteractiveConfig(
        silent_rounds=config.rounds // 5,
        round_probs=tuple((shares / shares.sum()).tolist()),
        mask_prompt_prob=0.8,
        box_prob=0.4,
        center_prob=0.7,
        focal_alpha=0.5,
        mean_loss_weight=0.05,
        top_loss_weight=0.3,
        iou_loss_weight=4,
        single_weight=1,
        multi_weight=0.25,
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
    make = partial(
        Items, mask_filter=replace(TRAINING_FILTER, per_image=config.masks), seed=config.loop.seed
    )
    wanted = model.variant.preprocessing
    change = (partial(vary, side=wanted.side),) if config.views else ()
    if encoder_learns(cast(nn.Module, model.network)):
        return make(data, wanted, augment=change)
    views = Views(data, config.views, change, config.loop.seed)
    # No more than the run will look at.
    most = config.loop.steps * config.loop.batch_size * config.loop.accumulate * group.processes
    order = np.random.default_rng(config.loop.seed).permutation(len(views)).tolist()
    fitting = filter(make(views, wanted).fits, order)  # to encode the others would be in vain
    seen = Subset(views, sorted(islice(fitting, most)))
    store = fill_together(out / _EMBEDDINGS, model, seen, group, quiet=quiet)
    return make(seen, wanted, lookup=partial(_lookup, store))


def _lookup(store: EmbeddingStore, key: str, image: npt.NDArray[np.uint8]) -> Mapping[str, Tensor]:
    return store.read(key, image).features


def _validation(model: Segmenter, images: Dataset, config: FineTuneConfig) -> Validation:
    if config.learn == "adapter":
        return Unprompted(model.variant, images)
    encodes = encoder_learns(cast(nn.Module, model.network))
    return PromptValidation(model.variant, images, VALIDATED, encoder_learns=encodes)

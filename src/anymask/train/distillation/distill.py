"""Distillation: a small model learns from a large one.

    config = DecoupledConfig(data=(Path("images"),), student="mobile-sam", from_scratch=True)
    report = distill(config, Path("runs/mobile"))
    anymask.load("runs/mobile")

The class of the settings tells the method: the student's encoder learns what its teacher sees
(`decoupled`), the student learns what its teacher answers (`coupled`), or a plain vision
transformer learns what its teacher sees from a part of each image (`sami`). What the teacher's
encoder makes of the images is worked out once and kept.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Unpack, cast

import numpy as np
import torch
from torch import nn

from anymask.data.dataset import Dataset
from anymask.data.images import open_images
from anymask.data.joined import Joined
from anymask.data.subset import Subset, SubsetSpec
from anymask.device import find_device
from anymask.errors import InputError
from anymask.models.build import build
from anymask.models.efficient_sam import PlainVit
from anymask.models.network import Network
from anymask.models.variants import find
from anymask.models.weights.loading import read_checkpoint
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter
from anymask.train.distillation.config import DistillConfig
from anymask.train.distillation.methods import method_of
from anymask.train.distillation.sample import DistillSamples
from anymask.train.embeddings import fill_together
from anymask.train.launch import MAX_VAL_IMAGES, RunOptions, Split, identity_of, launch
from anymask.train.loop import check_unchanged
from anymask.train.report import Report
from anymask.train.run.distributed import joined, own_device
from anymask.train.save_model import save_full

__all__ = ["distill"]


def distill(
    config: DistillConfig, out: Path, device: str = "auto", **options: Unpack[RunOptions]
) -> Report:
    """Let a student learn from its teacher; the same call goes on where one stopped.

    Args:
        config: Who learns what from whom; its class tells the method.
        out: Folder of the run, which `load` takes afterwards.
        device: Where to compute.
        **options: ``offline``, ``allow_changes``, ``overwrite`` (embeddings stay) and ``quiet``,
            see `RunOptions`.

    Returns:
        What it brought: mean IoU with the teacher's masks (``click``, ``box``, and ``iou``, their
        mean); for SAMI ``similarity``, the mean cosine with the teacher's embedding.

    Raises:
        CapabilityError: The teacher cannot teach this student in this way.
        InputError: The images or the settings are not what they should be, embeddings are another
            model's, or the loss is not finite.
        WeightsError: A model is unknown, or its weights are missing or damaged.
        OutputError: Something cannot be written.
    """
    images, split = _images(config)
    place, offline = own_device(device), options.get("offline", False)
    teacher = load(config.teacher, place, offline=offline)
    student = _student(config, place, offline)
    method = method_of(config, teacher, student)
    found = {
        "teacher": f"{teacher.variant.name} {teacher.weights_digest}",
        "student": f"{student.variant.name} {student.weights_digest}",
    }
    identity = identity_of(config, split, found, free=("store",))  # where it lies does not matter
    with joined(teacher.device) as group:
        if not (options.get("allow_changes") or options.get("overwrite")):
            check_unchanged(out, identity, config.loop)  # to encode the images may take long
        folder, quiet = config.store or out / "embeddings", options.get("quiet", False)
        store = fill_together(folder, teacher, images, group, quiet=quiet)
        save = save_full(student.variant, out.resolve().name, f"taught by {teacher.variant.name}")
        return launch(
            method.model,
            DistillSamples(split.train, method.preprocessing, store, config.loop.seed),
            method.objective,
            config.loop,
            out,
            split=split,
            identity=identity,
            validation=method.validate(split.val, store) if len(split.val) else None,
            save_model=lambda _, folder: save(cast(nn.Module, student.network), folder),
            options=options,
        )


def _student(config: DistillConfig, device: str, offline: bool) -> Segmenter:
    """Load the student, or build one of its shape with random weights."""
    if not config.from_scratch:
        return load(config.student, device, offline=offline)
    there = Path(config.student).exists()
    variant = read_checkpoint(config.student).variant if there else find(config.student)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.loop.seed)
        network = build(variant)
        for module in network.modules():
            if isinstance(module, PlainVit):  # else tokens would not know their places
                nn.init.trunc_normal_(module.pos_embed, std=0.02)
    place = find_device(device)
    return Segmenter(variant, cast(Network, network.to(place).eval()), "from scratch")


def _images(config: DistillConfig) -> tuple[Dataset, Split]:
    """Open all images: some to learn from, and others to validate on, which may be none."""
    if not config.data:
        raise InputError("expected images to learn from, got none; name a folder of them (--data)")
    given = Joined([open_images(path) for path in config.data])
    others = SubsetSpec(images=MAX_VAL_IMAGES, draw=0).take(
        Joined([open_images(path) for path in config.val])
    )
    images = Joined([given, others])
    order = np.arange(len(images))
    if not config.val:
        np.random.default_rng([config.loop.seed, zlib.crc32(b"held back")]).shuffle(order)
    count = len(others) if config.val else min(config.val_images, len(given) // 5)
    train, val = (sorted(part.tolist()) for part in np.split(order, [len(images) - count]))
    return images, Split(Subset(images, train), Subset(images, val))

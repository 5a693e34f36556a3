"""Distillation: a small model learns from a large one.

    config = DecoupledConfig(data=(Path("photos"),), student="mobile-sam", fresh=True)
    report = distill(config, Path("runs/mobile"))
    anymask.load("runs/mobile")

The class of the settings tells the way: the student's encoder learns what its teacher sees
(`decoupled`), the student learns what its teacher answers (`coupled`), or a plain vision
transformer learns what its teacher sees from a part of each photo (`sami`). What the teacher's
encoder makes of the photos is worked out once and kept.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from anymask.data.dataset import Dataset
from anymask.data.joined import Joined
from anymask.data.photos import open_photos
from anymask.data.portion import Portion, Subset
from anymask.data.stream import Stream
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
from anymask.train.distillation.lesson import Lessons
from anymask.train.distillation.ways import way_of
from anymask.train.embeddings import fill_together
from anymask.train.loop import check_unchanged, fit
from anymask.train.report import Report, judgements
from anymask.train.run.distributed import joined, own_device
from anymask.train.ship import whole

__all__ = ["distill"]

_MOST_JUDGED = 40  # photos; more make validation slow, not much surer


def distill(
    config: DistillConfig,
    out: Path,
    device: str = "auto",
    *,
    offline: bool = False,
    changed: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Report:
    """Let a student learn from its teacher; the same call goes on where one stopped.

    Args:
        config: Who learns what from whom; its class tells the way.
        out: Folder of the run, which `load` takes afterwards.
        device: Where to compute.
        offline: Download no weights.
        changed: Go on even if the settings are others than before.
        overwrite: Forget an earlier run in that folder; embeddings stay.
        quiet: Show no progress.

    Returns:
        What it brought: mean IoU with the teacher's masks (``click``, ``box``, and ``iou``, their
        mean); for SAMI ``likeness``, the mean cosine with the teacher's embedding.

    Raises:
        CapabilityError: The teacher cannot teach this student in this way.
        InputError: The photos or the settings are not what they should be, embeddings are another
            model's, or the loss is not finite.
        WeightsError: A model is unknown, or its weights are missing or damaged.
        OutputError: Something cannot be written.
    """
    photos, learned, judged = _photos(config)
    place = own_device(device)
    teacher = load(config.teacher, place, offline=offline)
    student = _student(config, place, offline)
    way = way_of(config, teacher, student)
    with joined(teacher.device) as group:
        identity = _identity(config, teacher, student, learned, judged)
        if not (changed or overwrite):
            check_unchanged(out, identity, config.loop)  # to encode the photos may take long
        folder = config.store or out / "embeddings"
        store = fill_together(folder, teacher, photos, group, quiet=quiet)
        validation = way.judge(judged, store) if len(judged) else None
        lessons = Lessons(learned, way.preprocessing, store, config.loop.seed)
        save = whole(student.variant, out.resolve().name, f"taught by {teacher.variant.name}")
        outcome = fit(
            way.model,
            Stream(lessons, config.loop.batch, workers=config.loop.workers),
            way.objective,
            config.loop,
            out,
            identity=identity,
            validation=validation,
            ship=lambda _, folder: save(cast(nn.Module, student.network), folder),
            changed=changed,
            overwrite=overwrite,
            quiet=quiet,
        )
    before, after = judgements(out)
    return Report(outcome, len(learned), len(judged), before, after)


def _student(config: DistillConfig, device: str, offline: bool) -> Segmenter:
    """Load the student, or build one of its shape with random weights."""
    if not config.fresh:
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
    return Segmenter(variant, cast(Network, network.to(place).eval()), "fresh")


def _photos(config: DistillConfig) -> tuple[Dataset, Dataset, Dataset]:
    """Open all photos: some to learn from, and others to judge by, which may be none."""
    if not config.data:
        raise InputError("expected photos to learn from, got none; name a folder of them (--data)")
    given = Joined([open_photos(path) for path in config.data])
    others = Portion(images=_MOST_JUDGED, draw=0).of(
        Joined([open_photos(path) for path in config.val]), None
    )
    photos = Joined([given, others])
    order = np.arange(len(photos))
    if not config.val:
        np.random.default_rng([config.loop.seed, zlib.crc32(b"held back")]).shuffle(order)
    held = len(others) if config.val else min(config.held_back, len(given) // 5)
    learned, judged = np.split(order, [len(photos) - held])
    return photos, Subset(photos, sorted(learned.tolist())), Subset(photos, sorted(judged.tolist()))


def _identity(
    config: DistillConfig,
    teacher: Segmenter,
    student: Segmenter,
    learned: Dataset,
    judged: Dataset,
) -> dict[str, Any]:
    """Tell all that decides how a run goes: the settings, and what they led to."""
    settings = asdict(config)
    for free in ("loop", "store"):  # the loop adds its own; where embeddings lie does not matter
        del settings[free]
    keys = [[data.key(i) for i in range(len(data))] for data in (learned, judged)]
    found = {
        "teacher": f"{teacher.variant.name} {teacher.weights_digest}",
        "student": f"{student.variant.name} {student.weights_digest}",
        "learned": len(learned),
        "judged": len(judged),
        "photos": f"{zlib.crc32(json.dumps(keys).encode()):08x}",
    }
    return {**settings, "found": found}

"""Find settings of everything mode for new weights of the bundled model, on training images.

    python recipes/tune_everything.py ../data     # 40 images; 24 s of processor time for each

Each image is searched once, with loose settings; then every combination of the thresholds below is
tried on what was found. A combination is judged by the covering of regions (BSDS) and by the recall
of things among the best 10 and 100 masks (COCO), each as a share of the best that any combination
has. Look at pictures before you write a line of the table into `models/variants.py`: fewer masks
look better than these measures say. What is reported is measured on `-val`, by
`anymask evaluate covering` and `anymask evaluate proposals --ranking model`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from tyro.conf import Positional

import anymask
from anymask.data.dataset import Sample
from anymask.data.open import open_dataset
from anymask.evaluate.covering import covering, partition
from anymask.evaluate.recall import THRESHOLDS, finders
from anymask.everything.generate import generate
from anymask.everything.wholeness import outline_strength
from anymask.image.image import Image
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

REGIONS, THINGS = ("bsds500-train",), ("coco128-train", "coco-mini-train")
LOOSE = {
    "pred_iou_thresh": 0.1,
    "stability_score_thresh": 0.2,
    "ranking_thresh": 0.0,
    "mask_nms_thresh": 0.9,
}
TRIED = {
    "pred_iou_thresh": (0.1, 0.2, 0.3, 0.4),
    "stability_score_thresh": (0.2, 0.3, 0.4, 0.5),
    "ranking_thresh": (0.0, 0.3, 0.4, 0.5, 0.6),
    "mask_nms_thresh": (0.6, 0.7, 0.8),
}
COUNTS = (10, 100)


@dataclass(frozen=True)
class Options:
    """What to tune on."""

    data: Positional[Path]
    """Folder of the data sets."""
    weights: str = "bundled"
    """The model: a name, or a file of weights."""
    images: int = 20
    """How many of the images with regions, and as many of those with things."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a loose search finds in one image."""

    sample: Sample
    masks: Masks
    ranks: np.ndarray
    overlaps: np.ndarray
    """With the true masks, where things are counted; (n, 0) where regions are."""


@dataclass(frozen=True)
class Encoded:
    """A model that gives one embedding again and again."""

    model: anymask.Segmenter
    embedding: anymask.Embedding

    def embed(self, image: Image) -> anymask.Embedding:
        """Give what was encoded before."""
        return self.embedding

    def decode(
        self, embedding: anymask.Embedding, prompts: list[Prompt], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict."""
        return self.model.decode(embedding, prompts, multimask)


def samples(options: Options, names: tuple[str, ...]) -> Iterator[Sample]:
    """Go through images that lie evenly in their sets."""
    each = -(-options.images // len(names))
    for name in names:
        data = open_dataset(options.data / name)
        for i in np.linspace(0, len(data) - 1, each).round().astype(int).tolist():
            yield data[i]


def search(model: anymask.Segmenter, sample: Sample, things: bool) -> Found:
    """Find everything once, best first."""
    image = Image.open(sample.image)
    embedding = model.embed(image)
    usual = model.variant.generate
    assert isinstance(usual, anymask.GenerateConfig)
    masks = generate(Encoded(model, embedding), image, replace(usual, **LOOSE))  # type: ignore[arg-type]
    ranks = masks.scores * strengths(masks, embedding)
    order = np.argsort(-ranks, kind="stable")
    truths = [rle.encode(truth) for truth in sample.masks()] if things else []
    overlaps = rle.iou(masks[order].counts, truths)
    return Found(sample, masks[order], ranks[order], overlaps)


def strengths(masks: Masks, embedding: anymask.Embedding) -> np.ndarray:
    """Measure the outlines again: the search keeps its ranks to itself."""
    boundary = torch.sigmoid(embedding.features["boundary"][0, 0].float())
    h, w = embedding.transform.resized_hw
    stride = embedding.transform.frame_hw[0] / boundary.shape[0]
    size = max(1, int(h / stride)), max(1, int(w / stride))
    measured = []
    for dense in masks.dense():
        shares = torch.nn.functional.interpolate(
            torch.from_numpy(dense).float()[None, None], size=size, mode="area"
        )
        logits = torch.full(boundary.shape, -1.0)
        logits[: size[0], : size[1]] = shares[0, 0] - 0.5
        measured.append(float(outline_strength(logits[None], boundary)))
    return np.array(measured)


def choose(found: Found, settings: dict[str, float]) -> np.ndarray:
    """List the numbers of the masks that stay with other settings."""
    masks = found.masks
    good = (masks.scores > settings["pred_iou_thresh"]) & (
        masks.stability >= settings["stability_score_thresh"]
    )
    if good.any():
        good &= found.ranks >= settings["ranking_thresh"] * found.ranks[good].max()
    numbered = replace(masks, ids=tuple(range(len(masks))))[good]
    kept = numbered.nms(settings["mask_nms_thresh"], "mask", by="order")
    return np.array(kept.ids, dtype=np.int64)


def judge(settings: dict[str, float], regions: list[Found], things: list[Found]) -> list[float]:
    """Measure the covering, the recall at each of `COUNTS`, and the masks of an image."""
    covered, hits, wanted, masks = [], np.zeros(len(COUNTS)), 0, []
    for found in regions:
        chosen = choose(found, settings)
        label_map = partition(found.masks[chosen])
        each = [covering(layer, label_map) for layer in found.sample.layers]
        covered.append(np.mean([one for one in each if one is not None]))
        masks.append(len(chosen))
    for found in things:
        chosen = choose(found, settings)
        found_by = finders(found.overlaps[chosen])
        hits += [np.count_nonzero(found_by < min(k, len(chosen))) for k in COUNTS]
        wanted += found.overlaps.shape[1] * len(THRESHOLDS)
        masks.append(len(chosen))
    return [float(np.mean(covered)), *(hits / max(1, wanted)).tolist(), float(np.mean(masks))]


def main(options: Options) -> None:
    """Search, try, and print the best combinations."""
    model = anymask.load(options.weights)
    regions = [search(model, sample, things=False) for sample in samples(options, REGIONS)]
    things = [search(model, sample, things=True) for sample in samples(options, THINGS)]
    tried = [dict(zip(TRIED, values, strict=True)) for values in itertools.product(*TRIED.values())]
    rows = np.array([judge(settings, regions, things) for settings in tried])
    shares = rows[:, :-1] / rows[:, :-1].max(axis=0).clip(1e-9)
    print("share of the best | covering, AR@10, AR@100, masks | settings")
    for i in np.argsort(-shares.mean(axis=1))[:20]:
        numbers = " ".join(f"{value:.3f}" for value in rows[i, :-1])
        print(f"{shares[i].mean():.3f} | {numbers} {rows[i, -1]:.0f} | {tried[i]}")


if __name__ == "__main__":
    main(tyro.cli(Options))

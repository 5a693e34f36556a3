"""Train the bundled model.

    python recipes/train_bundled.py --data ../shared/data --out runs/bundled

Each image is encoded once; several of its masks are then prompted for, each first by a click or a
box and in later rounds by corrections, most of them with the previous prediction fed back. Of the
three masks the best one learns most. Two further losses shape the encoder: where masks end, and
which pixels belong together. Crops grow from 256 to 512 pixels, as small ones teach more in the
same time. On two CPU cores a step takes 1.5 to 3 seconds, so the whole takes five hours; the same
command goes on where it stopped. The weights are in the run's folder: best/ and last/.

Set MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=8000000000 in the environment: without
page faults for every large tensor a step takes a third of the time.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from anymask.data.augment import change_light, cropped, paste_object, paste_shapes
from anymask.data.dataset import Dataset, LabelMapFolder, Sample
from anymask.data.item import Item, Items
from anymask.data.joined import Joined
from anymask.data.mask_filter import TRAINING_FILTER, MaskFilter
from anymask.data.rough import ROUGH_KINDS, roughened
from anymask.data.stream import Stream
from anymask.data.subset import SubsetSpec
from anymask.image.transform import LOGIT
from anymask.models.compact import TAPS, CompactDecoder, CompactNet, has_trunk
from anymask.models.config import CompactConfig
from anymask.models.variants import find
from anymask.models.weights import fill, read_state
from anymask.train.config import LoopConfig
from anymask.train.loop import fit
from anymask.train.objective import Step
from anymask.train.save_model import write_half
from anymask.train.segmentation.boundaries import boundary_loss, framed_layers
from anymask.train.segmentation.encoded_batch import Features
from anymask.train.segmentation.interactive import (
    FeatureLoss,
    Interactive,
    InteractiveConfig,
    Round,
)
from anymask.train.segmentation.rollout import InteractiveRollout
from anymask.train.segmentation.validate import PromptValidation

SETS = {
    "bsds500": 0.22,
    "voc-animals": 0.20,
    "voc-objects": 0.17,
    "coco-mini": 0.16,
    "ccp": 0.10,
    "coco-person": 0.07,
    "coco128": 0.04,
    "street": 0.04,
}
"""Data sets, each with folders NAME-train and NAME-val, and how much is drawn from each."""

LOOP = LoopConfig(
    lr=1e-3, weight_decay=0.03, betas=(0.9, 0.98), warmup=300, grad_clip=3, evaluate_every=500
)
PROMPTING = InteractiveConfig(
    silent_rounds=0,
    round_probs=(0.35, 0.35, 0.2, 0.1),
    mask_prompt_prob=0.8,
    box_prob=0.4,
    center_prob=0.7,
    tight_box_prob=0.5,
    focal_alpha=0.5,
    mean_loss_weight=0.05,
    top_loss_weight=0.3,
    iou_loss_weight=4,
    single_weight=1,
    multi_weight=0.25,
    prompts_per_batch=64,
)


@dataclass(frozen=True)
class Config:
    """What one training run is made of."""

    data: Path
    """Folder that holds the data sets."""
    out: Path = Path("runs/bundled")
    """Where checkpoints, metrics and weights go."""
    sides: tuple[int, ...] = (256, 384, 512)
    """Height and width of the training crops in pixels, one phase after the other."""
    steps: tuple[int, ...] = (4000, 2000, 1500)
    """Steps of each phase."""
    crops: tuple[int, ...] = (6, 3, 2)
    """Crops per step, in each phase."""
    masks: tuple[int, ...] = (4, 6, 8)
    """Masks prompted for on each crop, in each phase."""
    zooms: tuple[float, ...] = (1.8, 1.4, 1.15)
    """Largest magnification of a crop, in each phase."""
    start: Path | None = None
    """Weights to start from, those of a network without a trunk included; none: random ones."""
    trunk: Path | None = None
    """Weights of the trunk, see `recipes/fetch_trunk.py`; none: those of ``start``, or no trunk."""
    rough_prob: float = 0.15
    """Probability that the first prompt for some masks is a rough mask alone."""
    further: float = 0.5
    """Weight of the two losses that shape the encoder."""
    blend: float = 0.0
    """Share of the single answer in each of the three of the exported weights: the best of three
    loses a little, the one ranked first gains."""
    lift: tuple[float, float] = (0.0, 0.0)
    """Added to the logits of the single mask and of the three when exporting: more makes
    masks larger."""
    val_images: int = 25
    """Validation images of each set."""
    prompting: InteractiveConfig = field(default_factory=lambda: PROMPTING)
    """How masks are prompted for, and what the predictions cost."""
    loop: LoopConfig = field(default_factory=lambda: LOOP)
    """How the model learns; steps and batch come from the phases."""


@dataclass(frozen=True)
class Disguise:
    """Makes crops in other light, with objects of other photos or plain shapes laid over some."""

    others: Dataset
    side: int
    zoom: tuple[float, float]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Make a crop, see `anymask.data.augment`."""
        crop = cropped(sample, rng, self.side, self.zoom)
        draw = rng.random()
        if draw < 0.45:
            crop = self._pasted(crop, rng, by_object=draw < 0.3)
        return replace(crop, image=change_light(crop.image, rng))

    def _pasted(self, crop: Sample, rng: np.random.Generator, *, by_object: bool) -> Sample:
        void = crop.void if crop.void is not None else np.zeros(crop.image.shape[:2], bool)
        maps = np.stack([*crop.layers, ~void]).astype(np.int32)  # what is laid over is not void
        other = self.others[int(rng.integers(len(self.others)))]
        donor = cropped(other, rng, self.side, self.zoom)
        if not by_object:
            image, maps = paste_shapes(crop.image, maps, donor.image, rng)
        else:
            mask = _pick_object(donor, rng)
            if mask is None:
                return crop
            image, maps = paste_object(crop.image, maps, donor.image, mask, rng)
        layers = tuple(layer.astype(np.uint16) for layer in maps[:-1])
        return replace(crop, image=image, layers=layers, void=maps[-1] == 0)


def _pick_object(donor: Sample, rng: np.random.Generator) -> np.ndarray | None:
    layer = donor.layers[rng.integers(len(donor.layers))]
    areas = np.bincount(layer.ravel())
    areas[0] = 0
    fitting = np.flatnonzero((areas > 0.003 * layer.size) & (areas < 0.3 * layer.size))
    return layer == rng.choice(fitting) if len(fitting) else None


class Mixture:
    """Crops of one phase by their positions, drawn from the sets by their shares."""

    def __init__(self, config: Config, phase: int) -> None:
        side = config.sides[phase]
        wanted = replace(find("bundled").preprocessing, side=side, pad="square")
        mask_filter = replace(TRAINING_FILTER, per_image=config.masks[phase], min_area=50)
        self.seed = config.loop.seed + 1000 * phase
        zoom = (0.45, config.zooms[phase])
        folders = [LabelMapFolder(config.data / f"{name}-train") for name in SETS]
        disguise = Disguise(Joined(folders), side, zoom)
        self.sets = [
            Items(folder, wanted, mask_filter, augment=(disguise,), seed=self.seed)
            for folder in folders
        ]
        self.shares = np.array(list(SETS.values())) / sum(SETS.values())

    def __getitem__(self, position: int) -> Item:
        rng = np.random.default_rng([self.seed, position, 1])
        return self.sets[rng.choice(len(self.sets), p=self.shares)][position]


class Phases:
    """Batches of one phase after the other, see `anymask.train.objective.Batches`."""

    def __init__(self, config: Config) -> None:
        workers = config.loop.workers
        self.streams = [
            Stream(Mixture(config, phase), crops, workers=workers)
            for phase, crops in enumerate(config.crops)
        ]
        self.ends = [steps * config.loop.accumulate for steps in accumulate(config.steps)]

    def iterate(self, start: int, process: int = 0, processes: int = 1) -> Iterator[list[Any]]:
        """Go through the batches from number ``start`` on."""
        for stream, end in zip(self.streams, self.ends, strict=True):
            if start < end:
                yield from islice(stream.iterate(start, process, processes), end - start)
                start = end


class PromptsOrMask(Interactive):
    """Rounds of prompts, some of which begin with a rough mask and nothing else.

    Batch norms do not gather statistics of too few crops.
    """

    def __init__(
        self,
        config: InteractiveConfig,
        feature_loss: FeatureLoss | None = None,
        rough_prob: float = 0.0,
    ) -> None:
        super().__init__(find("bundled"), config, feature_loss)
        self.rough_prob = rough_prob

    def _run(
        self,
        model: Any,
        features: Features,
        rollout: InteractiveRollout,
        rounds: Sequence[Round],
        step: Step,
        tally: dict[str, Tensor],
    ) -> None:
        """Go through the rounds of a group."""
        rng = rollout.targets[0].rng
        if rng.random() < self.rough_prob:
            rollout.observe(rough_logits(rollout.soft_mask, rng))
            rounds = [Round(new_prompt=False, with_mask=True), *rounds[1:]]
        super()._run(model, features, rollout, rounds, step, tally)

    def __call__(self, model: nn.Module, batch: Sequence[Item], step: Step) -> dict[str, float]:
        """Set the gradients of a batch."""
        model.get_submodule("encoder").train(len(batch) > 2)
        return super().__call__(model, batch, step)


def rough_logits(targets: Tensor, rng: np.random.Generator) -> Tensor:
    """Make of masks, float (n, h, w), what a rough mask or an earlier answer would say.

    Half of them as sure as a mask that a user gives, half with soft borders and less sure.
    """
    truths = (targets > 0.5) | (targets == targets.amax((1, 2), keepdim=True))
    rough = []
    for truth in truths.cpu().numpy():
        kind = ROUGH_KINDS[rng.integers(len(ROUGH_KINDS))]
        mask = torch.from_numpy(roughened(truth, kind, rng)).float()
        sure = LOGIT
        if rng.random() < 0.5:
            reach = int(rng.integers(1, 4))
            mask = F.avg_pool2d(mask[None], 2 * reach + 1, 1, reach, count_include_pad=False)[0]
            sure = float(rng.uniform(2, LOGIT))
        rough.append(sure * (2 * mask - 1))
    return torch.stack(rough).to(targets.device)


def shape_features(features: Features, items: Sequence[Item]) -> Tensor:
    """Judge the boundary map, and keys that agree within a region and differ across regions."""
    rng = np.random.default_rng(np.concatenate([item.seeds for item in items]))
    total = boundary_loss(features["boundary"], items)
    maps = [framed_layers(item) for item in items]
    regions = [layers[rng.integers(len(layers)), 2::4, 2::4] for layers in maps]
    region = torch.from_numpy(np.stack(regions).astype(np.int64)).to(total.device)
    b, h, w = region.shape
    spots = torch.from_numpy(rng.integers(h * w, size=(b, 160))).to(total.device)
    y, x = spots // w, spots % w
    rows = torch.arange(b, device=total.device)[:, None]
    picked = region[rows, y, x]
    same = (picked[:, :, None] == picked[:, None, :]).float()
    known = ((picked[:, :, None] > 0) | (picked[:, None, :] > 0)).float()
    for name, step in (("key4", 1), ("key8", 2), ("key16", 4)):
        keys = features[name].permute(0, 2, 3, 1)[rows, y // step, x // step]
        logits = 8 * torch.matmul(keys, keys.transpose(1, 2)) - 4
        miss = F.binary_cross_entropy_with_logits(logits, same, reduction="none") * known
        for some in (same * known, (1 - same) * known):
            total = total + 0.15 * (miss * some).sum() / some.sum().clamp(min=1)
    return total


def export(net: nn.Module, path: Path, blend: float, lift: tuple[float, float]) -> None:
    """Write weights as they ship: safetensors, fp16, answers blended and lifted (see `Config`)."""
    weights = {name: value.detach().cpu() for name, value in net.state_dict().items()}
    slots = CompactDecoder.MASKS
    for key in ("decoder.masks.weight", "decoder.masks.bias"):
        each = weights[key].unflatten(0, (slots, -1)).clone()
        each[1:] = torch.lerp(each[1:], each[:1], blend)  # linear, so blending logits is this
        weights[key] = each.flatten(0, 1)
    per_slot = torch.tensor([lift[0]] + [lift[1]] * (slots - 1))
    weights["decoder.masks.bias"] = weights["decoder.masks.bias"] + per_slot.repeat_interleave(4)
    write_half(weights, path)


def save_model(config: Config, net: nn.Module, folder: Path) -> None:
    """Write the weights into a new folder, under the name that they have in the package."""
    folder.mkdir()
    export(net, folder / find("bundled").weights.file, config.blend, config.lift)


def make_network(config: Config) -> CompactNet:
    """Build the network, with random weights or with those to start from."""
    torch.manual_seed(config.loop.seed)
    state = {} if config.start is None else read_state(config.start)
    net = CompactNet(replace(CompactConfig(), trunk=config.trunk is not None or has_trunk(state)))
    taps = {key: value for key, value in net.state_dict().items() if key.startswith(TAPS)}
    if config.start is not None:
        fill(net, {**taps, **state}, config.start)
    if net.encoder.taps is not None:
        trunk = net.encoder.taps.backbone
        if config.trunk is not None:
            fill(trunk, read_state(config.trunk), config.trunk)
        trunk.requires_grad_(False)  # what it learned from is more than we have
    return net.float().to(memory_format=torch.channels_last).train()


def make_validation(config: Config) -> PromptValidation:
    """Judge by a part of each validation set, in the way of the table in the model card."""
    mask_filter = MaskFilter(min_area=100, max_share=0.9, per_image=4)
    part = SubsetSpec(images=config.val_images, draw=0)
    sets = [part.take(LabelMapFolder(config.data / f"{name}-val")) for name in SETS]
    return PromptValidation(find("bundled"), Joined(sets), mask_filter)


def main(config: Config) -> None:
    """Train, or go on training."""
    loop = replace(config.loop, steps=sum(config.steps), batch_size=max(config.crops))
    identity = {k: v for k, v in asdict(config).items() if k not in ("loop", "out", "data")}
    fit(
        make_network(config),
        Phases(config),
        PromptsOrMask(
            config.prompting,
            lambda f, i: config.further * shape_features(f, i),
            config.rough_prob,
        ),
        loop,
        config.out,
        identity=identity,
        validation=make_validation(config),
        save_model=partial(save_model, config),
    )


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # of the whole process: not where tests would inherit it
    main(tyro.cli(Config))

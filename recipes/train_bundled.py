"""Train the bundled model.

    python recipes/train_bundled.py --data ../shared/data --out runs/bundled

One photo is encoded once; several of its masks are then asked for, each first by a click or a box
and in later rounds by corrections, most of them with the previous answer fed back. Of the three
nested answers the best one learns most. Two further losses shape the encoder: where masks end, and
which pixels belong together. Crops grow from 256 to 512 pixels, as small ones teach more in the
same time. On two CPU cores a step takes 1.5 to 3 seconds, so the whole takes five hours; the same
command goes on where it stopped. The weights are in the run's folder: best/ and last/.

Set MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=8000000000 in the environment: without
page faults for every large tensor a step takes a third of the time.
"""

from __future__ import annotations

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
from anymask.data.item import Choosing, Item, Items
from anymask.data.joined import Joined
from anymask.data.rough import ROUGH_KINDS, roughened
from anymask.data.stream import Stream
from anymask.evaluate.portion import Portion
from anymask.evaluate.truths import Choice
from anymask.image import LOGIT
from anymask.models.compact import TAPS, CompactDecoder, CompactNet, has_trunk
from anymask.models.config import CompactConfig
from anymask.models.variants import find
from anymask.models.weights import fill, read_state
from anymask.train.config import LoopConfig
from anymask.train.loop import fit
from anymask.train.objective import Step
from anymask.train.segmentation.boundaries import boundary_loss, framed_layers
from anymask.train.segmentation.conversation import Conversation
from anymask.train.segmentation.interactive import Extra, Interactive, InteractiveConfig, Turn
from anymask.train.segmentation.scene import Features
from anymask.train.segmentation.validate import SimulatedUser
from anymask.train.ship import write_half

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

LOOP = LoopConfig(rate=1e-3, decay=0.03, betas=(0.9, 0.98), warmup=300, clip=3, evaluate_every=500)
ASKED = InteractiveConfig(
    repeats=0,
    lengths=(0.35, 0.35, 0.2, 0.1),
    remember=0.8,
    boxes=0.4,
    middle=0.7,
    tight=0.5,
    alpha=0.5,
    agreement=0.05,
    ranked=0.3,
    judgement=4,
    single=1,
    nested=0.25,
    prompts=64,
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
    """Masks asked for on each crop, in each phase."""
    zooms: tuple[float, ...] = (1.8, 1.4, 1.15)
    """Largest magnification of a crop, in each phase."""
    start: Path | None = None
    """Weights to start from, those of a network without a trunk included; none: random ones."""
    trunk: Path | None = None
    """Weights of the trunk, see `recipes/fetch_trunk.py`; none: those of ``start``, or no trunk."""
    rough: float = 0.15
    """Chance that all that is said at first about some masks is a rough mask."""
    further: float = 0.5
    """Weight of the two losses that shape the encoder."""
    blend: float = 0.0
    """Share of the single answer in each nested one of the exported weights: the best of three
    loses a little, the one ranked first gains."""
    lift: tuple[float, float] = (0.0, 0.0)
    """Added to the logits of the single and of the nested answers when exporting: more makes
    masks larger."""
    judged: int = 25
    """Validation images of each set."""
    asked: InteractiveConfig = field(default_factory=lambda: ASKED)
    """How masks are asked for, and what the answers cost."""
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
        chance = rng.random()
        if chance < 0.45:
            crop = self._pasted(crop, rng, by_object=chance < 0.3)
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
        choosing = Choosing(config.masks[phase], min_area=50)
        self.seed = config.loop.seed + 1000 * phase
        zoom = (0.45, config.zooms[phase])
        folders = [LabelMapFolder(config.data / f"{name}-train") for name in SETS]
        disguise = Disguise(Joined(folders), side, zoom)
        self.sets = [
            Items(folder, wanted, choosing, augment=(disguise,), seed=self.seed)
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


class Lesson(Interactive):
    """Conversations, some of which begin with a rough mask and nothing else.

    Batch norms do not gather statistics of too few crops.
    """

    def __init__(
        self, config: InteractiveConfig, extra: Extra | None = None, rough: float = 0.0
    ) -> None:
        super().__init__(find("bundled"), config, extra)
        self.rough = rough

    def _converse(
        self,
        model: Any,
        features: Features,
        talk: Conversation,
        turns: Sequence[Turn],
        step: Step,
        tally: dict[str, Tensor],
    ) -> None:
        """Go through the rounds of a group."""
        rng = talk.wishes[0].rng
        if rng.random() < self.rough:
            talk.hear(rough_logits(talk.target, rng))
            turns = [Turn(speak=False, remember=True), *turns[1:]]
        super()._converse(model, features, talk, turns, step, tally)

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


def ship(config: Config, net: nn.Module, folder: Path) -> None:
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


def make_validation(config: Config) -> SimulatedUser:
    """Judge by a part of each validation set, in the way of the table in the model card."""
    choice = Choice(min_area=100, max_share=0.9, per_image=4)
    part = Portion(images=config.judged, draw=0)
    sets = [part.of(LabelMapFolder(config.data / f"{name}-val"), None) for name in SETS]
    return SimulatedUser(find("bundled"), Joined(sets), choice)


def main(config: Config) -> None:
    """Train, or go on training."""
    loop = replace(config.loop, steps=sum(config.steps), batch=max(config.crops))
    identity = {k: v for k, v in asdict(config).items() if k not in ("loop", "out", "data")}
    fit(
        make_network(config),
        Phases(config),
        Lesson(config.asked, lambda f, i: config.further * shape_features(f, i), config.rough),
        loop,
        config.out,
        identity=identity,
        validation=make_validation(config),
        ship=partial(ship, config),
    )


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # of the whole process: not where tests would inherit it
    main(tyro.cli(Config))

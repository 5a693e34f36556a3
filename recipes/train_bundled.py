"""Train the bundled model.

    python recipes/train_bundled.py --data ../shared/data --out runs/bundled --minutes 120

One photo is encoded once; several of its masks are then asked for, each first by a click or a box
and in later rounds by corrections with the previous answer fed back, as in SAM (paper, appendix
A). The loss of every round is 20 focal + dice + squared error of the predicted IoU; of the three
nested answers the best one learns most. Two side losses shape the encoder: where masks end, and
which pixels belong together. The schedule follows the clock, so the run ends when the minutes are
over; a stopped run goes on where its last checkpoint was.

Set MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=8000000000 in the environment: without
page faults for every large tensor a step takes a third of the time.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from anymask.data.augment import change_light, paste_object, paste_shapes, warped_crop
from anymask.data.dataset import LabelMapFolder, Sample
from anymask.data.simulate import farthest_inside, next_click, noisy_box, random_inside, tight_box
from anymask.models.compact import CompactNet
from anymask.models.config import CompactConfig
from anymask.models.variants import find
from anymask.prompt import PromptBatch
from anymask.train.losses import mask_iou, mask_loss

SETS = {"bsds500-train": 0.33, "voc-animals-train": 0.40, "ccp-train": 0.16, "coco128-train": 0.11}


@dataclass(frozen=True)
class Config:
    """What one training run is made of."""

    data: Path
    """Folder that holds the training sets."""
    out: Path = Path("runs/bundled")
    """Where checkpoints, metrics and this configuration go."""
    minutes: float = 120.0
    """Length of the whole run; a resumed run counts what was already spent."""
    sides: tuple[int, ...] = (192, 256, 384, 512)
    """Height and width of the training crops in pixels, one phase after the other."""
    parts: tuple[float, ...] = (0.33, 0.25, 0.22, 0.2)
    """Share of the run that each phase takes."""
    pixels: int = 6 * 256**2
    """Pixels per step, shared out among as many crops as they make."""
    masks: tuple[int, ...] = (4, 4, 6, 8)
    """Masks asked for on each crop, in each phase."""
    zooms: tuple[float, ...] = (1.8, 1.8, 1.6, 1.3)
    """Largest magnification of a crop, in each phase."""
    agreement: float = 0.3
    """Weight of the mean loss of the nested answers beside that of their best. Little of it makes
    answers that differ, much of it makes answers of which each is a good guess."""
    ranked: float = 0.5
    """Weight of the loss of the nested answer that the network itself ranks first."""
    rate: float = 1.0e-3
    """Peak learning rate."""
    decay: float = 0.03
    """Weight decay."""
    average: float = 0.998
    """Decay of the moving average of the weights that is kept in the end."""
    blend: float = 0.55
    """Share of the single answer in each nested one of the exported weights: the best of three
    loses a little, the one ranked first gains."""
    lift: tuple[float, float] = (0.45, 0.2)
    """Added to the logits of the single and of the nested answers when exporting: the focal loss
    leaves masks too small (found on the training sets)."""
    seed: int = 0
    """Start of every random sequence."""
    start: Path | None = None
    """Checkpoint of another run whose averaged weights to start from."""


class Crops(IterableDataset[dict[str, Tensor]]):
    """An endless stream of augmented crops with masks, first prompts and side targets."""

    def __init__(self, config: Config, side: int, seed: int) -> None:
        phase = config.sides.index(side)
        self.side, self.seed = side, seed
        self.masks, self.zoom = config.masks[phase], (0.45, config.zooms[phase])
        self.sets = [LabelMapFolder(config.data / name) for name in SETS]
        share = np.array(list(SETS.values()))
        self.share = share / share.sum()
        self.cache: dict[tuple[int, int], Sample] = {}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        donor: tuple[np.ndarray, np.ndarray] | None = None
        while True:
            image, layers = warped_crop(self._sample(rng), self.side, rng, self.zoom)
            clean = (image, layers)
            if donor is not None and rng.random() < 0.3:
                mask = _pick_object(donor[1], rng)
                if mask is not None:
                    image, layers = paste_object(image, layers, donor[0], mask, rng)
            elif donor is not None and rng.random() < 0.2:
                image, layers = paste_shapes(image, layers, donor[0], rng)
            donor = clean
            item = _targets(layers, self.masks, rng)
            if item is not None:
                item["image"] = torch.from_numpy(change_light(image, rng))
                yield item

    def _sample(self, rng: np.random.Generator) -> Sample:
        which = int(rng.choice(len(self.sets), p=self.share))
        index = int(rng.integers(len(self.sets[which])))
        if (which, index) not in self.cache:
            self.cache[which, index] = self.sets[which][index]
        return self.cache[which, index]


def _pick_object(layers: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    layer = layers[rng.integers(len(layers))]
    areas = np.bincount(layer.ravel())
    areas[0] = 0
    fitting = np.flatnonzero((areas > 0.003 * layer.size) & (areas < 0.3 * layer.size))
    return layer == rng.choice(fitting) if len(fitting) else None


def _targets(layers: np.ndarray, count: int, rng: np.random.Generator) -> dict[str, Tensor] | None:
    """Choose masks of a crop and draw their first prompts; ``None`` when the crop has none."""
    side = layers.shape[-1]
    choices = []
    for k, layer in enumerate(layers):
        areas = np.bincount(layer.ravel())
        areas[0] = 0
        fitting = np.flatnonzero((areas >= 50) & (areas < 0.9 * layer.size))
        choices += [(k, int(label)) for label in fitting]
    if not choices:
        return None
    order = rng.permutation(len(choices))
    chosen = [choices[order[i % len(order)]] for i in range(count)]
    masks, clicks, boxes = [], [], []
    for k, label in chosen:
        mask = layers[k] == label
        deep = rng.random() < 0.7
        clicks.append(farthest_inside(mask) if deep else random_inside(mask, rng, 0.5))
        box = tight_box(mask)
        boxes.append(box if rng.random() < 0.5 else noisy_box(box, (side, side), rng))
        masks.append(mask.reshape(side // 2, 2, side // 2, 2).mean(axis=(1, 3)))
    boundary, known = _boundary(layers)
    return {
        "masks": torch.from_numpy(np.stack(masks).astype(np.float32)),
        "clicks": torch.tensor(clicks, dtype=torch.float32),
        "boxes": torch.from_numpy(np.stack(boxes).astype(np.float32)),
        "regions": torch.from_numpy(layers[rng.integers(len(layers)), 2::4, 2::4].copy()).long(),
        "boundary": torch.from_numpy(boundary),
        "known": torch.from_numpy(known),
    }


def _boundary(layers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many annotators end a mask in each 4x4 cell, and where anything is known: float32."""
    edge = np.zeros(layers.shape, bool)
    edge[:, :, 1:] |= layers[:, :, 1:] != layers[:, :, :-1]
    edge[:, 1:, :] |= layers[:, 1:, :] != layers[:, :-1, :]
    n, side, _ = layers.shape
    cells = edge.reshape(n, side // 4, 4, side // 4, 4).any(axis=(2, 4)).mean(axis=0)
    known = (layers > 0).any(axis=0).reshape(side // 4, 4, side // 4, 4).any(axis=(1, 3))
    return cells.astype(np.float32), (known | (cells > 0)).astype(np.float32)


def side_losses(features: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Boundary map, and keys that agree within a region and differ across regions."""
    entropy = F.binary_cross_entropy_with_logits(
        features["boundary"][:, 0],
        batch["boundary"],
        weight=batch["known"] * (1 + 2 * batch["boundary"]),
        reduction="mean",
    )
    b, h, w = batch["regions"].shape
    spots = torch.randint(h * w, (b, 160))
    y, x = spots // w, spots % w
    rows = torch.arange(b)[:, None]
    region = batch["regions"][rows, y, x]
    same = (region[:, :, None] == region[:, None, :]).float()
    known = ((region[:, :, None] > 0) | (region[:, None, :] > 0)).float()
    total = entropy
    for name, step in (("key4", 1), ("key8", 2), ("key16", 4)):
        keys = features[name].permute(0, 2, 3, 1)[rows, y // step, x // step]
        logits = 8 * torch.matmul(keys, keys.transpose(1, 2)) - 4
        miss = F.binary_cross_entropy_with_logits(logits, same, reduction="none") * known
        alike, apart = same * known, (1 - same) * known
        total = total + 0.15 * (miss * alike).sum() / alike.sum().clamp(min=1)
        total = total + 0.15 * (miss * apart).sum() / apart.sum().clamp(min=1)
    return total


class Rounds:
    """Asks for some masks of a batch of encoded crops, round after round, and collects the loss."""

    def __init__(
        self,
        net: CompactNet,
        config: Config,
        features: dict[str, Tensor],
        owner: Tensor,
        truth: Tensor,
    ) -> None:
        self.net, self.config, self.truth = net, config, truth
        self.features, self.owner = features, owner
        self.side = 2 * truth.shape[-1]
        self.points = torch.zeros(len(owner), 0, 2)
        self.labels = torch.zeros(len(owner), 0, dtype=torch.long)
        self.boxes: Tensor | None = None
        self.previous: Tensor | None = None

    def ask(self, remember: bool) -> tuple[Tensor, dict[str, float]]:
        """Run the decoder on what is known so far; keep its answer for the next correction."""
        given = self.previous if remember else None
        batch = PromptBatch(self.points, self.labels, self.boxes, given, (self.side, self.side))
        own = {
            k: v.index_select(0, self.owner) for k, v in self.features.items() if k != "boundary"
        }
        logits, quality = self.net.decode_all(own, batch)
        losses = mask_loss(logits, self.truth[:, None].expand_as(logits))
        iou = mask_iou(logits, self.truth[:, None])
        ambiguous = self.boxes is None and self.points.shape[1] == 1
        rows = torch.arange(len(logits))
        first = quality[:, 1:].argmax(1) + 1
        nested = losses[:, 1:].amin(1) + self.config.agreement * losses[:, 1:].mean(1)
        nested = nested + self.config.ranked * losses[rows, first]
        weight = 1.0 if ambiguous else 0.25
        loss = losses[:, 0] + weight * nested + 4 * ((quality - iou) ** 2).mean(1)
        chosen = first if ambiguous else torch.zeros_like(first)
        self.previous = logits.detach()[rows, chosen][:, None]
        report = {"loss": loss.mean().item(), "single": iou[:, 0].mean().item()}
        if ambiguous:
            report["best"] = iou[:, 1:].amax(1).mean().item()
            report["first"] = iou[rows, chosen].mean().item()
        return loss.mean(), report

    def correct(self) -> None:
        """Add the click that a user would make next to every prompt."""
        if self.previous is None:
            raise RuntimeError("correct() comes after ask()")
        answers = (self.previous[:, 0] > 0).numpy()
        truths = (self.truth > 0.5).numpy()
        points, labels = [], []
        for truth, answer in zip(truths, answers, strict=True):
            click = next_click(truth, answer)
            if click is None:  # nothing to correct: confirm
                click = (farthest_inside(truth), 1) if truth.any() else ((0.0, 0.0), 0)
            points.append(click[0])
            labels.append(click[1])
        new = torch.tensor(points)[:, None] * 2 + 0.5  # half-size pixels to frame pixels
        self.points = torch.cat([self.points, new], dim=1)
        self.labels = torch.cat([self.labels, torch.tensor(labels)[:, None]], dim=1)


def step_losses(
    net: CompactNet, config: Config, batch: dict[str, Tensor], rng: np.random.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, float]]:
    """Run one batch; gradients of the decoder are set, those of the features are returned."""
    side = batch["image"].shape[1]
    wanted = find("bundled").preprocessing
    mean, std = torch.tensor(wanted.mean), torch.tensor(wanted.std)
    pixels = ((batch["image"].float() - mean) / std).permute(0, 3, 1, 2)
    features = net.encode(pixels, (side, side))
    leaves = {k: v.detach().requires_grad_(v.requires_grad) for k, v in features.items()}
    report: dict[str, float] = {}
    extra = side_losses(leaves, batch)
    extra.backward()
    report["side"] = extra.item()
    b, m = batch["masks"].shape[:2]
    owner = torch.arange(b).repeat_interleave(m)
    by_box = torch.rand(b * m) < 0.4
    rounds = int(rng.choice([1, 2, 3, 4], p=[0.35, 0.35, 0.2, 0.1]))
    for kind, rows in (
        ("click", torch.nonzero(~by_box)[:, 0]),
        ("box", torch.nonzero(by_box)[:, 0]),
    ):
        if len(rows) == 0:
            continue
        asked = Rounds(net, config, leaves, owner[rows], batch["masks"].flatten(0, 1)[rows])
        if kind == "click":
            asked.points = batch["clicks"].flatten(0, 1)[rows][:, None]
            asked.labels = torch.ones(len(rows), 1, dtype=torch.long)
        else:
            asked.boxes = batch["boxes"].flatten(0, 1)[rows]
        for turn in range(rounds):
            loss, facts = asked.ask(remember=rng.random() < 0.8)
            (loss * len(rows) / (b * m)).backward()
            report |= {f"{kind}{turn + 1}_{k}": v for k, v in facts.items()}
            if turn + 1 < rounds:
                asked.correct()
    return features, leaves, report


class Run:
    """State of a training run: network, optimiser, moving average, clock."""

    def __init__(self, config: Config) -> None:
        self.config = config
        torch.manual_seed(config.seed)
        self.net = CompactNet(CompactConfig()).to(memory_format=torch.channels_last)
        if config.start is not None:
            saved = torch.load(config.start, weights_only=True)
            self.net.load_state_dict(saved["average"])
        self.average = copy.deepcopy(self.net).eval()
        plain = [p for p in self.net.parameters() if p.ndim < 2]
        shaped = [p for p in self.net.parameters() if p.ndim >= 2]
        groups = [
            {"params": shaped, "weight_decay": config.decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.98))
        self.steps, self.spent = 0, 0.0
        self.checkpoint = config.out / "checkpoint.pt"
        if self.checkpoint.exists():
            self._resume()

    def _resume(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True)
        self.net.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.steps, self.spent = saved["steps"], saved["spent"]

    def save(self) -> None:
        """Write a checkpoint, and the averaged weights as they would ship."""
        beside = self.checkpoint.with_suffix(".part")
        state: dict[str, Any] = {"net": self.net.state_dict(), "average": self.average.state_dict()}
        state |= {
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
            "spent": self.spent,
        }
        torch.save(state, beside)
        beside.replace(self.checkpoint)
        shipped = self.config.out / "anymask-compact.safetensors"
        export(self.average, shipped, self.config.blend, self.config.lift)

    def train(self) -> None:
        """Go until the minutes are over."""
        seconds = self.config.minutes * 60
        until = 0.0
        for side, part in zip(self.config.sides, self.config.parts, strict=True):
            until += part * seconds
            if self.spent < until:
                self._phase(until, side, seconds)
        self.save()

    def _phase(self, until: float, side: int, seconds: float) -> None:
        crops = max(2, round(self.config.pixels / side**2))
        stream = Crops(self.config, side, seed=self.config.seed * 1000 + self.steps)
        loader = DataLoader(stream, batch_size=crops, num_workers=1, prefetch_factor=4)
        rng = np.random.default_rng([self.config.seed, self.steps])
        report: dict[str, list[float]] = {}
        last, saved = time.monotonic(), time.monotonic()
        self.net.train()
        if crops < 3:  # too few for statistics of their own: use what was gathered before
            self.net.encoder.eval()
        for batch in loader:
            facts = self._step(batch, rng, self.spent / seconds)
            now = time.monotonic()
            self.spent, last = self.spent + min(now - last, 60.0), now
            for key, value in facts.items():
                report.setdefault(key, []).append(value)
            if self.steps % 100 == 0:
                self._log({k: round(float(np.mean(v)), 4) for k, v in sorted(report.items())}, side)
                report = {}
            if now - saved > 180:
                self.save()
                saved = now
            if self.spent >= until:
                return

    def _step(
        self, batch: dict[str, Tensor], rng: np.random.Generator, progress: float
    ) -> dict[str, float]:
        warm = min(1.0, (self.steps + 1) / 300)
        rate = (
            self.config.rate
            * warm
            * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1))))
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        features, leaves, facts = step_losses(self.net, self.config, batch, rng)
        names = [k for k, v in leaves.items() if v.grad is not None]
        torch.autograd.backward([features[k] for k in names], [leaves[k].grad for k in names])
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 3.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.steps += 1
        self._follow()
        return facts | {"norm": float(norm)}

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(self.config.average, (1 + self.steps) / (10 + self.steps))
        new, old = self.net.state_dict(), self.average.state_dict()
        for key, value in old.items():
            if value.dtype.is_floating_point:
                value.lerp_(new[key], 1 - keep)
            else:
                value.copy_(new[key])

    def _log(self, facts: dict[str, float], side: int) -> None:
        line = {"steps": self.steps, "minutes": round(self.spent / 60, 1), "side": side} | facts
        with (self.config.out / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def export(net: CompactNet, path: Path, blend: float, lift: tuple[float, float]) -> None:
    """Write weights as they ship: safetensors, fp16, answers blended and lifted (see `Config`)."""
    weights = net.state_dict()
    for key in ("decoder.masks.weight", "decoder.masks.bias"):
        slots = weights[key].unflatten(0, (net.decoder.MASKS, -1)).clone()
        slots[1:] = torch.lerp(slots[1:], slots[:1], blend)  # linear, so blending logits is this
        weights[key] = slots.flatten(0, 1)
    per_slot = [lift[0]] + [lift[1]] * (net.decoder.MASKS - 1)
    bias = weights["decoder.masks.bias"]
    weights["decoder.masks.bias"] = bias + bias.new_tensor(per_slot).repeat_interleave(4)
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    beside = path.with_suffix(".part")
    save_file({k: v.contiguous() for k, v in half.items()}, beside)
    beside.replace(path)


def main(config: Config) -> None:
    """Train, or go on training, until the minutes are over."""
    torch.set_flush_denormal(True)  # of the whole process: not where tests would inherit it
    config.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({k: str(v) for k, v in asdict(config).items()}, indent=1)
    (config.out / "config.json").write_text(text + "\n")
    Run(config).train()


if __name__ == "__main__":
    main(tyro.cli(Config))

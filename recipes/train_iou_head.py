"""Train the head of the bundled model that predicts the IoU of its own masks.

    python recipes/train_iou_head.py --data ../shared/data --out runs/iou-head \
        --start runs/bundled/best/anymask-compact.safetensors

The head that predicts it has 13,000 weights and sees only a few numbers about each mask. In
`train_bundled.py` it learns beside all else, from crops and from masks that still change. Here the
model predicts masks for simulated users on whole images once, the inputs of the head are kept, and
the head goes over them many times. No mask changes. Ten minutes on one CPU core, nearly all of it
for the predictions.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from anymask.atomic import make_folder
from anymask.data.augment import mirrored
from anymask.data.dataset import LabelMapFolder
from anymask.data.item import Item, Items
from anymask.data.mask_filter import TRAINING_FILTER
from anymask.evaluate.metrics import rank_correlation
from anymask.models.compact import CompactDecoder, CompactNet, has_trunk
from anymask.models.config import CompactConfig
from anymask.models.variants import find
from anymask.models.weights import fill, read_state
from anymask.plain import write_yaml
from anymask.train.objective import Step
from anymask.train.save_model import write_half
from anymask.train.segmentation.interactive import Interactive, InteractiveConfig

IMAGES = {
    "bsds500": 200,
    "voc-animals": 180,
    "voc-objects": 160,
    "coco-mini": 160,
    "ccp": 100,
    "coco-person": 60,
    "coco128": 38,
    "street": 40,
}
"""Data sets, each a folder NAME-train, and how often one of its images is taken: again, with other
masks, where there are not so many."""

PROMPTING = InteractiveConfig(
    silent_rounds=0,
    round_probs=(0.5, 0.3, 0.1, 0.1),
    mask_prompt_prob=0.8,
    box_prob=0.3,
    center_prob=0.8,
    tight_box_prob=0.5,
    single_weight=1,
    multi_weight=0.25,
    prompts_per_batch=64,
)


@dataclass(frozen=True)
class Config:
    """What one training run is made of."""

    data: Path
    """Folder that holds the data sets."""
    start: Path
    """Weights to start from: a file of the bundled model."""
    out: Path = Path("runs/iou-head")
    """Folder for the weights, the settings and what they brought."""
    masks: int = 8
    """Masks prompted for on each image."""
    val_fraction: float = 0.1
    """Share of the images that the head does not learn from but is validated on."""
    epochs: int = 30
    """How often the head goes over all masks."""
    batch_size: int = 256
    """Masks in a step."""
    lr: float = 1e-3
    """Highest learning rate; it falls as a cosine does."""
    dropout: float = 0.2
    """Share of the hidden channels that are left out in a step."""
    seed: int = 0
    """Start of every random sequence."""


class MaskInputs(NamedTuple):
    """What is known about n masks of the model."""

    inputs: Tensor
    """What the head reads, float32 (n, c)."""
    slots: Tensor
    """The slot of each, int64 (n,)."""
    iou: Tensor
    """Their real IoU, float32 (n,)."""
    image: Tensor
    """Number of the image of each, int64 (n,)."""

    def of(self, chosen: Tensor) -> MaskInputs:
        """Take some."""
        return MaskInputs(*(values[chosen] for values in self))


class InputRecorder(Interactive):
    """Prompts as `Interactive` does, but lets nothing learn, and records what the head sees."""

    def __init__(self, network: CompactNet) -> None:
        super().__init__(find("bundled"), PROMPTING)
        self.network = network
        self._seen: list[Tensor] = []  # of one prediction, which may be made in parts
        self._recorded: list[tuple[Tensor, Tensor, Tensor]] = []

    def iou_loss(self, predicted_iou: Tensor, iou: Tensor) -> Tensor:
        """Record the masks of a prediction."""
        slots = torch.arange(CompactDecoder.MASKS).expand_as(
            predicted_iou
        )  # `PROMPTING` wants all of them
        self._recorded.append((torch.cat(self._seen).flatten(0, 1), slots.flatten(), iou.flatten()))
        self._seen.clear()
        return super().iou_loss(predicted_iou, iou)

    @torch.no_grad()
    def record(self, item: Item, number: int) -> MaskInputs:
        """Prompt for the masks of an image, which gets a number."""
        rng = np.random.default_rng(item.seeds)
        step = Step(0, rng, torch.device("cpu"), lambda loss: None)
        hook = self.network.decoder.quality_in.register_forward_pre_hook(
            lambda _, given: self._seen.append(given[0])
        )
        try:
            self(self.network, [item], step)
        finally:
            hook.remove()
        inputs, slots, iou = map(torch.cat, zip(*self._recorded, strict=True))
        self._recorded.clear()
        return MaskInputs(inputs, slots, iou, torch.full_like(slots, number))


def predict(config: Config, network: CompactNet) -> MaskInputs:
    """Let simulated users prompt for masks of all data sets."""
    recorder = InputRecorder(network)
    numbers: dict[tuple[str, str], int] = {}
    found: list[MaskInputs] = []
    for name, item in _items(config):
        number = numbers.setdefault((name, item.key), len(numbers))
        found.append(recorder.record(item, number))
        if len(found) % 50 == 0:
            print(f"{len(found)} of {sum(IMAGES.values())} images", flush=True)
    return MaskInputs(*map(torch.cat, zip(*found, strict=True)))


def _items(config: Config) -> Iterator[tuple[str, Item]]:
    wanted = find("bundled").preprocessing
    mask_filter = replace(TRAINING_FILTER, per_image=config.masks, min_area=50)
    for name, count in IMAGES.items():
        folder = LabelMapFolder(config.data / f"{name}-train")
        items = Items(folder, wanted, mask_filter, augment=(mirrored,), seed=config.seed)
        for position in range(count):
            yield name, items[position]


def split(masks: MaskInputs, share: float) -> tuple[MaskInputs, MaskInputs]:
    """Put the masks of some images aside."""
    images = torch.randperm(int(masks.image.max()) + 1)
    held = torch.isin(masks.image, images[: round(share * len(images))])
    return masks.of(~held), masks.of(held)


class Head(nn.Module):
    """The head by itself, on inputs that are brought to a mean of 0 and a spread of 1 first.

    It begins as the decoder's own, and goes back into it: mean and spread go into the first layer.
    Inputs far from all others are drawn nearer while it learns, and only then.
    """

    def __init__(self, decoder: CompactDecoder, inputs: Tensor, dropout: float) -> None:
        super().__init__()
        self.mean, self.spread = inputs.mean(0), inputs.std(0) + 1e-3
        first, last = decoder.quality_in, decoder.quality_out
        self.enter = nn.Linear(first.in_features, first.out_features)
        self.slot = nn.Parameter(decoder.slot.detach().clone())
        self.leave = nn.Linear(last.in_features, 1)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.enter.weight.copy_(first.weight * self.spread)
            self.enter.bias.copy_(first.bias + first.weight @ self.mean)
            self.leave.load_state_dict(last.state_dict())

    def forward(self, masks: MaskInputs) -> Tensor:
        """Predict the IoU of masks: (n,)."""
        inputs = (masks.inputs - self.mean) / self.spread
        if self.training:
            inputs = inputs.clamp(-8, 8)
        hidden = F.leaky_relu(self.enter(inputs) + self.slot[masks.slots], 0.1)
        predicted: Tensor = torch.sigmoid(self.leave(self.dropout(hidden))).squeeze(-1)
        return predicted

    @torch.no_grad()
    def give_back(self, decoder: CompactDecoder) -> None:
        """Write the weights into the decoder."""
        weight = self.enter.weight / self.spread
        decoder.quality_in.weight.copy_(weight)
        decoder.quality_in.bias.copy_(self.enter.bias - weight @ self.mean)
        decoder.slot.copy_(self.slot)
        decoder.quality_out.load_state_dict(self.leave.state_dict())


def learn(head: Head, masks: MaskInputs, config: Config) -> None:
    """Go over the masks again and again."""
    optimizer = torch.optim.AdamW(head.parameters(), config.lr, weight_decay=1e-2)
    count = len(masks.iou)
    steps = config.epochs * -(-count // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    head.train()
    for _ in range(config.epochs):
        for chosen in torch.randperm(count).split(config.batch_size):
            some = masks.of(chosen)
            loss = ((head(some) - some.iou) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    head.eval()


@torch.inference_mode()
def measure(head: Head, masks: MaskInputs) -> dict[str, float | None] | None:
    """Measure how well it predicts: rank correlation, and the root of the mean squared error.

    None if there is no mask to measure.
    """
    if not len(masks.iou):
        return None
    head.eval()
    predicted_iou = head(masks)
    rank = rank_correlation(torch.stack([predicted_iou, masks.iou], dim=1).tolist())
    return {"rank": rank, "error": float((predicted_iou - masks.iou).square().mean().sqrt())}


def make_network(start: Path) -> CompactNet:
    """Build the network with given weights."""
    state = read_state(start)
    net = CompactNet(replace(CompactConfig(), trunk=has_trunk(state)))
    fill(net, state, start)
    return net.float().to(memory_format=torch.channels_last).eval().requires_grad_(False)


def main(config: Config) -> None:
    """Predict, learn, and write the weights as they ship."""
    torch.manual_seed(config.seed)
    make_folder(config.out)
    network = make_network(config.start)
    train, val = split(predict(config, network), config.val_fraction)
    head = Head(network.decoder, train.inputs, config.dropout)
    scores: dict[str, Any] = {"train": len(train.iou), "val": len(val.iou)}
    scores["before"] = measure(head, val)
    learn(head, train, config)
    scores["after"] = measure(head, val)
    head.give_back(network.decoder)
    print(scores)
    write_yaml(config.out / "config.yaml", {**asdict(config), "found": scores})
    write_half(network.state_dict(), config.out / find("bundled").weights.file)


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # of the whole process: not where tests would inherit it
    main(tyro.cli(Config))

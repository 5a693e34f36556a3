"""Train what the bundled model thinks of its own masks: the IoU that it predicts.

    python recipes/train_judgement.py --data ../shared/data --out runs/judgement.safetensors \
        --start runs/bundled/best/anymask-compact.safetensors

The head that predicts it has 13,000 weights and sees only a few facts about each mask. In
`train_bundled.py` it learns beside all else, from crops and from masks that still change. Here the
model answers simulated users on whole photos once, the facts are kept, and the head goes over them
many times. No mask changes. Ten minutes on one CPU core, nearly all of it for the answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from anymask.data.augment import mirrored
from anymask.data.dataset import LabelMapFolder
from anymask.data.item import Choosing, Item, Items
from anymask.evaluate.metrics import rank_correlation
from anymask.models.compact import CompactDecoder, CompactNet
from anymask.models.config import CompactConfig
from anymask.models.variants import find
from anymask.models.weights import fill, read_state
from anymask.train.objective import Step
from anymask.train.segmentation.interactive import Interactive, InteractiveConfig
from anymask.train.ship import write_half

PHOTOS = {"bsds500": 450, "voc-animals": 550, "ccp": 250, "coco128": 100}
"""Data sets, each a folder NAME-train, and how many photos are taken; the same ones again, with
other masks, where there are not so many."""

ASKED = InteractiveConfig(
    repeats=0,
    lengths=(0.5, 0.3, 0.1, 0.1),
    remember=0.8,
    boxes=0.3,
    middle=0.8,
    tight=0.5,
    single=1,
    nested=0.25,
    prompts=64,
)


@dataclass(frozen=True)
class Config:
    """What one training run is made of."""

    data: Path
    """Folder that holds the data sets."""
    start: Path
    """Weights to start from: a file of the bundled model."""
    out: Path = Path("runs/judgement.safetensors")
    """Where the weights go."""
    masks: int = 8
    """Masks asked for on each photo."""
    held_back: float = 0.1
    """Share of the photos that only tell how much better it has become."""
    rounds: int = 30
    """How often the head goes over all answers."""
    batch: int = 256
    """Answers in a step."""
    rate: float = 1e-3
    """Highest learning rate; it falls as a cosine does."""
    dropout: float = 0.2
    """Share of the hidden channels that are left out in a step."""
    seed: int = 0
    """Start of every random sequence."""


@dataclass(frozen=True)
class Answers:
    """What is known about n answers of the model."""

    facts: Tensor
    """What the head reads, float32 (n, c)."""
    slots: Tensor
    """Which of the model's answers each is, int64 (n,)."""
    iou: Tensor
    """How good it really is, float32 (n,)."""
    photo: Tensor
    """Number of the photo that it is about, int64 (n,)."""

    def of(self, chosen: Tensor) -> Answers:
        """Take some."""
        values = (self.facts, self.slots, self.iou, self.photo)
        return Answers(*(value[chosen] for value in values))


class Witness(Interactive):
    """Asks as `Interactive` does, but lets nothing learn, and notes what the head sees."""

    def __init__(self, network: CompactNet) -> None:
        super().__init__(find("bundled"), ASKED)
        self.network = network
        self._facts: list[Tensor] = []  # of one forward pass, which may go by parts
        self._noted: list[tuple[Tensor, Tensor, Tensor]] = []
        network.decoder.quality_in.register_forward_pre_hook(
            lambda _, given: self._facts.append(given[0])
        )

    def misjudged(self, quality: Tensor, iou: Tensor) -> Tensor:
        """Note the answers to a question."""
        facts = torch.cat(self._facts)
        self._facts.clear()
        first = 1 if quality.shape[1] == CompactDecoder.MASKS - 1 else 0
        slots = torch.arange(first, first + quality.shape[1]).expand_as(quality)
        self._noted.append((facts.flatten(0, 1), slots.flatten(), iou.flatten()))
        return super().misjudged(quality, iou)

    @torch.no_grad()
    def about(self, item: Item, number: int) -> Answers:
        """Ask for the masks of a photo."""
        rng = np.random.default_rng(item.seeds)
        self(self.network, [item], Step(number, rng, torch.device("cpu"), lambda loss: None))
        facts, slots, iou = map(torch.cat, zip(*self._noted, strict=True))
        self._noted.clear()
        return Answers(facts, slots, iou, torch.full_like(slots, number))


def ask(config: Config, network: CompactNet) -> Answers:
    """Let simulated users ask for masks of all data sets."""
    witness = Witness(network)
    found: list[Answers] = []
    for item in _items(config):
        found.append(witness.about(item, len(found)))
        if len(found) % 50 == 0:
            print(f"{len(found)} of {sum(PHOTOS.values())} photos", flush=True)
    facts, slots, iou, photo = (
        torch.cat([getattr(some, name) for some in found])
        for name in ("facts", "slots", "iou", "photo")
    )
    return Answers(facts, slots, iou, photo)


def _items(config: Config) -> Iterator[Item]:
    wanted, choosing = find("bundled").preprocessing, Choosing(config.masks, min_area=50)
    for name, count in PHOTOS.items():
        folder = LabelMapFolder(config.data / f"{name}-train")
        items = Items(folder, wanted, choosing, augment=(mirrored,), seed=config.seed)
        yield from map(items.__getitem__, range(count))


class Head(nn.Module):
    """The head by itself, on facts that are brought to a mean of 0 and a spread of 1 first.

    It begins as the decoder's own, and goes back into it: what is done to the facts is undone in
    the first layer.
    """

    def __init__(self, decoder: CompactDecoder, facts: Tensor, dropout: float) -> None:
        super().__init__()
        self.mean, self.spread = facts.mean(0), facts.std(0) + 1e-3
        first, last = decoder.quality_in, decoder.quality_out
        self.enter = nn.Linear(first.in_features, first.out_features)
        self.slot = nn.Parameter(decoder.slot.detach().clone())
        self.leave = nn.Linear(last.in_features, 1)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.enter.weight.copy_(first.weight * self.spread)
            self.enter.bias.copy_(first.bias + first.weight @ self.mean)
            self.leave.load_state_dict(last.state_dict())

    def forward(self, answers: Answers) -> Tensor:
        """Predict the IoU of answers: (n,)."""
        facts = ((answers.facts - self.mean) / self.spread).clamp(-8, 8)  # nothing tips the scales
        hidden = F.leaky_relu(self.enter(facts) + self.slot[answers.slots], 0.1)
        predicted: Tensor = torch.sigmoid(self.leave(self.dropout(hidden))).squeeze(-1)
        return predicted

    @torch.no_grad()
    def give_back(self, decoder: CompactDecoder) -> None:
        """Let the decoder judge as this does."""
        weight = self.enter.weight / self.spread
        decoder.quality_in.weight.copy_(weight)
        decoder.quality_in.bias.copy_(self.enter.bias - weight @ self.mean)
        decoder.slot.copy_(self.slot)
        decoder.quality_out.load_state_dict(self.leave.state_dict())


def learn(head: Head, answers: Answers, config: Config) -> None:
    """Go over the answers again and again."""
    optimizer = torch.optim.AdamW(head.parameters(), config.rate, weight_decay=1e-2)
    count = len(answers.iou)
    steps = config.rounds * -(-count // config.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    head.train()
    for _ in range(config.rounds):
        for chosen in torch.randperm(count).split(config.batch):
            some = answers.of(chosen)
            loss = ((head(some) - some.iou) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    head.eval()


@torch.inference_mode()
def judged(head: Head, answers: Answers) -> str:
    """Say how well it predicts."""
    head.eval()
    guess = head(answers)
    rank = rank_correlation(torch.stack([guess, answers.iou], dim=1).tolist())
    error = (guess - answers.iou).square().mean().sqrt()
    return f"rank correlation {rank:.3f}, error {error:.3f}"


def make_network(start: Path) -> CompactNet:
    """Build the network with given weights."""
    net = CompactNet(CompactConfig())
    fill(net, read_state(start), start)
    return net.float().to(memory_format=torch.channels_last).eval().requires_grad_(False)


def main(config: Config) -> None:
    """Ask, learn, and write the weights as they ship."""
    torch.manual_seed(config.seed)
    network = make_network(config.start)
    answers = ask(config, network)
    photos = torch.randperm(int(answers.photo.max()) + 1)
    held = torch.isin(answers.photo, photos[: round(config.held_back * len(photos))])
    learned, other = answers.of(~held), answers.of(held)
    head = Head(network.decoder, learned.facts, config.dropout)
    print(f"{len(learned.iou)} answers; of {len(other.iou)} others: {judged(head, other)}")
    learn(head, learned, config)
    print(f"now: {judged(head, other)}")
    head.give_back(network.decoder)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_half(network.state_dict(), config.out)


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # of the whole process: not where tests would inherit it
    main(tyro.cli(Config))

"""Train what the bundled model thinks of its own masks: the IoU that it predicts.

    python recipes/train_judgement.py --data ../shared/data --out runs/judgement \
        --start runs/bundled/best/anymask-compact.safetensors

The head that predicts it has 13,000 weights and sees only a few facts about each mask. In
`train_bundled.py` it learns beside all else, from crops and from masks that still change. Here the
model answers simulated users on whole photos once, the facts are kept, and the head goes over them
many times. No mask changes. Ten minutes on one CPU core, nearly all of it for the answers.
"""

from __future__ import annotations

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
from anymask.data.item import Choosing, Item, Items
from anymask.evaluate.metrics import rank_correlation
from anymask.models.compact import CompactDecoder, CompactNet, has_trunk
from anymask.models.config import CompactConfig
from anymask.models.variants import find
from anymask.models.weights import fill, read_state
from anymask.train.config import write_yaml
from anymask.train.objective import Step
from anymask.train.segmentation.interactive import Interactive, InteractiveConfig
from anymask.train.ship import write_half

PHOTOS = {
    "bsds500": 200,
    "voc-animals": 180,
    "voc-objects": 160,
    "coco-mini": 160,
    "ccp": 100,
    "coco-person": 60,
    "coco128": 38,
    "street": 40,
}
"""Data sets, each a folder NAME-train, and how often one of its photos is taken: again, with other
masks, where there are not so many."""

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
    out: Path = Path("runs/judgement")
    """Folder for the weights, the settings and what they brought."""
    masks: int = 8
    """Masks asked for on each photo."""
    held_back: float = 0.1
    """Share of the photos that only tell how much better it has become, if any."""
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


class Answers(NamedTuple):
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
        return Answers(*(values[chosen] for values in self))


class Witness(Interactive):
    """Asks as `Interactive` does, but lets nothing learn, and notes what the head sees."""

    def __init__(self, network: CompactNet) -> None:
        super().__init__(find("bundled"), ASKED)
        self.network = network
        self._seen: list[Tensor] = []  # in one question, which may be answered in parts
        self._noted: list[tuple[Tensor, Tensor, Tensor]] = []

    def judgement_loss(self, quality: Tensor, iou: Tensor) -> Tensor:
        """Note the answers to a question."""
        slots = torch.arange(CompactDecoder.MASKS).expand_as(quality)  # `ASKED` wants all of them
        self._noted.append((torch.cat(self._seen).flatten(0, 1), slots.flatten(), iou.flatten()))
        self._seen.clear()
        return super().judgement_loss(quality, iou)

    @torch.no_grad()
    def about(self, item: Item, number: int) -> Answers:
        """Ask for the masks of a photo, which gets a number."""
        rng = np.random.default_rng(item.seeds)
        step = Step(0, rng, torch.device("cpu"), lambda loss: None)
        hook = self.network.decoder.quality_in.register_forward_pre_hook(
            lambda _, given: self._seen.append(given[0])
        )
        try:
            self(self.network, [item], step)
        finally:
            hook.remove()
        facts, slots, iou = map(torch.cat, zip(*self._noted, strict=True))
        self._noted.clear()
        return Answers(facts, slots, iou, torch.full_like(slots, number))


def ask(config: Config, network: CompactNet) -> Answers:
    """Let simulated users ask for masks of all data sets."""
    witness = Witness(network)
    numbers: dict[tuple[str, str], int] = {}
    found: list[Answers] = []
    for name, item in _items(config):
        number = numbers.setdefault((name, item.key), len(numbers))
        found.append(witness.about(item, number))
        if len(found) % 50 == 0:
            print(f"{len(found)} of {sum(PHOTOS.values())} photos", flush=True)
    return Answers(*map(torch.cat, zip(*found, strict=True)))


def _items(config: Config) -> Iterator[tuple[str, Item]]:
    wanted, choosing = find("bundled").preprocessing, Choosing(config.masks, min_area=50)
    for name, count in PHOTOS.items():
        folder = LabelMapFolder(config.data / f"{name}-train")
        items = Items(folder, wanted, choosing, augment=(mirrored,), seed=config.seed)
        for position in range(count):
            yield name, items[position]


def split(answers: Answers, share: float) -> tuple[Answers, Answers]:
    """Put the answers about some photos aside."""
    photos = torch.randperm(int(answers.photo.max()) + 1)
    held = torch.isin(answers.photo, photos[: round(share * len(photos))])
    return answers.of(~held), answers.of(held)


class Head(nn.Module):
    """The head by itself, on facts that are brought to a mean of 0 and a spread of 1 first.

    It begins as the decoder's own, and goes back into it: mean and spread go into the first layer.
    Facts far from all others are drawn nearer while it learns, and only then.
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
        facts = (answers.facts - self.mean) / self.spread
        if self.training:
            facts = facts.clamp(-8, 8)
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
def judged(head: Head, answers: Answers) -> dict[str, float | None] | None:
    """Measure how well it predicts: rank correlation, and the root of the mean squared error.

    None if there is no answer to judge by.
    """
    if not len(answers.iou):
        return None
    head.eval()
    guess = head(answers)
    rank = rank_correlation(torch.stack([guess, answers.iou], dim=1).tolist())
    return {"rank": rank, "error": float((guess - answers.iou).square().mean().sqrt())}


def make_network(start: Path) -> CompactNet:
    """Build the network with given weights."""
    state = read_state(start)
    net = CompactNet(replace(CompactConfig(), trunk=has_trunk(state)))
    fill(net, state, start)
    return net.float().to(memory_format=torch.channels_last).eval().requires_grad_(False)


def main(config: Config) -> None:
    """Ask, learn, and write the weights as they ship."""
    torch.manual_seed(config.seed)
    make_folder(config.out)
    network = make_network(config.start)
    learned, other = split(ask(config, network), config.held_back)
    head = Head(network.decoder, learned.facts, config.dropout)
    scores: dict[str, Any] = {"learned": len(learned.iou), "held back": len(other.iou)}
    scores["before"] = judged(head, other)
    learn(head, learned, config)
    scores["after"] = judged(head, other)
    head.give_back(network.decoder)
    print(scores)
    write_yaml(config.out / "config.yaml", {**asdict(config), "found": scores})
    write_half(network.state_dict(), config.out / find("bundled").weights.file)


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # of the whole process: not where tests would inherit it
    main(tyro.cli(Config))

"""Train the last part of the bundled model: the map of where masks end.

    python recipes/train_boundary.py --data ../shared/data --out runs/boundary \
        --start runs/bundled/best/anymask-compact.safetensors

Most data sets draw some objects of a photo and leave the others out, so what `train_bundled.py`
teaches about boundaries is a mixture of habits. Here all of the model rests but the layers that
refine this map, and they learn from photos of which people drew every boundary. No mask changes.
As the encoder rests, each photo goes through it once. Some minutes on one CPU core; the same
command goes on where it stopped.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import PIL.Image
import torch
import tyro
from torch import Tensor, nn

from anymask.data.augment import mirrored
from anymask.data.dataset import Dataset, LabelMapFolder
from anymask.data.item import Item, Items
from anymask.data.mask_filter import TRAINING_FILTER
from anymask.data.stream import Stream
from anymask.data.subset import SubsetSpec
from anymask.evaluate.edges.boundaries import benchmark
from anymask.evaluate.edges.edge_maps import boundary_map
from anymask.image.image import Image
from anymask.models.compact import CompactEncoder, CompactNet, has_trunk
from anymask.models.config import CompactConfig
from anymask.models.variants import find
from anymask.models.weights import fill, read_state
from anymask.predict.segmenter import Segmenter
from anymask.train.config import LoopConfig
from anymask.train.loop import fit
from anymask.train.objective import Step
from anymask.train.save_model import write_half
from anymask.train.segmentation.boundaries import boundary_loss
from anymask.train.segmentation.encoded_batch import EncodedBatch, group_by_frame

LOOP = LoopConfig(
    steps=1000,
    batch_size=2,
    lr=2e-3,
    weight_decay=0.01,
    warmup=50,
    ema_decay=0.98,
    evaluate_every=500,
)


@dataclass(frozen=True)
class Config:
    """What one training run is made of."""

    data: Path
    """Folder that holds the data sets."""
    start: Path
    """Weights to start from: a file of the bundled model."""
    out: Path = Path("runs/boundary")
    """Where checkpoints, metrics and weights go."""
    name: str = "bsds500"
    """Data set, with folders NAME-train and NAME-val, whose label maps cover whole photos."""
    val_images: int = 20
    """Validation images."""
    loop: LoopConfig = field(default_factory=lambda: LOOP)
    """How it learns."""


def refine(model: nn.Module, batch: Sequence[Item], step: Step) -> Mapping[str, float]:
    """Let the refinement learn: an objective, see `anymask.train.objective`."""
    total = 0.0
    for items in group_by_frame(batch):
        found = EncodedBatch(model, items, find("bundled").preprocessing, step.device)
        loss = boundary_loss(found.leaves["boundary"], items) * len(items) / len(batch)
        step.backward(loss)
        found.backward_encoder()
        total += loss.item()
    return {"loss": total}


class EdgeJudge:
    """Compares the edges of photos with what people drew; see `anymask.train.objective`."""

    metric = "ods"
    noise_tolerance = 0.0

    def __init__(self, data: Dataset) -> None:
        self.samples = [data[i] for i in range(len(data))]

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        """Measure the best F for all photos and for each."""
        maps = [_edges(model, sample.image) for sample in self.samples]
        scores = benchmark(maps, [sample.layers for sample in self.samples])
        return {"ods": scores.ods, "ois": scores.ois}

    def draw(self, model: nn.Module) -> PIL.Image.Image:
        """Show the first photo above its edges."""
        image = self.samples[0].image
        edges = 255 * (1 - _edges(model, image))
        both = np.vstack([image, np.repeat(edges[..., None], 3, axis=2).astype(np.uint8)])
        return PIL.Image.fromarray(both)


def _edges(network: nn.Module, image: np.ndarray) -> np.ndarray:
    assert isinstance(network, CompactNet)
    edges = boundary_map(Segmenter(find("bundled"), network, "").embed(Image.open(image)))
    assert edges is not None
    return edges


def make_network(start: Path) -> CompactNet:
    """Build the network with given weights, and a refinement that says nothing yet."""
    torch.manual_seed(0)
    state = read_state(start)
    net = CompactNet(replace(CompactConfig(), trunk=has_trunk(state)))
    own = {key: value for key, value in net.state_dict().items() if key.startswith("refinement.")}
    fill(net, {**state, **own}, start)
    net.requires_grad_(False).refinement.requires_grad_(True)
    return net.float().to(memory_format=torch.channels_last).eval()


def encode_once(encoder: CompactEncoder) -> None:
    """Let an encoder that rests remember, in half precision, what it made of each photo."""
    known: dict[bytes, list[Tensor]] = {}
    encode = encoder.forward

    @torch.no_grad()
    def remembered(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        keys = [hashlib.sha256(photo.cpu().numpy().tobytes()).digest() for photo in pixels]
        for key, photo in zip(keys, pixels, strict=True):
            if key not in known:
                known[key] = [maps.half() for maps in encode(photo[None])]
        p4, p8, p16, p32 = (
            torch.cat(maps).float() for maps in zip(*(known[key] for key in keys), strict=True)
        )
        return p4, p8, p16, p32

    encoder.forward = remembered  # type: ignore[method-assign]


def save_model(net: nn.Module, folder: Path) -> None:
    """Write the weights as they ship, fp16, into a new folder."""
    folder.mkdir()
    weights = {key: value.detach().cpu() for key, value in net.state_dict().items()}
    write_half(weights, folder / find("bundled").weights.file)


def make_batches(config: Config) -> Stream:
    """Show the photos and their mirror images as they are, for boundaries of the usual size."""
    folder = LabelMapFolder(config.data / f"{config.name}-train")
    wanted, seed = find("bundled").preprocessing, config.loop.seed
    items = Items(
        folder, wanted, replace(TRAINING_FILTER, per_image=1), augment=(mirrored,), seed=seed
    )
    return Stream(items, config.loop.batch_size, workers=config.loop.workers)


def main(config: Config) -> None:
    """Train, or go on training."""
    val = LabelMapFolder(config.data / f"{config.name}-val")
    identity = {k: v for k, v in asdict(config).items() if k not in ("loop", "out", "data")}
    network = make_network(config.start)
    encode_once(network.encoder)
    fit(
        network,
        make_batches(config),
        refine,
        config.loop,
        config.out,
        identity=identity,
        validation=EdgeJudge(SubsetSpec(images=config.val_images, draw=0).take(val)),
        save_model=save_model,
    )


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # of the whole process: not where tests would inherit it
    main(tyro.cli(Config))

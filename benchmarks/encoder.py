"""Measure the image encoders against the same networks computed in the published order.

    python benchmarks/encoder.py            # 10 minutes
    python benchmarks/encoder.py --quick    # 2

Weights are random. For every model the ways take turns in one process, first on one thread, where
processor time counts, then on two, where the time that passes counts; ratios are of medians. The
error is the norm of the difference from the plain encoder over its norm. Memory is of processes of
their own. With transformers installed, its SAM is compared, too. Prints Markdown.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
import tyro
from measure import Timing, alternate, machine, memory, table
from torch import Tensor, nn

from anymask.evaluate.published.encoder import plain
from anymask.models.build import build
from anymask.models.sam2 import Sam2
from anymask.models.variants import find
from anymask.models.weights.transformers_layout import to_transformers

PLAIN, OURS, HALF, PEER = "plain", "anymask", "anymask, bfloat16", "transformers"
PEERED = "sam-vit-b"


@dataclass(frozen=True)
class Options:
    """What to run."""

    models: tuple[str, ...] = (
        *("sam-vit-b", "efficient-sam-ti", "mobile-sam", "efficientvit-sam-l0", "sam2.1-tiny"),
    )
    """Their names in the table of variants."""
    repeats: int = 3
    """How often to run each way on one thread."""
    quick: bool = False
    """Once each, on one thread, without bfloat16 and memory."""


def main(options: Options) -> None:
    """Measure and print."""
    print(f"On {machine()}.")
    for name in options.models:
        ways = [PLAIN, OURS, *([] if options.quick else [HALF]), *([PEER] if peered(name) else [])]
        print(f"\n## {name}")
        with torch.inference_mode():
            calls = {way: prepare(name, way) for way in ways}
            compare(calls, 1 if options.quick else options.repeats)
            if not options.quick:
                two_threads(calls)
        if not options.quick:
            in_memory(name)


def compare(calls: dict[str, Callable[[], Tensor]], repeats: int) -> None:
    """Print times on one thread and errors."""
    results: dict[str, Tensor] = {}

    def keep(way: str) -> None:
        results[way] = calls[way]()

    timings = alternate({way: functools.partial(keep, way) for way in calls}, repeats, warm=0)
    print(f"\nOne thread, {repeats} runs:\n\n{table(timings, PLAIN)}\n")
    for way in list(calls)[1:]:
        wanted = results[PLAIN]
        error = (results[way].float() - wanted).norm() / wanted.norm()
        print(f"- {way}: relative error {error:.1e}")
    if PEER in calls:
        print(f"- against transformers: {ratios(timings[PEER], timings[OURS])}")


def two_threads(calls: dict[str, Callable[[], Tensor]]) -> None:
    """Print times on two threads."""
    timings = alternate(calls, repeats=1, threads=2, warm=0)
    print(f"\nTwo threads, 1 run:\n\n{table(timings, PLAIN)}")


def in_memory(name: str) -> None:
    """Print what one call needs at its peak, in a process of its own."""
    plain_, ours = (memory(functools.partial(prepare, name, way)) for way in (PLAIN, OURS))
    mib = 1 << 20
    print(
        f"\nPeak memory of the process: {ours.peak / mib:.0f} MiB against "
        f"{plain_.peak / mib:.0f}, {ours.peak / plain_.peak:.2f} of it; added by the call: "
        f"{ours.added / mib:.0f} MiB against {plain_.added / mib:.0f}, "
        f"{ours.added / plain_.added:.2f} of it."
    )


def ratios(peer: Timing, ours: Timing) -> str:
    cpu, user = peer.cpu / ours.cpu, peer.user / ours.user
    return f"{cpu:.2f} times faster in processor time, user only {user:.2f}"


def peered(name: str) -> bool:
    return name == PEERED and importlib.util.find_spec("transformers") is not None


def prepare(name: str, way: str) -> Callable[[], Tensor]:
    """Make a call that encodes one image, the same for every way."""
    encoder = random_encoder(name)
    side = find(name).preprocessing.for_encoder.side
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    if way == PEER:
        peer = transformers_encoder(encoder)
        return lambda: peer(pixels).last_hidden_state
    if way == PLAIN:
        encoder = plain(encoder)
    elif way == HALF:
        encoder, pixels = encoder.to(torch.bfloat16), pixels.to(torch.bfloat16)
    return functools.partial(torch.inference_mode()(encoder), pixels)


class AllMaps(nn.Module):
    """An encoder whose maps are several, as one row of values."""

    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.image_encoder = network.image_encoder
        self.details = nn.ModuleList([network.mask_decoder.conv_s0, network.mask_decoder.conv_s1])

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode (b, 3, side, side)."""
        maps = self.image_encoder(pixels, tuple(self.details))
        return torch.cat([some.flatten(1) for some in maps], dim=1)


def random_encoder(name: str) -> nn.Module:
    """Build an image encoder with weights that let something of every branch through."""
    torch.manual_seed(0)
    network = build(find(name))
    several = isinstance(network, Sam2)  # maps, two of them by layers of the decoder
    encoder = (AllMaps(network) if several else network.image_encoder).eval()
    for parameter in encoder.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return encoder


def transformers_encoder(encoder: nn.Module) -> nn.Module:
    """Build transformers' SAM encoder with these weights."""
    from transformers import SamVisionConfig, SamVisionModel

    config = SamVisionConfig(attn_implementation="sdpa")
    model = SamVisionModel(config).eval()
    state = {f"image_encoder.{key}": value for key, value in encoder.state_dict().items()}
    model.load_state_dict(to_transformers(state), assign=True)
    return model


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))

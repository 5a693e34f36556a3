"""Measure SAM's mask decoder against the same decoder computed in the published order.

    python benchmarks/decoder.py            # 4 minutes
    python benchmarks/decoder.py --quick    # 1

From an embedding and clicks to three masks each at a quarter of the frame, with the prompt encoder
and random weights; all SAMs and MobileSAM share this decoder. The ways take turns in one process,
first on one thread, where processor time counts, then on two, where the time that passes counts;
ratios are of medians. The error is the largest difference from the plain decoder's logits, beside
the largest of those. With transformers installed, its decoder is compared, too. Prints Markdown.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import copy
import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
import tyro
from measure import alternate, machine, table
from torch import Tensor, nn

from anymask.evaluate.published.decoder import PlainDecoder
from anymask.models.config import SamConfig, VitConfig
from anymask.models.prompt_batch import PromptBatch
from anymask.models.sam import Sam
from anymask.models.weights.transformers_layout import to_transformers

PLAIN = "plain"
SIDE = 1024

Call = Callable[[], Tensor]


@dataclass(frozen=True)
class Options:
    """What to run."""

    prompts: tuple[int, ...] = (1, 64)
    """How many clicks to answer in a call."""
    points: int = 1
    """Points of each prompt."""
    work: int = 128
    """Each way answers about so many prompts on one thread, in 2 to 15 calls."""
    quick: bool = False
    """Once each, on one thread."""


def main(options: Options) -> None:
    """Measure and print."""
    print(f"On {machine()}.")
    for n in options.prompts:
        with torch.inference_mode():
            calls = prepare(n, options.points)
            print(f"\n## {n} prompts, points: {options.points}\n")
            repeats = 1 if options.quick else min(15, max(2, round(options.work / n)))
            print(table(alternate(calls, repeats), PLAIN))
            if not options.quick:
                print("\nTwo threads:\n")
                print(table(alternate(calls, repeats // 2, threads=2, warm=0), PLAIN))
            compare(calls)


def compare(calls: dict[str, Call]) -> None:
    """Print how far the answers are from the plain ones."""
    wanted = calls[PLAIN]()
    print(f"\nLargest difference of logits up to {wanted.abs().max():.2g}:\n")
    for name, call in calls.items():
        if name != PLAIN:
            print(f"- {name}: {(call() - wanted).abs().max():.1e}")


def prepare(n: int, points: int) -> dict[str, Call]:
    """Make calls that answer the same prompts on the same embedding."""
    network = random_network()
    half = copy.deepcopy(network).to(torch.bfloat16)
    features = {"image": torch.randn(1, 256, 64, 64)}
    prompts = PromptBatch(
        points_xy=torch.rand(n, points, 2) * SIDE,
        labels=torch.ones(n, points, dtype=torch.int64),
        boxes=None,
        mask_logits=None,
        frame_hw=(SIDE, SIDE),
    )

    def ours(network: Sam, prepared: bool) -> Call:
        image = {name: value.to(network.mask_decoder.iou_token.weight.dtype)
                 for name, value in features.items()}  # fmt: skip
        seen = network.prepare(image) if prepared else image
        return lambda: network.decode(seen, prompts, multimask=True)[0]

    calls = {PLAIN: functools.partial(plain, network, features, prompts)}
    if importlib.util.find_spec("transformers"):
        for attention in ("sdpa", "eager"):
            decoder = transformers_decoder(network, attention)
            calls[f"transformers, {attention}"] = functools.partial(
                theirs, network, decoder, features, prompts
            )
    calls["anymask"] = ours(network, prepared=True)
    calls["anymask, first call on an image"] = ours(network, prepared=False)
    calls["anymask, bfloat16"] = ours(half, prepared=True)
    return calls


def random_network() -> Sam:
    """Build a SAM's decoder behind a toy of an image encoder."""
    torch.manual_seed(0)
    return Sam(SamConfig(VitConfig(width=8, depth=1, heads=1, global_blocks=()))).eval()


def plain(network: Sam, features: dict[str, Tensor], prompts: PromptBatch) -> Tensor:
    tokens, added = network.prompt_encoder(prompts)
    decoder = PlainDecoder(network.mask_decoder)
    logits, _ = decoder(features["image"], network.prompt_encoder.image_code(), tokens, added)
    return logits[:, 1:]


def theirs(
    network: Sam, decoder: nn.Module, features: dict[str, Tensor], prompts: PromptBatch
) -> Tensor:
    tokens, added = network.prompt_encoder(prompts)
    code = network.prompt_encoder.image_code()
    logits, *_ = decoder(features["image"], code, tokens[None], added.expand_as(code), True)
    return logits[0]


def transformers_decoder(network: Sam, attention: str) -> nn.Module:
    """Give the same weights to transformers' decoder."""
    from transformers import SamMaskDecoderConfig
    from transformers.models.sam.modeling_sam import SamMaskDecoder

    prefix = "mask_decoder."
    state = {prefix + key: value for key, value in network.mask_decoder.state_dict().items()}
    decoder = SamMaskDecoder(SamMaskDecoderConfig(attn_implementation=attention)).eval()
    decoder.load_state_dict({k.removeprefix(prefix): v for k, v in to_transformers(state).items()})
    return decoder


if __name__ == "__main__":
    main(tyro.cli(Options))

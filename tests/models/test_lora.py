"""LoRA: it begins as nothing, learns alone, and goes into the weights and out again."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.models.adapted import answers, learn, lively
from tests.models.tiny import SIDE
from torch import nn

from anymask.errors import InputError
from anymask.models.fastsam import FastSam
from anymask.models.lora import LoraConfig, add_lora, drop_lora, lora_layers, merge, unmerge

# Every kind of layer that can have a product: in the image encoder, in the decoder (whose short
# cuts use the weights themselves), linear, convolutions, and those before a normalisation.
TARGETS = {
    "sam-vit-b": ("qkv", "lin1", "k_proj", "out_proj", "neck.2", "patch_embed.proj"),
    "mobile-sam": ("qkv", "fc2", "conv1.c", "downsample.conv3.c", "v_proj"),
    "efficient-sam-ti": ("qkv", "lin1", "q_proj", "neck.0"),
    "sam2.1-tiny": (
        "qkv",
        "lin1",
        "blocks.1.proj",
        "convs.3.conv",
        "conv_s0",
        "final_attn_token_to_image.k_proj",
    ),
    "bundled": ("qkv", "first.0", "lateral8.0", "mix8", "down16", "whole"),
}
every_kind = pytest.mark.parametrize("name", TARGETS)


pytestmark = pytest.mark.usefixtures("one_thread")


@every_kind
def test_merging_changes_no_answer_and_unmerging_leaves_no_trace(name: str) -> None:
    network = lively(name)
    keys, plain = (
        list(network.state_dict()),
        {k: v.clone() for k, v in network.state_dict().items()},
    )
    before = answers(network)
    names = add_lora(network, LoraConfig(rank=3, alpha=6, targets=TARGETS[name]))
    close = rounding(before)
    torch.testing.assert_close(answers(network), before, rtol=0, atol=close)  # B is zero

    for one in names:  # each of them counts
        with torch.no_grad():
            layer = lora_layers(network)[one]
            layer.lora_B.weight.normal_()
            assert (answers(network) - before).abs().max() > 2 * close, one
            layer.lora_B.weight.zero_()

    learn(network)
    learned = answers(network)
    close = rounding(learned)
    assert (learned - before).abs().max() > 10 * close
    for _ in range(2):  # twice is no more than once
        merge(network)
    torch.testing.assert_close(answers(network), learned, rtol=0, atol=close)
    for _ in range(2):
        unmerge(network)
    torch.testing.assert_close(answers(network), learned, rtol=0, atol=0)
    state = network.state_dict()
    assert all(torch.equal(state[key], plain[key]) for key in keys)  # to the bit

    merge(network)
    drop_lora(network)
    assert list(network.state_dict()) == keys
    assert {type(m) for m in network.modules()} == {type(m) for m in lively(name).modules()}
    torch.testing.assert_close(answers(network), learned, rtol=0, atol=close)


def rounding(values: torch.Tensor) -> float:
    """How far answers may lie apart that are computed in another order.

    Sums of up to a thousand products, dozens of them in a row, round by some 2^-24 of their size
    each: 100 times that, relative to the largest answer, is out of reach for any processor.
    """
    return 100 * 2**-24 * max(1.0, float(values.abs().max()))


def test_dropping_what_is_not_merged_forgets_it() -> None:
    network = lively("sam-vit-b")
    before = answers(network)
    add_lora(network, LoraConfig())
    learn(network)
    drop_lora(network)
    torch.testing.assert_close(answers(network), before, rtol=0, atol=0)


@every_kind
def test_nothing_learns_but_products_and_the_parts_that_shall(name: str) -> None:
    network = lively(name)
    part = "decoder" if name == "bundled" else "mask_decoder"
    names = add_lora(network, LoraConfig(whole=(part,)))
    assert names and not any(one.startswith(part) for one in names)
    learned = {n for n, p in network.named_parameters() if p.requires_grad}
    products = {n for n in learned if ".lora_" in n}
    assert products == {f"{one}.lora_{half}.weight" for one in names for half in "AB"}
    assert learned - products == {
        n for n, _ in network.named_parameters() if n.startswith(f"{part}.")
    }
    learn(network)
    features = network.encode(torch.randn(1, 3, SIDE, SIDE), (SIDE, SIDE))
    sum(maps.square().mean() for maps in features.values()).backward()
    grads = {n for n, p in network.named_parameters() if p.grad is not None}
    # SAM 2's decoder has two layers that see the image before any prompt.
    early = {n for n in learned - products if ".conv_s" in n}
    assert grads == products | early


def test_a_product_learns_what_the_weight_lacks() -> None:
    torch.manual_seed(0)
    goal, network = nn.Linear(6, 5), nn.Sequential(nn.Linear(6, 5))
    network[0].load_state_dict(goal.state_dict())
    with torch.no_grad():
        goal.weight += torch.outer(torch.randn(5), torch.randn(6))  # of rank 1
    add_lora(network, LoraConfig(rank=1, alpha=1, targets=("0",)))
    x = torch.randn(64, 6)
    optimizer = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (network(x) - goal(x)).square().mean().backward()
        optimizer.step()
    merge(network)
    torch.testing.assert_close(network[0].weight, goal.weight, rtol=0, atol=1e-3)


def test_dropout_is_for_training_alone() -> None:
    network = lively("sam-vit-b")
    add_lora(network, LoraConfig(dropout=0.5))
    learn(network)
    torch.testing.assert_close(answers(network), answers(network), rtol=0, atol=0)
    network.train()
    assert not torch.equal(answers(network), answers(network))


def test_copies_and_half_types_have_products_of_their_own() -> None:
    network = lively("sam-vit-b")
    add_lora(network, LoraConfig())
    learn(network)
    merge(network)
    other = copy.deepcopy(network).to(torch.bfloat16)
    unmerge(other)
    plain = lively("sam-vit-b").to(torch.bfloat16).state_dict()
    assert all(torch.equal(other.state_dict()[key], value) for key, value in plain.items())
    assert all(layer.original is not None for layer in lora_layers(network).values())


@pytest.mark.parametrize(
    ("name", "targets", "complaint"),
    [
        ("sam-vit-b", ("kqv",), "names end in 'kqv', got none; the last words .* lin1, lin2"),
        ("sam-vit-b", ("mlp",), "got MLP; choose other targets"),
        ("sam-vit-b", ("output_upscaling.0",), "got Upsample2x"),  # a convolution of its own kind
        ("mobile-sam", ("conv2.c",), "convolutions of all channels for LoRA, got Conv2d"),
        ("bundled", ("masks",), "got Pointwise"),
    ],
)
def test_layers_that_can_have_none(name: str, targets: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        add_lora(lively(name), LoraConfig(targets=targets))


def test_a_network_that_has_it_already() -> None:
    network = lively("sam-vit-b")
    add_lora(network, LoraConfig())
    with pytest.raises(InputError, match="got one that has it; drop that first"):
        add_lora(network, LoraConfig())


@pytest.mark.parametrize(
    "numbers", [{"rank": 0}, {"alpha": float("nan")}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_numbers_out_of_range(numbers: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected a"):
        LoraConfig(**numbers)


def test_the_usual_layers() -> None:
    assert add_lora(lively("sam-vit-b"), LoraConfig()) == [
        f"image_encoder.blocks.{i}.attn.qkv" for i in range(2)
    ]
    names = add_lora(lively("bundled"), LoraConfig())
    assert {"encoder.stage4.0.first.0", "encoder.stage32.0.qkv"} <= set(names)
    assert all(name.startswith("encoder.") for name in names)
    assert isinstance(lively("fastsam-s"), FastSam)
    with pytest.raises(InputError, match="got none"):
        add_lora(lively("fastsam-s"), LoraConfig())

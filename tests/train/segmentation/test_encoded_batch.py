"""Photos that are encoded once: the gradients are those of encoding them for every prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.models.tiny import prompts
from tests.train.segmentation.shapes import embedded, item, network_of
from torch import nn

from anymask.errors import InputError
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant, find
from anymask.train.segmentation.encoded_batch import (
    DECODERS,
    EncodedBatch,
    encoder_learns,
    group_by_frame,
)

CPU = torch.device("cpu")
every_network = pytest.mark.parametrize(
    "variant",
    [find(n) for n in ("sam-vit-b", "mobile-sam", "efficient-sam-ti", "sam2.1-tiny", "bundled")],
    ids=lambda v: v.name,
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("one_thread")


def gradients(network: nn.Module) -> dict[str, torch.Tensor]:
    """Take what the weights have gathered."""
    found = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    return found


@every_network
def test_gradients_are_those_of_one_graph(variant: Variant) -> None:
    small, network = network_of(variant)
    items = [item(small, seed=seed) for seed in range(2)]
    asked, indices = prompts(3, 1), [0, 1, 1]
    asked = replace(asked, labels=torch.ones_like(asked.labels))

    frames = [small.preprocessing.frames(i.image[None], i.transform, CPU) for i in items]  # type: ignore[index]
    features = network.encode(torch.cat(frames), items[0].transform.frame_hw)  # type: ignore[operator]
    own = {name: maps[indices] for name, maps in features.items()}
    network.decode_all(own, asked)[0].sum().backward()  # type: ignore[operator]
    whole = gradients(network)

    encoded = EncodedBatch(network, items, small.preprocessing, CPU)
    # Of all three, of which two are about one image; then of those two alone, which share it.
    for some, group in ((asked, indices), (asked, indices), (asked.split(1)[0], [0])):
        with encoded.features_of(group) as lent:
            network.decode_all(lent, some)[0].sum().backward()  # type: ignore[operator]
    some = PromptBatch(asked.points_xy[1:], asked.labels[1:], None, None, asked.frame_hw)
    with encoded.features_of([1, 1]) as lent:
        assert all(len(maps) == 1 for maps in lent.values())
        network.decode_all(lent, some)[0].sum().backward()  # type: ignore[operator]
    encoded.backward_encoder()
    parts = gradients(network)
    assert parts.keys() == whole.keys()
    largest = max(float(grad.abs().max()) for grad in whole.values())
    for name, grad in whole.items():
        assert torch.allclose(parts[name] / 3, grad, rtol=1e-3, atol=1e-5 * largest), name


@every_network
def test_the_decoders_are_what_encoding_does_without(variant: Variant) -> None:
    small, network = network_of(variant)
    for name, weights in network.named_parameters():
        weights.requires_grad_(name.startswith(DECODERS))
    assert not encoder_learns(network)
    encoded = EncodedBatch(network, [item(small)], small.preprocessing, CPU)
    assert not any(maps.requires_grad for maps in encoded.leaves.values())
    for weights in network.parameters():
        weights.requires_grad_(not weights.requires_grad)
    assert encoder_learns(network)
    encoded = EncodedBatch(network, [item(small)], small.preprocessing, CPU)
    assert all(maps.requires_grad for name, maps in encoded.leaves.items() if name != "colour")


def test_carried_features_are_taken_as_they_are() -> None:
    small, network = network_of(find("bundled"))
    one = item(small)
    fresh = EncodedBatch(network, [one], small.preprocessing, CPU)
    carried = EncodedBatch(network, [embedded(one, network, small)], small.preprocessing, CPU)
    assert fresh.mask_hw == carried.mask_hw == (32, 32)
    for name, maps in fresh.leaves.items():
        assert torch.allclose(maps, carried.leaves[name], atol=1e-5)


def test_photos_of_one_frame_go_together() -> None:
    small, network = network_of(find("sam-vit-b"))
    square, wide = item(small), item(replace(small, preprocessing=find("bundled").preprocessing))
    carried = embedded(square, network, small)
    groups = group_by_frame([square, wide, carried, square])
    assert [[id(one) for one in group] for group in groups] == [
        [id(square), id(square)], [id(wide)], [id(carried)],
    ]  # fmt: skip


def test_an_item_without_anything_to_see_is_refused() -> None:
    small, network = network_of(find("bundled"))
    with pytest.raises(InputError, match="image or features of '0', got neither"):
        EncodedBatch(network, [replace(item(small), image=None)], small.preprocessing, CPU)

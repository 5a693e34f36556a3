"""The version of a network of PyTorch: whatever changes its weights changes it."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from anymask.models.torch_network import TorchNetwork


class Small(TorchNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 2), nn.Identity())
        self.head = nn.Linear(2, 1)


class Twice(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def learn(network: Small) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    network.head(network.body(torch.ones(1, 2))).sum().backward()
    optimizer.step()


def exchange_part(network: Small) -> None:
    network.body[0] = nn.Linear(2, 2)


def exchange_table(network: Small) -> None:
    network.body._modules = {"0": nn.Linear(2, 2), "1": nn.Identity()}


def exchange_weight(network: Small) -> None:
    network.head.weight = nn.Parameter(torch.ones(1, 2))


def fill_an_empty_part(network: Small) -> None:
    network.body[1].extra = nn.Parameter(torch.ones(1))


def write(network: Small) -> None:
    with torch.no_grad():
        network.head.bias.add_(1)


def load_state(network: Small) -> None:
    network.load_state_dict(Small().state_dict())


def assign_state(network: Small) -> None:
    network.load_state_dict(Small().state_dict(), assign=True)


def parametrized(network: Small) -> None:
    parametrize.register_parametrization(network.head, "weight", Twice())


CHANGES = [
    *(learn, exchange_part, exchange_table, exchange_weight, fill_an_empty_part),
    *(write, load_state, assign_state, parametrized),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changes_are_noticed(change: Callable[[Small], None]) -> None:
    network = Small()
    seen = [network.version]
    assert network.version == seen[0]
    for _ in range(1 if change is parametrized else 3):
        change(network)
        assert network.version not in seen
        seen.append(network.version)
        assert network.version == seen[-1]
        write(network)  # weights that were exchanged are counted from then on
        assert network.version not in seen
        seen.append(network.version)


def test_a_copy_counts_for_itself_and_nothing_is_kept() -> None:
    network = Small()
    twin = copy.deepcopy(network)
    before = network.version, twin.version
    write(twin)
    assert (network.version, twin.version) == (before[0], before[1] + 1)
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None

"""Batches: the same ones wherever a run enters, and however many processes share them."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from anymask.data.stream import Stream
from anymask.errors import InputError


class Squares:
    """The square of each position."""

    def __getitem__(self, position: int) -> int:
        return position**2


class Broken:
    """Nothing from the fourth position on."""

    def __getitem__(self, position: int) -> int:
        if position > 2:
            raise InputError("expected a mask, got none; draw one")
        return position


def test_a_run_that_goes_on_gets_what_it_would_have_got() -> None:
    stream = Stream(Squares(), 3)
    whole = list(islice(stream.iterate(0), 5))
    assert whole[:2] == [[0, 1, 4], [9, 16, 25]]
    assert list(islice(stream.iterate(2), 3)) == whole[2:]


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_what_one_would_get(processes: int) -> None:
    one = Stream(Squares(), 2 * processes).iterate(1)
    parts = [Stream(Squares(), 2).iterate(1, p, processes) for p in range(processes)]
    for _ in range(3):
        assert next(one) == [item for part in parts for item in next(part)]


def test_workers_change_nothing() -> None:
    ahead, asked = (Stream(Squares(), 2, workers=n).iterate(1) for n in (2, 0))
    assert list(islice(ahead, 4)) == list(islice(asked, 4))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_stays_one_sentence(workers: int) -> None:
    batches = Stream(Broken(), 3, workers=workers).iterate(0)
    assert next(batches) == [0, 1, 2]
    with pytest.raises(InputError) as caught:
        next(batches)
    assert str(caught.value) == "expected a mask, got none; draw one"


def test_the_chance_of_the_model_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    next(Stream(Squares(), 2).iterate(0))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("batch", "workers"), [(0, 0), (1, -1)])
def test_impossible_numbers_are_refused(batch: int, workers: int) -> None:
    with pytest.raises(InputError, match="batch of at least 1"):
        Stream(Squares(), batch, workers=workers)

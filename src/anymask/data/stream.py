"""Endless batches, in an order that anybody can enter anywhere."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader

from anymask.errors import AnymaskError, InputError

__all__ = ["ByPosition", "Stream"]


class ByPosition(Protocol):
    """Something that has an item at every position from 0 on, see `anymask.data.item.Items`.

    What is at a position depends on nothing but the position.
    """

    def __getitem__(self, position: int) -> Any: ...


class Stream:
    """Cuts positions into batches, each a list of items, and has them made ahead of time.

    A run that goes on at batch 100 gets the very batch 100 of an uninterrupted one, and two
    processes get between them what one with twice the batch would.
    """

    def __init__(self, items: ByPosition, batch: int, *, workers: int = 0) -> None:
        """Prepare.

        Args:
            items: Makes the item at a position. With workers it must be fit for pickling.
            batch: Items per batch.
            workers: Processes that make items ahead of time; 0: made when they are needed.

        Raises:
            InputError: A number is too small.
        """
        if batch < 1 or workers < 0:
            raise InputError(
                f"expected a batch of at least 1 and 0 or more workers, got {batch} and {workers}; "
                "correct them"
            )
        self.items, self.batch, self.workers = items, batch, workers

    def iterate(
        self, start: int, process: int = 0, processes: int = 1
    ) -> Generator[list[Any], None, None]:
        """Go through the batches of one process without end, from number ``start`` on.

        Its `close` ends the workers.
        """
        loader: DataLoader[Any] = DataLoader(
            _Tried(self.items),  # type: ignore[arg-type]  # it needs no more than items by position
            batch_sampler=_Positions(self.batch, start, process, processes),
            collate_fn=list,
            num_workers=self.workers,
            worker_init_fn=_leave_signals,
            generator=torch.Generator(),  # its own, lest it draw from the one of the model
        )
        for batch in loader:
            for item in batch:
                if isinstance(item, AnymaskError):
                    raise item
            yield batch


def _leave_signals(_: int) -> None:
    """Leave it to the main process when to end, as Ctrl-C and SLURM signal all processes of a job.

    A second SIGTERM is obeyed, lest what the main process leaves behind lives on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: signal.signal(number, signal.SIG_DFL))


class _Tried:
    """Hands an error on as if it were an item, for a worker would wrap it into its own story."""

    def __init__(self, items: ByPosition) -> None:
        self.items = items

    def __getitem__(self, position: int) -> Any:
        try:
            return self.items[position]
        except AnymaskError as error:
            return error


class _Positions:
    """The positions of each batch of one process."""

    def __init__(self, batch: int, start: int, process: int, processes: int) -> None:
        self.batch, self.start = batch, start
        self.process, self.processes = process, processes

    def __iter__(self) -> Iterator[list[int]]:
        number = self.start
        while True:
            first = (number * self.processes + self.process) * self.batch
            yield list(range(first, first + self.batch))
            number += 1

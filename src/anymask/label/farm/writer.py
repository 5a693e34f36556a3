"""Writing of shards while others are labelled, and of the index of all names."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from anymask.folder import ResumableFolder
from anymask.label.farm.ledger import Ledger, Row, digest_of
from anymask.label.farm.sink import Labelled, Left, Sink
from anymask.label.farm.source import Reader

__all__ = ["Writer", "write_index"]


class Writer:
    """Writes shards in a thread of its own, so that nobody who labels waits for it.

    Args:
        folder: The results.
        ledger: Name of the ledger's file there.
        read: Reads images of the source.
        sinks: Where shards go, by format.
        size: Numbers of one shard.
    """

    def __init__(
        self,
        folder: ResumableFolder,
        ledger: str,
        read: Reader,
        sinks: Mapping[str, Sink],
        size: int,
    ) -> None:
        self._folder, self._ledger, self._read = folder, ledger, read
        self._sinks, self._size = sinks, size
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[Counter[str]]] = deque()
        self._written: dict[tuple[str, int], str] = {}  # by this run

    def __enter__(self) -> Writer:
        """Use it in a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the shard that is being written, and for no other."""
        self._pool.shutdown(cancel_futures=True)

    def begin(self, shard: int) -> None:
        """Have a shard written.

        Raises:
            OutputError: An earlier one could not be written.
        """
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, shard))

    def finish(self, shards: int, step: Callable[[], None]) -> Counter[str]:
        """Bring all shards up to date, and give how many images are not in them, by `Left.why`.

        Raises:
            OutputError: One could not be written.
        """
        while self._waiting:
            self._waiting.popleft().result()
        left: Counter[str] = Counter()
        for shard in range(shards):
            left += self._pool.submit(self._write, shard).result()
            step()
        return left

    def _write(self, shard: int) -> Counter[str]:
        left: set[tuple[int, str]] = set()  # an image that is missing in two formats counts once
        with Ledger(self._folder.path / self._ledger) as ledger:
            for format, sink in self._sinks.items():
                found = self._write_to(ledger, format, sink, shard)
                left |= {(number, one.why) for number, one in found.items()}
        return Counter(why for _, why in left)

    def _write_to(self, ledger: Ledger, format: str, sink: Sink, shard: int) -> dict[int, Left]:
        numbers = _numbers(shard, self._size)
        digest = digest_of(row for row in ledger.rows(*numbers) if row.is_image)
        known, errors = ledger.shard(format, shard)
        paths = [self._folder.path / name for name in sink.files(shard)]
        tried = not errors or self._written.get((format, shard)) == digest
        if known == digest and tried and all(path.is_file() for path in paths):
            return errors
        errors = dict(sink.write(shard, self._labelled(ledger, numbers)))
        ledger.note_shard(format, shard, digest, errors)
        self._written[format, shard] = digest
        return errors

    def _labelled(self, ledger: Ledger, numbers: tuple[int, int]) -> Iterator[Labelled]:
        for row in ledger.rows(*numbers, records=True):
            if row.is_image:
                yield Labelled(row.number, row.name, row.sha256, row.record, self._read)


def write_index(
    folder: ResumableFolder, name: str, ledger: Ledger, formats: Sequence[str], size: int
) -> None:
    """Write what became of every name, a line of JSON each.

    Args:
        folder: The results.
        name: Of the file.
        ledger: Knows it.
        formats: In which images may be left out.
        size: Numbers of one shard.

    Raises:
        OutputError: It cannot be written.
    """
    with folder.writing(name) as draft, draft.open("w", encoding="utf-8") as file:
        for shard in range(-(-ledger.last_number() // size)):
            left = [ledger.shard(format, shard)[1] for format in formats]
            for row in ledger.rows(*_numbers(shard, size)):
                why = [one[row.number] for one in left if row.number in one]
                file.write(json.dumps(_line(row, size, why)) + "\n")


def _numbers(shard: int, size: int) -> tuple[int, int]:
    """Give the numbers that belong into a shard, the second one exclusive."""
    return shard * size + 1, (shard + 1) * size + 1


def _line(row: Row, size: int, left: Sequence[Left]) -> dict[str, Any]:
    line: dict[str, Any] = {"name": row.name, "sha256": row.sha256.hex() or None}
    missing = (one.sentence for one in left if one.why == "missing")
    if error := row.error or next(missing, ""):
        return line | {"error": error}
    line |= {"left": left[0].sentence} if left else {}
    line |= {"image_id": row.first, "shard": (row.first - 1) // size, "masks": row.masks}
    return line | ({"duplicate": True} if row.first != row.number else {})

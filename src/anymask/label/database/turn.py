"""Whose turn it is to write to a file of SQLite: who came first goes first.

SQLite lets whoever asks at the right moment write. A process that writes again at once finds the
file free while all others still wait for their next question, so some wait for seconds. Here,
everybody draws a number. The order is a matter of courtesy alone: SQLite's own lock decides who
writes, so whatever happens to the numbers, nothing is lost and nobody waits for the dead.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

if sys.platform == "linux":
    import fcntl

__all__ = ["Turn"]

_HEAD = struct.Struct("=qq")  # the last number drawn, the last one whose turn it was
_NUMBERS = 1 << 20  # where the bytes of the file begin that stand for the numbers; nothing is there
_PAUSE = 0.001  # seconds between two looks of who is next; others look the less, the further back
_LONGEST_PAUSE = 0.02


class Turn:
    """A place in the line of those who want to write to a file.

    Each number is a byte of a small file, locked by who drew it for as long as he waits and writes
    (locks of open files, as Linux has them; elsewhere nobody draws, and `wait` returns at once).
    The system gives them back when a process ends, even if killed.

    Args:
        path: The file to write to; the numbers are drawn in a hidden one beside it.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "file.db"
        >>> with Turn(path) as first, Turn(path) as second:
        ...     first.wait(0), second.wait(0)
        (True, False)
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f".{path.name}.turns")
        self._file: int | None = None
        self._number = 0

    def __enter__(self) -> Turn:
        """Draw a number."""
        if sys.platform == "linux":
            # Without one, such as on a file system that has no locks, all just take their chance.
            with suppress(OSError):
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                self._draw(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the next one go on."""
        file, self._file, self._number = self._file, None, 0
        if file is None:
            return
        with suppress(OSError):
            # A child that was forked meanwhile has the file, too: closing it here is not enough.
            _lock(file, "free", 0, 0)
        os.close(file)

    def wait(self, seconds: float) -> bool:
        """Wait until all who came before are done; return whether they are."""
        if self._file is None or not self._number:
            return True
        end = time.monotonic() + seconds
        while not _lock(self._file, "shared", _NUMBERS, self._number):
            left = end - time.monotonic()
            if left <= 0:
                return False
            ahead = self._number - _head(self._file)[1]
            time.sleep(min(_PAUSE * max(ahead, 1), _LONGEST_PAUSE, left))
        with suppress(OSError):  # only others' patience hangs on it
            os.pwrite(self._file, _HEAD.pack(0, self._number)[8:], 8)
        return True

    def _draw(self, file: int) -> None:
        for _ in range(1000):  # whoever draws at this moment needs microseconds
            if _lock(file, "own", 0, 1):
                break
            time.sleep(_PAUSE / 10)
        else:
            return
        number = _head(file)[0] + 1
        if _lock(file, "own", _NUMBERS + number, 1):
            os.pwrite(file, _HEAD.pack(number, 0)[:8], 0)
            self._number = number
        _lock(file, "free", 0, 1)


def _head(file: int) -> tuple[int, int]:
    drawn, called = _HEAD.unpack(os.pread(file, _HEAD.size, 0).ljust(_HEAD.size, b"\0"))
    return drawn, called


def _lock(file: int, kind: str, start: int, length: int) -> bool:
    """Lock bytes of an open file, or give them back; return whether nobody has them."""
    if sys.platform != "linux":
        return True
    kinds = {"own": fcntl.F_WRLCK, "shared": fcntl.F_RDLCK, "free": fcntl.F_UNLCK}
    # struct flock: type, whence, start, length (0: to the end), and no process, for the file owns.
    wanted = struct.pack("@hhqqi0q", kinds[kind], os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):
        return False
    return True

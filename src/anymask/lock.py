"""Locks between processes, which the system takes away when their process ends, even if killed.

They are locks of the operating system (``flock``; on Windows ``msvcrt.locking``) on a small file.
Linux carries them to other machines on NFS 4 and SMB. Where a file system has none, a lock warns
once and is given to everyone.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from anymask.atomic import cannot_write, make_folder

__all__ = ["Lock"]

_PAUSE = 0.05  # seconds between two looks at a lock that somebody has
_ATTEMPTS = 3
_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}

if sys.platform == "win32":
    import msvcrt

    def _lock(file: FileIO) -> None:
        # Far behind the end, because Windows lets nobody else read locked bytes.
        file.seek(1 << 30)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: FileIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Lock:
    """A file that at most one holder has at a time, be it a process or a thread.

    The file is deleted when the lock is given back.

    Args:
        path: The file; its folder is made when missing.
        content: What it says about the holder.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "lock"
        >>> lock = Lock(path)
        >>> lock.acquire(), Lock(path).acquire()
        (True, False)
        >>> lock.release()
        >>> path.exists()
        False
    """

    def __init__(self, path: Path, content: str = "") -> None:
        self.path, self.content = path, content
        self.real = True
        """Whether the file system has locks; known once the lock was taken."""
        self._file: FileIO | None = None

    def acquire(self, timeout: float = 0.0, check: Callable[[], None] = lambda: None) -> bool:
        """Take the lock.

        Args:
            timeout: Seconds to wait for whoever has it.
            check: Called now and then meanwhile; what it raises ends the wait.

        Returns:
            Whether it was free, or became so in time.

        Raises:
            OutputError: The file cannot be made.
        """
        end = time.monotonic() + timeout
        while True:
            for _ in range(_ATTEMPTS):  # others may take its file or its folder away meanwhile
                if self._try():
                    return True
            check()
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE)

    def release(self) -> None:
        """Give the lock back, and delete its file."""
        file, self._file = self._file, None
        if file is None:
            return
        if sys.platform == "win32":  # deletes no open files
            file.close()
        with suppress(OSError):
            self.path.unlink()
        file.close()

    def _try(self) -> bool:
        try:
            file = self.path.open("a+b", buffering=0)
        except FileNotFoundError:  # its folder went with the last lock that was in it
            make_folder(self.path.parent)
            return False
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            self._file = file if self._owns(file) else None
        finally:
            if self._file is None:
                file.close()
        if self._file is not None and self.content:
            self._write_content(file)
        return self._file is not None

    def _write_content(self, file: FileIO) -> None:
        try:
            file.truncate(0)
            file.write(self.content.encode())
        except OSError as error:  # such as that of a full disk
            self.release()
            raise cannot_write(self.path, error) from error

    def _owns(self, file: FileIO) -> bool:
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            if error.errno not in _NO_LOCKS:
                raise
            self.real = False
            warnings.warn(
                f"the file system of {str(self.path.parent)!r} has no locks; let one process at a "
                "time write there",
                stacklevel=2,
            )
        # Whoever had it before may have deleted the file after it was opened here.
        with suppress(OSError):
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        return False

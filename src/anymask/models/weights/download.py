"""Downloads: resumed where they broke off, checked, and in place only when they are whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from anymask import __version__
from anymask.errors import OutputError, WeightsError
from anymask.models import cache
from anymask.models.weights.files import check_file, read_state

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["download"]

ATTEMPTS = 4
"""How often in a row a connection may fail without bringing anything new."""
PAUSE = 0.5
"""Seconds before the second attempt; each later pause is twice as long."""
TIMEOUT = 30.0
"""Seconds of silence after which a connection counts as broken."""

_CHUNK = 1 << 20
_FINAL = {400, 401, 403, 404, 405, 410, 451}  # asking again will not help
_BEYOND = 416  # there is nothing left to go on with


def download(url: str, target: Path, sha256: str | None = None, name: str = "weights") -> None:
    """Download a weight file, unless it is there already.

    What has come is kept beside the target, under a name that ends in ``.part``. It takes the
    target's name when it is complete and proves to be what was asked for. Of two processes that
    want the same file, one waits for the other. Proxies are taken from the environment.

    Args:
        url: An http or https address.
        target: Where the file should be; its folder is made when missing.
        sha256: SHA-256 of the file in hex, or the leading part of it. Only with it does a download
            go on where an earlier call left off.
        name: What is downloaded, for messages.

    Raises:
        WeightsError: It cannot be had, or is not what was asked for.
        OutputError: It cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _part(target) as (file, path):
            if target.is_file():
                return  # another process was quicker
            with _progress_bar(name) as show:
                found = _Download(url, file, sha256, name, show).run()
            _check(path, url, found, sha256, file)
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows moves no open file
            path.replace(target)
            cache.remember(target, found)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {str(target)!r}: {error.strerror or error}; make room, or set "
            f"ANYMASK_CACHE to another folder"
        ) from error


def _check(path: Path, url: str, found: str, sha256: str | None, file: BinaryIO) -> None:
    """Check what has come, and throw it away if it is not what was asked for."""
    try:
        if not sha256:  # then only reading it tells whether it is whole
            read_state(path, url)
            return
        check_file(path, url)
        if not found.startswith(sha256):
            raise WeightsError(
                f"expected a file with SHA-256 {sha256}... from {url}, got {found[:12]}...; it was "
                f"damaged on its way or replaced: try again, or load it by its path if you trust it"
            )
    except WeightsError:
        file.truncate(0)
        raise


@contextmanager
def _part(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open the unfinished file beside a target, for one process alone; drop it if it is empty."""
    path = target.with_name(f"{target.name}.part")
    file = _open_alone(path)
    try:
        yield file, path
    except OSError:  # a full disk: do not keep it full
        if not file.closed:
            with suppress(OSError):
                file.truncate(0)
        raise
    finally:
        if not file.closed:
            if os.fstat(file.fileno()).st_size == 0:
                path.unlink(missing_ok=True)
            file.close()


def _open_alone(path: Path) -> BinaryIO:
    """Open a file to append to, once no other process has it open like this."""
    while True:
        file = path.open("a+b")
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # whoever had it has finished it or thrown it away: begin a new one


class _Broken(Exception):
    """A connection failed; another attempt may do better."""


class _Download:
    """One file on its way; `run` brings it home."""

    def __init__(
        self,
        url: str,
        file: BinaryIO,
        sha256: str | None,
        name: str,
        show: Callable[[int, int | None], None],
    ) -> None:
        self._url, self._file, self._name, self._show = url, file, name, show
        self._sha256 = sha256
        self._version = ""  # what the server calls this version of the file
        if not sha256:  # nothing would tell a mixture of two versions
            file.truncate(0)
        file.seek(0)
        self._hash = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            self._hash.update(chunk)
        self._size = file.tell()

    def run(self) -> str:
        """Receive the file and return its SHA-256 in hex."""
        failures, farthest = 0, self._size
        if self._sha256 and self._hash.hexdigest().startswith(self._sha256):
            return self._hash.hexdigest()  # an earlier call was stopped right before the end
        while True:
            try:
                self._receive()
                return self._hash.hexdigest()
            except _Broken as error:
                failures = failures + 1 if self._size <= farthest else 1
                farthest = max(farthest, self._size)
                if failures >= ATTEMPTS:
                    raise self._fault(
                        f"{error} ({failures} times)", "check the network and call again"
                    ) from error
            time.sleep(PAUSE * 2 ** (failures - 1))

    def _receive(self) -> None:
        """Receive what is missing, as far as the connection lasts."""
        with self._open() as response:
            if self._size and not self._continues(response):
                self._restart()
            about = response.headers
            self._version = about.get("ETag") or about.get("Last-Modified") or ""
            length = about.get("Content-Length", "")
            total = self._size + int(length) if length.isdigit() else None
            self._check_room(total)
            while chunk := _read(response):
                self._file.write(chunk)
                self._hash.update(chunk)
                self._size += len(chunk)
                self._show(self._size, total)
        self._file.flush()
        if total is not None and self._size < total:
            raise _Broken(f"a connection cut after {self._size:,} of {total:,} bytes")

    def _open(self) -> Any:
        if self._size and not self._sha256 and not self._version:
            self._restart()
        headers = {"User-Agent": f"anymask/{__version__}"}
        if self._size:
            headers["Range"] = f"bytes={self._size}-"
            if self._version and not self._version.startswith("W/"):
                headers["If-Range"] = self._version
        request = urllib.request.Request(self._url, headers=headers)
        try:
            # urlopen would remember the proxies of the first call.
            return urllib.request.build_opener().open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            said = f"HTTP {error.code} {error.reason}"
            error.close()
            if error.code == _BEYOND and self._size:
                self._restart()
            if error.code in _FINAL:
                raise self._fault(said, "check the address") from error
            raise _Broken(said) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, socket.gaierror):  # no network at all, most of the time
                raise self._fault(
                    "no connection (its host is not found)",
                    "check the network, or download it elsewhere and load it by its path",
                ) from error
            raise _Broken(f"no connection ({reason})") from error

    def _continues(self, response: Any) -> bool:
        """Return whether a server sends what was asked for, or the file from its beginning."""
        said: str = response.headers.get("Content-Range", "")
        return response.status == 206 and said.startswith(f"bytes {self._size}-")

    def _restart(self) -> None:
        self._file.truncate(0)
        self._hash, self._size = hashlib.sha256(), 0

    def _check_room(self, total: int | None) -> None:
        free = shutil.disk_usage(Path(self._file.name).parent).free
        if total is not None and total - self._size > free:
            raise OutputError(
                f"expected {(total - self._size) / 1e6:,.0f} MB of room for {self._name} in "
                f"{str(cache.cache_dir())!r}, got {free / 1e6:,.0f} MB; make room, or set "
                f"ANYMASK_CACHE to another folder"
            )

    def _fault(self, got: str, cure: str) -> WeightsError:
        return WeightsError(f"expected {self._name} from {self._url}, got {got}; {cure}")


def _read(response: Any) -> bytes:
    try:
        chunk: bytes = response.read(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _Broken(f"a connection that broke ({error or type(error).__name__})") from error
    return chunk


@contextmanager
def _progress_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far a download is, where somebody looks; yields what to tell it."""
    if not sys.stderr.isatty():
        yield lambda size, total: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("downloading {task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(compact=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda size, total: bar.update(task, completed=size, total=total)

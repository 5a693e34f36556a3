"""The cache folder: where downloaded weights lie, and what is known about files of weights."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from anymask.atomic import atomic_write
from anymask.errors import AnymaskError, WeightsError

if TYPE_CHECKING:
    from anymask.models.variants import Variant

__all__ = ["cache_dir", "digest", "kept_offline", "offline", "place", "remember"]

# Hashing less than this is quicker than looking up what it was the last time.
_WORTH_A_RECORD = 64 << 20


def cache_dir() -> Path:
    """Tell where downloaded weights are kept.

    ``$ANYMASK_CACHE``, else ``$XDG_CACHE_HOME/anymask``, else ``~/.cache/anymask``.
    """
    own, shared = os.environ.get("ANYMASK_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path.home() / ".cache") / "anymask"


def place(variant: Variant) -> Path:
    """Tell where the weights of a variant are or would be: in the package or in the cache."""
    if variant.weights.url is None:
        return Path(__file__).with_name("bundled") / variant.weights.file
    return cache_dir() / variant.weights.file


def offline() -> bool:
    """Return whether ``$ANYMASK_OFFLINE`` or ``$HF_HUB_OFFLINE`` forbids downloads."""
    switches = (os.environ.get(name, "") for name in ("ANYMASK_OFFLINE", "HF_HUB_OFFLINE"))
    return any(switch.strip().lower() not in ("", "0", "false", "no", "off") for switch in switches)


@contextmanager
def kept_offline(forbidden: bool) -> Iterator[None]:
    """Forbid downloads for a while, or leave it as it is, to all that ask `offline`."""
    before = os.environ.get("ANYMASK_OFFLINE")
    if forbidden:
        os.environ["ANYMASK_OFFLINE"] = "1"
    try:
        yield
    finally:
        if forbidden and before is None:
            del os.environ["ANYMASK_OFFLINE"]
        elif forbidden and before is not None:
            os.environ["ANYMASK_OFFLINE"] = before


def digest(*files: Path) -> str:
    """Compute the SHA-256 of a file in hex; of several, that of the list of theirs.

    The digests of large files are remembered in the cache, by path, size and time of change: for
    2.5 GB it takes seconds.

    Raises:
        WeightsError: It cannot be read.
    """
    if len(files) > 1:
        lines = [f"{digest(file)}  {file.name}\n" for file in files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    path = files[0]
    try:
        stat = path.stat()
        record = _record(path, stat)
        if stat.st_size >= _WORTH_A_RECORD and record.is_file():
            return record.read_text(encoding="ascii")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"cannot read the weight file {str(path)!r}: {error.strerror}; check the path"
        ) from error
    if time.time() - stat.st_mtime > 2:  # else it could change again without a newer time
        remember(path, found)
    return found


def remember(path: Path, found: str) -> None:
    """Keep the digest of a file that is worth it."""
    with suppress(OSError, AnymaskError):  # a cache that cannot be written to only costs time
        stat = path.stat()
        if stat.st_size >= _WORTH_A_RECORD:
            record = _record(path, stat)
            record.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(record) as draft:
                draft.write_text(found, encoding="ascii")


def _record(path: Path, stat: os.stat_result) -> Path:
    identity = f"{path.resolve()} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"
    return cache_dir() / "digests" / hashlib.sha256(identity.encode()).hexdigest()[:32]

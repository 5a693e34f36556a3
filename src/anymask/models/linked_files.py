"""Graphs whose files are links, such as those in the cache of a hub or of an installer.

A graph may keep its weights in files beside it. Runtimes refuse such a file when it is a link that
leads out of the folder, lest a stranger's graph read any file there is. Here `read_exported` has
checked each file by its digest, so where links lead does not matter.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from anymask.models import onnx_file

__all__ = ["open_linked"]

T = TypeVar("T")


def open_linked(path: Path, opened: Callable[[Path], T]) -> T:
    """Open a graph; if that fails and what it reads beside it are links, once more without links.

    Args:
        path: The graph.
        opened: Opens the graph at a path, and reads the files beside it.

    Raises:
        Exception: As `opened` does, the second time.

    Examples:
        >>> open_linked(Path("encoder.onnx"), lambda path: path.suffix)
        '.onnx'
    """
    try:
        return opened(path)
    except Exception:
        beside = _read_beside(path)
        if not any(file.is_symlink() and file.is_file() for file in beside):
            raise
        with _real_files(path, beside) as real:
            return opened(real)


def _read_beside(path: Path) -> list[Path]:
    """List the files beside a graph that it reads; OpenVINO's own may be links as they are."""
    if path.suffix != ".onnx":
        return []
    try:
        names = {place.file for place in onnx_file.places(path.read_bytes())}
    except (OSError, ValueError, KeyError):
        return []  # no such graph, as the runtime said
    return [path.parent / name for name in sorted(names) if name == Path(name).name]


@contextmanager
def _real_files(path: Path, beside: list[Path]) -> Iterator[Path]:
    """Give the graph's path in a folder for a while where its files are no links.

    They are second names of the same bytes where the system allows it, else copies.
    """
    with tempfile.TemporaryDirectory(prefix="anymask-", ignore_cleanup_errors=True) as folder:
        for file in (path, *beside):
            real, here = file.resolve(), Path(folder) / file.name
            try:
                os.link(real, here)
            except OSError:  # another disk, somebody else's file, or a system that has none
                shutil.copyfile(real, here)
        yield Path(folder) / path.name

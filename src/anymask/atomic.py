"""Writing files whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias, cast

from anymask.errors import InputError, OutputError

__all__ = ["DRAFT", "Target", "atomic_write", "cannot_write", "make_folder", "output"]

DRAFT = ".anymask-"
"""How the names of unfinished files begin, which only a killed process leaves behind."""

Target: TypeAlias = str | os.PathLike[str] | IO[bytes]
"""Where a file's content goes: a path, or a file that is open for writing bytes."""

_IN_MEMORY = 1 << 26  # bytes of a file to come that are kept in memory, not on disk


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well, it takes the place of ``path``.

    The yielded file lies beside ``path`` (so that moving it is a rename), is empty, and has the
    same suffix (for writers that choose a format by suffix). If the block fails, it is deleted and
    whatever was at ``path`` before is still there, untouched. Do nothing but write inside the
    block: an ``OSError`` raised in it is taken for a failure to write.

    Args:
        path: Where the file is to be. Its folder must exist; a symbolic link stays a link.

    Raises:
        OutputError: The place cannot be written to, or the disk is full.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_write(path) as draft:
        ...     _ = draft.write_text("whole")
        >>> path.read_text()
        'whole'
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise OutputError(f"cannot write {str(path)!r}: it is a folder; name a file inside it")
    if target.exists() and not target.is_file():
        raise OutputError(f"cannot write {str(path)!r}: it is no regular file; choose another name")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {str(path)!r}: its folder does not exist; create it first")
    draft = target.with_name(f"{DRAFT}{secrets.token_hex(6)}{target.suffix}")
    try:
        # Made here, with the user's usual permissions, so that a wrong place fails before any work.
        draft.touch(exist_ok=False)
        usual = draft.stat().st_mode
        yield draft
        if draft.stat().st_mode != usual:  # safetensors' own file, which nobody else may read
            draft.chmod(stat.S_IMODE(usual))
        with draft.open("rb+") as file:
            os.fsync(file.fileno())  # or a loss of power could leave the new name on an empty file
        os.replace(draft, target)
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def output(target: Target) -> Iterator[IO[bytes]]:
    """Open what is written to: a path whole or not at all, an open file only at the end.

    Args:
        target: A path, see `atomic_write`; or a file that is open for writing bytes, which stays
            open.

    Raises:
        InputError: It is neither, is closed, or is opened for text or for reading.
        OutputError: It cannot be written to.

    Examples:
        >>> import io
        >>> file = io.BytesIO()
        >>> with output(file) as draft:
        ...     _ = draft.write(b"whole")
        >>> file.getvalue()
        b'whole'
    """
    if isinstance(target, str | os.PathLike):
        with atomic_write(target) as path, path.open("wb") as file:
            yield file
        return
    if not callable(getattr(target, "write", None)):
        raise InputError(
            f"expected a path or a file opened for writing bytes, got {type(target).__name__}; "
            "give one of them"
        )
    if getattr(target, "closed", False):
        raise InputError("expected a file opened for writing, got a closed one; give its path")
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        yield cast("IO[bytes]", spool)
        spool.seek(0)
        try:
            shutil.copyfileobj(spool, target)
        except (io.UnsupportedOperation, TypeError) as error:
            kind = "takes text" if isinstance(error, TypeError) else "is for reading"
            raise InputError(
                f"expected a file opened for writing bytes, got {target!r}, which {kind}; open "
                'it with "wb"'
            ) from error
        except OSError as error:
            raise OutputError(
                f"cannot write to {target!r}: {error.strerror or error}; make room or write to a "
                "path"
            ) from error


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, unless it is there.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = OutputError(
            f"cannot make the folder {str(path)!r}: {error.strerror}; choose another place"
        )
        found.errno = error.errno
        raise found from error


def cannot_write(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """Put into words why something cannot be written; ``errno`` stays that of the error."""
    reason = error.strerror or str(error)
    found = OutputError(f"cannot write {str(path)!r}: {reason}; choose another place or make room")
    found.errno = error.errno
    return found

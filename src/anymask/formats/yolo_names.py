"""``data.yaml``: the names of the classes of a YOLO data set, and where its images are."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymask.errors import InputError
from anymask.formats import files
from anymask.formats.classes import Names, shown_names
from anymask.optional import optional

__all__ = [
    "SET_FILE",
    "SPLITS",
    "SetFile",
    "decode",
    "find_set_file",
    "read_names",
    "read_set_file",
    "write_names",
    "write_set_file",
]

SET_FILE = "data.yaml"
SPLITS = ("train", "val", "test")
_LISTS = ("classes.txt", "obj.names", "classes.names")  # one name a line, as older tools have them
_UP = 4  # folders above a file of labels in which its names are looked for
_SUFFIXES = (".yaml", ".yml")
_MOST = 1_000_000  # classes; a number above is a mistake, and would fill the memory with names


@dataclass(frozen=True)
class SetFile:
    """What a file says of a data set."""

    path: Path
    """The file."""
    names: tuple[str | None, ...] = ()
    """By the number of the class; None for the class of masks that have no label."""
    root: Path = Path()
    """The folder that the places of images are relative to."""
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The places of images, by ``train``, ``val`` and ``test``."""

    def name(self, number: int) -> str | None:
        """Give the name of a class; of one that is not listed, its number."""
        return self.names[number] if number < len(self.names) else str(number)


def find_set_file(path: Path) -> Path | None:
    """Find the file that names the classes of a file of labels, in the folders above it."""
    for folder in list(Path(os.path.abspath(path)).parents)[:_UP]:
        for candidate in _candidates(folder):
            return candidate
    return None


def _candidates(folder: Path) -> Iterator[Path]:
    """List the files in a folder that may name classes, the likeliest first."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    yield from (folder / name for name in (SET_FILE, "dataset.yaml") if name in names)
    for name in names:
        if name.endswith(_SUFFIXES) and _lists_names(folder / name):
            yield folder / name
    yield from (folder / name for name in _LISTS if name in names)


def _lists_names(path: Path) -> bool:
    try:
        return any(line.startswith(b"names:") for line in path.read_bytes().splitlines())
    except OSError:
        return False


def read_set_file(path: Path) -> SetFile:
    """Read the names and places of a data set.

    Args:
        path: ``data.yaml``, or a list with one name a line (``classes.txt``).

    Raises:
        InputError: It is missing, damaged, or says something else.
    """
    text = decode(files.load(path))
    if path.suffix not in _SUFFIXES:
        return SetFile(path, tuple(line.strip() for line in text.split("\n") if line.strip()))
    document = _parsed(text, path)
    names = _names(document.get("names"), document.get("nc"), path)
    unlabelled = str(document.get("unlabelled", ""))
    if unlabelled.isdecimal() and int(unlabelled) < len(names):
        names[int(unlabelled)] = None
    splits = {}
    for split, key in zip((*SPLITS, "val"), (*SPLITS, "valid"), strict=True):
        places = document.get(key) or ()
        if places:
            splits[split] = (places,) if isinstance(places, str) else tuple(map(str, places))
    return SetFile(path, tuple(names), _root(document.get("path"), path), splits)


def _root(said: Any, path: Path) -> Path:
    """Find the data set's folder; one that was moved since is where its file is."""
    here = path.parent
    if not isinstance(said, str) or not said.strip():
        return here
    root = here / said
    return root if root.is_dir() else here


def _parsed(text: str, path: Path) -> dict[str, Any]:
    """Parse YAML with every value as text, so that a class may be called no, 1 or null."""
    yaml = optional("yaml")
    try:
        document = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"cannot read {str(path)!r} as YAML: {reason}; correct or replace it"
        ) from error
    if not isinstance(document, dict):
        kind = "nothing" if not document else f"a {type(document).__name__}"
        raise InputError(
            f"expected names of classes in {str(path)!r}, got {kind}; write 'names:' and the names "
            "into it"
        )
    return document


def _names(said: Any, number: Any, path: Path) -> list[str | None]:
    """Read names in a list, or by their numbers."""
    if isinstance(said, list) and all(isinstance(name, str) for name in said):
        return list(said)
    if isinstance(said, dict) and all(
        str(key).strip().isdecimal() and int(key) < _MOST and isinstance(name, str)
        for key, name in said.items()
    ):
        by_number = {int(key): name for key, name in said.items()}
        return [by_number.get(i, str(i)) for i in range(max(by_number, default=-1) + 1)]
    if said in (None, "") and str(number).isdecimal() and int(number) < _MOST:
        return [str(i) for i in range(int(number))]
    raise InputError(
        f"expected 'names' in {str(path)!r} as a list, or as numbers from 0 on with a name each, "
        f"got {reprlib.repr(said)}; correct them"
    )


def decode(content: files.Content) -> str:
    """Decode a text file: UTF-8, or what its byte order mark says.

    Raises:
        InputError: It is in another encoding, or is no text.
    """
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = next((name for mark, name in marks.items() if content.data.startswith(mark)), "")
    try:
        text = content.data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected a text file in UTF-8, got other bytes in {content.name} ({error.reason} at "
            f"byte {error.start}); convert it to UTF-8"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


# ----------------------------------------------------------------------------- writing


def read_names(path: Path) -> Names:
    """Read the names of a ``data.yaml`` that may not be there yet."""
    return read_set_file(path).names if path.is_file() else ()


def write_names(draft: Path, target: Path, names: Names) -> None:
    """Write the names of the classes; what else the file says stays."""
    write_set_file(draft, target, {"names": names})


def write_set_file(draft: Path, target: Path, said: Mapping[str, Any]) -> None:
    """Write a ``data.yaml``.

    Args:
        draft: Where to write.
        target: Where it will be; what another one there says beside what is given, stays.
        said: ``names``, with None for the class of masks without a label, and whatever else.

    Raises:
        InputError: The file that is there is damaged.
    """
    yaml = optional("yaml")
    document: dict[str, Any] = {}
    if target.is_file():
        read_set_file(target)
        document = yaml.safe_load(decode(files.load(target)))
    document |= said
    if "names" in said:
        names: Sequence[str | None] = said["names"]
        document |= {"nc": len(names), "names": dict(enumerate(shown_names(names)))}
        document.pop("unlabelled", None)
        if None in names:
            document["unlabelled"] = list(names).index(None)
    first = [key for key in ("path", *SPLITS, "nc", "names") if key in document]
    ordered = {key: document[key] for key in [*first, *(k for k in document if k not in first)]}
    text = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=1000)
    draft.write_bytes(text.encode("utf-8"))

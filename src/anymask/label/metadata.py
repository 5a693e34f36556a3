"""What is known of images beside their masks: a CSV, joined by file name."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from anymask.errors import InputError
from anymask.formats import files

__all__ = ["UNKNOWN", "Metadata", "read_metadata"]

UNKNOWN = "unknown"
"""The group of images without a value."""

_NAMES = ("file_name", "filename", "file", "image", "image_name", "path", "name")


@dataclass
class Metadata:
    """Rows by image; keeps which of them were asked for.

    Attributes:
        path: Where they come from.
        columns: Their names, without that of the image.
        rows: By the name of the image as the file has it, without suffix.
    """

    path: str
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, str]]
    _stems: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Remember rows by file name alone, where that is enough."""
        for key in self.rows:
            stem = PurePosixPath(key).name
            self._stems[stem] = None if stem in self._stems else key

    def key_of(self, name: str) -> str | None:
        """Find the row of an image: by its path, else by its file name if only one row has it.

        Args:
            name: A path, with or without suffix.

        Examples:
            >>> table = Metadata("x.csv", (), {"a/1": {}, "b/1": {}, "b/2": {}})
            >>> table.key_of("b/1.jpg"), table.key_of("1.jpg"), table.key_of("c/2.jpg")
            ('b/1', None, 'b/2')
        """
        for key in (name, _key(name)):
            if key in self.rows:
                return key
        return self._stems.get(PurePosixPath(_key(name)).name) or self._stems.get(
            PurePosixPath(name).name
        )

    def column(self, names: Iterable[str], column: str) -> list[str]:
        """Give the value of each image in a column, `UNKNOWN` where there is none.

        Raises:
            InputError: There is no such column.
        """
        if column not in self.columns:
            raise InputError(
                f"expected a column out of {', '.join(self.columns)} in {self.path!r}, got "
                f"{column!r}; name one"
            )
        keys = [self.key_of(name) for name in names]
        return [UNKNOWN if key is None else self.rows[key][column] or UNKNOWN for key in keys]


def read_metadata(path: str | os.PathLike[str]) -> Metadata:
    """Read a CSV whose first row names the columns.

    The column of the images is called ``file_name``, ``file``, ``image`` or alike, or is the first
    one. Columns are separated by commas, semicolons or tabs.

    Args:
        path: The file, UTF-8.

    Raises:
        InputError: It is missing, is no such table, or has two different rows of one image.
    """
    shown = os.fspath(path)
    try:
        text = files.load(path).data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected UTF-8 in {shown!r}, got {error.reason}; save the table as UTF-8"
        ) from error
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"cannot read {shown!r} as CSV: {error}; save the table again") from error
    table = [[cell.strip() for cell in row] for row in table if any(cell.strip() for cell in row)]
    if not table or len(set(table[0])) < len(table[0]):
        raise InputError(
            f"expected a first row of different names in {shown!r}, got "
            f"{', '.join(table[0]) if table else 'nothing'}; name each column once"
        )
    header = table[0]
    at = next((header.index(name) for name in _NAMES if name in header), 0)
    rows: dict[str, dict[str, str]] = {}
    for number, row in enumerate(table[1:], 2):
        if len(row) != len(header):
            raise InputError(
                f"expected {len(header)} columns in row {number} of {shown!r}, got {len(row)}; "
                "put cells with separators in quotes"
            )
        known = {name: cell for name, cell in zip(header, row, strict=True) if name != header[at]}
        key = _key(row[at])
        if rows.setdefault(key, known) != known:
            raise InputError(
                f"expected one row for {row[at]!r} in {shown!r}, got another in row {number}; "
                "remove one"
            )
    return Metadata(shown, tuple(name for name in header if name != header[at]), rows)


def _key(name: str) -> str:
    """Bring a file name into the form by which it is found: with slashes, without suffix."""
    path = PurePosixPath(name.replace("\\", "/"))
    known = Path(path.name).suffix.lower()
    return (
        path.with_suffix("") if 1 < len(known) <= 5 and known[1:].isalnum() else path
    ).as_posix()

"""XML of strangers: read element by element, and never more of it than it says openly.

Entities of a document type can grow to gigabytes or name files of this computer; formats of masks
need none, so a document with a type of its own is refused. Comments and processing instructions are
passed over.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import IO
from xml.etree import ElementTree
from xml.parsers import expat

from anymask.errors import InputError

__all__ = ["children_of_root", "parse", "writable"]

_PIECE = 1 << 16  # bytes that are read at a time
_DEEPEST = 50  # elements within elements
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def children_of_root(
    file: IO[bytes], shown: str, root: str | None = None
) -> Iterator[ElementTree.Element]:
    """Read the elements below the root one by one; only the one at hand is kept.

    Args:
        file: Opened for reading bytes.
        shown: What it is called in an error.
        root: What the root has to be called; None: anything.

    Raises:
        InputError: It is no XML, has another root, a document type, or elements too deep within
            each other.

    Examples:
        >>> import io
        >>> [child.tag for child in children_of_root(io.BytesIO(b"<a><b/><c>x</c></a>"), "a.xml")]
        ['b', 'c']
    """
    reader = _Reader(shown, root)
    try:
        while True:
            piece = file.read(_PIECE)
            reader.parser.Parse(piece, not piece)
            while reader.done:
                yield reader.done.popleft()
            if not piece:
                return
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InputError(f"cannot read {shown} as XML: {error}; check that it is whole") from error
    except OSError as error:
        raise InputError(
            f"cannot read {shown}: {error.strerror or error}; check the disk"
        ) from error


def parse(file: IO[bytes], shown: str) -> ElementTree.Element:
    """Read a whole document that is small.

    Raises:
        InputError: See `children_of_root`.
    """
    reader = _Reader(shown, None)
    try:
        reader.parser.Parse(file.read().lstrip(), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InputError(f"cannot read {shown} as XML: {error}; check that it is whole") from error
    assert reader.root is not None  # or the parser would have complained
    root = ElementTree.Element(*reader.root)
    root.extend(reader.done)
    return root


def writable(text: str) -> str:
    """Put a replacement character for those that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)


class _Reader:
    """Builds the children of the root."""

    def __init__(self, shown: str, expected: str | None) -> None:
        self.root: tuple[str, dict[str, str]] | None = None
        self.done: deque[ElementTree.Element] = deque()
        self._shown, self._expected = shown, expected
        self._depth = 0
        self._builder = ElementTree.TreeBuilder()
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            if self._expected not in (None, tag):
                raise InputError(
                    f"expected <{self._expected}> in {self._shown}, got <{tag[:40]}>; check which "
                    "format it has"
                )
            self.root = tag, attributes
            return
        if self._depth > _DEEPEST:
            raise InputError(
                f"expected at most {_DEEPEST} elements within each other in {self._shown}, got "
                "more; check which format it has"
            )
        self._builder.start(tag, attributes)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._depth:
            self._builder.end(tag)
        if self._depth == 1:
            self.done.append(self._builder.close())
            self._builder = ElementTree.TreeBuilder()

    def _text(self, text: str) -> None:
        if self._depth > 1:
            self._builder.data(text)

    def _refuse(self, *_: object) -> None:
        raise InputError(
            f"expected XML without a document type in {self._shown}, got one, whose entities "
            "could hide anything; take <!DOCTYPE ...> out if you trust the file"
        )

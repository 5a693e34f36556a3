"""Files of masks: a module for each format, with ``write(target, masks)`` and ``read(source)``.

Other packages add formats: an entry point of the group ``anymask.formats`` that is a `Format` (see
`anymask.plugins`). What they add is listed, recognised and offered like our own. Nothing heavy is
imported before a format is asked for.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from anymask.atomic import Target, atomic_write, output
from anymask.errors import InputError
from anymask.formats import files
from anymask.formats.files import Content, Source
from anymask.plugins import load_plugin, plugin_names

if TYPE_CHECKING:
    from anymask.masks.masks import Masks

__all__ = ["Collect", "Format", "find", "names", "read", "recognise", "write"]

_OURS = (
    "sa1b",
    "coco",
    "png",
    "yolo",
    "labelme",
    "voc",
    "semantic",
    "grounded-sam",
    "cvat",
    "labelstudio",
)  # of those with one suffix, the first is written if none is named
_HEAD = 4096  # bytes that `Format.recognises` is shown


Collect: TypeAlias = "Callable[..., AbstractContextManager[Callable[..., None]]]"
"""See `Format.collect`."""


class Format(NamedTuple):
    """One way to keep masks in a file.

    Example of a package that adds one, in its ``pyproject.toml`` and in ``their_package.py``::

        [project.entry-points."anymask.formats"]
        boxes = "their_package:FORMAT"

        def write(path, masks): ...
        def read(path): return Masks(...)
        FORMAT = Format(".boxes", write, read, recognises=lambda head: head.startswith(b"BOXES"))
    """

    suffix: str
    """How its files end, dot included."""
    write: Callable[..., None]
    """Takes a path and `Masks`, and options of its own. That the file appears whole or not at all,
    and that open files can be written to, is seen to outside."""
    read: Callable[..., Masks]
    """Takes a path, and options of its own; gives `Masks`. Bytes are seen to outside."""
    recognises: Callable[[bytes], bool] | None = None
    """Tells from the first bytes of a file (up to 4096) whether it is of this format."""
    keys: frozenset[str] = frozenset()
    """Tells a JSON file of this format: keys that the object in it has, all of them."""
    place: str = ""
    """For a format that keeps the masks of many images in one folder: the file to open there."""
    names_image: bool = False
    """Whether a file says where its image is; then ``write`` takes ``image_path``, that from the
    folder of the file."""
    names_place: bool = False
    """Whether a folder says where it is; then ``collect`` takes ``moves``, to leave that out."""
    copies_images: bool = False
    """Whether the images lie in that folder, too, as in data sets for training."""
    collect: Collect | None = None
    """Writes the masks of many images to one folder, for formats whose files need each other, as
    numbers of classes need a list of names. Takes the folder, at which somebody is at work, and the
    names that get the first numbers; a context manager that gives a function, which takes the name
    of an image (a path below the folder, without suffix), its `Masks` and, if there is one, its
    file. None: a file for each image is all."""
    beside: tuple[tuple[str, Callable[..., None]], ...] = ()
    """Further files of an image, for other programs: how their names end, instead of ``suffix``,
    and what writes them, as ``write`` does."""


def names() -> list[str]:
    """List the formats by name, ours first, without importing any.

    Examples:
        >>> names()[:3]
        ['sa1b', 'coco', 'png']
    """
    return [*_OURS, *(name for name in plugin_names("formats") if name not in _OURS)]


def find(name: str) -> Format:
    """Give a format by its name.

    Its functions take all that `read` and `write` take.

    Raises:
        InputError: There is none of that name, or the package that adds it is broken.

    Examples:
        >>> find("png").suffix
        '.png'
    """
    if name in _OURS:
        ours: Format = importlib.import_module(f"anymask.formats.{name.replace('-', '_')}").FORMAT
        return ours
    theirs = load_plugin("formats", name)
    if theirs is None:
        raise InputError(f"expected a format out of {', '.join(names())}, got {name!r}; name one")
    if not isinstance(theirs, Format):
        raise InputError(
            f"expected the format {name!r} of another package as an anymask.formats.Format, got "
            f"{type(theirs).__name__}; update or uninstall that package"
        )
    return _with_files(theirs)


def write(target: Target, masks: Masks, format: str | None = None, **options: Any) -> None:
    """Write masks to a file.

    Args:
        target: A path, whose folder must exist; the file appears whole or not at all. Or a file
            opened for writing bytes, such as `io.BytesIO`, which is written to at the end. Beside a
            path, a format may put further files of its name but for the end.
        masks: The masks of one image.
        format: Name of the format; None: by the suffix of the path (``.json`` is SA-1B's).
        **options: See the ``write`` of the format's module.

    Raises:
        InputError: The format is unknown, or cannot hold these masks.
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> from anymask import Masks
        >>> file = io.BytesIO()
        >>> write(file, Masks.empty((480, 640)), format="sa1b")
        >>> read(file.getvalue())
        Masks(no masks of 640 x 480)
    """
    known = find(format or _by_suffix(target))
    further = []
    if known.beside and isinstance(target, str | os.PathLike):
        path = Path(target)
        further = [(path.with_suffix(suffix), write) for suffix, write in known.beside]
        if path in (other for other, _ in further):
            raise InputError(
                f"expected a file name that ends in {known.suffix}, got {path.name!r}, which is "
                "that of a file beside it; change it"
            )
    known.write(target, masks, **options)
    for other, write_other in further:
        write_other(other, masks)


def read(source: Source, format: str | None = None, **options: Any) -> Masks:
    """Read masks from a file.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.
        format: Name of the format; None: by what is in the file.
        **options: See the ``read`` of the format's module, such as ``file_name`` of `coco.read`.

    Raises:
        InputError: The file is missing, damaged, or of no known format.

    Examples:
        >>> read("truck.json").labels  # doctest: +SKIP
        ('wheel', 'wheel', 'window')
    """
    if format is not None:
        return find(format).read(source, **options)
    content = files.load(source)
    name = recognise(content)
    if name not in _OURS and isinstance(source, str | os.PathLike):
        return find(name).read(source, **options)
    return find(name).read(content, **options)  # which is not read, and perhaps parsed, again


def _by_suffix(target: Target) -> str:
    path = files.path_of(target)
    if path is None:
        raise InputError(
            "expected the name of a format for a file without a name, got none; give one out of "
            f"{', '.join(names())}"
        )
    suffixes = {name: find(name).suffix for name in names()}
    fitting = [name for name in suffixes if path.name.lower().endswith(suffixes[name].lower())]
    if fitting:
        return max(fitting, key=lambda name: len(suffixes[name]))  # the first of the longest
    raise InputError(
        f"expected a file name that ends in {' or '.join(dict.fromkeys(suffixes.values()))}, got "
        f"{path.name!r}; change it, or name a format: {', '.join(names())}"
    )


def recognise(content: Content) -> str:
    """Tell the name of the format of a file by what is in it.

    Raises:
        InputError: It is of none.
    """
    head = content.head(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")  # byte order mark, white space
    looks_like_json = head.startswith((b"{", b"\xff\xfe{", b"\xfe\xff\0{"))
    for name in names():
        known = find(name)
        if known.recognises is not None and known.recognises(head):
            return name
        document = content.document if known.keys and looks_like_json else None
        if isinstance(document, dict) and known.keys <= document.keys():
            return name
    if not head and content.path is not None and content.path.suffix.lower() == ".txt":
        return "yolo"  # of an image without masks
    raise InputError(
        f"expected a file of masks in one of the formats {', '.join(names())}, got {content.name}, "
        "which looks like none; if it is one, name the format"
    )


# ------------------------------------------------------------- formats of other packages


def _with_files(theirs: Format) -> Format:
    """Let a format that knows paths take bytes and open files, and write whole files or none."""

    def write(target: Target, masks: Masks, **options: Any) -> None:
        if isinstance(target, str | os.PathLike):
            with atomic_write(target) as draft:
                theirs.write(draft, masks, **options)
            return
        with tempfile.TemporaryDirectory() as folder, output(target) as file:
            path = Path(folder) / f"masks{theirs.suffix}"
            theirs.write(path, masks, **options)
            file.write(path.read_bytes())

    def read(source: Source, **options: Any) -> Masks:
        if isinstance(source, str | os.PathLike) and Path(source).is_file():
            return theirs.read(source, **options)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"masks{theirs.suffix}"
            path.write_bytes(files.load(source).data)
            return theirs.read(path, **options)

    return theirs._replace(write=write, read=read)

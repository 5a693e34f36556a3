"""From any format to any other: files, and folders of them.

What a folder holds is told by what is in it: a data set of YOLO's or Pascal VOC's, or else files of
masks of whatever formats, each for itself. What a format cannot hold is said by its writer.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from anymask import formats
from anymask.atomic import make_folder
from anymask.data.readers.notes import DataWarning, Notes
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import coco, coco_stream, cvat, labelstudio, voc_folder, yolo_folder
from anymask.formats.cvat_zip import Images, is_zip
from anymask.formats.files import Content, load
from anymask.formats.images import find_image, free_name, is_held_back, named
from anymask.masks.masks import Masks

__all__ = ["DataWarning", "Found", "convert", "read_place", "write_place"]

_FILES = (".json", ".txt", ".png", ".xml")
_NO_MASKS = (
    *("-overlay.png", "-cutout.png", "anymask-run.json", "anymask-studio.json"),
    "anymask-label.json",
    *("classes.txt", "labelmap.txt", "label_config.xml"),
)
_OF_MANY = ("coco", "cvat", "labelstudio")  # whose files have the masks of any number of images
_CLASSES = "classes.json"  # of a folder of semantic maps, and not a-classes.json of an image


class Found(NamedTuple):
    """The masks of one image."""

    name: str
    """What the image is called: a path without suffix."""
    masks: Masks
    image: Path | None
    """Its file, if it is there."""


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    format: str,
    *,
    source_format: str | None = None,
    images: str | os.PathLike[str] | None = None,
    names: Iterable[str] = (),
    image_prefix: str = "",
    val_fraction: float = 0,
    overwrite: bool = False,
) -> int:
    """Write the masks of a file or a folder in another format.

    Args:
        source: A file of masks, or a folder of such files or of a data set.
        output: Folder for the results; made when missing. Or, for one image or for COCO, a file.
        format: Name of the format to write.
        source_format: Name of the format to read; None: by what is in the files.
        images: Folder of the images; None: looked for beside the masks.
        names: Labels that get the first numbers, in formats that number them.
        image_prefix: What stands before the names of images in tasks of Label Studio; see
            `labelstudio.writer`.
        val_fraction: Share of the images for validation, in formats of data sets; which, their
            names say, so that it is the same every time. Splits that the source has stay.
        overwrite: Replace files that are there, or add to a data set.

    Returns:
        The number of images.

    Raises:
        InputError: There are no masks, a file is damaged, or results are there already.
        OutputError: The results cannot be written.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> Masks.empty((4, 6), source="a.jpg").save(folder / "a.json")
        >>> convert(folder / "a.json", folder / "out", "coco")
        1
        >>> (folder / "out/annotations.json").is_file()
        True
    """
    source, output = Path(source), Path(output)
    formats.find(format)
    if not 0 <= val_fraction < 1:
        raise InputError(
            f"expected a share of images for validation from 0 to less than 1, got {val_fraction}; "
            "0.1 is usual"
        )
    if source.is_dir() and output.exists() and os.path.samefile(source, output):
        raise InputError(
            f"expected results and masks in different folders, got {str(source)!r} for both; "
            "choose another folder (-o)"
        )
    place = Path(images) if images is not None else None
    found = read_place(source, source_format, place)
    number, lost = 0, list[str]()
    if image_prefix and format != "labelstudio":
        raise InputError(
            f"expected no prefix of images for {format}, which has no addresses, got "
            f"{image_prefix!r}; leave it out"
        )
    with _writing(output, format, names, overwrite, image_prefix) as add:
        for one in found:
            add(_with_split(one, val_fraction))
            number += 1
            lost += [one.name] if one.image is None else []
    if not number:
        raise InputError(
            f"expected masks in {str(source)!r}, got none; give a file or a folder of masks"
        )
    if lost and formats.find(format).copies_images:
        notes = Notes(source)
        for name in lost:
            notes.add("images that were not found are not beside their labels", repr(name))
        notes.warn()
    return number


def _with_split(found: Found, val_fraction: float) -> Found:
    meta = found.masks.image_meta
    if not val_fraction or "split" in meta:
        return found
    split = "val" if is_held_back(found.name, val_fraction) else "train"
    return found._replace(masks=replace(found.masks, image_meta={**meta, "split": split}))


# ----------------------------------------------------------------------------- reading


def read_place(
    source: Path, format: str | None = None, images: Path | None = None
) -> Iterator[Found]:
    """Read the masks of all images of a file or a folder, one by one.

    Args:
        source: See `convert`.
        format: See ``source_format`` of `convert`.
        images: See `convert`.

    Raises:
        InputError: There is no such place, or a file is damaged.
    """
    taken: set[str] = set()
    for name, masks, image in _read(source, format, images):
        yield Found(free_name(name, taken), masks, image)


def _read(source: Path, format: str | None, images: Path | None) -> Iterator[Found]:
    if source.is_file():
        yield from _read_file(source, source.parent, format, images)
    elif not source.is_dir():
        raise InputError(
            f"expected a file or a folder of masks, got {str(source)!r}, which is not there; check "
            "the path"
        )
    elif format in (None, "yolo") and _is_yolo(source):
        yield from map(_named, yolo_folder.read_all(source))
    elif format in (None, "voc") and voc_folder.names_in(source):
        yield from map(_named, voc_folder.read_all(source))
    else:
        yield from _read_files(source, format, images)


def _is_yolo(root: Path) -> bool:
    said = yolo_folder.find_root_file(root)
    return bool(said.splits) or next(root.glob("**/labels/**/*.txt"), None) is not None


def _named(found: tuple[Masks, Path | None]) -> Found:
    masks, image = found
    return Found(masks.source or "image", masks, image)


def _read_files(root: Path, format: str | None, images: Path | None) -> Iterator[Found]:
    """Read every file of masks below a folder.

    A PNG is no masks if it is the image of some, beside which it lies, as LabelMe has them.
    """
    notes, photos = Notes(root), set[Path]()
    holds_png = format is None or formats.find(format).suffix == ".png"
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names, key=_png_last):
            path = Path(folder, name)
            if name.startswith(".") or not name.lower().endswith(_FILES):
                continue
            if name.endswith(_NO_MASKS) or name == _CLASSES:
                continue
            if path.suffix.lower() == ".png" and (not holds_png or path in photos):
                continue
            if format is None and not _is_masks(path):
                notes.add("files that hold no masks are left out", repr(name))
                continue
            for found in _read_file(path, root, format, images):
                if found.image is not None and found.image.suffix.lower() == ".png":
                    photos.add(found.image)
                yield found
    notes.warn()


def _png_last(name: str) -> tuple[bool, str]:
    """Give what the names of a folder are sorted by: masks say which PNG is their image."""
    return name.lower().endswith(".png"), name


def _is_masks(path: Path) -> bool:
    """Return whether a file is of a known format; a photo as PNG is not."""
    if coco_stream.is_large_coco(path):
        return True
    try:
        return formats.recognise(load(path)) != "png" or _has_numbers(path)
    except InputError:
        return path.suffix.lower() == ".json"  # a damaged one should be told


def _has_numbers(path: Path) -> bool:
    import PIL.Image

    with PIL.Image.open(path) as image:
        return image.mode in ("1", "L", "P", "I", "I;16", "I;16B")


def _read_file(path: Path, root: Path, format: str | None, images: Path | None) -> Iterator[Found]:
    if format in (None, "coco") and coco_stream.is_large_coco(path):
        yield from _found(coco_stream.read_each(path), path, images)
        return
    content = load(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        yield from map(_named, yolo_folder.read_all(path))
        return
    name = format or formats.recognise(content)
    if name in _OF_MANY:
        yield from _read_many(content, name, path, images)
        return
    key = path.relative_to(root).as_posix().removesuffix(path.suffix)
    key = key.removesuffix("-labels").removesuffix("-classes" if path.suffix == ".png" else "")
    image = _image_of(key, None, path, images)
    options = {"image": image} if name == "yolo" and image is not None else {}
    masks = formats.read(path, name, **options)
    image = _image_of(key, masks.source, path, images)
    yield Found(key + (Path(masks.source or "").suffix or path.suffix), masks, image)


def _read_many(content: Content, name: str, path: Path, images: Path | None) -> Iterator[Found]:
    """Read a file of many images."""
    folders = [path.parent] if images is None else [images, path.parent]
    found: Iterable[Masks]
    if name == "labelstudio":
        found = labelstudio.read_all(content, images=folders)
    else:
        found = cvat.read_all(content) if name == "cvat" else coco.read_all(content)
    with tempfile.TemporaryDirectory(prefix="anymask-") as folder:
        zipped = name == "cvat" and is_zip(content.head(4))
        archive = Images(content, Path(folder)) if zipped else None
        for each in _found(found, path, images, archive):
            yield each
            if each.image is not None and each.image.parent == Path(folder):
                each.image.unlink()  # a zip may be larger than the disk has room for twice


def _found(
    each: Iterable[Masks], path: Path, images: Path | None, archive: Images | None = None
) -> Iterator[Found]:
    """Find the images that masks of a file of many belong to."""
    for masks in each:
        called = masks.source or path.stem
        image = _image_of(Path(called).with_suffix("").as_posix(), called, path, images)
        if image is None and archive is not None:
            image = archive.take(called)
        yield Found(called, masks, image)


def _image_of(key: str, source: str | None, path: Path, images: Path | None) -> Path | None:
    """Find the image of masks: by what they say, or by the name of their file.

    Args:
        key: Path of the image below the folder of all, without suffix, as far as it is known.
        source: What the masks say.
        path: Their file.
        images: The folder of all images, if it is known.
    """
    beside = [path.parent, path.parent / "images"]  # where CVAT puts them
    folders = beside if images is None else [images, *beside]
    said = [] if source is None else [source, Path(source).name]
    found = [folder / name for folder in folders for name in said]
    found += [image for folder in folders for image in named(folder / key)]
    found += [image for folder in folders for image in named(folder / Path(key).name)]
    found = [image for image in found if image.is_file() and image.resolve() != path.resolve()]
    return found[0] if found else find_image(path)


# ----------------------------------------------------------------------------- writing


def write_place(
    found: Iterable[Found],
    output: Path,
    format: str,
    *,
    names: Iterable[str] = (),
    overwrite: bool = False,
    moves: bool = False,
) -> None:
    """Write the masks of many images to one place, as `convert` does.

    Args:
        found: The masks, and their images.
        output: A folder, made when missing; for one image or for COCO also a file.
        format: Name of the format.
        names: Labels that get the first numbers, in formats that number them.
        overwrite: Replace files that are there, or add to a data set.
        moves: Whether the folder will be somewhere else, such as in an archive: nothing in it says
            where it is or where the images were.

    Raises:
        InputError: The format cannot hold them, or results are there already.
        OutputError: The results cannot be written.
    """
    with _writing(output, format, names, overwrite, moves=moves) as add:
        for one in found:
            add(one)


@contextmanager
def _writing(
    output: Path,
    name: str,
    names: Iterable[str],
    overwrite: bool,
    image_prefix: str = "",
    *,
    moves: bool = False,
) -> Iterator[Callable[[Found], None]]:
    """Open the place that is written to: a file, a data set, or a folder with a file for each."""
    format = formats.find(name)
    suffixes = [format.suffix, ".zip"] if name == "cvat" else [format.suffix]
    is_file = output.suffix.lower() in map(str.lower, suffixes) and not output.is_dir()
    if name in _OF_MANY and is_file:
        _check_free(output, overwrite)
        with _one_file(output, name, names, image_prefix) as add:
            yield add
        return
    if is_file:
        yield _OneFile(output, name, overwrite)
        return
    make_folder(output)
    folder = ResumableFolder(output)
    with folder.at_work(alone=False):
        if format.collect is None:
            yield _FileForEach(folder, name, overwrite, moves)
            return
        _check_free(output / format.place, overwrite)
        options: dict[str, Any] = {"image_prefix": image_prefix} if image_prefix else {}
        if format.names_place:
            options["moves"] = moves
        with format.collect(folder, names, **options) as collected:
            yield lambda found: collected(found.name, _sourced(found), found.image)


@contextmanager
def _one_file(
    output: Path, name: str, names: Iterable[str], image_prefix: str
) -> Iterator[Callable[[Found], None]]:
    """Write the masks of many images to one file."""
    if name == "coco":
        with coco.writer(output) as add:
            yield lambda found: add(_sourced(found))
    elif name == "cvat":
        with cvat.writer(output, names=names) as put:
            yield lambda found: put(_sourced(found), found.image)
    else:
        with labelstudio.writer(output, image_prefix=image_prefix) as add:
            yield lambda found: add(_sourced(found))


def _sourced(found: Found) -> Masks:
    """Let masks say the place of their image below the folder of all."""
    of = found.masks.source if found.image is None else found.image
    suffix = Path(of or "").suffix or ".jpg"
    name = found.name if found.name.endswith(suffix) else found.name + suffix
    return replace(found.masks, source=name)


def _check_free(path: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(path):
        raise InputError(
            f"expected a new file, but {str(path)!r} exists; replace it or add to it "
            "(--overwrite), or choose another place (-o)"
        )


class _OneFile:
    """Writes the masks of the only image to a file."""

    def __init__(self, path: Path, format: str, overwrite: bool) -> None:
        _check_free(path, overwrite)
        self._path, self._format, self._used = path, format, False

    def __call__(self, found: Found) -> None:
        if self._used:
            raise InputError(
                f"expected the masks of one image for {str(self._path)!r}, got several; name a "
                "folder instead (-o)"
            )
        self._used = True
        formats.write(self._path, found.masks, format=self._format)


class _FileForEach:
    """Writes the masks of each image to a file of its own in a folder."""

    def __init__(self, folder: ResumableFolder, format: str, overwrite: bool, moves: bool) -> None:
        self._folder, self._name, self._overwrite = folder, format, overwrite
        self._moves = moves
        self._format = formats.find(format)

    def __call__(self, found: Found) -> None:
        suffix = self._format.suffix
        name = f"{found.name}{'-labels' * (suffix == '.png')}{suffix}"
        path = self._folder.path / name
        _check_free(path, self._overwrite)
        options = {}
        if self._format.names_image and found.image is not None and self._moves:
            options = {"image_path": found.image.name}  # put beside it, as its programs have it
        elif self._format.names_image and found.image is not None:
            there = os.path.relpath(found.image, os.path.dirname(os.path.abspath(path)))
            options = {"image_path": Path(there).as_posix()}
        elif self._format.names_image:
            # From the folder of the file, where its programs look; not from that of all.
            source, above = found.masks.source or "", f"{Path(found.name).parent.as_posix()}/"
            if source.startswith(above):
                options = {"image_path": source.removeprefix(above)}
        with self._folder.writing(name) as draft:
            formats.write(draft, found.masks, format=self._name, **options)

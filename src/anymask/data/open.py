"""Opening a data set of whatever layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anymask.data.dataset import Dataset, LabelMapFolder
from anymask.data.readers import coco, tools, via, voc, yolo
from anymask.data.readers.dsb2018 import DSB2018
from anymask.data.readers.labelme import LABELME
from anymask.data.readers.layout import Layout
from anymask.data.readers.pairs import PAIRS
from anymask.data.readers.perseg import PERSEG
from anymask.data.readers.visor import VISOR
from anymask.errors import InputError
from anymask.formats import cvat, labelstudio
from anymask.formats.annotation import read_json
from anymask.formats.files import load

__all__ = ["FILES", "LAYOUTS", "layout_of", "open_dataset"]

LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("label-maps", ("images/*", "masks/*"), LabelMapFolder),
        PERSEG,
        DSB2018,
        VISOR,
        *PAIRS,
        yolo.YOLO,
        LABELME,
    )
}
"""Layouts of folders by name; a folder is opened by the first that fits."""

FILES: dict[str, Callable[[Path, str | Path | None], Dataset]] = {
    "coco": lambda path, images: coco.list_images(read_json(path), path, images),
    "via": lambda path, images: via.list_images(read_json(path), path, images),
    "cvat": tools.list_cvat,
    "labelstudio": tools.list_labelstudio,
}
"""Layouts of annotation files by name."""

_HEAD = 4096  # bytes of a file that tell whose it is


def open_dataset(
    path: str | Path, layout: str = "auto", images: str | Path | None = None
) -> Dataset:
    """Open a data set.

    Args:
        path: A folder; a JSON file with the annotations of many images, or CVAT's
            ``annotations.xml``; one of the lists of VOC, such as
            ``VOC2012/ImageSets/Segmentation/train.txt``; or ``data.yaml`` or the folder of
            the images of one split of a data set of YOLO's.
        layout: Name of the layout, see `LAYOUTS` and `FILES`; auto: the first that fits.
        images: Folder of the images of a JSON file; None: looked for in and beside its folder.

    Raises:
        InputError: There is no such path or layout, a part of the layout is missing, or a file is
            damaged.

    Examples:
        >>> len(open_dataset("cityscapes"))  # doctest: +SKIP
        3475
    """
    path = Path(path)
    if images is not None and path.is_dir() and layout not in FILES:
        raise InputError(
            f"expected a JSON file with a folder of images, got the folder {str(path)!r}; "
            "leave the folder of images out, or name the JSON file"
        )
    layout = layout_of(path, layout)
    if path.is_file() and layout == "voc":
        return voc.list_images(path)
    if layout in FILES:
        return FILES[layout](path, images)
    if layout == "yolo" and (path.is_file() or yolo.is_split(path)):
        return yolo.read(path)
    return LAYOUTS[layout].open(path)


def layout_of(path: str | Path, layout: str = "auto") -> str:
    """Tell the layout that a data set is opened by.

    Args:
        path: See `open_dataset`.
        layout: What the user says; auto: the first that fits.

    Raises:
        InputError: There is no such path or layout, or none fits.
    """
    path = Path(path)
    known = ("auto", *LAYOUTS, *FILES)
    if layout not in known:
        raise InputError(f"expected a layout out of {', '.join(known)}, got {layout!r}; name one")
    if path.is_file() and path.suffix == ".txt" and layout in ("auto", "voc"):
        return "voc"
    if path.is_file() and path.suffix in (".yaml", ".yml") and layout in ("auto", "yolo"):
        return "yolo"
    if path.is_file() and layout not in LAYOUTS:
        return _file_layout(path) if layout == "auto" else layout
    if path.is_dir() and layout not in FILES:
        if layout != "auto":
            return layout
        return "yolo" if yolo.is_split(path) else _fitting(path).name
    wanted = {"auto": "a folder or a JSON file"} | dict.fromkeys(LAYOUTS, "a folder")
    raise InputError(
        f"expected {wanted.get(layout, 'a JSON file')}, got {str(path)!r}; check the path"
    )


def _file_layout(path: Path) -> str:
    head = load(path).head(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")  # byte order mark, white space
    for name, form in (("cvat", cvat.FORMAT), ("labelstudio", labelstudio.FORMAT)):
        if form.recognises is not None and form.recognises(head):
            return name
    keys = read_json(path).keys()
    if labelstudio.FORMAT.keys <= keys:  # a single task
        return "labelstudio"
    return "coco" if keys & {"annotations", "images"} else "via"


def _fitting(root: Path) -> Layout:
    """Find the layout of a folder."""
    partly = []
    for layout in LAYOUTS.values():
        if layout.fits(root):
            return layout
        missing = layout.missing(root)
        if any(part not in missing and _is_telling(part) for part in layout.parts):
            partly.append(f"{layout.name} (without {' and '.join(missing)})")
    patterns = "*.json", "annotations/*.json", "annotations.xml"
    files = sorted(path for pattern in patterns for path in root.glob(pattern))
    if files:
        raise InputError(
            f"expected a folder that is a data set, got {str(root)!r}, which holds annotation "
            f"files; name one of them instead, such as {str(files[0])!r}"
        )
    if partly:
        raise InputError(
            f"expected a whole data set in {str(root)!r}, got a part of {' or '.join(partly)}; "
            "complete the folder, or name the one above or below"
        )
    raise InputError(
        f"expected a data set in one of the layouts {', '.join(LAYOUTS)}, got {str(root)!r} with "
        "no part of any; complete the folder, or name the one above or below"
    )


def _is_telling(part: str) -> bool:
    """Return whether a pattern names a folder, so that a match is a sign of the layout."""
    return any("*" not in folder for folder in part.split("/")[:-1])

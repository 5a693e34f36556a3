"""The files of Pascal VOC: PNGs with its palette, annotations in XML, and the list of classes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.PngImagePlugin

from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import files
from anymask.formats.annotation import understanding
from anymask.formats.classes import Names, SharedClasses, shown_names
from anymask.formats.files import Content
from anymask.formats.xml_stream import parse, writable
from anymask.formats.yolo_names import decode

__all__ = [
    "CLASSES",
    "FLAGS",
    "LABEL_MAP",
    "MOST",
    "VOID",
    "Annotation",
    "Thing",
    "class_names",
    "palette",
    "parse_annotation",
    "read_png",
    "shared_classes",
    "write_annotation",
    "write_png",
]

IntMap = npt.NDArray[np.int32]

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""Those of VOC, from 1 on."""

VOID = 255
"""The number of pixels that nobody annotated, such as the seams between objects."""
MOST = 254
"""Numbers that are left for objects, and for classes."""
FLAGS = ("truncated", "difficult", "occluded")
"""What an annotation says of an object in yes or no."""
LABEL_MAP = "labelmap.txt"
_BACKGROUND = "background"

# ------------------------------------------------------------------------------ PNGs


def palette() -> npt.NDArray[np.uint8]:
    """Give VOC's colours, (256, 3): the bits of a number, dealt out to red, green, blue in turns.

    Examples:
        >>> palette()[[1, 2, 3, 8, 255]].tolist()
        [[128, 0, 0], [0, 128, 0], [128, 128, 0], [64, 0, 0], [224, 224, 192]]
    """
    numbers = np.arange(256)[:, None]
    colours = np.zeros((256, 3), np.int64)
    for bit in range(3):  # 256 numbers have three bits for red and green, two for blue
        colours |= (numbers >> (3 * bit + np.arange(3)) & 1) << (7 - bit)
    return colours.astype(np.uint8)


_PLACES = {tuple(map(str, colour)): place for place, colour in enumerate(palette().tolist())}


def write_png(
    file: IO[bytes], numbers: IntMap, text: PIL.PngImagePlugin.PngInfo | None = None
) -> None:
    """Write a map of numbers up to 255 with VOC's palette."""
    image = PIL.Image.fromarray(numbers.astype(np.uint8))
    image.putpalette(palette().ravel().tolist())
    image.save(file, format="PNG", pnginfo=text)


def read_png(content: Content) -> tuple[IntMap, dict[Any, Any]]:
    """Read a map of numbers: indices of a palette, grey values, or colours of VOC's palette.

    Returns:
        int32 (h, w), and what else the file says.

    Raises:
        InputError: It is damaged, or has other colours.
    """
    try:
        with PIL.Image.open(io.BytesIO(content.data), formats=["PNG"]) as image:
            mode, pixels, info = image.mode, np.asarray(image), dict(image.info)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise InputError(
            f"cannot read {content.name} as a PNG of VOC: {error}; check that the file is whole"
        ) from error
    if mode in ("RGB", "RGBA"):
        return _numbers_of(pixels[..., :3].astype(np.int32), content), info
    if pixels.ndim != 2 or pixels.max(initial=0) > VOID:
        raise InputError(
            f"expected numbers up to 255 in {content.name}, got mode {mode} with values up to "
            f"{pixels.max(initial=0)}; save it with a palette"
        )
    return pixels.astype(np.int32), info


def _numbers_of(colours: npt.NDArray[np.int32], content: Content) -> IntMap:
    """Find the number of each colour."""
    weights = np.array([1 << 16, 1 << 8, 1])
    codes, known = colours @ weights, palette().astype(np.int32) @ weights
    order = np.argsort(known)
    place = np.searchsorted(known[order], codes).clip(max=255)
    numbers = order[place]
    strange = known[numbers] != codes
    if strange.any():
        colour = tuple(colours[strange][0].tolist())
        raise InputError(
            f"expected the colours of VOC's palette in {content.name}, got {colour}; give the file "
            "with the palette, not an image of it"
        )
    found: IntMap = numbers.astype(np.int32)
    return found


# --------------------------------------------------------------------------- annotations


@dataclass
class Thing:
    """An object of an annotation."""

    label: str | None
    box: tuple[float, float, float, float]
    """xyxy, running round the pixels."""
    about: dict[str, Any] = field(default_factory=dict)
    """``pose`` and `FLAGS`."""


@dataclass
class Annotation:
    """What an XML says of an image."""

    file_name: str
    size_hw: tuple[int, int] | None
    """Height and width; None if it does not say."""
    things: list[Thing]
    segmented: bool = True


def write_annotation(file: IO[bytes], annotation: Annotation, folder: str) -> None:
    """Write an XML as VOC has it: boxes are the first and the last pixel, counted from 1."""
    root = ElementTree.Element("annotation")

    def add(parent: ElementTree.Element, name: str, text: object = None) -> ElementTree.Element:
        child = ElementTree.SubElement(parent, name)
        child.text = None if text is None else writable(str(text))
        return child

    assert annotation.size_hw is not None
    add(root, "folder", folder)
    add(root, "filename", annotation.file_name)
    add(add(root, "source"), "database", "anymask")
    size = add(root, "size")
    sides = zip(("width", "height", "depth"), (*annotation.size_hw[::-1], 3), strict=True)
    for name, side in sides:
        add(size, name, side)
    add(root, "segmented", int(annotation.segmented))
    names = shown_names([thing.label for thing in annotation.things])
    for thing, name in zip(annotation.things, names, strict=True):
        entry = add(root, "object")
        add(entry, "name", name)
        if thing.label is None:
            add(entry, "unlabelled", 1)
        add(entry, "pose", thing.about.get("pose", "Unspecified"))
        for flag in FLAGS:
            if flag in thing.about or flag != "occluded":
                add(entry, flag, int(bool(thing.about.get(flag, 0))))
        box = add(entry, "bndbox")
        x0, y0, x1, y1 = thing.box
        for corner, value in (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", x1), ("ymax", y1)):
            add(box, corner, f"{value:.10g}")
    ElementTree.indent(root, "\t")
    file.write(ElementTree.tostring(root, encoding="utf-8") + b"\n")


def parse_annotation(content: Content) -> Annotation:
    """Read an XML.

    Raises:
        InputError: It is damaged or in another layout.
    """
    with content.open() as file:
        root = parse(file, content.name)
    if root.tag != "annotation":
        raise InputError(
            f"expected an annotation of VOC in {content.name}, got <{root.tag[:40]}>; check which "
            "format it has"
        )
    with understanding(f"{content.name} as VOC"):
        size = root.find("size")
        size_hw = None
        if size is not None:
            size_hw = (int(_text(size, "height")), int(_text(size, "width")))
            size_hw = size_hw if min(size_hw) > 0 else None  # some programs write 0
        things = [_thing(entry) for entry in root.iter("object")]
        segmented = _flag(root.findtext("segmented"))
        return Annotation((root.findtext("filename") or "").strip(), size_hw, things, segmented)


def _text(entry: ElementTree.Element, name: str) -> str:
    text = entry.findtext(name)
    if text is None:
        raise KeyError(name)
    return text


def _thing(entry: ElementTree.Element) -> Thing:
    box = entry.find("bndbox")
    if box is None:
        raise KeyError("bndbox")
    x0, y0, x1, y1 = (float(_text(box, side)) for side in ("xmin", "ymin", "xmax", "ymax"))
    if not np.isfinite([x0, y0, x1, y1]).all():
        raise InputError("expected finite coordinates of a box, got others; correct the file")
    about: dict[str, Any] = {}
    pose = (entry.findtext("pose") or "").strip()
    if pose not in ("", "Unspecified"):
        about["pose"] = pose
    about |= {flag: 1 for flag in FLAGS if _flag(entry.findtext(flag))}
    name = None if _flag(entry.findtext("unlabelled")) else _text(entry, "name")
    return Thing(name, (x0 - 1, y0 - 1, x1, y1), about)


def _flag(text: str | None) -> bool:
    return (text or "").strip().lower() in ("1", "true", "yes")


# ------------------------------------------------------------------------------ classes


def class_names(root: Path) -> Names:
    """List the names of the classes of a folder by their numbers, that of the background first."""
    path = root / LABEL_MAP
    if not path.is_file():
        return (_BACKGROUND, *CLASSES)
    lines = [line for line in decode(files.load(path)).split("\n") if line.strip()]
    entries = [_entry(line) for line in lines if not line.startswith("#")]
    places = [colour for _, colour in entries]
    if None in places or len(set(places)) < len(places):  # the colours are none of VOC's
        names = [name for name, _ in entries]
        return names if _BACKGROUND in names[:1] else (_BACKGROUND, *names)
    known = {colour: name for name, colour in entries if colour is not None}
    known.setdefault(0, _BACKGROUND)
    return [known.get(number, str(number)) for number in range(max(known) + 1)]


def _entry(line: str) -> tuple[str | None, int | None]:
    """Read a line: the name of a class, and the place of its colour in VOC's palette."""
    name, *rest = line.rsplit(":", 3)
    if len(rest) < 3:
        return _unescaped(line.partition(":")[0]), None
    found = None if rest[1] == _UNLABELLED else _unescaped(name)
    return found, _PLACES.get(tuple(rest[0].split(",")))


_UNLABELLED = "unlabelled"  # among the parts of a class, which nobody else reads for a whole


def shared_classes(folder: ResumableFolder, first: Iterable[str] = ()) -> SharedClasses:
    """Number the classes of a folder: VOC's own as there, then others; see `SharedClasses`."""
    return SharedClasses(
        folder,
        LABEL_MAP,
        lambda path: class_names(path.parent) if path.is_file() else (),
        lambda draft, target, names: _write_names(draft, names),
        (_BACKGROUND, *CLASSES, *first),
    )


def _write_names(draft: Path, names: Names) -> None:
    if len(names) - 1 > MOST:
        raise InputError(
            f"expected at most {MOST} classes for VOC, got {len(names) - 1}; choose another format"
        )
    lines = ["# label:color_rgb:parts:actions"]
    for name, shown, colour in zip(names, shown_names(names), palette(), strict=False):
        parts = _UNLABELLED if name is None else ""
        lines.append(f"{_escaped(shown)}:{','.join(map(str, colour))}:{parts}:")
    draft.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "#": "\\#"}


def _escaped(name: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in name)


def _unescaped(name: str) -> str:
    back = {written[1]: character for character, written in _ESCAPES.items()}
    return re.sub(r"\\([\\nr#])", lambda found: back[found[1]], name)

"""PNG whose values are classes: 0 for what has no name, k for the k-th name; a semantic label map.

Masks of one name are one. Where masks of different names overlap, the smaller mask is on top, for
what lies before something else, or is a part of it, is the smaller of the two nearly always, and is
lost entirely otherwise; with ``order="score"`` the mask whose name is surer is. Masks without a
name are left out, and so is everything that is known of a mask beside its name.

8 bits with a palette in the colours of overlays for up to 255 names, else 16 bits. The names are in
a text chunk of the file (iTXt, keyword ``anymask-classes``), which programs that edit images may
drop, so a folder of results has them in ``classes.json``, too: value, name and colour of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.PngImagePlugin

from anymask.atomic import Target, output
from anymask.draw.palette import colours_of_labels
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import Format, files
from anymask.formats import annotation as fields
from anymask.formats.classes import Names, SharedClasses
from anymask.formats.files import Source
from anymask.masks import label_map
from anymask.masks.masks import Masks

__all__ = ["FORMAT", "class_map", "collect", "legend", "read", "write"]

Order = Literal["smallest_on_top", "score"]

_KEYWORD = "anymask-classes"
_PLACE = "classes.json"
_COLOURS = 255
_MOST = int(np.iinfo(np.uint16).max)


def class_map(
    masks: Masks, names: Sequence[str] | None = None, order: Order = "smallest_on_top"
) -> npt.NDArray[np.int32]:
    """Paint masks by their names.

    Args:
        masks: Of one image.
        names: The classes, in the order of their numbers; None: the names of the masks, sorted.
        order: What is on top where masks overlap: the smaller one, or the one whose name has the
            better score (``meta["label_score"]``, else `Masks.scores`). Of equal ones, the earlier.

    Returns:
        int32 (h, w): 0 where no mask with a name is, else 1 + the place of its name.

    Raises:
        InputError: A mask has a name that is not listed, or a name is listed twice.

    Examples:
        >>> dense = np.array([[[1, 1, 1, 0]], [[0, 1, 0, 0]]], bool)
        >>> class_map(Masks.from_dense(dense, labels=["sky", "bird"]), ["bird", "sky"]).tolist()
        [[2, 1, 2, 0]]
    """
    names = _names_of(masks) if names is None else list(names)
    numbers: dict[str | None, int] = {name: i + 1 for i, name in enumerate(names)}
    if len(numbers) < len(names):
        raise InputError(f"expected each class once, got {len(names)} with repeats; drop these")
    if strange := {label for label in masks.labels if label is not None} - numbers.keys():
        raise InputError(
            f"expected labels out of the {len(names)} classes, got {min(strange)!r}; add it to the "
            "names"
        )
    keys = {"smallest_on_top": masks.areas, "score": -_scores(masks)}
    if order not in keys:
        raise InputError(f"expected an order out of {', '.join(keys)}, got {order!r}; name one")
    from_below = np.argsort(keys[order], kind="stable")[::-1]
    named = [i for i in from_below if masks.labels[i] is not None]
    return label_map.paint(
        ((numbers[masks.labels[i]], masks.counts[i]) for i in named), masks.size_hw
    )


def _names_of(masks: Masks) -> list[str]:
    return sorted({label for label in masks.labels if label is not None})


def _scores(masks: Masks) -> npt.NDArray[np.float64]:
    """Give how sure each name is; unknown scores are the worst."""
    scores = masks.scores.astype(np.float64)
    for i, meta in enumerate(masks.meta):
        if isinstance(meta.get("label_score"), int | float):
            scores[i] = meta["label_score"]
    known: npt.NDArray[np.float64] = np.nan_to_num(scores, nan=-1.0)
    return known


def legend(names: Sequence[str]) -> dict[str, Any]:
    """Say which value stands for which name, and its colour: plain JSON values.

    Examples:
        >>> legend(["dog"])["classes"][1]["name"]
        'dog'
    """
    colours = colours_of_labels(names)
    none = {"value": 0, "name": None, "color": [0, 0, 0]}
    return {
        "classes": [
            none,
            *({"value": i, "name": n, "color": list(colours[n])} for i, n in enumerate(names, 1)),
        ]
    }


def write(
    target: Target,
    masks: Masks,
    *,
    names: Sequence[str] | None = None,
    order: Order = "smallest_on_top",
) -> None:
    """Write the masks of one image.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: See `class_map`.
        names: See `class_map`; at most 65535.
        order: See `class_map`.

    Raises:
        InputError: A mask has a name that is not listed, or there are too many.
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> file = io.BytesIO()
        >>> write(file, Masks.from_dense(np.ones((2, 3), bool), labels=["sky"]))
        >>> read(file.getvalue())
        Masks(1 mask of 3 x 2: sky)
    """
    names = _names_of(masks) if names is None else list(names)
    if len(names) > _MOST:
        raise InputError(f"expected at most {_MOST} classes, got {len(names)}; leave some out")
    values = class_map(masks, names, order)
    if len(names) <= _COLOURS:
        picture = PIL.Image.fromarray(values.astype(np.uint8), mode="P")
        colours = colours_of_labels(names)
        picture.putpalette([0, 0, 0, *(part for name in names for part in colours[name])])
    else:
        picture = PIL.Image.fromarray(values.astype(np.uint16))
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt(_KEYWORD, json.dumps(names, ensure_ascii=False))
    with output(target) as file:
        picture.save(file, format="PNG", pnginfo=text)


@contextmanager
def collect(
    folder: ResumableFolder, names: Iterable[str] = ()
) -> Iterator[Callable[[str, Masks, Path | None], None]]:
    """Write the images of a folder of results, and what their values mean; see `Format.collect`.

    Args:
        folder: Where somebody is at work.
        names: The first classes.
    """
    classes = SharedClasses(folder, _PLACE, _read_names, _write_names, names)

    def add(name: str, masks: Masks, image: Path | None) -> None:
        for label in masks.labels:
            if label is not None:
                classes.number(label)
        with folder.writing(f"{name}-classes.png") as draft:
            write(draft, masks, names=[str(name) for name in classes.names])

    yield add


def _read_names(path: Path) -> list[str]:
    """Read the names of the values from 1 on; none if there is no file."""
    if not path.is_file():
        return []
    content = files.load(path)
    with fields.understanding(f"{content.name} as a list of classes"):
        return [str(entry["name"]) for entry in content.document["classes"][1:]]


def _write_names(draft: Path, target: Path, names: Names) -> None:
    shown = legend([str(name) for name in names])
    draft.write_text(json.dumps(shown, ensure_ascii=False, indent=1), encoding="utf-8")


def read(source: Source) -> Masks:
    """Read a semantic label map.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.

    Returns:
        One mask for each class that occurs, in the order of their numbers.

    Raises:
        InputError: The file is missing, damaged, or names no classes.
    """
    from anymask.formats.png import read_numbers

    content = files.load(source)
    values, text = read_numbers(content, _KEYWORD)
    if text is None:
        raise InputError(
            f"expected a label map that names its classes, got {content.name} without; read it as "
            "png"
        )
    with fields.understanding(f"the classes of {content.name}"):
        names = list(json.loads(text))
        runs = {
            number: counts
            for number, counts in label_map.encode_numbers(values).items()
            if number > 0
        }
        return Masks(
            (values.shape[0], values.shape[1]),
            tuple(runs.values()),
            labels=tuple(str(names[number - 1]) for number in runs),
        )


def _recognises(head: bytes) -> bool:
    return head.startswith(b"\x89PNG") and _KEYWORD.encode() in head


FORMAT = Format(".png", write, read, recognises=_recognises, place=_PLACE, collect=collect)

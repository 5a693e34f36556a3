"""Automatic masks against those that people corrected (SAM paper, section 5, "mask quality").

The authors let people correct the automatic masks of 500 images and compared each pair: 94 % had
an IoU above 90 %, 97 % one above 75 %. This is that comparison, for two folders of masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anymask import formats
from anymask.errors import InputError
from anymask.evaluate.metrics import mean
from anymask.evaluate.protocol import Curve, Summary, Table
from anymask.formats import annotation, coco
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.optional import optional

__all__ = ["Comparison", "compare", "compare_folders", "read_folder", "summarise"]

_LEVELS = (0.9, 0.75)
_BINS = 20
_SUFFIXES = (".json", ".png")
_NO_MASKS = ("anymask-run.json", "-overlay.png", "-cutout.png")  # what our own commands add


@dataclass(frozen=True)
class Comparison:
    """The masks of one image, paired."""

    image: str
    """Name of the image, without suffix."""
    ious: tuple[float, ...]
    """IoU of each pair."""
    only_automatic: int
    """Masks that people deleted: they overlap no corrected one that is still free."""
    only_corrected: int
    """Masks that people added."""


def compare_folders(automatic: Path, corrected: Path) -> list[Comparison]:
    """Compare the masks of every image that both folders know.

    Args:
        automatic: Folder of masks: SA-1B or COCO JSON, or PNG label maps named after their images.
        corrected: The same after correction, in any of these formats.

    Raises:
        InputError: A folder is missing or without masks, a file is damaged, no image is in both,
            or the masks of an image have two sizes.
    """
    before, after = read_folder(automatic), read_folder(corrected)
    both = [image for image in before if image in after]
    if not both:
        raise InputError(
            f"expected images that {str(automatic)!r} and {str(corrected)!r} both have masks of, "
            f"got none, but such as {next(iter(before))!r} and {next(iter(after))!r}; name the "
            "files after their images"
        )
    return [compare(image, before[image], after[image]) for image in both]


def compare(image: str, automatic: Masks, corrected: Masks) -> Comparison:
    """Pair the masks of an image one to one, so that the sum of their IoUs is greatest.

    Raises:
        InputError: The masks have two sizes.
    """
    if automatic.size_hw != corrected.size_hw:
        raise InputError(
            f"expected masks of one size for {image!r}, got {automatic.size_hw} automatic and "
            f"{corrected.size_hw} corrected; make both at the size of the image"
        )
    optimize = optional("scipy.optimize", extra="eval")
    overlaps = rle.iou(automatic.counts, corrected.counts)
    pairs = overlaps[optimize.linear_sum_assignment(overlaps, maximize=True)]
    ious = tuple(pairs[pairs > 0].tolist())
    return Comparison(image, ious, len(automatic) - len(ious), len(corrected) - len(ious))


def read_folder(folder: Path) -> dict[str, Masks]:
    """Read the masks of a folder, by the name of their image without suffix.

    Raises:
        InputError: It is missing or without masks, a file is damaged, or an image comes twice.
    """
    if not folder.is_dir():
        raise InputError(f"expected a folder of masks, got {str(folder)!r}; check the path")
    found: dict[str, Masks] = {}
    for image, masks in _read_files(folder):
        if image in found:
            raise InputError(
                f"expected the masks of {image!r} once in {str(folder)!r}, got them twice; remove "
                "one of the files"
            )
        found[image] = masks
    if not found:
        raise InputError(
            f"expected SA-1B or COCO JSON files or PNG label maps in {str(folder)!r}, got none; "
            "point to a folder of masks"
        )
    return found


def _read_files(folder: Path) -> Iterator[tuple[str, Masks]]:
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in place.parts)
        if hidden or path.suffix.lower() not in _SUFFIXES or path.name.endswith(_NO_MASKS):
            continue
        beside = path.suffix.lower() == ".json" and path.with_suffix(".png").is_file()
        if beside and isinstance(annotation.parse_json(path), list):
            continue  # what Grounded-SAM says of that one
        if path.suffix.lower() == ".json" and "images" in annotation.read_json(path):
            for masks in coco.read_all(path):
                yield Path(masks.source or "").with_suffix("").as_posix(), masks
        else:
            yield place.with_suffix("").as_posix().removesuffix("-labels"), formats.read(path)


def summarise(comparisons: list[Comparison]) -> Summary:
    """Count how many pairs agree how well."""
    ious = np.array([iou for one in comparisons for iou in one.ious])
    shares = [mean(ious > level) for level in _LEVELS]
    counts = {
        "only automatic": sum(one.only_automatic for one in comparisons),
        "only corrected": sum(one.only_corrected for one in comparisons),
    }
    header = ("masks", "images", "pairs", *(f"IoU > {x:.0%}" for x in _LEVELS), "mean IoU", *counts)
    row = ("here", len(comparisons), len(ious), *shares, mean(ious), *counts.values())
    paper = ("SAM paper, theirs", 500, None, 0.94, 0.97, None, None, None)
    note = (
        "Pairs are one to one, with the greatest sum of IoUs in each image. The paper's numbers "
        "are those of its authors for their own masks; between two people they quote IoUs of 85 "
        "to 91 %."
    )
    images = Table(
        "audit-images",
        "Image by image, the worst first",
        ("image", "pairs", "mean IoU", *counts),
        tuple(
            (one.image, len(one.ious), mean(one.ious), one.only_automatic, one.only_corrected)
            for one in sorted(comparisons, key=lambda one: (mean(one.ious) or 0.0, one.image))
        ),
    )
    main = Table("audit", "Automatic masks against corrected ones", header, (row, paper), note)
    return Summary((main, images), (_histogram(ious),))


def _histogram(ious: np.ndarray) -> Curve:
    counts, edges = np.histogram(ious, _BINS, (0, 1))
    share = counts / max(1, len(ious))
    # Each bin as a step, so that the line encloses the bars.
    lines: Mapping[str, tuple[list[float], list[float]]] = {
        f"{len(ious)} pairs": (np.repeat(edges, 2)[1:-1].tolist(), np.repeat(share, 2).tolist())
    }
    return Curve("audit-histogram", "IoU of the pairs", "IoU", "share of the pairs", lines)

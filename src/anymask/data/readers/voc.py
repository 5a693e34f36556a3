"""The lists of PASCAL VOC 2007 and 2012, which say what is for training and what for validation."""

from __future__ import annotations

from pathlib import Path

from anymask.data.dataset import Listing
from anymask.data.readers.notes import Notes
from anymask.data.readers.pairs import VOC
from anymask.errors import InputError

__all__ = ["list_images"]


def list_images(path: Path) -> Listing:
    """List the images that a list names and whose instances were drawn.

    Args:
        path: ``ImageSets/Segmentation/train.txt`` or another list beside it, below the folder of
            one year (``VOC2007``, ``VOC2012``). Each line begins with the name of an image.

    Raises:
        InputError: It cannot be read, or no image that it names has instances.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read {str(path)!r} as a list of images: {error}; check that it is whole"
        ) from error
    named = {line.split()[0] for line in lines if line.strip()}
    root = path.resolve().parent.parent.parent
    entries = [entry for entry in VOC.open(root, "voc").entries if entry.key in named]
    if not entries:
        raise InputError(
            f"expected names of images with a file in {str(root / 'SegmentationObject')!r}, got "
            f"none among the {len(named)} of {str(path)!r}; complete the folder, or take a list "
            "out of ImageSets/Segmentation"
        )
    notes = Notes(path)
    for name in sorted(named - {entry.key for entry in entries}):
        notes.add("images whose instances were not drawn are left out", repr(name))
    notes.warn()
    return Listing(f"{root.name}-{path.stem}", entries)

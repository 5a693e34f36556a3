"""What Meta's SAM 3D Objects reads: a folder of a photo and a picture of each mask.

That SAM 3D guesses the whole shape of a thing from one photo. It has nothing to do with
Pointcept's SAM3D, by which `anymask.extras.lift.merge` joins frames with depth.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import numpy as np
import PIL.Image

from anymask.atomic import DRAFT, cannot_write, make_folder
from anymask.errors import InputError, OutputError
from anymask.image.image import Image, ImageLike
from anymask.image.png import write_png
from anymask.masks.masks import Masks

__all__ = ["check_folder", "write_sam3d_objects"]


def write_sam3d_objects(
    folder: str | os.PathLike[str], image: ImageLike, masks: Masks
) -> list[Path]:
    """Write a photo and its masks for Meta's SAM 3D Objects.

    Args:
        folder: A new or empty folder. It gets ``image.png``, and ``0.png``, ``1.png`` ... in the
            order of the masks: RGBA, the thing's colours and, as alpha, the mask.
        image: The photo.
        masks: What was found in it, none of them empty.

    Returns:
        The files, ``image.png`` first.

    Raises:
        InputError: Sizes differ, there is no mask, or an empty one.
        OutputError: The folder has files in it, or cannot be written.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "mug"
        >>> masks = Masks.from_dense(np.eye(4, dtype=bool))
        >>> files = write_sam3d_objects(folder, np.zeros((4, 4, 3), np.uint8), masks)
        >>> [file.name for file in files]
        ['image.png', '0.png']
    """
    photo, target = Image.open(image), check_folder(folder)
    _check(photo, masks)
    make_folder(target.parent)
    try:
        draft = target.with_name(f"{DRAFT}{secrets.token_hex(6)}")
        draft.mkdir()
    except OSError as error:
        raise cannot_write(target, error) from error
    try:
        names = _write(draft, photo, masks)
        if target.exists():
            target.rmdir()
        os.replace(draft, target)
    except OSError as error:
        raise error if isinstance(error, OutputError) else cannot_write(target, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [target / name for name in names]


def check_folder(folder: str | os.PathLike[str]) -> Path:
    """Check that a folder is new or empty.

    Raises:
        OutputError: It is not.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(
            f"cannot write {str(target)!r}: it is no empty folder, and what is in it would count "
            "as masks; name a new one"
        )
    return target


def _write(folder: Path, photo: Image, masks: Masks) -> list[str]:
    write_png(photo.to_pil(), folder / "image.png")
    names = ["image.png"]
    for number, mask in enumerate(masks):
        inside = mask.dense()[0]
        layers = np.dstack([photo.pixels, np.full(photo.size_hw, 255, np.uint8)])
        layers[~inside] = 0
        names.append(f"{number}.png")
        write_png(PIL.Image.fromarray(layers), folder / names[-1])
    return names


def _check(photo: Image, masks: Masks) -> None:
    (h, w), (mask_h, mask_w) = photo.size_hw, masks.size_hw
    if (h, w) != (mask_h, mask_w):
        raise InputError(
            f"expected masks of the image's size, {w} x {h}, got {mask_w} x {mask_h}; give those "
            "of this image"
        )
    if not len(masks) or not masks.areas.all():
        got = "an empty one" if len(masks) else "none"
        raise InputError(
            f"expected masks with pixels in them, got {got}; filter them first: "
            "masks.filter(min_area=1)"
        )

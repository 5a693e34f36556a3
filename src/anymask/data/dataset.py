"""Data sets of images with masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image as PillowImage

from anymask.errors import InputError
from anymask.image import Image

__all__ = ["Dataset", "LabelMapFolder", "Sample"]


@dataclass(frozen=True)
class Sample:
    """One image with its masks, as layers of label maps."""

    image: np.ndarray
    """uint8 (h, w, 3), RGB."""
    layers: tuple[np.ndarray, ...]
    """Label maps, uint8 or uint16 (h, w). 0 is unknown (not background); 1..n are masks that do not
    overlap within a layer. Layers are other annotators' opinions or coarser levels."""
    meta: dict[str, str] = field(default_factory=dict)
    """``set`` and ``id`` of the image."""

    def masks(self) -> list[np.ndarray]:
        """List every mask of every layer, each bool (h, w)."""
        return [layer == label for layer in self.layers for label in np.unique(layer) if label != 0]


class Dataset(Protocol):
    """Anything with a length whose items are samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def key(self, index: int) -> str:
        """Name a sample without reading it; unlike any other of the set, fit for a file name."""
        ...


class LabelMapFolder:
    """A folder with ``images/<id>.jpg`` and ``masks/<id>.<layer>.png``.

    Example:
        >>> data = LabelMapFolder("photos-val")  # doctest: +SKIP
        >>> len(data), data[0].image.shape  # doctest: +SKIP
        (100, (321, 481, 3))
    """

    def __init__(self, root: str | Path) -> None:
        """Find the images and their mask layers.

        Raises:
            InputError: ``images/`` or ``masks/`` is missing, or no image has a mask.
        """
        self.root = Path(root)
        for part in ("images", "masks"):
            if not (self.root / part).is_dir():
                raise InputError(
                    f"expected the folders images/ and masks/ in {self.root}, but {part}/ is not "
                    "there; point to a folder with images/<id>.jpg and masks/<id>.<layer>.png"
                )
        layers: dict[str, list[Path]] = {}
        for path in sorted((self.root / "masks").glob("*.png")):
            layers.setdefault(path.name.rsplit(".", 2)[0], []).append(path)
        images = sorted(p for p in (self.root / "images").iterdir() if p.is_file())
        self.items = [(p, tuple(layers[p.stem])) for p in images if p.stem in layers]
        if not self.items:
            raise InputError(
                f"expected masks/<id>.<layer>.png for the images in {self.root}, got none that "
                "match; name each mask file after its image"
            )

    def __len__(self) -> int:
        return len(self.items)

    def key(self, index: int) -> str:
        """Name a sample after its image."""
        return self.items[index][0].stem

    def __getitem__(self, index: int) -> Sample:
        image_path, mask_paths = self.items[index]
        image = Image.open(image_path).pixels
        return Sample(
            image,
            tuple(_read_label_map(path, image.shape[:2]) for path in mask_paths),
            {"set": self.root.name, "id": image_path.stem},
        )


def _read_label_map(path: Path, size_hw: Sequence[int]) -> np.ndarray:
    labels = np.asarray(PillowImage.open(path))
    if labels.dtype == np.int32:  # Pillow opens 16-bit greys as mode I
        labels = labels.astype(np.uint16)
    if labels.shape != tuple(size_hw):
        raise InputError(
            f"expected a label map of shape {tuple(size_hw)}, as its image, in {path}, got "
            f"{labels.shape}; make it again at the image's size"
        )
    return labels

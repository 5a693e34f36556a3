"""PerSeg, the benchmark of PerSAM: a few images of one object, the first of them as reference.

    Images/<object>/00.jpg 01.jpg ...
    Annotations/<object>/00.png 01.png ...

Zhang et al., "Personalize Segment Anything Model with One Shot", ICLR 2024.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from anymask.data.dataset import Labels, Sample, key_of
from anymask.data.readers import codes
from anymask.data.readers.layout import Layout
from anymask.errors import InputError
from anymask.image.image import Image

__all__ = ["PERSEG", "PerSeg", "PersonalSample"]

_REFERENCE = "00"


@dataclass(frozen=True)
class PersonalSample(Sample):
    """An image of an object that is known from another one. It has one mask."""

    reference: Sample = field(kw_only=True)
    """The image from which the object is known, with its mask."""


class PerSeg:
    """The images of all objects but the references; one sample each."""

    def __init__(self, root: str | Path) -> None:
        """Find the images.

        Raises:
            InputError: A mask has no image, or an object no reference.
        """
        self.root = Path(root)
        masks = sorted(self.root.glob("Annotations/*/*.png"))
        self.names = [f"{m.parent.name}/{m.stem}" for m in masks if m.stem != _REFERENCE]
        references = {f"{name.split('/')[0]}/{_REFERENCE}" for name in self.names}
        for name in [*references, *self.names]:
            for part in self._files(name):
                if not part.is_file():
                    raise InputError(
                        f"expected Images/<object>/<nn>.jpg and Annotations/<object>/<nn>.png from "
                        f"{_REFERENCE} on in {str(self.root)!r}, got no {str(part)!r}; complete "
                        "the folder"
                    )

    def __len__(self) -> int:
        return len(self.names)

    def key(self, index: int) -> str:
        """Name a sample after its object and image."""
        return key_of(self.names[index])

    def __getitem__(self, index: int) -> PersonalSample:
        thing = self.names[index].split("/")[0]
        image, labels = self._read(self.names[index])
        seen, known = self._read(f"{thing}/{_REFERENCE}")
        meta = {"set": self.root.name, "id": self.key(index), "object": thing}
        names = (thing.replace("_", " "),)
        reference = Sample(seen, known.layers, meta | {"id": f"{thing}-{_REFERENCE}"}, None, names)
        return PersonalSample(image, labels.layers, meta, None, names, reference=reference)

    def _files(self, name: str) -> tuple[Path, Path]:
        return self.root / f"Images/{name}.jpg", self.root / f"Annotations/{name}.png"

    def _read(self, name: str) -> tuple[np.ndarray, Labels]:
        path, mask = self._files(name)
        image = Image.open(path)
        labels = codes.foreground(mask, image.size_hw)
        if not labels.layers[0].any():
            raise InputError(
                f"expected the object in {str(mask)!r}, got an empty mask; remove it and its image"
            )
        return image.pixels, labels


PERSEG = Layout("perseg", ("Images/*/*.jpg", "Annotations/*/*.png"), PerSeg)

"""Cut anything out of any picture: from a click, a box, a rough mask, or nothing at all.

    import anymask

    model = anymask.load()
    photo = model.embed("truck.jpg")
    masks = model.predict(photo, points=[(500, 375)])
    masks.best().draw("truck.jpg").save("truck-overlay.png")

Every public name is listed here, and loaded when it is first used: importing the package costs
nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from anymask.batch.process import process
    from anymask.config import GenerateConfig, InstanceConfig
    from anymask.embedding import Embedding
    from anymask.errors import (
        AnymaskError,
        CapabilityError,
        InputError,
        MissingExtraError,
        OutputError,
        WeightsError,
    )
    from anymask.formats import read
    from anymask.image.image import Image
    from anymask.image.transform import Transform
    from anymask.masks.masks import Masks
    from anymask.models.variants import VARIANTS, Variant
    from anymask.predict.loading import load
    from anymask.predict.segmenter import Segmenter
    from anymask.prompt import Prompt

__all__ = [
    "VARIANTS",
    "AnymaskError",
    "CapabilityError",
    "Embedding",
    "GenerateConfig",
    "Image",
    "InputError",
    "InstanceConfig",
    "Masks",
    "MissingExtraError",
    "OutputError",
    "Prompt",
    "Segmenter",
    "Transform",
    "Variant",
    "WeightsError",
    "__version__",
    "load",
    "process",
    "read",
]

_HOMES = {
    "VARIANTS": "models.variants",
    "AnymaskError": "errors",
    "CapabilityError": "errors",
    "Embedding": "embedding",
    "GenerateConfig": "config",
    "Image": "image.image",
    "InputError": "errors",
    "InstanceConfig": "config",
    "Masks": "masks.masks",
    "MissingExtraError": "errors",
    "OutputError": "errors",
    "Prompt": "prompt",
    "Segmenter": "predict.segmenter",
    "Transform": "image.transform",
    "Variant": "models.variants",
    "WeightsError": "errors",
    "load": "predict.loading",
    "process": "batch.process",
    "read": "formats",
}


if not TYPE_CHECKING:  # a type checker would take every name for public

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'anymask' has no attribute {name!r}")
        return getattr(importlib.import_module(f"anymask.{home}"), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)

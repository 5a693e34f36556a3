"""The data engine: from a folder of images to reviewed masks and a better model.

``anymask.label.Store`` is the database of it: images, masks and their history, who works on what.
The commands ``anymask label init|add|status|next|export|import`` have their twins there.

``anymask.label.stats`` describes data sets and compares groups of images;
``anymask.label.review.agreement`` compares people with each other and with what is known.
``anymask.label.farm`` finds everything in any number of images, without people.

The package is the verb ``anymask.label`` as well, which gives masks names (`anymask.text.label`).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__all__ = [
    "LeaseConflict",
    "Provenance",
    "RevisionConflict",
    "Store",
    "export_masks",
    "farm",
    "import_masks",
    "label",
]

_HOMES = {
    "LeaseConflict": "anymask.label.records",
    "Provenance": "anymask.label.records",
    "RevisionConflict": "anymask.label.records",
    "Store": "anymask.label.store",
    "export_masks": "anymask.label.transfer",
    "farm": "anymask.label.farm.run",
    "import_masks": "anymask.label.transfer",
    "label": "anymask.text.label",
}


class _Callable(ModuleType):
    """This package, which is the verb that it is named after, too; see `anymask.export`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.label(*arguments, **options)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Callable

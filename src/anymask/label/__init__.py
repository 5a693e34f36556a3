"""The data engine: from a folder of images to reviewed masks and a better model.

``anymask.label.farm`` is its last stage: everything in any number of images, without people.

The package is the verb ``anymask.label`` as well, which gives masks names (`anymask.text.label`).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__all__ = ["farm", "label"]

_HOMES = {"label": "anymask.text.label", "farm": "anymask.label.farm.run"}


class _Callable(ModuleType):
    """This package, which is the verb that it is named after, too; see `anymask.export`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.label(*arguments, **options)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Callable

"""Networks as graphs that run without PyTorch: ``anymask.export("sam-vit-b", "out/")``.

`parts` lists the graphs of a model, `graphs` are the functions that are recorded, `trace` records
them, `weights` says where their weights lie, `verify` compares them with the network, and `report`
says how that went; `write` does
all of it. `anymask.models.runtime` runs them.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__ = ["export"]


class _Callable(ModuleType):
    """This package, which is the verb that it is named after, too.

    Python sets the attribute ``anymask.export`` to the package when any of its modules is imported,
    whatever else was there under that name.
    """

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.export(*arguments, **options)


def __getattr__(name: str) -> Any:
    if name == "export":
        from anymask.export.write import export

        return export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Callable

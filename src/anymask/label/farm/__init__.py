"""The automatic stage over any number of images: ``anymask.label.farm("photos/", "out/")``.

`source` lists the images, `ledger` keeps what is known of them, `task` is what is done with one,
`automatic` how masks are found; `local` and `cluster` are the engines that do it; `sink`, `shards`,
`parquet` and `outputs` say where the masks go, `writer` brings them there; `run` puts all together.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__ = ["farm"]


class _Callable(ModuleType):
    """This package, which is the verb that it is named after, too; see `anymask.export`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.farm(*arguments, **options)


def __getattr__(name: str) -> Any:
    if name == "farm":
        from anymask.label.farm.run import farm

        return farm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Callable

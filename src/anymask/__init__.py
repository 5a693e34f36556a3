"""Cut anything out of any image: from a click, a box, a rough mask, or nothing at all.

    import anymask

    model = anymask.load()
    photo = model.embed("truck.jpg")
    masks = model.predict(photo, points=[(500, 375)])
    masks.best().draw("truck.jpg").save("truck-overlay.png")

The public names stand in ``__init__.pyi``, where type checkers find them, too. Each is loaded when
it is first used: importing the package costs nothing.
"""

import importlib
import pathlib
import re
import typing

__version__ = "0.2.0"

_STUB = pathlib.Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOMES = {
    name: module for module, name in re.findall(r"^from (\S+) import \w+ as (\w+)$", _STUB, re.M)
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name], __name__), name)
    # A package that is a verb as well is here by now, and is meant: it can do more than the verb.
    return globals().get(name, found)


def __dir__() -> list[str]:
    return sorted(_HOMES)

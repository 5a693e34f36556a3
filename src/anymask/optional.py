"""The one door to packages that the core install does not bring."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from anymask.errors import MissingExtraError

__all__ = ["optional"]

_DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
}
"""What to install for a module of another name."""


def optional(module: str, *, extra: str | None = None) -> ModuleType:
    """Import an optional package, or say which line installs it.

    Call it inside the function that needs the package, never at the top of a module: every module
    of anymask imports with the core dependencies alone.

    Args:
        module: Import name, such as ``"cv2"``.
        extra: The extra of anymask that brings it, such as ``"image"``; None: it comes with
            anymask itself, which was installed without it (see docs/lite.md).

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise  # the package is there, but broken in its own way: show that
        line = f"'anymask[{extra}]'"
        if extra is None or importlib.util.find_spec("torch") is None:
            # An extra would bring all that anymask was installed without.
            root = module.partition(".")[0]
            line = _DISTRIBUTIONS.get(root, root)
        raise MissingExtraError(
            f"this needs the package {module!r}, which is not installed; run: pip install {line}"
        ) from error

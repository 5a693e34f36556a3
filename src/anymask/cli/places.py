"""Places in an image, as the words of a command line say them: coordinates and rough masks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from anymask.errors import InputError

__all__ = ["check_commas", "read_mask", "read_numbers"]

_FORMS = {
    "--point": ("X,Y", "500,375"),
    "--not": ("X,Y", "500,375"),
    "--box": ("X0,Y0,X1,Y1", "425,600,700,875"),
    "--at": ("X,Y", "500,375"),
    "--region": ("X,Y", "500,375"),
    "--example-box": ("X0,Y0,X1,Y1", "425,600,700,875"),
    "--intrinsics": ("FX,FY,CX,CY", "577.6,578.7,318.9,242.7"),
}


def read_numbers(flag: str, text: str) -> list[float]:
    """Read numbers with commas between them, as many as the flag has."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(_FORMS[flag][0].split(",")):
        raise _formless(flag, text)
    return numbers


def _formless(flag: str, text: str) -> InputError:
    """Say how the flag is written, if possible with the numbers at hand."""
    form, example = _FORMS[flag]
    seen = re.findall(r"-?\d+(?:\.\d+)?", text)
    right = len(seen) == len(form.split(","))
    hint = f"did you mean {flag} {','.join(seen)}?" if right else "write it like that"
    return InputError(f"expected {flag} {form} like {example}, got {text!r}; {hint}")


def check_commas(words: Sequence[str]) -> None:
    """Refuse coordinates with blanks between them, before the second is taken for an image."""
    for place, word in enumerate(words):
        flag, _, first = word.partition("=")
        if flag in _FORMS:
            following = [*([first] if first else []), *words[place + 1 :]]
            loose = list(takewhile(_is_loose, following))
            if len(loose) > 1:
                raise _formless(flag, " ".join(loose))


def _is_loose(word: str) -> bool:
    """Return whether a word is a bare number, with or without a comma at its ends."""
    return re.fullmatch(r"[,(\[]?-?\d+(\.\d+)?[,)\]]?", word) is not None


def read_mask(path: Path) -> Any:
    """Read a rough mask: bool (h, w), true where the image is light and not transparent."""
    from anymask.image.image import Image

    mask = Image.open(path, background=(0, 0, 0)).pixels.max(axis=2) >= 128
    if not mask.any():
        raise InputError(
            f"expected a rough mask that is light where the thing is, but {str(path)!r} is dark "
            "everywhere; paint the thing white"
        )
    return mask

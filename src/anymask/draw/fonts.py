"""Fonts that can write the names of masks, in any script that some installed font knows."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import PIL.ImageDraw
import PIL.ImageFont

from anymask.errors import InputError

__all__ = ["Font", "Fonts"]

# Looked for where Windows, macOS and Linux keep fonts, when Pillow's own, which knows little more
# than the letters of English, cannot write a name. First fonts of many scripts, then of Chinese,
# Japanese, Korean, Arabic, Hebrew, Thai and the scripts of India.
_INSTALLED = (
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "Arial Unicode.ttf",
    "segoeui.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "DroidSansFallbackFull.ttf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "msyh.ttc",
    "simsun.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "YuGothM.ttc",
    "msgothic.ttc",
    "malgun.ttf",
    "AppleSDGothicNeo.ttc",
    "unifont.otf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "Nirmala.ttf",
)
_NO_LETTER = "\U0010ffff"  # which no font has, so it shows how a font draws what it lacks
_ELLIPSIS = "\u2026"


@dataclass(frozen=True)
class Font:
    """A font in one size."""

    face: Any

    def width(self, text: str) -> float:
        """Measure a text in pixels."""
        return float(self.face.getlength(text))

    def shortened(self, text: str, room: float) -> str:
        """Leave out the end of a text that is wider than there is room for."""
        if self.width(text) <= room:
            return text
        dots = _ELLIPSIS if not _missing(self.face, _ELLIPSIS) else "..."
        kept = len(text)
        while kept and self.width(text[:kept].rstrip() + dots) > room:
            kept -= 1
        return text[:kept].rstrip() + dots

    def write(
        self,
        pen: PIL.ImageDraw.ImageDraw,
        at_xy: tuple[float, float],
        text: str,
        colour: tuple[int, int, int],
    ) -> None:
        """Write a text from a point in the middle of its left side on."""
        pen.text(at_xy, text, colour, font=self.face, anchor="lm")


class Fonts:
    """Finds a font for a name.

    Raises:
        InputError: The font of one's own cannot be used.
    """

    def __init__(self, own: str | os.PathLike[str] | None = None) -> None:
        self._own = None if own is None else os.fspath(own)
        if self._own is not None and _installed(self._own, 10) is None:
            raise InputError(
                f"expected a font file that Pillow can read, such as .ttf, .otf or .ttc, got "
                f"{self._own!r}; check the name"
            )

    def of(self, text: str, size: int) -> Font:
        """Choose the first font that can write all of a text, else the one that lacks least."""
        if self._own is not None:
            return Font(_installed(self._own, size))
        best = _default(size)
        lacking = len(_missing(best, text))
        for name in _INSTALLED if lacking else ():
            face = _installed(name, size)
            lacks = lacking if face is None else len(_missing(face, text))
            if lacks < lacking:
                best, lacking = face, lacks
            if not lacking:
                break
        if lacking:
            warnings.warn(
                f"no font found here can write all letters of {text!r}; install one that can, such "
                "as Noto Sans (CJK), or name a font file with font=...",
                stacklevel=2,
            )
        return Font(best)


@lru_cache(maxsize=16)
def _default(size: int) -> Any:
    return PIL.ImageFont.load_default(size)


@lru_cache(maxsize=128)
def _installed(name: str, size: int) -> Any | None:
    try:
        return PIL.ImageFont.truetype(name, size)
    except OSError:
        return None


def _missing(face: Any, text: str) -> set[str]:
    """List the letters that a font lacks."""
    nothing = bytes(face.getmask(_NO_LETTER))
    return {c for c in set(text) if not c.isspace() and bytes(face.getmask(c)) == nothing}

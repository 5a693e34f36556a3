"""The options of all commands that look for words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

from anymask.errors import InputError

__all__ = ["WordOptions"]

_Words = Annotated[
    UseAppendAction[tuple[str, ...]], arg(metavar="WORDS", help_behavior_hint="(repeatable)")
]


@dataclass(frozen=True, kw_only=True)
class WordOptions:
    """What things are called."""

    text: _Words = ()
    """What to look for, several words with full stops between them, as in "dog. red car."; given
    several times, each is one phrase. The bundled detector knows the words that `anymask models
    bundled` lists, another --grounder knows others."""
    not_text: _Words = ()
    """Words for what is not meant: what they fit better is left out."""
    threshold: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="[WORDS=]FLOAT", help_behavior_hint="(repeatable)"),
    ] = ()
    """Least score of what words name, 0 to 1, for all of them, or for one as in dog=0.5; by itself
    what suits the grounder."""
    grounder: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Who looks for words: bundled, or another one by name, hub id or folder. By itself bundled,
    or for words that it does not know one that takes any, if that is installed and here."""

    def given(self) -> dict[str, Any]:
        """Give what was said, by the names that Python has for it.

        Raises:
            InputError: A threshold is not in its form.
        """
        return {
            "text": _read(self.text),
            "negative": _read(self.not_text),
            "threshold": _threshold(self.threshold),
            "grounder": self.grounder,
        }

    def check_unused(self) -> None:
        """Check that nothing is said that only words need, where they do not stand alone."""
        rest = {"not-text": self.not_text, "threshold": self.threshold, "grounder": self.grounder}
        if said := " and ".join(f"--{flag}" for flag, value in rest.items() if value):
            got = "other prompts beside it" if self.text else "none"
            raise InputError(
                f"expected --text alone with {said}, got {got}; say what to look for by --text, or "
                "leave the rest out"
            )


def _read(words: tuple[str, ...]) -> str | list[str] | None:
    """Read words: one text, or several phrases, each whole."""
    return None if not words else words[0] if len(words) == 1 else list(words)


def _threshold(said: tuple[str, ...]) -> float | dict[str, float] | None:
    """Read thresholds: one number, or one for each of some phrases."""
    single: dict[str, float] = {}
    common: list[float] = []
    for part in said:
        phrase, named, number = part.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise InputError(
                f"expected --threshold FLOAT like 0.4, or WORDS=FLOAT like dog=0.4, got {part!r}; "
                "write it like that"
            ) from None
        if named:
            single[phrase.strip()] = value
        else:
            common.append(value)
    if len(common) > 1 or (common and single):
        raise InputError(
            f"expected one --threshold for all words or one for each, got {', '.join(said)}; leave "
            "some of them out"
        )
    return common[0] if common else single or None

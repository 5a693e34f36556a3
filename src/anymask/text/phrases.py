"""What is asked for by name: phrases, those that are not meant, and how sure is sure enough."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TypeAlias

from anymask.errors import InputError
from anymask.models.vocabulary import without_article

__all__ = ["Phrases", "Text", "Threshold", "parse", "shown"]

Text: TypeAlias = str | Sequence[str]
Threshold: TypeAlias = float | Mapping[str, float]

_SEPARATORS = r"[.,;\n/&|+]|\b(?:and|or)\b"
_AROUND = " \t!?:\"'\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
_MOST_SHOWN = 3
_LONGEST_SHOWN = 40  # characters of one phrase


@dataclass(frozen=True)
class Phrases:
    """What is looked for.

    Attributes:
        wanted: Each phrase once, at least one.
        negative: Phrases for what is not meant, none of them wanted.
        threshold: Least score of those that have none of their own; None: the grounder's.
        thresholds: Least scores of single phrases.

    Examples:
        >>> phrases = Phrases.of("A dog. the People", "cat", threshold={"dog": 0.4})
        >>> phrases.wanted, phrases.least("dog", 0.3), phrases.least("people", 0.3)
        (('dog', 'people'), 0.4, 0.3)
    """

    wanted: tuple[str, ...]
    negative: tuple[str, ...] = ()
    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, text: Text, negative: Text | None = None, threshold: Threshold | None = None
    ) -> Phrases:
        """Read what a user says.

        Args:
            text: See `parse`.
            negative: The same, or nothing.
            threshold: Least score of all phrases, 0 to 1, or of single ones by name.

        Raises:
            InputError: A text names nothing, a phrase is both looked for and not meant, or a
                threshold is no such number, or is for a phrase that nobody looks for.
        """
        wanted = parse(text)
        unwanted = () if negative is None or negative in ((), []) else parse(negative)
        keys = {_key(phrase) for phrase in unwanted}
        if both := [phrase for phrase in wanted if _key(phrase) in keys]:
            raise InputError(
                f"expected negative words that are not looked for, got {shown(both)} as both; "
                "leave it out of one of them"
            )
        if not isinstance(threshold, Mapping):
            return cls(wanted, unwanted, None if threshold is None else _checked(threshold))
        return cls(wanted, unwanted, None, _single(threshold, wanted))

    @property
    def all(self) -> tuple[str, ...]:
        """All phrases, those that are not meant last."""
        return self.wanted + self.negative

    def least(self, phrase: str, usual: float) -> float:
        """Give the least score of a phrase.

        Args:
            phrase: One of them.
            usual: What the grounder thinks right.
        """
        return self.thresholds.get(phrase, usual if self.threshold is None else self.threshold)


def parse(text: Text) -> tuple[str, ...]:
    """Tell the phrases in what a user says, each once.

    Args:
        text: Words separated by full stops, commas, semicolons, new lines, "and", "or" or signs
            like "/" and "&", which come back in lower case and without what comes before a noun
            and says nothing of the thing ("the", "my", "two"); or a list of phrases, which stay as
            they are but for blanks and full stops around them.

    Raises:
        InputError: It names nothing, or one of the list does not.

    Examples:
        >>> parse("A dog. the People, and Cups")
        ('dog', 'people', 'cups')
        >>> parse(["a black and white dog"])
        ('a black and white dog',)
    """
    if isinstance(text, str):
        parts = re.split(_SEPARATORS, unicodedata.normalize("NFKC", text).lower())
        named = [without_article(" ".join(_bare(part).split())) for part in parts]
        named = [phrase for phrase in named if phrase]
    else:
        named = _listed(text)
    if not named:
        got = repr(_cut(text)) if isinstance(text, str) else "an empty list"
        raise InputError(f"expected words that name things, got {got}; write e.g. 'dog'")
    once: dict[str, str] = {}
    for phrase in named:
        once.setdefault(_key(phrase), phrase)
    return tuple(once.values())


def _bare(part: str) -> str:
    """Leave out signs around words, emoji too, unless there is nothing else."""
    return re.sub(r"^[^\w]+|[^\w]+$", "", part) or part.strip(_AROUND)


def _listed(phrases: object) -> list[str]:
    """Check a list of phrases."""
    if not isinstance(phrases, Sequence) or isinstance(phrases, bytes | bytearray):
        raise InputError(
            f"expected words or a list of phrases, got {type(phrases).__name__}; write e.g. 'dog'"
        )
    for phrase in phrases:
        if not isinstance(phrase, str) or not phrase.strip(f"{_AROUND}.,;\n"):
            got = _cut(phrase) if isinstance(phrase, str) else phrase
            raise InputError(f"expected phrases that name things, got {got!r}; leave it out")
    return [" ".join(phrase.split()).rstrip(".") for phrase in phrases]


def _key(phrase: str) -> str:
    """Give what two ways of writing a phrase have in common."""
    return without_article(unicodedata.normalize("NFKC", phrase).casefold())


def _checked(threshold: object, phrase: str | None = None) -> float:
    """Check that a threshold is a number from 0 to 1."""
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or not 0 <= float(threshold) <= 1:  # type: ignore[arg-type]  # NaN fails, too
        of = "" if phrase is None else f" of {shown([phrase])}"
        raise InputError(f"expected a threshold{of} from 0 to 1, got {threshold!r}; try 0.3")
    return float(threshold)  # type: ignore[arg-type]


def _single(thresholds: Mapping[str, float], wanted: Sequence[str]) -> Mapping[str, float]:
    """Check thresholds by name, and name them as the phrases are."""
    by_key = {_key(phrase): phrase for phrase in wanted}
    strange = [name for name in thresholds if _key(str(name)) not in by_key]
    if strange:
        raise InputError(
            f"expected thresholds for the phrases that are looked for, {shown(wanted)}, got one "
            f"for {shown(strange)}; look for it, too, or leave it out"
        )
    return {by_key[_key(name)]: _checked(value, name) for name, value in thresholds.items()}


def shown(phrases: Sequence[str]) -> str:
    """List phrases that came from outside: not too many, and nothing in them steers a terminal.

    Examples:
        >>> shown(["zebra", "okapi", "gnu", "kudu"])
        "'zebra', 'okapi', 'gnu' and 1 more"
    """
    more = f" and {len(phrases) - _MOST_SHOWN} more" if len(phrases) > _MOST_SHOWN else ""
    return ", ".join(repr(_cut(str(phrase))) for phrase in phrases[:_MOST_SHOWN]) + more


def _cut(phrase: str) -> str:
    return phrase if len(phrase) <= _LONGEST_SHOWN else f"{phrase[:_LONGEST_SHOWN]}..."

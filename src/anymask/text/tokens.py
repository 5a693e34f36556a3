"""Phrases as the tokens that a network reads, and which phrase is which."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from anymask.errors import InputError
from anymask.text.phrases import shown

__all__ = ["Spelled", "spell"]


@dataclass(frozen=True)
class Spelled:
    """Phrases without those that are spelled as an earlier one.

    Attributes:
        names: The phrases, as they were written.
        ids: Numbers of the tokens of each.
        unreadable: Phrases of which the tokenizer knows nothing at all.
    """

    names: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    unreadable: tuple[str, ...]

    def checked(self, most: int) -> Spelled:
        """Return it as it is.

        Args:
            most: Tokens that a phrase may have.

        Raises:
            InputError: There is no phrase, or one is unreadable or too long.
        """
        if self.unreadable:
            raise InputError(
                f"expected phrases with words that can be read, got {shown(self.unreadable)}; "
                "leave it out"
            )
        if not self.names:
            raise InputError("expected at least one phrase, got none; say what to look for")
        for name, ids in zip(self.names, self.ids, strict=True):
            if len(ids) > most:
                raise InputError(
                    f"expected phrases of at most {most} tokens, got {len(ids)} in "
                    f"{shown([name])}; say it in fewer words"
                )
        return self


def spell(tokenizer: Any, phrases: Sequence[str], without: Collection[int] = ()) -> Spelled:
    """Spell phrases, each by itself, in lower case.

    Args:
        tokenizer: A tokenizer of transformers.
        phrases: Any text; what looks like a special token is text, too.
        without: Numbers of tokens that are left out.
    """
    if isinstance(phrases, str) or not all(isinstance(phrase, str) for phrase in phrases):
        raise InputError(
            f"expected a list of phrases, got {type(phrases).__name__}; write ['dog', 'cat']"
        )
    nothing = {*tokenizer.all_special_ids} - {*without}
    found: dict[tuple[int, ...], str] = {}
    unreadable = []
    lower = [phrase.lower() for phrase in phrases]
    options = {"add_special_tokens": False, "split_special_tokens": True}
    spelled = tokenizer(lower, **options)["input_ids"] if lower else []
    for phrase, numbers in zip(phrases, spelled, strict=True):
        ids = tuple(number for number in numbers if number not in without)
        if set(ids) <= nothing:
            unreadable.append(phrase)
        else:
            found.setdefault(ids, phrase)
    return Spelled(tuple(found.values()), tuple(found), tuple(unreadable))

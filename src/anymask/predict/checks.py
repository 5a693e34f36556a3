"""What a model was asked, checked before anything is worked out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from anymask.errors import InputError
from anymask.prompt import Prompt

__all__ = [
    "check_list",
    "check_lists",
    "check_no_words",
    "check_said_once",
    "check_words_alone",
    "warn_of_shares",
]


def warn_of_shares(prompt: Prompt, size_hw: tuple[int, int]) -> None:
    """Warn of coordinates that look like shares of the image's size, where pixels are meant."""
    box = [] if prompt.box is None else prompt.box.tolist()
    values = [*prompt.points_xy.ravel().tolist(), *box]
    unlikely = box or any(value % 1 for value in values)  # a click on the first pixel is none
    if values and unlikely and min(size_hw) > 2 and 0 <= min(values) <= max(values) <= 1:
        h, w = size_hw
        warnings.warn(
            f"all coordinates lie between 0 and 1, at the first pixel of a {w} x {h} image; if "
            "they are shares of its size, multiply x by the width and y by the height",
            stacklevel=4,
        )


def check_words_alone(*others: object) -> None:
    """Check that words are not mixed with another way to say it."""
    if any(other is not None for other in others):
        raise InputError(
            "expected text alone, which means all that it names, got other prompts beside it; "
            "leave one of them out"
        )


def check_no_words(text: object, negative: object, threshold: object, grounder: object) -> None:
    """Check that nothing is said about words that nobody looks for in a grounder's way."""
    said = {"negative": negative, "threshold": threshold, "grounder": grounder}
    if names := " and ".join(name for name, value in said.items() if value is not None):
        got, what = ("no text", "text") if text is None else ("none", "grounder='bundled'")
        raise InputError(
            f"expected text for a grounder with {names}, got {got}; add {what}, or leave it out"
        )


def check_said_once(direct: dict[str, Any], prompts: object, subject: object) -> None:
    """Check that there is one way in which something is said, and that it fits the subject."""
    said = " and ".join(name for name, value in direct.items() if value is not None)
    if said and prompts is not None:
        raise InputError(f"expected {said} or prompts, got both; put it all into the prompts")
    if said and isinstance(subject, (list, tuple)):
        raise InputError(
            f"expected prompts, one list for each of the {len(subject)} images, got {said}; put it "
            "into the prompts"
        )


def check_list(prompts: object) -> list[Prompt]:
    """Check a list of prompts."""
    if not isinstance(prompts, Sequence) or isinstance(prompts, str):
        raise InputError(
            f"expected a Prompt or a list of them, got {type(prompts).__name__}; make one with "
            "Prompt(points_xy=...)"
        )
    for prompt in prompts:
        if not isinstance(prompt, Prompt):
            raise InputError(
                f"expected a list of Prompt, got one that holds a {type(prompt).__name__}; lists "
                "of lists are for lists of embeddings"
            )
    return list(prompts)


def check_lists(prompts: object, count: int) -> list[list[Prompt]]:
    """Check a list of prompts for each of so many images."""
    if not isinstance(prompts, Sequence) or len(prompts) != count:
        got = f"{len(prompts)}" if isinstance(prompts, Sequence) else type(prompts).__name__
        raise InputError(
            f"expected prompts as {count} lists, one for each embedding, got {got}; an empty list "
            "is fine"
        )
    return [check_list(some) for some in prompts]

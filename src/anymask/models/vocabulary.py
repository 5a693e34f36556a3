"""Words for what the detector knows: plurals, everyday synonyms, several words at once."""

from __future__ import annotations

import re
import unicodedata

from anymask.errors import InputError

__all__ = ["LABELS", "labels_of", "parse_words"]

LABELS = (
    "Bicycle", "Boot", "Laptop", "Person", "Chair", "Cattle", "Desk", "Cat", "Computer mouse",
    "Computer monitor", "Box", "Mug", "Coffee cup", "Stationary bicycle", "Table", "Bottle",
    "High heels", "Vehicle", "Footwear", "Dog", "Book", "Camera", "Car",
)  # fmt: skip
"""What it knows, in the order of its scores; the background, number 0 of the file, left out."""

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "Bicycle": ("bike", "cycle", "push bike"),
    "Boot": (),
    "Laptop": ("laptop computer", "notebook computer", "macbook"),
    "Person": ("human", "human being", "man", "woman", "child", "kid", "boy", "girl", "adult"),
    "Chair": ("seat", "armchair"),
    "Cattle": ("cow", "bull", "ox", "calf"),
    "Desk": (),
    "Cat": ("kitten", "kitty"),
    "Computer mouse": ("mouse",),
    "Computer monitor": ("monitor", "screen", "display", "computer screen", "tv", "television"),
    "Box": ("carton", "cardboard box"),
    "Mug": ("coffee mug",),
    "Coffee cup": ("teacup", "tea cup"),
    "Stationary bicycle": ("stationary bike", "exercise bike", "exercise bicycle"),
    "Table": (),
    "Bottle": ("flask",),
    "High heels": ("high heel", "heel", "stiletto"),
    "Vehicle": (),
    "Footwear": (),
    "Dog": ("puppy", "doggy"),
    "Book": (),
    "Camera": ("photo camera",),
    "Car": ("automobile", "motor car"),
}
"""Other words for each label; the label itself is one, too."""

_WIDER: dict[str, tuple[str, ...]] = {
    "cup": ("Coffee cup", "Mug"),
    "shoe": ("Footwear", "Boot", "High heels"),
    "footwear": ("Footwear", "Boot", "High heels"),
    "vehicle": ("Vehicle", "Car"),
    "table": ("Table", "Desk"),
}
"""Words that mean several labels."""

_IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "oxen": "ox",
    "calves": "calf",
    "cattle": "cattle",
}

_MOST_SHOWN = 3
_LONGEST_SHOWN = 40  # characters of one word


def parse_words(text: str) -> tuple[str, ...]:
    """Split a text into the words that it names, each once, lower case and without articles.

    Args:
        text: Words separated by full stops, commas, semicolons, new lines or "and".

    Raises:
        InputError: It names nothing.

    Examples:
        >>> parse_words("A dog. the People, and Cups")
        ('dog', 'people', 'cups')
    """
    parts = re.split(r"[.,;\n]|\band\b", unicodedata.normalize("NFKC", text).lower())
    words = [re.sub(r"^(an?|the|all|some)(\s+|$)", "", " ".join(part.split())) for part in parts]
    named = tuple(dict.fromkeys(word for word in words if word))
    if not named:
        raise InputError(f"expected words that name things, got {_shown(text)}; write e.g. 'dog'")
    return named


def labels_of(text: str) -> dict[str, tuple[str, ...]]:
    """Tell which labels of the detector each word of a text means.

    Args:
        text: See `parse_words`; plurals and synonyms are understood.

    Returns:
        For each word as it was written, labels out of `LABELS`, at least one.

    Raises:
        InputError: It names nothing, or something that the detector does not know.

    Examples:
        >>> labels_of("People. cup")
        {'people': ('Person',), 'cup': ('Coffee cup', 'Mug')}
    """
    words = parse_words(text)
    meant = {word: _meaning(word) for word in words}
    unknown = [word for word in words if not meant[word]]
    if unknown:
        more = f" and {len(unknown) - _MOST_SHOWN} more" if len(unknown) > _MOST_SHOWN else ""
        raise InputError(
            f"expected English words for {', '.join(label.lower() for label in LABELS)}, got "
            f"{', '.join(map(_shown, unknown[:_MOST_SHOWN]))}{more}; use one of these"
        )
    return meant


def _meaning(word: str) -> tuple[str, ...]:
    """Find the labels of a word, singular or plural; none for an unknown one."""
    for form in _singulars(word):
        if labels := _WIDER.get(form) or _BY_WORD.get(form):
            return labels
    return ()


def _singulars(word: str) -> list[str]:
    """List what a word may be the plural of, beginning with itself."""
    *before, last = word.split()
    forms = [last]
    if last in _IRREGULAR:
        forms.append(_IRREGULAR[last])
    if last.endswith("ies"):
        forms.append(f"{last[:-3]}y")
    for ending in ("s", "es"):
        if last.endswith(ending):
            forms.append(last.removesuffix(ending))
    return [" ".join([*before, form]) for form in forms]


_BY_WORD = {
    word: (label,) for label, others in _SYNONYMS.items() for word in (label.lower(), *others)
}


def _shown(word: str) -> str:
    """Show a word that came from outside: nothing in it may steer a terminal."""
    return repr(word if len(word) <= _LONGEST_SHOWN else f"{word[:_LONGEST_SHOWN]}...")

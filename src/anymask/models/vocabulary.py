"""Words for what the detector knows: plurals and everyday synonyms."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

__all__ = ["LABELS", "as_table", "labels_of", "without_article"]

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
    "Person": (
        *("human", "human being", "man", "woman", "child", "kid", "boy", "girl", "adult"),
        *("baby", "toddler", "teenager", "lady", "gentleman", "guy", "pedestrian"),
    ),
    "Chair": ("seat", "armchair", "office chair", "dining chair", "rocking chair"),
    "Cattle": ("cow", "bull", "ox", "calf"),
    "Desk": ("writing desk", "office desk"),
    "Cat": ("kitten", "kitty"),
    "Computer mouse": ("mouse",),
    "Computer monitor": ("monitor", "screen", "display", "computer screen", "tv", "television"),
    "Box": ("carton", "cardboard box"),
    "Mug": ("coffee mug",),
    "Coffee cup": ("teacup", "tea cup"),
    "Stationary bicycle": ("stationary bike", "exercise bike", "exercise bicycle"),
    "Table": ("dining table", "kitchen table", "coffee table"),
    "Bottle": ("flask", "wine bottle", "water bottle", "beer bottle"),
    "High heels": ("high heel", "heel", "stiletto"),
    "Vehicle": (),
    "Footwear": ("sneaker", "trainer", "sandal", "slipper"),
    "Dog": ("puppy", "doggy"),
    "Book": ("textbook", "paperback"),
    "Camera": ("photo camera", "digital camera"),
    "Car": ("automobile", "motor car", "motorcar"),
}
"""Other words for each label; the label itself is one, too."""

_WIDER: dict[str, tuple[str, ...]] = {
    "cup": ("Coffee cup", "Mug"),
    "mug": ("Mug", "Coffee cup"),
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
    "gentlemen": "gentleman",
    "mice": "mouse",
    "oxen": "ox",
    "calves": "calf",
    "cattle": "cattle",
}


_BEFORE_NOUNS = (
    "an?|the|all|some|any|each|every|both|several|many|few|my|your|his|her|its|our|their|"
    "this|that|these|those|one|two|three|four|five|six|seven|eight|nine|ten"
)


def without_article(word: str) -> str:
    """Leave out an article or the like that a word, lower case, begins with.

    Examples:
        >>> without_article("the dog"), without_article("two dogs"), without_article("all my dogs")
        ('dog', 'dogs', 'my dogs')
    """
    return re.sub(rf"^({_BEFORE_NOUNS})(\s+|$)", "", word)


def labels_of(word: str) -> tuple[str, ...]:
    """Tell which labels of the detector a word means.

    Args:
        word: One word, or several that name one thing; plurals and synonyms are understood.

    Returns:
        Labels out of `LABELS`; none for a word that it does not know.

    Examples:
        >>> labels_of("People"), labels_of("cup"), labels_of("zebra")
        (('Person',), ('Coffee cup', 'Mug'), ())
    """
    plain = without_article(" ".join(unicodedata.normalize("NFKC", word).lower().split()))
    for form in _singulars(plain) if plain else ():
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


def as_table() -> dict[str, Any]:
    """Write all of this as JSON can hold it, for those who read it elsewhere.

    Returns:
        ``labels``; ``words``, the labels that each means; ``irregular`` plurals; and ``before``, a
        regular expression of what `without_article` leaves out.

    Examples:
        >>> as_table()["words"]["cup"]
        ['Coffee cup', 'Mug']
    """
    words = {word: list(labels) for word, labels in (_BY_WORD | _WIDER).items()}
    return {
        "labels": list(LABELS),
        "words": words,
        "irregular": _IRREGULAR,
        "before": _BEFORE_NOUNS,
    }

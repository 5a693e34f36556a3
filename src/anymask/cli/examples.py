"""The options that show what to look for, instead of naming it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import UseAppendAction, arg

from anymask.cli.places import read_mask, read_numbers
from anymask.cli.words import WordOptions
from anymask.errors import CapabilityError, InputError

if TYPE_CHECKING:
    from anymask.text.ground import Grounder

__all__ = ["ExampleOptions"]

_Files = Annotated[
    UseAppendAction[tuple[Path, ...]], arg(metavar="FILE", help_behavior_hint="(repeatable)")
]
_Boxes = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(metavar="X0,Y0,X1,Y1", help_behavior_hint="(repeatable)"),
]


@dataclass(frozen=True, kw_only=True)
class ExampleOptions(WordOptions):
    """What things are called, or look like."""

    example: _Files = ()
    """An image of the thing to look for, with a detector that compares images (--grounder owlv2 or
    the folder of one). What is like it has the file's name as label, or what --text says."""
    example_box: _Boxes = ()
    """Where in the example the thing is: its left, top, right and bottom edge, one for each
    --example in the same order; without, the most object-like of all that is in it."""
    example_mask: _Files = ()
    """Instead of boxes, images as large as the examples: light where the thing is."""

    def given(self) -> dict[str, Any]:
        """Give what was said, by the names that Python has for it; examples as their labels.

        Raises:
            InputError: A threshold is not in its form, or labels do not belong to examples.
        """
        given = super().given()
        if self.example:
            given["text"] = list(dict.fromkeys(self._labels(given["text"])))
        return given

    def load(self, device: str, offline: bool) -> Grounder | str | None:
        """Load who looks for examples, if there are any; else give what --grounder says.

        Args:
            device: Where to compute.
            offline: Download nothing.

        Raises:
            CapabilityError: The grounder does not compare images.
            InputError: An example cannot be read, or names no part of its image.
        """
        self._check_places()
        if not self.example:
            return self.grounder
        from anymask.models.cache import kept_offline

        labels = tuple(self._labels(super().given()["text"]))
        with kept_offline(offline):
            return _find(self, labels, self.grounder or "owlv2", device)

    def check_unused(self) -> None:
        """Check that nothing is said that only words and examples need."""
        self._check_places()
        if self.example:
            raise InputError(
                "expected --example alone, got other prompts beside it; leave one of them out"
            )
        super().check_unused()

    def _labels(self, text: str | list[str] | None) -> list[str]:
        """Name each example: by one name for all, one for each, or that of its file."""
        from anymask.text.phrases import parse

        if text is None:
            return [path.stem for path in self.example]
        names = list(parse(text))
        if len(names) not in (1, len(self.example)):
            raise InputError(
                f"expected --text with one name for all examples or one for each of "
                f"{len(self.example)}, got {len(names)}; leave it out to call them as their files"
            )
        return names * (len(self.example) // len(names))

    def _check_places(self) -> None:
        """Check that boxes and masks belong to examples."""
        n = len(self.example)
        places = {"--example-box": self.example_box, "--example-mask": self.example_mask}
        for flag, given in places.items():
            if given and len(given) != n:
                raise InputError(
                    f"expected one {flag} for each --example, got {len(given)} for {n}; give as "
                    "many, in the same order"
                )
        if self.example_box and self.example_mask:
            raise InputError(
                "expected --example-box or --example-mask, got both; leave one of them out"
            )


@functools.lru_cache(maxsize=1)  # a command asks several times
def _find(options: ExampleOptions, labels: tuple[str, ...], grounder: str, device: str) -> Grounder:
    """Load a grounder and show it the examples."""
    from anymask.image.image import Image
    from anymask.text.ground import find_grounder
    from anymask.text.owlv2 import Example, Owlv2

    images = [Image.open(path) for path in options.example]
    boxes: list[Any] = [read_numbers("--example-box", text) for text in options.example_box]
    masks: list[Any] = [read_mask(path) for path in options.example_mask]
    nowhere = [None] * len(images)
    columns = images, boxes or nowhere, masks or nowhere, labels
    examples = [Example(*one) for one in zip(*columns, strict=True)]
    found = find_grounder(grounder, device)
    if not isinstance(found, Owlv2):
        raise CapabilityError(
            f"expected a grounder that looks for examples, got {grounder!r}; use --grounder owlv2, "
            "or the folder of one"
        )
    return found.like(examples)

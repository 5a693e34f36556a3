"""What a `Segmenter` does with examples: a class that it inherits, for examples are many lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from anymask.optional import optional

if TYPE_CHECKING:
    from anymask.config import PersonalConfig
    from anymask.image.image import ImageLike
    from anymask.predict.personal import Personal
    from anymask.predict.personal.examples import MaskLike
    from anymask.predict.personal.model import Model

__all__ = ["TakesExamples"]


class TakesExamples:
    """What a `Segmenter` does with examples."""

    def personalize(
        self,
        reference: ImageLike | Sequence[ImageLike],
        mask: MaskLike | Sequence[MaskLike],
        *,
        names: str | Sequence[str] | None = None,
        config: PersonalConfig | None = None,
        **options: Any,
    ) -> Personal:
        """Learn from examples what things look like, to find them in other images.

        Args:
            reference: An image, or a list of them: several things, or several views of one.
            mask: Where the thing is in each: bool (h, w), an image file that is light there, a
                label map of several things, or `Masks`.
            names: What the things are called: one name for all, one for each reference (the same
                for views of one thing), or one for each label. None: what `Masks` say, or "thing".
            config: How to look; None: as usual.
            **options: Single settings of `PersonalConfig` that should differ from that.

        Returns:
            What finds the things, any number of times; see `Personal.find`.

        Raises:
            InputError: There is no reference, a mask is empty, covers everything or does not fit
                its image, or names are too few or too many.
            CapabilityError: The model's features cannot be compared, as FastSAM's.

        Examples:
            >>> from anymask import load
            >>> model = load()
            >>> photo = "docs/pictures/coffee.jpg"
            >>> cup = model.predict(photo, box=(170, 15, 412, 310)).best()
            >>> model.personalize(photo, cup, names="cup").find(photo).labels
            ('cup',)
        """
        optional("torch")  # says how to install it
        from anymask.predict.personal import personalize  # the first click should not wait for it

        return personalize(cast("Model", self), reference, mask, names, config, **options)

"""What jobs that change images have in common: finding the things, and writing the results."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from anymask.batch.job import MaskJob, Watch, prompt_settings
from anymask.batch.words import Words
from anymask.errors import InputError
from anymask.extras.given_masks import GivenMasks
from anymask.extras.inpaint.paint import MaskLike
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    import PIL.Image

    from anymask.predict.segmenter import Segmenter
    from anymask.prompt import Prompt
    from anymask.text.ground import GrounderLike
    from anymask.text.phrases import Text, Threshold

__all__ = ["ChangeJob"]


@dataclass(frozen=True, kw_only=True)
class ChangeJob(MaskJob):
    """Find things in each image, and change it by their masks.

    Each image gets the changed image, an overlay of the masks that it was made with, and these
    masks. An image in which nothing is found stays as it is.

    Attributes:
        text: All that words name is meant, as `Segmenter.predict` finds it.
        negative: With ``text``: words for what is not meant.
        threshold: With ``text``: least score of the detector.
        grounder: With ``text``: the detector.
        prompt: Instead: what a model should find in each image.
        masks: Instead: `Masks` for all images, which count together, or a mask as a bool array; or
            the path of a file of masks, of one image or (COCO) of each image by its name.
        label: Of these masks, only those with this name, or one of several names.
    """

    ending: ClassVar[str]
    """How the name of the changed image ends."""
    usual_subject: ClassVar[bool] = False
    """Whether the main subject is meant when nothing is said."""
    text: Text | None = None
    negative: Text | None = None
    threshold: Threshold | None = None
    grounder: GrounderLike | None = None
    prompt: Prompt | None = None
    masks: MaskLike | str | os.PathLike[str] | None = None
    label: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check what is meant."""
        super().__post_init__()
        said = [name for name in ("text", "prompt", "masks") if getattr(self, name) is not None]
        if len(said) > 1 or not (said or self.usual_subject):
            got = " and ".join(said) or "none of them"
            raise InputError(f"expected a text, a prompt or masks, got {got}; say one of them")
        if self.label is not None and not isinstance(self.masks, Masks | str | os.PathLike):
            raise InputError(
                f"expected masks with names along with the label {self.label!r}, got none; give "
                "Masks or a file of them"
            )

    @abstractmethod
    def what(self) -> dict[str, Any]:
        """Give what is done: plain JSON values."""

    @abstractmethod
    def edit(self, masks: Masks, image: Image, watch: Watch | None = None) -> Image:
        """Change one image."""

    @property
    def needs_model(self) -> bool:
        """Masks that are there need none."""
        return self.masks is None

    def identity(self, model: Segmenter | None) -> dict[str, Any]:
        """Give what tells the model, if one is needed."""
        return {} if model is None else super().identity(model)

    def settings(self, model: Segmenter | None) -> dict[str, Any]:
        """Give what is changed where, and how."""
        drawn = {"format": self.format, "overlay": self.overlay}
        return {**self._where(model), **self.what(), **drawn}

    def _where(self, model: Segmenter | None) -> dict[str, Any]:
        if self._given is not None:
            return self._given.settings()
        if self.prompt is not None:
            return prompt_settings(self.prompt)
        assert model is not None
        if self.text is not None:
            return self._finder(model).settings(model)
        from anymask.batch.subject import SUBJECT
        from anymask.predict.subject import check_subject

        check_subject(model.variant)
        return {"prompt": SUBJECT}

    def work(
        self, model: Segmenter | None, source: ImageLike, watch: Watch
    ) -> tuple[Masks, Image | None]:
        """Find the masks, and paint."""
        image = Image.open(source)
        watch.step()
        masks = self.find(model, image)
        if not masks.areas.any():
            watch.note("nothing found, so it stays as it is")
            return masks, _Edited.after(image, image)
        return masks, _Edited.after(image, self.edit(masks, image, watch))

    def find(self, model: Segmenter | None, image: Image) -> Masks:
        """Find the masks of one image.

        Raises:
            InputError: The masks given are of another size or of other images.
        """
        if self._given is not None:
            return self._given.of(image)
        assert model is not None
        if self.text is not None:
            return self._finder(model).find(model, image)
        if self.prompt is None:
            return model.subject(image)
        return model.predict(image, prompts=self.prompt, multimask=None).best()

    def _finder(self, model: Segmenter) -> Words:
        """Make the job that finds all that words name."""
        assert self.text is not None
        compares = "text" in model.variant.capabilities and self.grounder is None
        return Words(
            text=self.text,
            negative=self.negative,
            threshold=self.threshold,
            grounder=self.grounder,
            all=compares,  # else such a model names the best one alone
            format=self.format,
        )

    def draw(self, found: Masks, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw the masks over the image as it was, and give it as it is now."""
        if self.overlay and isinstance(image, _Edited) and image.before is not None:
            yield "-overlay.png", found.draw(image.before)
        yield self.ending, image.to_pil(alpha=True)

    def endings(self) -> list[str]:
        """Name what is drawn."""
        return ["-overlay.png"] * self.overlay + [self.ending]

    @cached_property
    def _given(self) -> GivenMasks | None:
        """The masks that are there already, read once."""
        return None if self.masks is None else GivenMasks(self.masks, self.label)


@dataclass(frozen=True, eq=False, repr=False)
class _Edited(Image):
    """An image that remembers what it was."""

    before: Image | None = None

    @classmethod
    def after(cls, before: Image, image: Image) -> _Edited:
        parts = (image.pixels, image.source, image.alpha, image.straight, image.geo)
        return cls(*parts, before=before)

"""The job that cuts out what each image is of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anymask.batch.job import MaskJob, answer

if TYPE_CHECKING:
    import PIL.Image

    from anymask.batch.job import Watch
    from anymask.image.image import Image, ImageLike
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["SUBJECT", "Subject"]

SUBJECT = "main subject"
"""What `Subject.describe` calls the prompt that was none."""


@dataclass(frozen=True, kw_only=True)
class Subject(MaskJob):
    """Cut the main subject out of each image.

    Attributes:
        cutout: Write it by itself, with a soft edge and everything else transparent.
    """

    name = "segment"
    cutout: bool = True

    def settings(self, model: Segmenter) -> dict[str, Any]:
        """Say that it was asked for, and what is drawn."""
        from anymask.predict.subject import check_subject

        check_subject(model.variant)
        drawn = {"overlay": self.overlay, "cutout": self.cutout}
        return {"prompt": SUBJECT, "format": self.format, **drawn}

    def work(self, model: Segmenter, source: ImageLike, watch: Watch) -> tuple[Masks, Image | None]:
        """Ask the model."""
        from anymask.image.image import Image

        image = Image.open(source)
        watch.step()
        return model.subject(image), image

    def draw(self, masks: Masks, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw it over the image and by itself, if there is one."""
        if len(masks) and self.overlay:
            yield "-overlay.png", masks.draw(image, legend=False)
        if len(masks) and self.cutout:
            yield "-cutout.png", masks.cutout(image, soft=True)

    def endings(self) -> list[str]:
        """Name both."""
        return ["-overlay.png"] * self.overlay + ["-cutout.png"] * self.cutout

    def describe(self, masks: Masks) -> dict[str, Any]:
        """Say what was asked, and give score, area and box of the answer."""
        return {"prompt": SUBJECT, "answers": [answer(mask) for mask in masks]}

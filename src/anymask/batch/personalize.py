"""``anymask.personalize``: things that are known from an example, found in a folder of images."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from anymask.batch.inputs import Images
from anymask.batch.job import MaskJob, Watch
from anymask.batch.process import BatchReport, process
from anymask.batch.run import ImageResult, Progress
from anymask.config import PersonalConfig, changed

if TYPE_CHECKING:
    import PIL.Image

    from anymask.image.image import Image, ImageLike
    from anymask.masks.masks import Masks
    from anymask.predict.personal import Personal
    from anymask.predict.personal.examples import Example, MaskLike
    from anymask.predict.segmenter import Segmenter

__all__ = ["Personalize", "personalize"]


@dataclass(frozen=True, kw_only=True)
class Personalize(MaskJob):
    """Find things in each image that are known from examples.

    Attributes:
        examples: What is shown; from `predict.personal.examples.read_examples`.
        config: How to look.
    """

    name = "personalize"
    examples: Sequence[Example]
    config: PersonalConfig = field(default_factory=PersonalConfig)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _learned: list[Personal] = field(default_factory=list, init=False, repr=False)

    def learn(self, model: Segmenter) -> Personal:
        """Show the examples to the model, once for all images.

        Raises:
            CapabilityError: The model cannot be shown any.
        """
        from anymask.predict.personal import learn

        with self._lock:
            if not self._learned or self._learned[0].model is not model:
                self._learned[:] = [learn(model, self.examples, self.config)]
            return self._learned[0]

    def settings(self, model: Segmenter) -> dict[str, Any]:
        """Give the examples by their content, and how they are looked for."""
        from anymask.predict.personal.persam import appearance_of

        appearance_of(model)
        shown = [
            {"name": one.name, "image": _digest(one.image.pixels), "mask": _digest(one.mask)}
            for one in self.examples
        ]
        examples = dict(enumerate(shown, start=1))
        look = {"format": self.format, "overlay": self.overlay}
        return {"examples": examples, **look, **asdict(self.config)}

    def work(self, model: Segmenter, source: ImageLike, watch: Watch) -> tuple[Masks, Image | None]:
        """Find the things in an image."""
        from anymask.image.image import Image

        image = Image.open(source)
        watch.step()
        personal = self.learn(model)
        watch.step()
        return personal.find(image), image

    def draw(self, masks: Masks, image: Image) -> Iterator[tuple[str, PIL.Image.Image]]:
        """Draw what was found over the image, with its name."""
        if self.overlay:
            yield "-overlay.png", masks.draw(image)

    def endings(self) -> list[str]:
        """Name the overlay."""
        return ["-overlay.png"] * self.overlay

    def describe(self, masks: Masks) -> dict[str, Any]:
        """Count the instances of each thing, 0 of those that are not here, and the answers."""
        counted = Counter(masks.labels)
        names = dict.fromkeys(example.name for example in self.examples)
        return {
            "here": {name: counted[name] for name in names},
            "dropped": dict(masks.dropped),
        }


def _digest(values: Any) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


def personalize(
    images: Images,
    output: str | os.PathLike[str] = "anymask-out",
    *,
    reference: ImageLike | Sequence[ImageLike],
    mask: MaskLike | Sequence[MaskLike],
    names: str | Sequence[str] | None = None,
    model: str | Segmenter = "bundled",
    config: PersonalConfig | None = None,
    format: str = "sa1b",
    overlay: bool = True,
    workers: int = 2,
    overwrite: bool = False,
    on_result: Callable[[ImageResult], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    **options: Any,
) -> BatchReport:
    """Find things that are known from an example in many images, into a folder of results.

    It does what ``anymask personalize`` does, and the folder is the same; see `process` for how it
    is resumed and shared. For a single image see `Segmenter.personalize`.

    Args:
        images: As for `process`.
        output: Folder for the results; made when missing.
        reference: An image that shows the thing, or a list: several things, or several views.
        mask: Where the thing is in each; see `Segmenter.personalize`.
        names: What the things are called.
        model: What `load` returned, or the name or path that it takes.
        config: How to look; None: as usual.
        format: As for `process`; COCO has the names as categories.
        overlay: Draw what was found over the images.
        workers: Images worked on at a time, which share the processor's cores.
        overwrite: Do every image again, also where results exist.
        on_result: As for `process`.
        progress: As for `process`.
        cancel: As for `process`.
        **options: Single settings of `PersonalConfig`.

    Returns:
        What became of each image; ``summary["here"]`` of each result counts the things.

    Raises:
        InputError: See `Segmenter.personalize` and `process`.
        CapabilityError: The model cannot be shown an example.
        OutputError: The folder cannot be written to, or the disk is full.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> photo = np.full((96, 128, 3), 90, np.uint8)
        >>> photo[30:60, 20:50] = (250, 180, 20)
        >>> mask = np.zeros((96, 128), bool)
        >>> mask[30:60, 20:50] = True
        >>> photos = {"with": photo[:, ::-1], "without": np.full((96, 128, 3), 90, np.uint8)}
        >>> report = personalize(
        ...     photos, tempfile.mkdtemp(), reference=photo, mask=mask, names="square"
        ... )
        >>> [result.summary["here"] for result in report.results]
        [{'square': 1}, {'square': 0}]
    """
    from anymask.predict.personal.examples import read_examples

    settings = changed(PersonalConfig(), config, options)
    job = Personalize(
        examples=read_examples(reference, mask, names),
        config=settings,
        format=format,
        overlay=overlay,
    )
    return process(
        images,
        output,
        model=model,
        job=job,
        workers=workers,
        overwrite=overwrite,
        on_result=on_result,
        progress=progress,
        cancel=cancel,
    )

"""Inpainting of many images: with one mask or one word for all of them."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

from anymask.batch.job import Watch
from anymask.extras.change_job import ChangeJob
from anymask.extras.inpaint.engine import Engine, Task
from anymask.extras.inpaint.find import find_engine
from anymask.extras.inpaint.paint import (
    InpaintConfig,
    check_able,
    check_wanted,
    choose_task,
    paint,
)
from anymask.image.image import Image
from anymask.masks.masks import Masks

__all__ = ["Inpaint"]


@dataclass(frozen=True, kw_only=True)
class Inpaint(ChangeJob):
    """Remove the same things from each image, put something else there, or replace the background.

    Each image gets the inpainted image (``-inpainted.png``), an overlay of the masks that it was
    made with, and these masks. An image in which nothing is found stays as it is. Where to paint is
    said as in `ChangeJob`.

    Attributes:
        remove: What is wanted, as in `inpaint`.
        fill: The same.
        replace: The same.
        engine: What paints, see `find_engine`.
        config: How.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from anymask import process
        >>> mask = np.zeros((20, 30), bool)
        >>> mask[8:12, 8:12] = True
        >>> walls = {"wall": np.full((20, 30, 3), 200, np.uint8)}
        >>> report = process(walls, tempfile.mkdtemp(), job=Inpaint(masks=mask))
        >>> [path.name for path in report.results[0].files]
        ['wall-overlay.png', 'wall-inpainted.png', 'wall.json']
    """

    name = "inpaint"
    ending = "-inpainted.png"
    remove: bool = False
    fill: str | None = None
    replace: str | None = None
    engine: str | os.PathLike[str] | Engine = "classical"
    config: InpaintConfig = field(default_factory=InpaintConfig)

    def __post_init__(self) -> None:
        """Check it, and find the engine."""
        super().__post_init__()
        check_wanted(self.engine, self.task, self.words)
        object.__setattr__(self, "engine", find_engine(self.engine))
        check_able(self._engine, self.task, self.config)

    @property
    def task(self) -> Task:
        """Which of the three is wanted."""
        return choose_task(remove=self.remove, fill=self.fill, replace=self.replace)

    @property
    def words(self) -> str:
        """What to paint."""
        return self.fill or self.replace or ""

    def what(self) -> dict[str, Any]:
        """Give what is painted, and how."""
        engine = dict(self._engine.identity)
        how = asdict(self.config)
        return {"task": self.task, "words": self.words, "engine": engine, "how": how}

    def edit(self, masks: Masks, image: Image, watch: Watch | None = None) -> Image:
        """Paint one image."""

        def progress(done: int, total: int) -> None:
            if watch is not None:
                watch.step(f", step {done} of {total}" if done else ", painting")

        return paint(image, masks, self._engine, self.task, self.words, self.config, progress)

    @property
    def _engine(self) -> Engine:
        assert not isinstance(self.engine, str | os.PathLike)
        return self.engine

"""Edits of many images: the same for all of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

from anymask.batch.job import Watch
from anymask.extras.change_job import ChangeJob
from anymask.extras.edit.change import EditConfig, edit, is_image, open_background
from anymask.image.image import Image
from anymask.masks.masks import Masks

__all__ = ["Edit"]


@dataclass(frozen=True, kw_only=True)
class Edit(ChangeJob):
    """Change the background of the same things in each image, their colour, or both.

    Each image gets the edited image (``-edited.png``), an overlay of the masks that it was made
    with, and these masks. An image in which nothing is found stays as it is. What is meant is said
    as in `ChangeJob`; without that, the main subject of each.

    Attributes:
        config: What to do.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from anymask import process
        >>> mask = np.zeros((20, 30), bool)
        >>> mask[8:12, 8:12] = True
        >>> walls = {"wall": np.full((20, 30, 3), 200, np.uint8)}
        >>> job = Edit(masks=mask, config=EditConfig(colour="red"))
        >>> report = process(walls, tempfile.mkdtemp(), job=job)
        >>> [path.name for path in report.results[0].files]
        ['wall-overlay.png', 'wall-edited.png', 'wall.json']
    """

    name = "edit"
    ending = "-edited.png"
    usual_subject = True
    config: EditConfig

    def what(self) -> dict[str, Any]:
        """Give what is done; a background that is an image, by its digest."""
        background = self.config.background
        if background is not None and is_image(background):
            pixels = open_background(background).pixels
            digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes())
            background = digest.hexdigest()[:16]
        settings = {field.name: getattr(self.config, field.name) for field in fields(EditConfig)}
        return {"how": settings | {"background": background}}

    def edit(self, masks: Masks, image: Image, watch: Watch | None = None) -> Image:
        """Edit one image."""
        return edit(image, masks, config=self.config)

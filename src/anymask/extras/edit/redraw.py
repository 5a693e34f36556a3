"""One region of an image, drawn anew as words say, in the shape that it has.

A ControlNet sees the id map of all masks, so that what is drawn keeps to the outlines (Gao et al.,
"EditAnything", ACM MM 2023). All the rest stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from anymask.errors import CapabilityError, InputError
from anymask.extras.edit.id_map import id_map
from anymask.extras.inpaint.diffusion import Diffusion
from anymask.extras.inpaint.paint import InpaintConfig, choose_task, paint, settings_of
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    import torch

__all__ = ["load_controlled", "redraw"]


def load_controlled(
    pipeline: str | os.PathLike[str],
    controlnet: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
) -> Diffusion:
    """Load a diffusers pipeline that paints holes under a ControlNet.

    Args:
        pipeline: Its folder or hub id.
        controlnet: Folder or hub id of a ControlNet that knows id maps, such as EditAnything's;
            None: the pipeline comes with one.
        device: Where it computes.
        dtype: What it computes in.
        offline: Download nothing.

    Raises:
        WeightsError: There are no such weights, or they are of something else.
        CapabilityError: The pipeline has no ControlNet.
        MissingExtraError: diffusers is not installed.
    """
    found = Diffusion.load(pipeline, device, dtype, offline, controlnet=controlnet)
    _check_controlled(found)
    return found


def redraw(
    image: ImageLike,
    masks: Masks,
    text: str,
    *,
    region: int,
    engine: Diffusion,
    config: InpaintConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Image:
    """Draw one region of an image anew.

    No pixel outside of the region changes, unless it is to grow or to have a feather.

    Args:
        image: What `Image.open` takes.
        masks: All masks of the image, such as everything mode finds; they are what the ControlNet
            sees. The largest has the number 1, as EditAnything has it.
        text: What is to be there.
        region: Which of the masks.
        engine: From `load_controlled`.
        config: How to paint; None: the usual, and the region does not grow.
        progress: Called with the steps done and their number; may raise, to end the work.
        **options: Single settings of `InpaintConfig`, such as ``steps=30, seed=7``.

    Returns:
        The image, of the same size.

    Raises:
        InputError: There is no such region, or it is empty; the masks are of another size or too
            many; or the text says nothing.
        CapabilityError: The engine has no ControlNet.

    Examples:
        >>> engine = load_controlled("org/inpainting", "org/edit-anything")  # doctest: +SKIP
        >>> masks = anymask.load().generate("photo.jpg")  # doctest: +SKIP
        >>> redraw("photo.jpg", masks, "a red cup", region=3, engine=engine)  # doctest: +SKIP
    """
    _check_controlled(engine)
    settings = settings_of(config or InpaintConfig(grow=0), options)
    task = choose_task(remove=False, fill=text, replace=None)
    if isinstance(region, bool) or not isinstance(region, int) or not 0 <= region < len(masks):
        raise InputError(
            f"expected the number of a region from 0 to {len(masks) - 1}, got {region!r}; choose "
            "one of the masks"
        )
    control = id_map(masks.sort("area"))
    photo = Image.open(image)
    return paint(photo, masks[region], engine, task, text, settings, progress, control)


def _check_controlled(engine: Diffusion) -> None:
    if not getattr(engine, "controlled", False):
        name = getattr(engine, "name", type(engine).__name__)
        raise CapabilityError(
            f"expected a pipeline with a ControlNet, got {name} without one; load one that knows "
            "id maps beside it, by load_controlled"
        )

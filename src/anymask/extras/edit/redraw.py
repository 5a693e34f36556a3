"""One region of an image, drawn anew as words say, in the shape that it has.

A ControlNet sees the id map of all masks, so that what is drawn keeps to the outlines (Gao et al.,
"EditAnything", ACM MM 2023). All the rest stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anymask.errors import CapabilityError, InputError
from anymask.extras.edit.id_map import id_map
from anymask.extras.edit.regions import Region, choose_region
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
    fill: str,
    *,
    region: Region,
    engine: str | os.PathLike[str] | Diffusion,
    controlnet: str | os.PathLike[str] | None = None,
    config: InpaintConfig | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Image:
    """Draw one region of an image anew.

    No pixel outside of the region changes, unless it is to grow or to have a feather.

    Args:
        image: What `Image.open` takes.
        masks: All masks of the image, such as everything mode finds; they are what the ControlNet
            sees. The largest has the number 1, as EditAnything has it.
        fill: What is to be there.
        region: Which of the masks: by its number; all of a name; or the smallest at a place (x, y)
            in pixels of the image.
        engine: From `load_controlled`, to be used again; or the pipeline that it takes.
        controlnet: With a pipeline: the ControlNet beside it.
        config: How to paint; None: the usual. Unless ``grow`` is said, the region does not grow.
        device: Where a pipeline computes.
        dtype: What it computes in.
        offline: Download nothing.
        progress: Called with the steps done and their number; may raise, to end the work.
        **options: Single settings of `InpaintConfig`, such as ``steps=30, seed=7``.

    Returns:
        The image, of the same size.

    Raises:
        InputError: There is no such region, or it is empty; the masks are of another size or too
            many; or the text says nothing.
        CapabilityError: The engine has no ControlNet.
        WeightsError: There are no such weights, or they are of something else.
        MissingExtraError: diffusers is not installed.

    Examples:
        >>> engine = load_controlled("org/inpainting", "org/edit-anything")  # doctest: +SKIP
        >>> masks = anymask.load().generate("photo.jpg")  # doctest: +SKIP
        >>> redraw("photo.jpg", masks, "a red cup", region=3, engine=engine)  # doctest: +SKIP
    """
    task = choose_task(remove=False, fill=fill, replace=None)
    settings = settings_of(config, options)
    if settings.grow is None:
        settings = replace(settings, grow=0)
    photo = Image.open(image)
    chosen = choose_region(masks, region)
    control = id_map(masks.sort("area"))
    if isinstance(engine, str | os.PathLike):
        how: dict[str, Any] = {"device": device, "dtype": dtype, "offline": offline}
        engine = load_controlled(engine, controlnet, **how)
    elif controlnet is not None:
        raise InputError(
            f"expected a pipeline by name along with a ControlNet, got a loaded one; leave "
            f"{os.fspath(controlnet)!r} out"
        )
    _check_controlled(engine)
    return paint(photo, chosen, engine, task, fill, settings, progress, control)


def _check_controlled(engine: Diffusion) -> None:
    if not getattr(engine, "controlled", False):
        name = getattr(engine, "name", type(engine).__name__)
        raise CapabilityError(
            f"expected a pipeline with a ControlNet, got {name} without one; load one that knows "
            "id maps beside it, by load_controlled"
        )

"""The verb: paint what a mask covers, or what it leaves, and nothing else."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import CapabilityError, InputError
from anymask.extras.inpaint.engine import Engine, Request, Task
from anymask.extras.inpaint.find import find_engine
from anymask.extras.inpaint.region import (
    Box,
    grown,
    smooth_fill,
    soft_edge,
    surroundings,
)
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.plain import check_number

if TYPE_CHECKING:
    import torch

__all__ = [
    "InpaintConfig",
    "MaskLike",
    "check_able",
    "check_wanted",
    "choose_task",
    "inpaint",
    "paint",
    "settings_of",
]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
MaskLike: TypeAlias = Masks | npt.NDArray[Any]
"""Masks, which count together; or one mask as an array."""

_RIM = 0.01  # of the longer side: how far a model's mask may be from the true edge
_WORDS = {"fill": "a bench", "replace": "a beach"}
_OF_DIFFUSION = ("negative", "steps", "strength", "guidance")
_LIMITS = {  # of settings that may be left out: lowest, highest, whether whole
    "grow": (-100_000, 100_000, True),
    "margin": (8, math.inf, True),
    "size": (64, math.inf, True),
    "steps": (1, math.inf, True),
    "strength": (0, 1, False),
    "guidance": (0, math.inf, False),
}


@dataclass(frozen=True)
class InpaintConfig:
    """How a mask is used, and how its hole is painted."""

    grow: int | None = None
    """Pixels by which what is painted grows; a negative number shrinks it. Without it, 1 % of the
    image's longer side around things that a model found, and 0 for your own masks."""
    feather: int = 0
    """Pixels over which the painted part fades into the image, outside of the grown mask."""
    margin: int | None = None
    """Pixels around the mask that are looked at; without it, half its size, at least 128."""
    size: int | None = None
    """Longest side at which to paint; larger surroundings are scaled down for it. Without it, what
    suits the engine."""
    seed: int = 0
    """Start of the random numbers; the same seed gives the same result."""
    negative: str | None = None
    """What not to paint (diffusion)."""
    steps: int | None = None
    """Steps of diffusion; without it, as the pipeline has it."""
    strength: float | None = None
    """How much noise is added to what was there, 0 to 1 (diffusion); without it 1, which forgets
    it."""
    guidance: float | None = None
    """How closely the prompt is followed (diffusion)."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_number(self, "feather", 0, whole=True)
        check_number(self, "seed", 0, 2**32 - 2, whole=True)
        for name, (lowest, highest, whole) in _LIMITS.items():
            if getattr(self, name) is not None:
                check_number(self, name, lowest, highest, whole=whole)


def inpaint(
    image: ImageLike,
    masks: MaskLike,
    *,
    remove: bool = False,
    fill: str | None = None,
    replace: str | None = None,
    engine: str | os.PathLike[str] | Engine = "classical",
    config: InpaintConfig | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Image:
    """Remove what masks cover, put something else there, or replace the background.

    The mask grows by ``grow`` pixels and fades out over another ``feather`` pixels. No pixel
    outside of that changes, and the image keeps its full resolution: an engine sees the hole and
    what is around it, and only what it painted in the hole is taken over.

    Args:
        image: What `Image.open` takes. As there, it is upright and has 8 bits per channel.
        masks: `Masks` of the image, all of which count together; or a mask as a bool array (h, w)
            or (n, h, w).
        remove: Paint as if the things had never been there; the default.
        fill: Paint this instead of the things, such as ``"a bench"``.
        replace: Paint this instead of everything else, such as ``"a beach"``.
        engine: What paints, see `find_engine`. What was found before is used again if it is given
            here.
        config: How; None: the usual.
        device: Where networks compute.
        dtype: What they compute in.
        offline: Download nothing.
        progress: Called with the steps done and their number; may raise, to end the work.
        **options: Single settings of `InpaintConfig`, such as ``grow=8, feather=3``.

    Returns:
        The image, of the same size. A transparent image stays one: where a thing is removed, it is
        as transparent as what is around; what is painted by words is opaque.

    Raises:
        InputError: The masks do not fit the image, cover nothing, or leave nothing; more than one
            thing is wanted; or an option is not what it should be.
        CapabilityError: The engine cannot do this.
        MissingExtraError: What the engine needs is not installed.
        WeightsError: The engine's weights are missing, damaged, or of something else.

    Examples:
        >>> wall = np.full((60, 80, 3), 200, np.uint8)
        >>> mask = np.zeros((60, 80), bool)
        >>> wall[20:30, 30:45], mask[20:30, 30:45] = 0, True
        >>> clean = inpaint(wall, mask)
        >>> int(clean.pixels.min())
        200
        >>> inpaint("photo.jpg", masks, fill="a bench", engine="org/name")  # doctest: +SKIP
    """
    task = choose_task(remove=remove, fill=fill, replace=replace)
    settings = settings_of(config, options)
    check_wanted(engine, task, fill or replace)
    photo = Image.open(image)
    _check_size(masks, photo)
    found = find_engine(engine, device=device, dtype=dtype, offline=offline)
    return paint(photo, masks, found, task, fill or replace or "", settings, progress)


def settings_of(config: InpaintConfig | None, options: Mapping[str, Any]) -> InpaintConfig:
    """Give the settings that are in force.

    Raises:
        InputError: There is no setting of that name.
    """
    known = [field.name for field in fields(InpaintConfig)]
    for name in options:
        if name not in known:
            raise InputError(
                f"expected settings of inpainting, {', '.join(known)}, got {name!r}; leave it out"
            )
    return replace(config or InpaintConfig(), **options)


def choose_task(*, remove: bool, fill: str | None, replace: str | None) -> Task:
    """Find out which of the three is wanted; none of them means to remove.

    Raises:
        InputError: Several are, or a text says nothing.
    """
    said: dict[Task, object] = {"remove": remove or None, "fill": fill, "replace": replace}
    tasks = [task for task, value in said.items() if value is not None]
    if len(tasks) > 1:
        raise InputError(
            f"expected one of remove, fill and replace, got {' and '.join(tasks)}; say one"
        )
    task = tasks[0] if tasks else "remove"
    if task != "remove" and not (isinstance(said[task], str) and str(said[task]).strip()):
        raise InputError(
            f"expected {task} as a text that says what to paint, got {said[task]!r}; "
            f"try {_WORDS[task]!r}"
        )
    return task


def check_wanted(engine: object, task: Task, prompt: str | None) -> None:
    """Refuse what needs a model of text to image when no engine is named at all.

    Raises:
        CapabilityError: It is so.
    """
    if task != "remove" and engine == "classical":
        raise CapabilityError(
            f"expected a diffusion model that can paint {prompt!r}, got none; name one (--engine), "
            "such as the hub id stable-diffusion-v1-5/stable-diffusion-inpainting or a folder with "
            "a model_index.json, or remove the thing"
        )


def paint(
    image: Image,
    masks: MaskLike,
    engine: Engine,
    task: Task,
    prompt: str,
    config: InpaintConfig,
    progress: Callable[[int, int], None] | None = None,
    control: Pixels | None = None,
) -> Image:
    """Do what `inpaint` does, when the engine is found and what is wanted is checked.

    ``control`` is for engines with a ControlNet: uint8 (h, w, 3), what that is to see.

    Raises:
        InputError: The masks do not fit the image, cover nothing, or leave nothing.
        CapabilityError: The engine cannot do this.
    """
    check_able(engine, task, config)
    weights = _weights(image, masks, task, config)
    taken = {f.name: getattr(config, f.name) for f in fields(Request) if hasattr(config, f.name)}
    request = Request(task=task, prompt=prompt, **taken)
    if progress is not None:
        request = replace(request, progress=progress)
    colours = (image.pixels if image.straight is None else image.straight).copy()
    alpha = None if image.alpha is None else image.alpha.copy()
    hole = weights > 0
    for box in surroundings(hole, _margin(hole, config.margin)):
        part = _slices(box)
        seen = _seen(colours[part], image.alpha, part)
        part_of_control = None if control is None else control[part]
        painted = engine.paint(seen, hole[part], replace(request, control=part_of_control))
        _check_painted(painted, seen, engine)
        colours[part] = _blend(colours[part], painted, weights[part])
        if alpha is not None:
            alpha[part] = _painted_alpha(alpha[part], weights[part], task)
    return _assembled(image, colours, alpha, hole)


def check_able(engine: Engine, task: Task, config: InpaintConfig) -> None:
    """Refuse an engine that cannot do what is wanted, or does not know a setting that was given.

    Raises:
        CapabilityError: It is so.
    """
    if task not in engine.tasks:
        name = engine.identity.get("engine", type(engine).__name__)
        raise CapabilityError(
            f"expected an engine that can {task} by text, got {name}, which can only "
            f"{' and '.join(sorted(engine.tasks))}; name a diffusion model (--engine)"
        )
    known = getattr(engine, "settings", _OF_DIFFUSION)
    for setting in _OF_DIFFUSION:
        if (value := getattr(config, setting)) is not None and setting not in known:
            name = engine.identity.get("engine", type(engine).__name__)
            raise CapabilityError(
                f"expected no {setting} for the engine {name}, which knows none, got {value!r}; "
                "leave it out, or name a diffusion model (--engine)"
            )


# ------------------------------------------------------------------------- masks


def _check_size(masks: MaskLike, image: Image) -> None:
    size = masks.size_hw if isinstance(masks, Masks) else np.shape(masks)[-2:]
    if tuple(size) != image.size_hw:
        raise InputError(
            f"expected masks of the image's size, (h, w) = {image.size_hw}, got {tuple(size)}; "
            "make them for this image, or scale them"
        )


def _weights(image: Image, masks: MaskLike, task: Task, config: InpaintConfig) -> FloatArray:
    """Say how much of what is painted each pixel takes: float32 (h, w), 0 to 1."""
    _check_size(masks, image)
    mask = _union(masks)
    if not mask.any():
        raise InputError("expected a mask that covers something, got an empty one; draw it again")
    hole = ~mask if task == "replace" else mask
    if not hole.any():
        raise InputError(
            "expected a mask that leaves some background to replace, got one of the whole image; "
            "cover the subject only"
        )
    grow = _usual_growth(masks, image, task) if config.grow is None else config.grow
    hole = grown(hole, grow)
    if not hole.any():
        raise InputError(
            f"expected a mask of which something is left, got one that is gone when it shrinks by "
            f"{-grow} pixels; shrink it less"
        )
    weights = soft_edge(hole, config.feather)
    if task != "fill" and weights.all():
        what = "the subject" if task == "replace" else "the image around what is removed"
        raise InputError(
            f"expected a mask that leaves some of {what}, got one of the whole image (grown by "
            f"{grow}, feathered by {config.feather} pixels); make it smaller"
        )
    return weights


def _union(masks: MaskLike) -> BoolArray:
    if isinstance(masks, Masks):
        found = np.zeros(masks.size_hw, np.bool_)
        for mask in masks:
            found |= mask.dense()[0]
        return found
    dense: BoolArray = np.asarray(masks)
    if dense.dtype != np.bool_ or dense.ndim not in (2, 3):
        raise InputError(
            f"expected a mask as a bool array (h, w) or (n, h, w), got {dense.dtype} of shape "
            f"{dense.shape}; compare with a threshold first, as in mask > 127"
        )
    return dense if dense.ndim == 2 else np.logical_or.reduce(dense)


def _usual_growth(masks: MaskLike, image: Image, task: Task) -> int:
    """Let a mask grow whose edge is a model's guess: a rim of the thing would be seen."""
    guessed = isinstance(masks, Masks) and masks.model is not None and task != "replace"
    return round(_RIM * max(image.size_hw)) if guessed else 0


def _margin(hole: BoolArray, margin: int | None) -> int:
    if margin is not None:
        return margin
    sides = [np.ptp(np.flatnonzero(hole.any(axis=axis))) for axis in (0, 1)]
    return max(128, int(max(sides)) // 2)


# ------------------------------------------------------------------------ pixels


def _slices(box: Box) -> tuple[slice, slice]:
    x0, y0, x1, y1 = box
    return slice(y0, y1), slice(x0, x1)


def _seen(colours: Pixels, alpha: Pixels | None, part: tuple[slice, slice]) -> Pixels:
    """Give an engine colours everywhere, also where all is transparent and none can be seen."""
    if alpha is None:
        return colours
    shown = alpha[part] > 0
    if shown.all() or not shown.any():
        return colours
    return np.clip(np.rint(smooth_fill(colours, shown)), 0, 255).astype(np.uint8)


def _check_painted(painted: Pixels, seen: Pixels, engine: Engine) -> None:
    if painted.shape != seen.shape or painted.dtype != np.uint8:
        raise InputError(
            f"expected uint8 {seen.shape} from {type(engine).__name__}.paint, got {painted.dtype} "
            f"{painted.shape}; correct the engine"
        )


def _blend(
    before: npt.NDArray[np.uint8], painted: npt.NDArray[Any], weights: FloatArray
) -> npt.NDArray[np.uint8]:
    """Mix by weights; where they are 0, every bit stays."""
    after = before.copy()
    where = weights > 0
    share = weights[where].reshape(-1, *(1,) * (before.ndim - 2))
    mixed = before[where] * (1 - share) + painted[where] * share
    after[where] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return after


def _painted_alpha(alpha: Pixels, weights: FloatArray, task: Task) -> Pixels:
    """Say how opaque what is painted is: as its surroundings where a thing is removed."""
    opaque: npt.NDArray[Any] = np.full(alpha.shape, 255)
    if task == "remove":
        opaque = smooth_fill(alpha[..., None], weights == 0)[..., 0]
    return _blend(alpha, opaque, weights)


def _assembled(image: Image, colours: Pixels, alpha: Pixels | None, hole: BoolArray) -> Image:
    if alpha is None:
        return replace(image, pixels=colours)
    # What is transparent is laid on white here, as usual; outside of the hole, as it was.
    opacity = (alpha / 255).astype(np.float32)
    laid = _blend(np.full_like(colours, 255), colours, opacity)
    pixels = np.where(hole[..., None], laid, image.pixels)
    return replace(image, pixels=pixels, straight=colours, alpha=alpha)

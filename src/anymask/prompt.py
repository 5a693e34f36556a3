"""Prompts: what a person or a detector says about one object."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Numbers", "Prompt", "PromptForm"]

Numbers: TypeAlias = "npt.ArrayLike | Tensor"
"""Numbers in nested lists or tuples, a numpy array or a tensor."""


class PromptForm(NamedTuple):
    """What a prompt consists of."""

    points: int
    """How many points."""
    box: bool
    """Whether there is a box."""
    mask: bool
    """Whether there is a mask, or logits of one."""


@dataclass(frozen=True, eq=False, init=False)
class Prompt:
    """All that is said about one object, in pixels of the original image.

    Points name pixels, as SAM's do: (0, 0) is the centre of the top left pixel, (width - 1,
    height - 1) that of the bottom right one, and fractions lie in between. Boxes run round pixels:
    (0, 0, width, height) is the whole image.

    Attributes:
        points_xy: float64, (n, 2), x before y; n may be 0.
        labels: int64, (n,), 1 for points on the object, 0 for background points.
        box: float64, (4,), x0, y0, x1, y1 around the object, or None. It may reach over the image's
            border; what lies outside does not count.
        mask: bool, (h, w) of the image: a rough mask, or None.
        mask_logits: float32, (h', w') of the model's own low resolution frame, as in
            `Masks.logits`: a mask to improve, or None.
        text: What the object is called, or None.

    Examples:
        >>> Prompt([(500, 375), (20, 30)], labels=[1, 0]).points_xy.shape
        (2, 2)
    """

    points_xy: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    box: npt.NDArray[np.float64] | None
    mask: npt.NDArray[np.bool_] | None
    mask_logits: npt.NDArray[np.float32] | None
    text: str | None

    def __init__(
        self,
        points_xy: Numbers | None = None,
        labels: Numbers | None = None,
        box: Numbers | None = None,
        mask: Numbers | None = None,
        mask_logits: Numbers | None = None,
        text: str | None = None,
    ) -> None:
        """Check and convert everything; see the attributes for shapes.

        Args:
            points_xy: Also one bare (x, y).
            labels: All 1 if left out.
            box: Corners in the order left, top, right, bottom.
            mask: Also 0 / 1 or 0 / 255 integers.
            mask_logits: At most one of this and ``mask``. Also (1, h', w').
            text: Needs a model that understands text.

        Raises:
            InputError: Something is not as described, or nothing is given at all.
        """
        points = _points(points_xy)
        values = {
            "points_xy": points,
            "labels": _labels(labels, len(points)),
            "box": None if box is None else _box(box),
            "mask": None if mask is None else _mask(mask),
            "mask_logits": None if mask_logits is None else _mask_logits(mask_logits),
            "text": None if text is None else _text(text),
        }
        if mask is not None and mask_logits is not None:
            raise InputError("expected one of mask and mask_logits, got both; leave one out")
        if not len(points) and all(v is None for v in (box, mask, mask_logits, text)):
            raise InputError("expected a point, box, mask or text, got an empty prompt; add one")
        self._keep(values)

    @classmethod
    def nothing(cls) -> Prompt:
        """Make an empty prompt, for models that find one kind of object and take no prompt."""
        prompt = cls.__new__(cls)
        rest = dict.fromkeys(("box", "mask", "mask_logits", "text"))
        prompt._keep({"points_xy": _points(None), "labels": _labels(None, 0), **rest})
        return prompt

    def _keep(self, values: Mapping[str, Any]) -> None:
        """Set the attributes, once."""
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def form(self) -> PromptForm:
        """What it consists of, but for text; prompts of one form are decoded without padding."""
        has_mask = self.mask is not None or self.mask_logits is not None
        return PromptForm(len(self.points_xy), self.box is not None, has_mask)

    @property
    def required_capabilities(self) -> list[str]:
        """What a model must be capable of to answer it, see `Variant.capabilities`."""
        form = self.form
        required = {
            "points": form.points > 0,
            "negative_points": not self.labels.all(),
            "box": form.box,
            "mask": form.mask,
            "text": self.text is not None,
        }
        return [name for name, wanted in required.items() if wanted] or ["nothing"]

    def check_inside(self, size_hw: tuple[int, int]) -> None:
        """Check that it speaks about an image of this size.

        Points are inside from 0 to the width and height, these included, as the reference has it;
        boxes are when they touch the image.

        Raises:
            InputError: A point or the whole box is outside, or the mask has another size.
        """
        height, width = size_hw
        beyond = (self.points_xy < 0) | (self.points_xy > (width, height))
        outside = np.flatnonzero(beyond.any(axis=1))
        if outside.size:
            x, y = self.points_xy[outside[0]]
            raise InputError(
                f"expected points inside the {width} x {height} image, got point {outside[0] + 1} "
                f"at x {x:g}, y {y:g}; give pixels of the original image, x before y"
            )
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
                raise InputError(
                    f"expected a box that touches the {width} x {height} image, got "
                    f"x {x0:g} to {x1:g}, y {y0:g} to {y1:g}; give pixels of the original image"
                )
        if self.mask is not None and self.mask.shape != (height, width):
            raise InputError(
                f"expected a mask of (h, w) = {(height, width)} like the image, "
                f"got {self.mask.shape}; resize it first"
            )


def _array(values: Numbers, what: str) -> npt.NDArray[Any]:
    """Convert to an array of numbers, or say that it is none."""
    try:
        if hasattr(values, "detach"):  # a tensor, wherever it lies; numpy has no bfloat16
            values = values.detach().cpu()
            values = (values.float() if values.is_floating_point() else values).numpy()
        array = np.array(values)  # a copy: a prompt does not change when its list does
    except (ValueError, TypeError) as error:
        raise _no_numbers(values, what) from error
    if array.dtype.kind not in "buif":
        raise _no_numbers(values, what)
    return array


def _no_numbers(values: object, what: str) -> InputError:
    said = " ".join(reprlib.repr(values).split())
    return InputError(f"expected {what} as plain numbers in equal rows, got {said}; correct it")


def _finite(array: npt.NDArray[Any], dtype: npt.DTypeLike, what: str) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):
        converted = np.asarray(array, dtype, order="C")
    if not np.isfinite(converted).all():
        raise InputError(f"expected finite {what}, got NaN or infinity; leave those out")
    return converted


def _points(points_xy: Numbers | None) -> npt.NDArray[np.float64]:
    if points_xy is None:
        return np.zeros((0, 2))
    array = _array(points_xy, "points")
    if array.size == 0:
        return np.zeros((0, 2))
    if array.shape == (2,):
        array = array[None]
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(
            f"expected points of shape (n, 2), x before y, got {array.shape}; "
            f"pass one Prompt per object"
        )
    return _finite(array, np.float64, "points")


def _labels(labels: Numbers | None, count: int) -> npt.NDArray[np.int64]:
    if labels is None:
        return np.ones(count, np.int64)
    array = np.atleast_1d(_array(labels, "labels"))
    if array.shape != (count,):
        raise InputError(
            f"expected one label for each of the {count} points, got shape {array.shape}; "
            f"give as many labels as points"
        )
    wrong = ~np.isin(array, (0, 1))
    if wrong.any():
        raise InputError(
            f"expected labels of 1 (object) or 0 (background), got {array[wrong][0]}; fix it"
        )
    return array.astype(np.int64)


def _box(box: Numbers) -> npt.NDArray[np.float64]:
    array = _array(box, "box")
    if array.shape != (4,):
        raise InputError(
            f"expected a box as 4 numbers x0, y0, x1, y1, got shape {array.shape}; "
            f"flatten it, and pass one Prompt per object"
        )
    corners = _finite(array, np.float64, "box corners")
    x0, y0, x1, y1 = corners.tolist()
    said = f"got x {x0:g} to {x1:g}, y {y0:g} to {y1:g}"
    if x1 < x0 or y1 < y0:
        raise InputError(
            f"expected a box as left, top, right, bottom, {said}; swap its corners, or add the "
            f"first two to the last two if those are a width and a height"
        )
    if x1 == x0 or y1 == y0:
        raise InputError(f"expected a box with an area, {said}; make it larger or pass a point")
    return corners


def _mask(mask: Numbers) -> npt.NDArray[np.bool_]:
    array = _array(mask, "mask")
    if array.ndim != 2 or array.size == 0:
        raise InputError(
            f"expected a mask of shape (h, w), got {array.shape}; pass one Prompt per object"
        )
    if array.dtype == np.bool_:
        return array
    top = array.max()
    if array.dtype.kind == "f" or top not in (0, 1, 255) or not np.isin(array, (0, top)).all():
        raise InputError(
            f"expected a mask of bool, 0 / 1 or 0 / 255, got {array.dtype} from {array.min():g} "
            f"to {top:g}; threshold it first, or pass the model's own logits as mask_logits"
        )
    return array.astype(np.bool_)


def _mask_logits(mask_logits: Numbers) -> npt.NDArray[np.float32]:
    array = _array(mask_logits, "mask_logits")
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or array.size == 0 or array.dtype.kind != "f":
        raise InputError(
            f"expected mask_logits as floating point (h', w'), got {array.dtype} {array.shape}; "
            f"pass one of Masks.logits, or a rough mask as mask"
        )
    return _finite(array, np.float32, "mask_logits")


def _text(text: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"expected some words as text, got {text!r}; name the object")
    return text.strip()

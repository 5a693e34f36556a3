"""The fields of `Masks`: what each may hold, checked once and locked.

Arrays become read-only. What is said in words becomes plain values that JSON can hold, read-only
too (`ReadOnlyDict`, `ReadOnlyList`), so that masks can share it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.masks.rle import Counts

if TYPE_CHECKING:
    from anymask.prompt import Prompt

__all__ = [
    "Meta",
    "ReadOnlyDict",
    "ReadOnlyList",
    "agreed_meta",
    "check_array",
    "check_counts",
    "check_ids",
    "check_labels",
    "check_logits",
    "check_meta",
    "check_metas",
    "check_prompts",
    "check_scores",
    "check_size",
    "chosen",
    "same_fields",
]

Meta = Mapping[str, Any]
"""Plain JSON values by name."""

# ------------------------------------------------------------------ sizes and arrays


def check_size(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Check the height and width of an image."""
    if len(size_hw) != 2 or min(size_hw) < 1:
        raise InputError(
            f"expected a size of (height, width), both at least 1, got {size_hw}; check the image"
        )
    return int(size_hw[0]), int(size_hw[1])


def check_counts(counts: Counts, i: int, h: int, w: int) -> Counts:
    """Check the run lengths of mask i."""
    checked = check_array(f"counts[{i}]", counts, np.uint32, (np.size(counts),))
    if int(checked.sum(dtype=np.int64)) != h * w:
        raise InputError(
            f"expected run lengths of mask {i} that add up to {h} * {w} = {h * w} pixels, got "
            f"{checked.sum(dtype=np.int64)}; give the size of the image that they were made for"
        )
    return checked


def check_logits(logits: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """Check the low-resolution answers to n masks."""
    if np.ndim(logits) != 3:
        raise InputError(
            f"expected logits of shape ({n}, h', w'), got {np.shape(logits)}; give one per mask"
        )
    return check_array("logits", logits, np.float32, (n, *np.shape(logits)[1:]))


def check_array(
    name: str,
    value: npt.ArrayLike,
    dtype: type[np.generic],
    shape: tuple[int, ...],
    of: str = "mask",
) -> npt.NDArray[Any]:
    """Make it read-only with this dtype, or say what is wrong with the shape or the values."""
    try:
        array = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"expected {name} as plain numbers in equal rows, got others ({error}); correct them"
        ) from error
    if array.shape != shape:
        raise InputError(
            f"expected {name} of shape {shape}, got {array.shape}; give one entry per {of}"
        )
    if array.flags.writeable:
        array = array.copy()  # it is the caller's, who may go on writing to it
        array.flags.writeable = False
    return array


def check_scores(
    name: str, value: npt.ArrayLike, n: int, of: str = "mask"
) -> npt.NDArray[np.float32]:
    """Check one number for each mask, NaN where it is unknown."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity
        scores = check_array(name, value, np.float32, (n,), of)
    if np.isinf(scores).any():
        raise InputError(
            f"expected {name} that float32 can hold, or NaN where they are unknown, got infinity "
            f"or more than {np.finfo(np.float32).max:.1g}; correct them"
        )
    return scores


# ----------------------------------------------------------------- one for each mask


def check_prompts(prompts: Sequence[Prompt | None], n: int) -> tuple[Prompt | None, ...]:
    """Check the prompts of n masks; no prompt at all stands for None for each."""
    if len(prompts) not in (0, n):
        raise InputError(
            f"expected one prompt for each of the {n} masks, got {len(prompts)}; give None for a "
            "mask without"
        )
    return tuple(prompts) or (None,) * n


def check_labels(labels: Iterable[str | None], n: int, of: str = "mask") -> tuple[str | None, ...]:
    """Check the names of n masks; none at all stands for None for each.

    Examples:
        >>> check_labels(["dog", None], 2), check_labels((), 2)
        (('dog', None), (None, None))
    """
    given = _one_each("labels", labels, n, "a name or None", of)
    for i, label in enumerate(given):
        if label is not None and not isinstance(label, str):
            raise InputError(
                f"expected labels that are names or None, got {label!r} for {of} {i}; numbers that "
                f"identify {of}s are ids"
            )
    return tuple(None if label is None else str(label) for label in given)


def check_ids(ids: Iterable[int | None], n: int) -> tuple[int | None, ...]:
    """Check the identities of n masks; none at all stands for None for each."""
    given = _one_each("ids", ids, n, "a whole number or None")
    for i, number in enumerate(given):
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if number is not None and not whole:
            raise InputError(
                f"expected ids that are whole numbers or None, got {number!r} for mask {i}; names "
                "are labels"
            )
    return tuple(None if number is None else int(number) for number in given)


def check_metas(metas: Iterable[Meta], n: int) -> tuple[ReadOnlyDict, ...]:
    """Check what else is known of n masks; none at all stands for nothing of each."""
    given = _one_each("meta", metas, n, "a mapping")
    nothing = ReadOnlyDict()
    return tuple(check_meta(meta, f"meta of mask {i}") for i, meta in enumerate(given)) or (
        (nothing,) * n
    )


def _one_each(name: str, values: Iterable[Any], n: int, kind: str, of: str = "mask") -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InputError(
            f"expected {name} as a list with {kind} for each of the {n} {of}s, got {values!r}; "
            "put it into a list"
        )
    given = list(values)
    if len(given) not in (0, n):
        raise InputError(
            f"expected {name} with {kind} for each of the {n} {of}s, got {len(given)}; give one "
            f"entry per {of}"
        )
    return given or ([] if name == "meta" else [None] * n)


# ------------------------------------------------------------------------ plain values


def _locked(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError("what is known of masks is read-only; make new Masks with dataclasses.replace")


class ReadOnlyDict(dict[str, Any]):
    """A dict that stays as it is; JSON, pickle and comparing take it for a dict."""

    __setitem__ = __delitem__ = __ior__ = _locked
    clear = pop = popitem = setdefault = update = _locked

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy through a plain dict."""
        return type(self), (dict(self),)


class ReadOnlyList(list[Any]):
    """A list that stays as it is; JSON, pickle and comparing take it for a list."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _locked
    append = clear = extend = insert = pop = remove = reverse = sort = _locked

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy through a plain list."""
        return type(self), (list(self),)


def check_meta(meta: Meta, what: str) -> ReadOnlyDict:
    """Lock a mapping of plain JSON values; numbers and arrays of numpy become plain ones.

    Args:
        meta: Any mapping whose keys are strings, nested as JSON can be.
        what: Whose it is, for the error.

    Raises:
        InputError: JSON cannot hold it.

    Examples:
        >>> check_meta({"iscrowd": 1, "tags": ("wet", "dark")}, "meta of mask 0")
        {'iscrowd': 1, 'tags': ['wet', 'dark']}
    """
    if isinstance(meta, ReadOnlyDict):
        return meta
    if not isinstance(meta, Mapping):
        raise InputError(
            f"expected {what} as a mapping of plain JSON values, got {type(meta).__name__}; give "
            "a dict"
        )
    locked: ReadOnlyDict = _lock(meta, what)
    return locked


def _lock(value: Any, what: str) -> Any:
    if isinstance(value, ReadOnlyDict | ReadOnlyList) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return ReadOnlyList(_lock(entry, what) for entry in value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return ReadOnlyDict({str(key): _lock(entry, what) for key, entry in value.items()})
    raise InputError(
        f"expected {what} of plain JSON values (text, finite numbers, true, false, null, lists and "
        f"dicts with text as keys), got {value!r}; convert or leave it out"
    )


def agreed_meta(metas: Sequence[Meta]) -> ReadOnlyDict:
    """Keep what all of some mappings say alike."""
    first, *others = metas
    return ReadOnlyDict(
        {
            key: value
            for key, value in first.items()
            if all(key in other and other[key] == value for other in others)
        }
    )


# ------------------------------------------------------------ indexing and comparing


def chosen(
    index: int | slice | Sequence[int] | npt.NDArray[Any], n: int, of: str = "mask"
) -> npt.NDArray[np.int64]:
    """Turn anything that indexes a list of n into their numbers, int64 (k,)."""
    if isinstance(index, (int, np.integer)):
        if not -n <= index < n:
            raise IndexError(f"{of} {index} does not exist; there are {n}")
        return np.array([index], dtype=np.int64)
    if isinstance(index, slice):
        return np.arange(n)[index]
    array = np.asarray(index)
    if array.size == 0 and array.dtype != np.bool_:
        return np.empty(0, dtype=np.int64)
    if (
        array.ndim != 1
        or array.dtype.kind not in "biu"
        or (array.dtype.kind == "b" and len(array) != n)
    ):
        raise InputError(
            f"expected a number, a slice, a list of numbers or a bool array of shape ({n},), got "
            f"{array.dtype} of shape {array.shape}; compare a measure, as in {of}s.areas > 99"
        )
    numbers: npt.NDArray[np.int64] = np.arange(n)[array]
    return numbers


def same_fields(a: Any, b: Any) -> bool:
    """Compare two dataclasses field by field; NaN equals NaN."""
    return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.compare)


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if is_dataclass(a):  # a prompt
        return same_fields(a, b)
    return bool(a == b)

"""From what a request says to prompts, settings and masks of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from anymask.config import GenerateConfig, InstanceConfig
from anymask.errors import InputError
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.plain import from_plain, to_plain
from anymask.predict.checks import warn_of_shares
from anymask.prompt import Prompt
from anymask.serve.routes.schemas import MaskRecord, PromptWords, RunLengths
from anymask.serve.wire import array_of, counts_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "config_of",
    "dense_of",
    "masks_of_lengths",
    "plain",
    "prompt_of",
    "records_of",
    "said",
    "search_of",
]

_WORDS = ("points", "labels", "box", "mask", "mask_logits")
_MOST = {  # of settings that decide how long a request takes and what memory it needs
    "points_per_side": 128,
    "points_per_batch": 512,
    "crop_n_layers": 3,
    "thing_boxes": 1000,
    "memory": 4096,
    "max_instances": 1000,
    "clicks": 64,
    "steps": 200,
    "size": 4096,
    "margin": 4096,
    "grow": 4096,
    "feather": 4096,
}
_POINTS = 16_384  # of own grids, all layers together
_OF_THE_SERVER = ("text_model",)  # would load what a client names

Config = TypeVar("Config")


def said(words: PromptWords) -> list[str]:
    """List which words are said directly."""
    return [name for name in _WORDS if getattr(words, name) is not None]


def prompt_of(words: PromptWords, size_hw: tuple[int, int], *, promptless: bool = False) -> Prompt:
    """Make a prompt for an image of this size.

    Args:
        words: What is said.
        size_hw: Height and width of the image.
        promptless: Whether to say nothing means something to the model.

    Raises:
        InputError: Something is not as it should be, or lies outside of the image.
    """
    if promptless and not said(words):
        return Prompt.nothing()
    mask = None if words.mask is None else dense_of(words.mask, size_hw)
    logits = None if words.mask_logits is None else array_of(vars(words.mask_logits))
    prompt = Prompt(words.points, words.labels, words.box, mask, logits)
    prompt.check_inside(size_hw)
    warn_of_shares(prompt, size_hw)  # here, where it is known who asks: others are answered along
    return prompt


def dense_of(lengths: RunLengths, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Decode a mask of an image of this size: bool (h, w)."""
    return rle.decode(counts_of(vars(lengths), size_hw), size_hw)


def masks_of_lengths(lengths: Sequence[RunLengths], size_hw: tuple[int, int]) -> Masks:
    """Make masks of run lengths."""
    return Masks(size_hw, tuple(counts_of(vars(one), size_hw) for one in lengths))


def records_of(records: Sequence[MaskRecord]) -> list[dict[str, Any]]:
    """Turn records into the documents that they came as."""
    return [plain(record) for record in records]


def plain(value: Any) -> Any:
    """Turn what pydantic made of JSON into plain values again."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def config_of(usual: Config, options: Mapping[str, Any]) -> Config:
    """Change settings as a client may.

    Args:
        usual: What is in force without options; a dataclass of settings.
        options: Settings by name.

    Raises:
        InputError: There is no such setting, its value does not fit, or is too much for a server.
    """
    for name, value in options.items():
        most = _MOST.get(name)
        if name in _OF_THE_SERVER:
            raise InputError(f"expected settings that clients may change, got {name!r}; leave it")
        if most is not None and isinstance(value, int | float) and not value <= most:
            raise InputError(f"expected {name} of at most {most} here, got {value}; ask for less")
    known = to_plain(usual)
    if options.get("point_grids") is not None and "points_per_side" not in options:
        known["points_per_side"] = None
    changed: Config = from_plain(type(usual), {**known, **options})
    if isinstance(changed, GenerateConfig) and changed.point_grids is not None:
        count = sum(map(len, changed.point_grids))
        if count > _POINTS:
            raise InputError(f"expected at most {_POINTS} points here, got {count}; ask for less")
    return changed


def search_of(usual: GenerateConfig | InstanceConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check settings of everything mode, and give those that differ, as jobs take them."""
    changed = config_of(usual, options)
    return {name: getattr(changed, name) for name in options}

"""From words to boxes: grounding (Liu et al., 2023), by a small detector or an open one.

A grounder says where in an image its words may be. What all have in common is here: which one is
asked, thresholds, duplicates, and words that are not meant.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, cast, overload, runtime_checkable

import numpy as np
import numpy.typing as npt

from anymask import geometry
from anymask.arrays import Device
from anymask.detections import Detections
from anymask.device import device_name
from anymask.errors import InputError, WeightsError
from anymask.image.image import Image, ImageLike
from anymask.optional import optional
from anymask.text.phrases import Phrases, Text, Threshold, shown

__all__ = [
    "Grounder",
    "GrounderLike",
    "all_words",
    "choose",
    "detect",
    "find_grounder",
    "ground",
    "grounder_names",
    "look_for",
]

_SAME_PHRASE = 0.5
_OTHER_PHRASE = 0.8  # higher: things with different names may fill nearly the same box
_IMAGES_AT_ONCE = 8
_SHOWN_WORDS = 3


@runtime_checkable
class Grounder(Protocol):
    """Anything that finds boxes for words."""

    name: str
    """What its answers say made them."""
    threshold: float
    """Least score, 0 to 1, unless the user gives another."""
    words: tuple[str, ...]
    """All that it knows by name; none: any words will do."""

    def unknown(self, phrases: Sequence[str]) -> tuple[str, ...]:
        """Tell which of the phrases it cannot look for."""
        ...

    def detect(
        self, images: Sequence[Image], phrases: Sequence[str], threshold: float
    ) -> list[Detections]:
        """Find candidates in each image.

        Args:
            images: Any number, of any sizes.
            phrases: At least one, all of them known.
            threshold: Least score.

        Returns:
            For each image its candidates, each labelled with exactly one of the phrases; there may
            be duplicates. Of equal scores, the earlier one counts as the better one.
        """
        ...


GrounderLike: TypeAlias = str | os.PathLike[str] | Grounder
"""A grounder, or its name, hub id or folder."""


@dataclass(frozen=True)
class _Kind:
    """A kind of grounder."""

    module: str
    """Has a function ``load(name_or_path, device)``."""
    hub_id: str | None
    """Weights on the hub that its name alone means; None: they ship inside the package."""


_KINDS = {
    "bundled": _Kind("anymask.text.bundled", None),
    "grounding-dino": _Kind("anymask.text.grounding_dino", "IDEA-Research/grounding-dino-tiny"),
    "owlv2": _Kind("anymask.text.owlv2", "google/owlv2-base-patch16-ensemble"),
}
"""By name; those with weights on the hub know any words, and the first at hand takes over."""


def find_grounder(name_or_path: str | os.PathLike[str], device: Device = "auto") -> Grounder:
    """Load a grounder, or take it from the last few that were loaded.

    Args:
        name_or_path: One of the names, an id of the Hugging Face hub, or the folder of a model,
            whose ``config.json`` tells its kind.
        device: As for `load`.

    Raises:
        InputError: There is no grounder of that name or kind.
        WeightsError: Its weights are missing or damaged.
        MissingExtraError: The package that runs it is not installed.

    Examples:
        >>> find_grounder("bundled", "cpu").unknown(["dog", "zebra"])
        ('zebra',)
    """
    return _find(os.fspath(name_or_path), device_name(device))


def grounder_names() -> tuple[str, ...]:
    """List the names of grounders, the bundled one first."""
    return tuple(_KINDS)


@functools.lru_cache(maxsize=2)
def _find(name_or_path: str, device: str) -> Grounder:
    kind = _KINDS.get(name_or_path)
    if kind is None:
        kind, weights = _kind_of(name_or_path), name_or_path
    else:
        weights = kind.hub_id or name_or_path
    if kind.hub_id is not None:
        optional("torch")  # says how to install it
    return cast(Grounder, importlib.import_module(kind.module).load(weights, device))


def _kind_of(name_or_path: str) -> _Kind:
    """Tell the kind of a folder or of an id of the hub by its config."""
    path = Path(name_or_path)
    if name_or_path and path.is_dir():  # "" would be the folder one is in
        try:
            model_type = json.loads((path / "config.json").read_bytes()).get("model_type")
        except (OSError, ValueError, AttributeError) as error:
            raise WeightsError(
                f"expected the folder of a grounder, but {name_or_path!r} has no config.json that "
                "can be read; name the folder that holds it"
            ) from error
    elif name_or_path.count("/") == 1 and not path.exists():
        from anymask.text import pretrained

        model_type = pretrained.model_type(name_or_path)
    else:
        model_type = None
    if model_type not in _KINDS or model_type == "bundled":
        got = repr(name_or_path) + (f" of the kind {model_type!r}" if model_type else "")
        raise InputError(
            f"expected a grounder out of {', '.join(_KINDS)}, a hub id or the folder of one, got "
            f"{got}; name one of these"
        )
    return _KINDS[model_type]


# ----------------------------------------------------------------------- who is asked


def choose(
    phrases: Phrases,
    grounder: GrounderLike | None = None,
    device: Device = "auto",
) -> Grounder:
    """Decide who looks for phrases.

    Args:
        phrases: What is looked for.
        grounder: As for `ground`.
        device: As for `load`.

    Raises:
        InputError: It does not know one of the phrases.
    """
    if isinstance(grounder, str | os.PathLike):
        chosen = find_grounder(grounder, device)
    else:
        chosen = find_grounder("bundled", device) if grounder is None else grounder
    if not isinstance(chosen, Grounder):
        raise InputError(
            f"expected the name or folder of a grounder, got {type(chosen).__name__}; name one out "
            f"of {', '.join(_KINDS)}"
        )
    unknown = chosen.unknown(phrases.all)
    if unknown and grounder is None and (name := _at_hand()):
        chosen = find_grounder(name, device)
        unknown = chosen.unknown(phrases.all)
    if unknown:
        known = f" ({', '.join(chosen.words)})" if chosen.words else ""
        raise InputError(
            f"expected English words that the grounder {chosen.name!r} knows{known}, got "
            f"{shown(unknown)}; {_advice(unknown, chosen)}"
        )
    return chosen


def _advice(unknown: Sequence[str], grounder: Grounder) -> str:
    """Say what to do about words that a grounder does not know."""
    words = unknown[0].split()
    known = [word for word in words if not grounder.unknown([word])]
    first = "use such a word"
    if len(words) > 1 and len(known) == len(words):
        named = ". ".join(dict.fromkeys(known[:_SHOWN_WORDS]))
        first = f"write full stops between words, as in {shown([f'{named}.'])}"
    elif known:
        first = f"say {shown(known[-1:])}"
    return (
        f"{first}, or for open words run pip install 'anymask[text]' and name a grounder, such as "
        "'grounding-dino'"
    )


def _at_hand() -> str | None:
    """Name the first grounder of open words that could be used without a download."""
    if importlib.util.find_spec("torch") is None:
        return None
    from anymask.text import pretrained

    open_words = ((name, kind.hub_id) for name, kind in _KINDS.items() if kind.hub_id is not None)
    return next((name for name, hub_id in open_words if pretrained.is_at_hand(hub_id)), None)


# --------------------------------------------------------------------------- grounding


@overload
def ground(  # type: ignore[overload-overlap]  # a str is a sequence of str: it counts as one
    images: ImageLike,
    text: Text,
    *,
    negative: Text | None = ...,
    threshold: Threshold | None = ...,
    grounder: GrounderLike | None = ...,
    device: Device = ...,
) -> Detections: ...
@overload
def ground(
    images: Sequence[ImageLike],
    text: Text,
    *,
    negative: Text | None = ...,
    threshold: Threshold | None = ...,
    grounder: GrounderLike | None = ...,
    device: Device = ...,
) -> list[Detections]: ...


def ground(
    images: ImageLike | Sequence[ImageLike],
    text: Text,
    *,
    negative: Text | None = None,
    threshold: Threshold | None = None,
    grounder: GrounderLike | None = None,
    device: Device = "auto",
) -> Detections | list[Detections]:
    """Find what words name, in an image or in each image of a list.

    Where two boxes of one phrase overlap by more than half, or two of different phrases by more
    than 0.8 (intersection over union), the one of the lower score goes.

    Args:
        images: Path, bytes, Pillow image or array, or a list of these.
        text: Words such as ``"dog. red car."``, or a list of phrases.
        negative: Words for what is not meant, in the same form: where one of them fits a box
            better, that box goes.
        threshold: Least score, 0 to 1, for all phrases, or a mapping from phrases to theirs; None:
            what suits the grounder.
        grounder: Name, hub id or folder of a grounder, or one that is loaded; None: the bundled
            one, or for words that it does not know one for open words, if that is installed and its
            weights are at hand.
        device: As for `load`.

    Returns:
        Boxes in pixels of the image, best first, each labelled with one of the phrases; none at all
        if nothing was found.

    Raises:
        InputError: A text names nothing, or something that the grounder does not know; a threshold
            is no such number, or is for a phrase that nobody looks for; or an image cannot be read.

    Examples:
        >>> found = ground("docs/pictures/coffee.jpg", "cup. dog")
        >>> found.labels, found.boxes.round().astype(int).tolist()
        (('cup',), [[172, 20, 419, 319]])
    """
    return _ground(images, Phrases.of(text, negative, threshold), grounder, device)


def _ground(
    images: ImageLike | Sequence[ImageLike],
    phrases: Phrases,
    grounder: GrounderLike | None,
    device: Device,
) -> Detections | list[Detections]:
    chosen = choose(phrases, grounder, device)
    if not isinstance(images, (list, tuple)):
        return look_for(phrases, [Image.open(cast(ImageLike, images))], chosen)[0]
    found = []
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        few = [Image.open(image) for image in images[start : start + _IMAGES_AT_ONCE]]
        found += look_for(phrases, few, chosen)
    return found


@overload
def detect(  # type: ignore[overload-overlap]  # a str is a sequence of str: it counts as one
    images: ImageLike,
    text: Text | None = ...,
    *,
    negative: Text | None = ...,
    threshold: Threshold | None = ...,
    grounder: GrounderLike | None = ...,
    device: Device = ...,
) -> Detections: ...
@overload
def detect(
    images: Sequence[ImageLike],
    text: Text | None = ...,
    *,
    negative: Text | None = ...,
    threshold: Threshold | None = ...,
    grounder: GrounderLike | None = ...,
    device: Device = ...,
) -> list[Detections]: ...


def detect(
    images: ImageLike | Sequence[ImageLike],
    text: Text | None = None,
    *,
    negative: Text | None = None,
    threshold: Threshold | None = None,
    grounder: GrounderLike | None = None,
    device: Device = "auto",
) -> Detections | list[Detections]:
    """Find boxes of all things that a grounder knows by name, or of those that words name.

    Args:
        images: Path, bytes, Pillow image or array, or a list of these.
        text: See `ground`; None: all words that the grounder knows.
        negative: See `ground`.
        threshold: See `ground`.
        grounder: See `ground`.
        device: As for `load`.

    Returns:
        What `ground` returns.

    Raises:
        InputError: As `ground`; or no words are given to a grounder that takes any.

    Examples:
        >>> from anymask import detect
        >>> detect("docs/pictures/coffee.jpg").labels
        ('coffee cup',)
    """
    words = all_words(grounder, device) if text is None else text
    return _ground(images, Phrases.of(words, negative, threshold), grounder, device)


def all_words(grounder: GrounderLike | None = None, device: Device = "auto") -> tuple[str, ...]:
    """List all words that a grounder knows.

    Raises:
        InputError: It takes any words.
    """
    named = "bundled" if grounder is None else grounder
    chosen = find_grounder(named, device) if isinstance(named, str | os.PathLike) else named
    if not chosen.words:
        raise InputError(
            f"expected words to look for, got none for {chosen.name!r}, which takes any; name some"
        )
    return chosen.words


def look_for(phrases: Phrases, images: Sequence[Image], grounder: Grounder) -> list[Detections]:
    """Find phrases in a few images with a grounder that knows them; see `ground`."""
    least = {phrase: phrases.least(phrase, grounder.threshold) for phrase in phrases.wanted}
    for phrase in phrases.negative:
        least[phrase] = grounder.threshold if phrases.threshold is None else phrases.threshold
    candidates = grounder.detect(images, phrases.all, min(least.values()))
    return [_tidy(found.clip(), phrases, least) for found in candidates]


def _tidy(found: Detections, phrases: Phrases, least: dict[str, float]) -> Detections:
    """Keep what is wanted and sure enough, without duplicates."""
    limits = np.array([least[cast(str, label)] for label in found.labels])
    sure = found[found.scores >= limits] if len(found) else found
    kept = sure.nms(_SAME_PHRASE)
    unwanted = kept.filter(labels=phrases.negative)
    kept = kept.filter(labels=phrases.wanted).nms(_OTHER_PHRASE, per_label=False)
    return kept[~_explained(kept, unwanted)]


def _explained(found: Detections, others: Detections) -> npt.NDArray[np.bool_]:
    """Tell for which boxes another one of a higher score is the same thing: bool (n,)."""
    same = geometry.box_iou(found.boxes, others.boxes) > _SAME_PHRASE
    better = same & (others.scores > found.scores[:, None])
    return np.asarray(better.any(axis=1))

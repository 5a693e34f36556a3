"""Names for masks: those of everything mode, or any others.

Two ways lead to a name. A *grounder* (the bundled detector, say) finds boxes for the words, and
each box names the mask that fits it best. A *ranker* (CLIP, SigLIP) looks at each mask and compares
it with every word, and with phrases for what none of them names.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from anymask import geometry
from anymask.config import Keep, LabelConfig, changed
from anymask.detections import Detections
from anymask.device import find_device
from anymask.errors import InputError
from anymask.image.image import Image, ImageLike
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.text.ground import Grounder, find_grounder, ground, grounder_names
from anymask.text.phrases import parse, shown
from anymask.text.rank import RANKERS, Ranker, crops, is_at_hand, load_ranker

__all__ = ["Labeller", "fit", "label", "load_labeller", "match", "rank", "read_labels"]

FloatArray = npt.NDArray[np.float32]

BUNDLED = "bundled"
"""Stands for all words that the bundled detector knows."""

LABEL_SCORE = "label_score"
"""The entry of `Masks.meta` with the score of a mask's name."""

_SIGMOID_THRESH = 0.05
_SAME_THING = 0.8
_FITS = 0.4
_LONG = 1000  # letters


def read_labels(labels: str | os.PathLike[str] | Sequence[str]) -> tuple[str, ...]:
    """Read the words that masks should be named by, each once.

    Args:
        labels: A list; or words with commas between them, ``"cat, dog, sky"``; or a text file with
            a word on each line, by a path that ends in ``.txt`` or that exists.

    Returns:
        The words as they were written, at least one; of two that differ in case or in an article
        alone, the first. ``("bundled",)`` stands for all that the bundled detector knows.

    Raises:
        InputError: There is no word, the file is missing or no text, or the list is none.

    Examples:
        >>> read_labels("cat, dog,sky"), read_labels(["cat", "black and white cat"])
        (('cat', 'dog', 'sky'), ('cat', 'black and white cat'))
    """
    if not isinstance(labels, str | os.PathLike):
        return parse(labels)
    text = os.fspath(labels)
    path = Path(text).expanduser()
    if _is_file(path):
        words = _lines(path)
    else:
        words = [word.strip() for word in text.replace("\n", ",").split(",")]
    words = [word for word in words if word]
    if not words:
        raise InputError(
            f"expected words that name things, got {text[:40]!r}; write e.g. 'cat,dog'"
        )
    return parse(words)


def _is_file(path: Path) -> bool:
    """Return whether words are meant to be the path of a file."""
    try:
        return path.suffix.lower() == ".txt" or (bool(path.suffix) and path.is_file())
    except (OSError, ValueError):  # too long for a name, or with a byte that none has
        return False


def _lines(path: Path) -> list[str]:
    """Read the lines of a text file."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"cannot read the words in {str(path)!r}: {error.strerror}; name a text file with a "
            "word on each line"
        ) from error
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(
            f"expected a text file (UTF-8) with a word on each line, got {str(path)!r}, which is "
            "no text; write the words themselves, as in 'cat,dog', or name such a file"
        )
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    words = [" ".join(line.split()) for line in lines]
    if not any(words):
        raise InputError(
            f"expected a word on each line of {str(path)!r}, got none; write one, such as cat"
        )
    return words


# -------------------------------------------------------------------------- who names


@dataclass(frozen=True, eq=False)
class Labeller:
    """Gives names to masks, ready for any number of images; see `load_labeller`.

    Attributes:
        classes: All names that it may give, in the order in which data sets should number them.
        namer: Who gives them.
        config: How.
    """

    classes: tuple[str, ...]
    namer: Grounder | Ranker
    config: LabelConfig

    def settings(self) -> dict[str, Any]:
        """Give all that decides which names masks get, as plain JSON values."""
        words = "\n".join(self.classes)
        if len(words) > _LONG:  # they stand in the record of every image
            digest = hashlib.sha256(words.encode()).hexdigest()[:16]
            words = f"{words[:_LONG]}... ({len(self.classes)} words, {digest})"
        who = {"ranker": self.namer.name}
        if isinstance(self.namer, Ranker):
            who["ranker_weights"] = self.namer.version
        return asdict(self.config) | {"labels": words} | who

    def keeping(self, usual: Keep) -> Labeller:
        """Decide which masks are kept, where the user did not."""
        keep = self.config.label_keep or usual
        return replace(self, config=replace(self.config, label_keep=keep))

    def __call__(self, masks: Masks, image: ImageLike) -> Masks:
        """Name the masks of an image; see `label`."""
        photo = Image.open(image)
        if photo.size_hw != masks.size_hw:
            (h, w), (height, width) = photo.size_hw, masks.size_hw
            raise InputError(
                f"expected the image of the masks, {width} x {height}, got one of {w} x {h}; give "
                "the image that they were made for"
            )
        some = np.flatnonzero(masks.areas > 0)  # what has no pixel shows nothing
        if isinstance(self.namer, Ranker):
            chosen, scores = self._ranked(masks[some], photo)
        else:
            chosen, scores = self._matched(masks[some], photo)
        labels, metas = list(masks.labels), [dict(meta) for meta in masks.meta]
        for i in range(len(masks)):
            labels[i] = None
            metas[i].pop(LABEL_SCORE, None)
        for i, number, score in zip(some.tolist(), chosen.tolist(), scores.tolist(), strict=True):
            if number >= 0:
                labels[i] = self.classes[number]
                metas[i][LABEL_SCORE] = round(score, 6)
        return _kept(
            replace(masks, labels=tuple(labels), meta=tuple(metas)), self.config.label_keep
        )

    def _ranked(self, masks: Masks, photo: Image) -> tuple[npt.NDArray[np.int64], FloatArray]:
        assert isinstance(self.namer, Ranker)
        config, known = self.config, {word.casefold() for word in self.classes}
        phrases = config.label_background.split(",")
        background = [one.strip() for one in phrases if one.strip().casefold() not in {"", *known}]
        pieces = crops(
            masks, photo.pixels, context=config.label_context, outside=config.label_outside
        )
        alike = self.namer(pieces, [*self.classes, *background], config.label_template)
        return rank(
            alike,
            self.namer.probabilities(alike),
            len(self.classes),
            threshold=_usual(config.label_thresh, _SIGMOID_THRESH if self.namer.sigmoid else 0.0),
            margin=config.label_margin,
        )

    def _matched(self, masks: Masks, photo: Image) -> tuple[npt.NDArray[np.int64], FloatArray]:
        assert not isinstance(self.namer, Ranker)
        found = ground(photo, self.classes, threshold=self.config.label_thresh, grounder=self.namer)
        places = match(masks, found)
        numbers = np.full(len(masks), -1, dtype=np.int64)
        scores = np.zeros(len(masks), dtype=np.float32)
        for i, place in enumerate(places.tolist()):
            if place >= 0:
                numbers[i] = self.classes.index(str(found.labels[place]))
                scores[i] = found.scores[place]
        return numbers, scores


def _usual(given: float | None, usual: float) -> float:
    return usual if given is None else given


def load_labeller(
    labels: str | os.PathLike[str] | Sequence[str],
    config: LabelConfig | None = None,
    *,
    device: str | torch.device = "auto",
    offline: bool = False,
    **options: Any,
) -> Labeller:
    """Get ready to name masks: decide who does, and load it.

    Args:
        labels: See `read_labels`; "bundled": all that the bundled detector knows.
        config: How it is done; None: as usual.
        device: As for `load`.
        offline: Download nothing.
        **options: Single settings that should differ from those of ``config``.

    Raises:
        InputError: The words or a setting are not as they should be, or whoever was named does not
            know one of the words.
        MissingExtraError: The ranker needs a package that is not installed.
        WeightsError: There are no weights to be had.

    Examples:
        >>> load_labeller("people, cup").namer.name
        'bundled'
    """
    config = changed(LabelConfig(), config, options)
    words = read_labels(labels)
    if words == (BUNDLED,):
        words = find_grounder(BUNDLED, device).words
    name = config.ranker or _choose(words)
    if name not in grounder_names():
        ranker = load_ranker(name, str(find_device(device)), offline=offline)
        return Labeller(words, ranker, config)
    grounder = find_grounder(name, device)
    if unknown := grounder.unknown(words):
        raise InputError(_ask_for_ranker(grounder, unknown))
    return Labeller(words, grounder, config)


def _choose(words: Sequence[str]) -> str:
    """Name who knows the words: the bundled detector, or a ranker whose weights are at hand."""
    bundled = find_grounder(BUNDLED, "cpu")
    unknown = bundled.unknown(words)
    name = next(filter(is_at_hand, RANKERS), None) if unknown else BUNDLED
    if name is None:
        raise InputError(_ask_for_ranker(bundled, unknown))
    return name


def _ask_for_ranker(grounder: Grounder, unknown: Sequence[str]) -> str:
    return (
        f"expected English words that the grounder {grounder.name!r} knows "
        f"({', '.join(grounder.words)}), got {shown(unknown)}; use these, or for any words run "
        f"pip install 'anymask[text]' and name a ranker, such as {next(iter(RANKERS))!r}, whose "
        "weights are then downloaded"
    )


# ----------------------------------------------------------------------------- naming


def label(
    masks: Masks,
    image: ImageLike,
    labels: str | os.PathLike[str] | Sequence[str],
    config: LabelConfig | None = None,
    *,
    device: str | torch.device = "auto",
    **options: Any,
) -> Masks:
    """Name masks: say of each which of some words it shows, if any.

    A mask that none of them names has the label None. The scores of the masks stay what they are;
    that of a name is in ``meta`` as ``label_score``: the detector's, SigLIP's probability of this
    name, or CLIP's probability of it among the others and the background.

    Args:
        masks: Of one image; names that they have are replaced.
        image: The image that they were made for.
        labels: Words, as a list or as in ``"cat, dog, sky"``; or a text file with one on each line;
            or "bundled" for all that the bundled detector knows.
        config: How it is done, see `LabelConfig`; None: as usual.
        device: As for `load`.
        **options: Single settings that should differ from those of ``config``, such as
            ``ranker="siglip2"`` or ``label_keep="things"``.

    Raises:
        InputError: The words or a setting are not as they should be, or the image is of another
            size.
        MissingExtraError: The ranker needs a package that is not installed.
        WeightsError: There are no weights to be had.

    Examples:
        >>> from anymask import load
        >>> photo = "docs/pictures/coffee.jpg"
        >>> masks = load().predict(photo, box=(172, 20, 419, 319))
        >>> named = label(masks, photo, "cup, dog")
        >>> named.labels, named.meta[0]["label_score"] > 0.3
        (('cup',), True)
    """
    return load_labeller(labels, config, device=device, **options)(masks, image)


def rank(
    cosines: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    n_labels: int,
    *,
    threshold: float = 0.0,
    margin: float = 0.0,
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Choose a label for each of n masks, or none.

    A label is chosen that is the most alike, and then only if its probability is at least the
    threshold and its cosine is more than the margin above that of every background phrase.

    Args:
        cosines: (n, k), how alike masks and phrases are; the labels first, then the background.
        probabilities: (n, k), the same as probabilities.
        n_labels: How many of the phrases are labels, at least 1.
        threshold: Least probability.
        margin: Least lead over the background.

    Returns:
        The number of each mask's label, int64 (n,), -1 for none; and its probability, float32 (n,).

    Examples:
        >>> alike = [[0.3, 0.2, 0.1], [0.2, 0.1, 0.3]]
        >>> numbers, _ = rank(alike, alike, 2)
        >>> numbers.tolist()
        [0, -1]
    """
    alike = np.asarray(cosines, dtype=np.float64)
    sure = np.asarray(probabilities, dtype=np.float32)
    rows = np.arange(len(alike))
    best = alike[:, :n_labels].argmax(axis=1)
    background = alike[:, n_labels:].max(axis=1, initial=-np.inf)
    scores = sure[rows, best]
    named = (scores >= threshold) & (alike[rows, best] - background > margin)
    return np.where(named, best, -1), scores


def match(masks: Masks, found: Detections) -> npt.NDArray[np.int64]:
    """Find the mask that each box is about.

    Boxes choose one after the other, the surest first. Each takes the mask that fits it best (see
    `fit`), if that is at least 0.4; none is taken twice.

    Args:
        masks: n masks, none of them empty.
        found: Boxes in the same image.

    Returns:
        The number of each mask's box, int64 (n,), -1 for none.

    Examples:
        >>> dense = np.zeros((2, 20, 20), bool)
        >>> dense[0, 2:12, 2:12] = dense[1, 2:6, 2:6] = True
        >>> match(Masks.from_dense(dense), Detections((20, 20), [(1, 1, 12, 12)], [0.9])).tolist()
        [0, -1]
    """
    fits = fit(masks, found)
    places = np.full(len(masks), -1, dtype=np.int64)
    for place in np.argsort(-found.scores, kind="stable"):
        free = np.where(places < 0, fits[:, place], 0)
        if len(free) and free.max() >= _FITS:
            places[free.argmax()] = place
    return places


def fit(masks: Masks, found: Detections) -> npt.NDArray[np.float64]:
    """Measure how well masks fit boxes.

    The geometric mean of two intersections over union: of the mask's own box with the box, and of
    the mask with the ellipse in the box. The second tells a thing from what is around it, whose own
    box may fit as well.

    Args:
        masks: n masks, none of them empty.
        found: k boxes in the same image.

    Returns:
        float64 (n, k), 0 to 1.
    """
    around = masks.boxes + np.array([0, 0, 1, 1], np.float32)  # theirs name the last pixel
    of_boxes = geometry.box_iou(around, found.boxes)
    ellipses = [_ellipse(box, masks.size_hw) for box in found.boxes.astype(np.float64)]
    fits: npt.NDArray[np.float64] = np.sqrt(of_boxes * rle.iou(masks.counts, ellipses))
    return fits


def _ellipse(box: npt.NDArray[np.float64], size_hw: tuple[int, int]) -> rle.Counts:
    """Draw the ellipse in a box as run lengths."""
    h, w = size_hw
    x0, y0 = np.floor(box[:2]).clip(0, (w - 1, h - 1)).astype(int)
    x1, y1 = np.ceil(box[2:]).clip((x0 + 1, y0 + 1), (w, h)).astype(int)
    half = np.maximum((box[2:] - box[:2]) / 2, 0.5)
    across = (np.arange(x0, x1) + 0.5 - box[[0, 2]].mean()) / half[0]
    down = (np.arange(y0, y1) + 0.5 - box[[1, 3]].mean()) / half[1]
    inside = down[:, None] ** 2 + across**2 <= 1
    return rle.place(rle.encode(inside), inside.shape, (int(x0), int(y0)), size_hw)


def _kept(masks: Masks, keep: Keep | None) -> Masks:
    """Leave out what nobody wants; the order stays."""
    if keep in (None, "all"):
        return masks
    kept = _numbers_kept(masks, keep)
    gone = Counter({"label_keep": len(masks) - len(kept)})
    return replace(masks[kept], dropped=masks.dropped + gone)


def _numbers_kept(masks: Masks, keep: Keep | None) -> Sequence[int]:
    named = np.flatnonzero([name is not None for name in masks.labels])
    if keep == "labelled":
        return [int(i) for i in named]
    kept: list[int] = []
    for name in dict.fromkeys(masks.labels[i] for i in named):
        alike = [int(i) for i in named if masks.labels[i] == name]
        scores = [masks.meta[i][LABEL_SCORE] for i in alike]
        # The ids tell which of them are left; of equal scores, the better mask is the first.
        ranked = replace(masks[alike], scores=np.array(scores), ids=tuple(alike))
        kept += [i for i in ranked.nms(_SAME_THING, "containment").ids if i is not None]
    return sorted(kept)

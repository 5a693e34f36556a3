"""The search of everything mode in one image: decode prompts, and keep what is no duplicate.

A model that is asked a thousand points gives three thousand answers, and nearly all of them go. So
as little as possible is done with each. What the model doubts is dropped unseen. Of the rest, the
logits are kept as far as they can pass a threshold, and enlarged when their turn comes: best first,
as non-maximum suppression goes, where a mask that stays drops all later ones whose boxes overlap
its own too much. That they do is often sure before their boxes are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask import geometry
from anymask.arrays import Array, floats, is_tensor, sigmoid, to_numpy
from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.errors import CapabilityError
from anymask.everything.wholeness import outline_strength
from anymask.image.image import Image
from anymask.masks.enlarge import Enlarger, Part
from anymask.masks.masks import Masks
from anymask.masks.rle import Counts
from anymask.parallel import in_order, thread_count
from anymask.prompt import Prompt

__all__ = ["Progress", "Promptable", "Search"]

_OUTLINES_AT_ONCE = 16
# On a CPU, for memory for more answers is fetched anew from the system each time.
_PROMPTS_TOGETHER = 16
_MOST_WORKERS = 4  # each needs memory for what the network computes

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
CropBox = tuple[int, int, int, int]
Progress: TypeAlias = Callable[[int, int], None]
"""Is told how much is done, and of how much; what it raises ends the search."""

_ROUNDING = 1e-6  # what float32 may do to a ratio
_BYTES_PER_LOGIT = 3 * 4  # of a prompt: three answers, float32
_ROOM_TO_WAIT = 0.25  # share of the memory that is never used for the answers to one batch


class Promptable(Protocol):
    """What everything mode needs of a model.

    One with a ``network`` on the CPU, such as a `Segmenter`, is asked in several threads at once.
    """

    def embed(self, image: Image, /) -> Embedding:
        """Encode one image."""
        ...

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[Array, Array]:
        """Answer n prompts: logits (n, k, h', w') over the model frame, predicted IoU (n, k)."""
        ...


@dataclass(slots=True, eq=False)
class _Candidate:
    """An answer that the model trusts."""

    rank: float
    score: float
    prompt: Prompt
    batch: int
    place: int  # among the answers to its batch
    part: Part | None  # of its logits; None: dropped to save memory
    held: FloatArray  # a box that its mask holds
    holding: FloatArray  # and one that holds its mask


class _Answers(NamedTuple):
    """What came of a batch of prompts."""

    trusted: list[_Candidate]
    doubted: int
    prompts: int
    low_hw: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Kept:
    """A mask that stays; its box is in pixels of the crop, its run lengths in the image's."""

    rank: float
    score: float
    prompt: Prompt
    stability: np.float32
    box: FloatArray
    counts: Counts


class Search:
    """Everything in one image, or in a crop of it.

    Args:
        model: Decodes the prompts.
        embedding: Of the crop.
        crop: Where it lies in the image, xyxy.
        size_hw: Size of the image.
        config: What to drop.
        memory: Bytes for the answers. What does not fit is dropped and decoded again later.
        decoded: Called with the number of prompts that were decoded since the last call, often with
            none; what it raises ends the search.

    Attributes:
        dropped: How many answers went, by the setting that they did not meet.
    """

    def __init__(
        self,
        model: Promptable,
        embedding: Embedding,
        crop: CropBox,
        size_hw: tuple[int, int],
        config: GenerateConfig,
        memory: float,
        decoded: Callable[[int], None] = lambda prompts: None,
    ) -> None:
        self.model, self.embedding = model, embedding
        self.crop, self.size_hw = crop, size_hw
        self.config, self.memory, self._decoded = config, memory, decoded
        self._boundary = _boundary(embedding) if config.ranking == "outline" else None
        self.dropped: Counter[str] = Counter()
        self._batches: list[tuple[Sequence[Prompt], bool]] = []
        self._candidates: list[_Candidate] = []
        self._low_hw: tuple[int, int] | None = None
        self._enlarger: Enlarger | None = None

    # ---------------------------------------------------------------------- asking

    def add(self, prompts: Sequence[Prompt], multimask: bool = True) -> None:
        """Ask prompts, in pixels of the crop, and remember what the model trusts."""
        workers = _workers(self.model)
        batches = self._split(prompts, multimask, workers)
        for answers in in_order(self._decode, batches, workers):
            # Here, not in the threads: how many are asked next must not depend on who is first.
            self._low_hw = answers.low_hw
            self._candidates += answers.trusted
            self.dropped["pred_iou_thresh"] += answers.doubted
            self._evict(self._candidates)
            self._decoded(answers.prompts)

    def _split(self, prompts: Sequence[Prompt], multimask: bool, workers: int) -> Iterator[int]:
        """Note prompts as batches, and number these; those that are under way share the memory."""
        waiting = 1 if workers == 1 else 2 * workers  # see `in_order`
        most = _PROMPTS_TOGETHER if _on_cpu(self.model) else self.config.points_per_batch
        while prompts:
            step = max(1, min(self._at_once() // waiting, most))
            self._batches.append((prompts[:step], multimask))
            yield len(self._batches) - 1
            prompts = prompts[step:]

    @property
    def crop_hw(self) -> tuple[int, int]:
        """Height and width of the crop."""
        return self.embedding.size_hw

    def trusted_xy(self) -> npt.NDArray[np.float64]:
        """List the points that got an answer which the model trusts: (n, 2)."""
        prompts = {id(one.prompt): one.prompt for one in self._candidates}
        return np.concatenate([np.empty((0, 2)), *(one.points_xy for one in prompts.values())])

    def covers(self, points_xy: npt.NDArray[np.float64]) -> BoolArray:
        """Return which points (n, 2) lie in an answer that seems to be stable: bool (n,)."""
        covered = np.zeros(len(points_xy), dtype=np.bool_)
        for one in self._candidates:
            if one.part is not None and self._enlarger is not None:
                part, least = one.part, self.config.stability_score_thresh
                if self._enlarger.rough_stability(part) >= least:
                    covered |= self._enlarger.contains(part, points_xy)
        return covered

    def _at_once(self) -> int:
        """Return how many prompts to ask together: their answers take a part of the memory."""
        fitting = int(self.memory * (1 - _ROOM_TO_WAIT)) // self._bytes_per_prompt()
        return max(1, min(self.config.points_per_batch, fitting))

    def _bytes_per_prompt(self) -> int:
        # Until the first answers are there, they are taken to be as large as they can be.
        h, w = self._low_hw or self.embedding.transform.frame_hw
        return h * w * _BYTES_PER_LOGIT

    def _decode(self, batch: int) -> _Answers:
        """Ask a batch; several threads may do so at once."""
        prompts, multimask = self._batches[batch]
        maps, predicted = self.model.decode(self.embedding, prompts, multimask)
        answers = predicted.shape[1]
        predicted_iou = to_numpy(predicted).reshape(-1)
        places = np.arange(len(predicted_iou))
        if self.config.pred_iou_thresh > 0:
            places = places[predicted_iou > self.config.pred_iou_thresh]
        logits = _picked(maps.reshape(-1, *maps.shape[2:]), places)
        low_hw = maps.shape[2], maps.shape[3]
        enlarger = self._enlarger
        if enlarger is None:
            offset = self.config.stability_score_offset
            enlarger = Enlarger(self.embedding.transform, low_hw, offset)
            self._enlarger = enlarger  # all threads make the same
        found = []
        for rank, score, place, one in zip(
            self._ranks(logits, predicted_iou[places]),
            predicted_iou[places].tolist(),
            places.tolist(),
            logits,
            strict=True,
        ):
            part = enlarger.cut(one)
            bounds = enlarger.bounds(part)
            prompt = prompts[place // answers]
            found.append(_Candidate(rank, score, prompt, batch, place, part, *bounds))
        return _Answers(found, len(predicted_iou) - len(found), len(prompts), low_hw)

    def _ranks(self, logits: Sequence[FloatArray], predicted_iou: FloatArray) -> list[float]:
        """Say how good some answers are, to be compared with each other."""
        ranks = predicted_iou
        if self._boundary is not None and len(logits):
            # A few at once, so that no batch takes memory that the limit does not know of.
            strength = [
                outline_strength(
                    np.stack(logits[start : start + _OUTLINES_AT_ONCE]), self._boundary
                )
                for start in range(0, len(logits), _OUTLINES_AT_ONCE)
            ]
            ranks = ranks * np.concatenate(strength)
        ranked: list[float] = ranks.tolist()
        return ranked

    def _evict(self, candidates: Sequence[_Candidate]) -> bool:
        """Drop logits until the rest fits, those of the worst first; tell if any had to go."""
        waiting = [one for one in candidates if one.part is not None]
        sizes = [one.part.cells.nbytes for one in waiting if one.part is not None]
        room = self.memory - self._at_once() * self._bytes_per_prompt()
        if sum(sizes) <= room:
            return False
        for turn, one in enumerate(_ranked(waiting)):
            assert one.part is not None
            room -= one.part.cells.nbytes
            if turn and room < 0:
                one.part = None
        return True

    def _recompute(self, candidates: Sequence[_Candidate]) -> None:
        """Ask again for the logits of the best of ranked candidates, as many as fit."""
        full = False
        for batch in dict.fromkeys(one.batch for one in candidates if one.part is None):
            if full:
                break
            parts = {again.place: again.part for again in self._decode(batch).trusted}
            for one in candidates:
                if one.batch == batch:
                    one.part = parts[one.place]
            full = self._evict(candidates)

    # -------------------------------------------------------------------- settling

    def nms(self) -> Masks:
        """Give what is stable, not cut off, and no duplicate of something better; best first."""
        ranked = _ranked(self._candidates)
        held, holding = (
            np.array([getattr(one, name) for one in ranked], np.float32).reshape(-1, 4)
            for name in ("held", "holding")
        )
        gone = np.zeros(len(ranked), dtype=np.bool_)
        kept: list[_Kept] = []
        for turn, candidate in enumerate(ranked):
            if kept and candidate.rank < self.config.ranking_thresh * kept[0].rank:
                self.dropped["ranking_thresh"] += len(ranked) - turn
                break
            if gone[turn]:
                candidate.part = None
                self.dropped["box_nms_thresh"] += 1
                continue
            self._decoded(0)
            if candidate.part is None:
                self._recompute(
                    [one for one, out in zip(ranked[turn:], gone[turn:], strict=True) if not out]
                )
            found = self._measure(candidate, kept)
            candidate.part = None
            if isinstance(found, str):
                self.dropped[found] += 1
            else:
                kept.append(found)
                threshold = self.config.box_nms_thresh
                gone |= _surely_overlap(found.box, held, holding) > threshold + _ROUNDING
        return self._masks(kept)

    def _measure(self, candidate: _Candidate, better: Sequence[_Kept]) -> _Kept | str:
        """Enlarge a candidate; if it goes, name the setting that it does not meet."""
        assert candidate.part is not None and self._enlarger is not None
        least = self.config.stability_score_thresh
        region = self._enlarger.measure(candidate.part, least)
        if region is None or (least > 0 and not region.stability >= least):
            return "stability_score_thresh"
        box = region.box()
        if self._cut_off(box):
            return "crop_n_layers"
        if (_overlap(box, better) > self.config.box_nms_thresh).any():
            return "box_nms_thresh"
        counts = region.counts(self.crop[:2], self.size_hw)
        known = candidate.rank, candidate.score, candidate.prompt
        return _Kept(*known, region.stability, box, counts)

    def _cut_off(self, box: FloatArray) -> bool:
        if self.crop == (0, 0, *self.size_hw[::-1]):
            return False
        near = geometry.near_crop_edge(box[None], self.crop, self.size_hw)
        return bool(near.any())

    def _masks(self, kept: Sequence[_Kept]) -> Masks:
        x0, y0 = self.crop[:2]
        boxes = np.array([one.box for one in kept], dtype=np.float32).reshape(-1, 4)
        empty = np.array([len(one.counts) < 2 for one in kept], dtype=np.bool_)
        boxes[~empty] += (x0, y0, x0, y0)
        return Masks(
            self.size_hw,
            tuple(one.counts for one in kept),
            scores=np.array([one.score for one in kept], dtype=np.float32),
            stability=np.array([one.stability for one in kept], dtype=np.float32),
            boxes=boxes,
            prompts=tuple(_moved(one.prompt, x0, y0) for one in kept),
            crop_boxes=np.tile(np.array(self.crop, dtype=np.float32), (len(kept), 1)),
            meta=tuple(self._meta(one) for one in kept),
        )

    def _meta(self, kept: _Kept) -> dict[str, Any]:
        """Say how a mask ranks, where that is not what its score says."""
        return {} if self.config.ranking == "iou" else {"ranking": round(kept.rank, 4)}


def _workers(model: Promptable) -> int:
    """Return how many threads should ask a model at once.

    On a CPU the many small steps of a decoder leave a second thread of PyTorch idle most of the
    time; with prompts of its own it is not. A network may be shared by threads, as nothing else
    that a model may be.
    """
    return min(_MOST_WORKERS, thread_count()) if _on_cpu(model) else 1


def _on_cpu(model: Promptable) -> bool:
    return str(getattr(getattr(model, "network", None), "device", None)) == "cpu"


def _boundary(embedding: Embedding) -> FloatArray:
    """Find the probabilities that a mask ends, over the model frame: (h, w)."""
    if "boundary" not in embedding.features:
        raise CapabilityError(
            "expected a model that sees boundaries for the ranking 'outline', got one with "
            f"{', '.join(embedding.features)}; use 'iou'"
        )
    return sigmoid(floats(to_numpy(embedding.features["boundary"])[0, 0]))


def _picked(maps: Array, places: npt.NDArray[np.int64]) -> list[FloatArray]:
    """Take some maps of logits, where they lie: copying them takes longer than all that follows."""
    if is_tensor(maps) and maps.device.type != "cpu":
        return list(floats(to_numpy(maps[places])))
    here = to_numpy(maps)
    return [floats(here[place]) for place in places]


def _ranked(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Sort by descending rank; equal ones keep their order."""
    ranks = floats([one.rank for one in candidates])
    return [candidates[i] for i in np.argsort(-ranks, kind="stable")]


def _overlap(box: FloatArray, better: Sequence[_Kept]) -> FloatArray:
    """Measure intersection over union with boxes, as `geometry.box_iou` does, to the last bit."""
    boxes = np.array([one.box for one in better], dtype=np.float32).reshape(-1, 4)
    shared = _shared(box, boxes)
    union = _areas(boxes) + _areas(box) - shared
    overlap: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def _surely_overlap(box: FloatArray, held: FloatArray, holding: FloatArray) -> FloatArray:
    """Bound from below the same for boxes of which others are known: inside and around them."""
    around = _areas(holding) - _shared(box, holding)
    union = _areas(box) + around
    shared = _shared(box, held)
    bound: FloatArray = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    return bound


def _shared(box: FloatArray, boxes: FloatArray) -> FloatArray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared: FloatArray = np.maximum(high - low, 0).prod(axis=1)
    return shared


def _areas(boxes: FloatArray) -> FloatArray:
    areas: FloatArray = (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
    return areas


def _moved(prompt: Prompt, x: int, y: int) -> Prompt:
    """Carry a prompt from a crop to the image."""
    if (x, y) == (0, 0):
        return prompt
    by = np.array([x, y, x, y])
    box = None if prompt.box is None else prompt.box + by
    return Prompt(prompt.points_xy + by[:2], prompt.labels, box)

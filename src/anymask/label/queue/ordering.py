"""What the orders of the queue go by, worked out for images that are open.

*Low confidence*: how sure a model is, image by image. *Disagreement*: how well two versions agree
(query by committee, Seung et al., COLT 1992). *Novelty*: an embedding of each image, by which the
ones that are least like all before come first (k-center greedy, Sener and Savarese, ICLR 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from anymask.arrays import floats, to_numpy
from anymask.embedding import Embedding
from anymask.errors import AnymaskError, CapabilityError, InputError
from anymask.geometry import point_grid
from anymask.image.image import Image
from anymask.label.queue import order as queue
from anymask.label.records import ImageRecord
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

if TYPE_CHECKING:
    from anymask.label.store import Store
    from anymask.predict.segmenter import Segmenter

__all__ = ["OrderConfig", "Ordered", "agreement_of", "order_images", "pooled"]

_AT_ONCE = 50  # images whose numbers are kept together


@dataclass(frozen=True)
class OrderConfig:
    """How images are looked at."""

    points_per_side: int = 4
    """Points along each side of the image that the models are asked at."""
    again: bool = False
    """Also look at images that were looked at before; after a retrain, or with another model."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.points_per_side < 1:
            raise InputError(
                f"expected points_per_side of 1 or more, got {self.points_per_side}; 4 is usual"
            )


@dataclass(frozen=True)
class Ordered:
    """What was worked out.

    Attributes:
        images: Number of images that were looked at.
        compared: Number of those of them on which two versions were compared.
        known: Number of images that had been looked at before.
        failed: Images that cannot be opened, with the reason.
    """

    images: int
    compared: int
    known: int
    failed: tuple[tuple[str, str], ...]


def order_images(
    store: Store,
    model: Segmenter,
    other: Segmenter | None = None,
    config: OrderConfig | None = None,
    *,
    limit: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Ordered:
    """Look at all open images with one version or two, for the orders of ``Store.next``.

    Each image is embedded and asked for what is at points of a grid. Kept are the embedding; the
    mean predicted IoU, for images without masks; and, with two versions, the mean IoU of what both
    answer. May be stopped at any time, and goes on where it was.

    Args:
        store: The store.
        model: What `anymask.load` gave; its embeddings count.
        other: Another version, such as the one before a retrain.
        config: How.
        limit: Look at so many images at most.
        progress: Called with the number of images so far.

    Raises:
        CapabilityError: A model takes no points.
        InputError: There are embeddings of another model.
    """
    config = config or OrderConfig()
    for one in (model, other):
        if one is not None and "points" not in one.variant.capabilities:
            raise CapabilityError(
                f"cannot ask {one.variant.name} for what is at points: it takes none; choose "
                "another model"
            )
    work = _Work(store, model, other, config)
    known = 0
    before = store.database.read(lambda t: queue.embedded(t, store.project_id))
    for image in store.images():
        if image.gone or (image.state != "open" and image.id in before):
            continue
        if image.id in before and not config.again:
            known += 1
            continue
        if limit is not None and work.images >= limit:
            break
        work.take(image)
        if progress is not None:
            progress(work.images)
    work.save()
    queue.order_by_novelty(store.database, store.project_id)
    return Ordered(work.images, work.compared, known, tuple(work.failed))


@dataclass
class _Work:
    store: Store
    model: Segmenter
    other: Segmenter | None
    config: OrderConfig
    images: int = 0
    compared: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    vectors: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)
    agreement: dict[int, float] = field(default_factory=dict)

    def take(self, record: ImageRecord) -> None:
        """Look at an image; done ones are embedded alone, for novelty is what is unlike them."""
        try:
            image = Image.open(self.store.open_image(record))
        except AnymaskError as error:
            self.failed.append((record.name, str(error)))
            return
        embedding = self.model.embed(image)
        self.vectors[record.id] = pooled(embedding)
        if record.state == "open":
            h, w = image.size_hw
            grid = point_grid(self.config.points_per_side) * (w, h) - 0.5
            prompts = [Prompt([xy]) for xy in grid.clip(0, (w - 1, h - 1)).tolist()]
            answers = _best(self.model, embedding, prompts)
            if np.isfinite(answers.scores).any():
                self.confidence[record.id] = float(np.nanmean(answers.scores))
            if self.other is not None:
                others = _best(self.other, self.other.embed(image), prompts)
                self.agreement[record.id] = agreement_of(answers, others)
                self.compared += 1
        self.images += 1
        if len(self.vectors) >= _AT_ONCE:
            self.save()

    def save(self) -> None:
        """Keep what was worked out so far."""
        store, project = self.store, self.store.project_id
        if not self.vectors:
            return
        store.database.write(lambda t: queue.save_embeddings(t, project, self.vectors))
        store.database.write(lambda t: queue.save_confidence(t, project, self.confidence))
        store.database.write(lambda t: queue.save_agreement(t, project, self.agreement))
        for one in (self.vectors, self.confidence, self.agreement):
            one.clear()


def _best(model: Segmenter, embedding: Embedding, prompts: list[Prompt]) -> Masks:
    """Give the best answer to each prompt; an empty mask where there is none."""
    answers = model.predict(embedding, prompts=prompts)
    h, w = embedding.size_hw
    nothing = Masks.from_dense(np.zeros((1, h, w), bool))
    best = [one.best() if len(one) else nothing for one in answers]
    return Masks(
        (h, w),
        tuple(one.counts[0] for one in best),
        scores=np.array([one.scores[0] for one in best], np.float32),
    )


def agreement_of(first: Masks, second: Masks) -> float:
    """Give the mean IoU of masks with those of the same place in another list; 0 to 1.

    Two empty masks agree.

    Examples:
        >>> dense = np.zeros((2, 2, 4), bool)
        >>> dense[0, 0] = True
        >>> masks = Masks.from_dense(dense)
        >>> agreement_of(masks, masks), agreement_of(masks, Masks.from_dense(dense[::-1]))
        (1.0, 0.0)
    """
    ious = [
        float(rle.iou([a], [b])[0, 0]) if rle.area(a) or rle.area(b) else 1.0
        for a, b in zip(first.counts, second.counts, strict=True)
    ]
    return float(np.mean(ious))


def pooled(embedding: Embedding) -> npt.NDArray[np.float32]:
    """Describe an image by one vector: the mean of its coarsest map, of length 1.

    Args:
        embedding: Of the image.

    Returns:
        float32 (c,).

    Examples:
        >>> from anymask import load
        >>> vector = pooled(load().embed("docs/pictures/coffee.jpg"))
        >>> vector.ndim, bool(np.isclose(np.linalg.norm(vector), 1))
        (1, True)
    """
    # Of equally coarse maps, the one with most channels; the name decides between equals.
    maps = sorted(embedding.features.items())
    chosen = min(maps, key=lambda one: (one[1].shape[2] * one[1].shape[3], -one[1].shape[1]))[1]
    values = floats(to_numpy(chosen))[0]
    frame, inside, offset = (
        getattr(embedding.transform, name) for name in ("frame_hw", "resized_hw", "offset_hw")
    )
    cut = []
    for size, whole, part, before in zip(values.shape[1:], frame, inside, offset, strict=True):
        start = int(before * size // whole)  # the padding says nothing
        cut.append(slice(start, max(start + 1, -int(-(before + part) * size // whole))))
    vector = values[:, cut[0], cut[1]].mean(axis=(1, 2))
    unit: npt.NDArray[np.float32] = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(
        np.float32
    )
    return unit

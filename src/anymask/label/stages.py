"""What models do between the steps of people, as in the Segment Anything paper (section 4).

*Semi-automatic*: what a detector finds and the model is sure of is filled in before people open an
image; they add the rest. *Automatic*: everything mode labels images alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from anymask.config import GenerateConfig
from anymask.errors import AnymaskError, CapabilityError, InputError
from anymask.image.image import Image
from anymask.label import changes
from anymask.label.database.connection import Transaction
from anymask.label.images import image_row
from anymask.label.names import register_served
from anymask.label.proposals import Propose, proposals_of
from anymask.label.queue.leases import check_free
from anymask.label.records import SHOWN, Change, ImageRecord, LeaseConflict, Provenance
from anymask.label.review.hidden import numbers
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.masks.rle import Counts

if TYPE_CHECKING:
    from anymask.label.store import Store
    from anymask.predict.segmenter import Segmenter

__all__ = ["AutoConfig", "Automatic", "automatic", "find_masks"]


@dataclass(frozen=True)
class AutoConfig:
    """How a model labels images alone."""

    stage: Literal["semi-automatic", "automatic"] = "automatic"
    """semi-automatic: fill in what a detector finds and the model is sure of, for people to add the
    rest; automatic: everything mode."""
    text: str | None = None
    """What the detector looks for, such as "car. person.", in the semi-automatic stage; without it,
    whatever the project's own detector finds (see retrain), or the 23 everyday things that the
    bundled one knows."""
    min_iou: float | None = None
    """Least predicted IoU of a mask; without it, the model's own (SAM's is 0.88)."""
    min_stability: float | None = None
    """Least stability of a mask, where it is measured; without it, the model's own (SAM's is
    0.95)."""
    points_per_side: int | None = None
    """Points of everything mode along each side of the image; without it, the model's own."""
    crops: int = 1
    """Everything mode looks at crops of the image, too: 4 for 1, 20 for 2; 0: the image alone."""
    max_area: float = 0.95
    """Share of the image from which on a mask is dropped."""
    min_region: int = 100
    """Pixels of islands that are dropped and of holes that are filled, in everything mode."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.stage not in ("semi-automatic", "automatic"):
            raise InputError(
                f"expected a stage semi-automatic or automatic, got {self.stage!r}; name one"
            )
        if self.text is not None and self.stage == "automatic":
            raise InputError(
                "expected text for the semi-automatic stage alone, got it for everything mode; "
                "leave it out"
            )
        for name in ("min_iou", "min_stability"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"expected {name} from 0 to 1, got {value}; 0.88 is usual")
        if not 0 < self.max_area <= 1 or self.crops < 0 or self.min_region < 0:
            raise InputError(
                "expected max_area above 0 and up to 1, crops and min_region of 0 or more, got "
                f"{self.max_area}, {self.crops}, {self.min_region}; correct them"
            )


@dataclass(frozen=True)
class Automatic:
    """What a model did.

    Attributes:
        images: Number of images that it labelled.
        masks: Number of masks that it made.
        known: Number of images that it had labelled before.
        failed: Images that cannot be opened, with the reason.
        leased: Images that somebody has open, or has labelled meanwhile: they are left as they are,
            for another time.
    """

    images: int
    masks: int
    known: int
    failed: tuple[tuple[str, str], ...]
    leased: tuple[str, ...] = ()


def automatic(
    store: Store,
    model: Segmenter,
    config: AutoConfig | None = None,
    *,
    version: str | None = None,
    limit: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Automatic:
    """Let a model label all images that are open; the same version does each image once.

    May be stopped at any time, and goes on where it was. The images stay open. Nothing changes
    beneath somebody who has an image at the moment.

    Args:
        store: The store.
        model: What `anymask.load` gave.
        config: How.
        version: What the store calls the model; None: the name of its variant.
        limit: Label at most so many images.
        progress: Called with the number of images so far.

    Raises:
        CapabilityError: The model takes no boxes, which the semi-automatic stage needs.
    """
    config, called = config or AutoConfig(), version or model.variant.name
    if config.stage == "semi-automatic" and "box" not in model.variant.capabilities:
        raise CapabilityError(
            f"cannot fill in masks with {model.variant.name}: it takes no boxes; choose another "
            "model, or the automatic stage"
        )
    digest = model.weights_digest
    version = store.database.write(
        lambda t: register_served(t, store.project_id, called, called, digest)
    )
    propose, by = None, ""
    if config.stage == "semi-automatic" and config.text is None:
        own = proposals_of(store, model.device)
        if own is not None:
            by, propose = f" {own[0]}", own[1]
    done = masks = known = 0
    failed: list[tuple[str, str]] = []
    leased: list[str] = []
    hidden = store.database.read(lambda t: numbers(t, store.project_id))
    for image in store.images(honeypots=True):  # what is not filled in there would tell
        if (image.state != "open" and image.id not in hidden) or image.gone:
            continue
        if limit is not None and done >= limit:
            break
        token = f"auto {image.id} {config.stage} {version}{by}"[:200]
        if store.was_done(token):
            known += 1
            continue
        if any(one.image.id == image.id for one in store.leases()):
            leased.append(image.name)
            continue
        try:
            found = find_masks(model, Image.open(store.open_image(image)), config, propose)
        except AnymaskError as error:
            failed.append((image.name, str(error)))
            continue
        provenance = Provenance(version=version, stage=config.stage, token=token)
        made = _fill_in(store, image, found, provenance)
        if made is None:
            leased.append(image.name)
            continue
        done, masks = done + 1, masks + made
        if progress is not None:
            progress(done)
    return Automatic(done, masks, known, tuple(failed), tuple(leased))


def find_masks(
    model: Segmenter, image: Image, config: AutoConfig, propose: Propose | None = None
) -> Masks:
    """Find the masks of one image that are good enough to be kept.

    Args:
        model: What `anymask.load` gave.
        image: The image.
        config: How.
        propose: A detector of boxes for the semi-automatic stage, see `anymask.label.proposals`;
            None: the bundled one.

    Examples:
        >>> from anymask import load
        >>> coffee = Image.open("docs/pictures/coffee.jpg")
        >>> config = AutoConfig("semi-automatic", text="cups", min_iou=0.5)
        >>> find_masks(load(), coffee, config).labels
        ('cups',)
    """
    usual: Any = model.variant.generate
    if config.stage == "automatic":
        options: dict[str, Any] = {}
        if isinstance(usual, GenerateConfig):
            options = {"crop_n_layers": config.crops, "min_mask_region_area": config.min_region}
            if config.points_per_side is not None:
                options["points_per_side"] = config.points_per_side
            if config.min_iou is not None:
                options["pred_iou_thresh"] = config.min_iou
            if config.min_stability is not None:
                options["stability_score_thresh"] = config.min_stability
        found = model.generate(image, **options)
    else:
        found = _filled_in(model, image, config, propose)
        found = found[_at_least(found.scores, config.min_iou, usual, "pred_iou_thresh")]
        limit, name = config.min_stability, "stability_score_thresh"
        found = found[_at_least(found.stability, limit, usual, name)]
    h, w = image.size_hw
    return found[(found.areas > 0) & (found.areas < config.max_area * h * w)]


def _at_least(values: Any, limit: float | None, usual: Any, name: str) -> Any:
    """Say which masks are good enough; what was not measured cannot fail."""
    least = getattr(usual, name, 0.0) if limit is None else limit
    return np.isnan(values) | (values >= least)


def _filled_in(
    model: Segmenter, image: Image, config: AutoConfig, propose: Propose | None
) -> Masks:
    from anymask.text.ground import detect

    boxes = detect(image, config.text, device=model.device) if propose is None else propose(image)
    if not len(boxes):
        return Masks.empty(image.size_hw, model=model.variant.name)
    embedding = model.embed(image)
    answers = model.predict(embedding, prompts=boxes.prompts(), multimask=False)
    best = [
        replace(one.best(), labels=(name,)) for one, name in zip(answers, boxes.labels, strict=True)
    ]
    return Masks.concat(best)


def _fill_in(store: Store, image: ImageRecord, found: Masks, provenance: Provenance) -> int | None:
    """Add masks to an image; give their number, None if somebody has it or is done with it.

    What is there already is told outside of the transaction, in which nobody else could write; so
    it is told anew should the masks have changed meanwhile.
    """
    project = store.project_id
    new, told = found, list[Counts]()

    def work(transaction: Transaction) -> int | list[Counts] | None:
        row = image_row(transaction, project, image.id)
        try:
            check_free(transaction, project, row, None)
        except LeaseConflict:
            return None
        is_hidden = row.state in SHOWN
        if row.state != "open" and not is_hidden:
            return None
        there = changes.read_masks(transaction, project, image.id)
        known = list(there.masks.counts)
        if is_hidden and SHOWN[row.state] != "open":  # it is for whoever gets the image next
            known = [one for one, who in zip(known, there.people, strict=True) if who is None]
        if len(known) != len(told) or not all(map(np.array_equal, known, told)):
            return known
        add = Change("add", masks=new, review="pending")
        changes.apply(transaction, project, image.id, [add], provenance, is_free=True)
        return len(new)

    while isinstance(answer := store.database.write(work), list):
        told, new = answer, _without_known(answer, found)
    return answer


def _without_known(known: Sequence[Counts], found: Masks) -> Masks:
    """Leave out what is there already, made by people or by another version."""
    if not known or not len(found):
        return found
    return found[rle.iou(found.counts, known).max(axis=1) < 0.8]

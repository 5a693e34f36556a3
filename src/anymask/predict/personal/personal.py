"""Things known from examples, found in other images: all instances of each, or "not here".

personal = model.personalize("mug.jpg", "mug-mask.png", names="my mug")
masks = personal.find("kitchen.jpg")  # none, if it is not here

Where the cells of an image resemble the thing, the model is clicked, and its answers are matched
with the references forth and back (`matching`). What is alike enough is kept, its place is taken,
and the rest is searched again until nothing more is found. How alike that is, the references have
shown themselves (`calibrate`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast, overload

import numpy as np
import torch
from torch import Tensor

from anymask.config import PersonalConfig, changed
from anymask.embedding import Embedding
from anymask.image.image import ImageLike
from anymask.masks.masks import Masks
from anymask.models.sam import Promptable
from anymask.parallel import threads_work
from anymask.predict.personal import persam
from anymask.predict.personal.calibrate import Scale, calibrate
from anymask.predict.personal.examples import Example, MaskLike, read_examples
from anymask.predict.personal.instances import Candidates, candidates
from anymask.predict.personal.matching import Cells, View, describe, distances
from anymask.predict.personal.model import Model
from anymask.prompt import Prompt

__all__ = ["Personal", "Thing", "learn", "personalize"]

_OVERLAP = 0.3  # share of the smaller of two masks, from which on they are one instance
_TAKEN = 0.2  # share of a cell that belongs to what was found
_ONE_PLACE = 0.6  # share of a mask that lies in another, or IoU with that of another thing, from
# which on only the likelier is right


@dataclass(frozen=True, eq=False)
class Thing:
    """What is known of one thing.

    Attributes:
        name: What it is called.
        views: What its references show, for "match".
        scale: What resemblances to it mean, for "match".
        target: What it looks like on the whole, for PerSAM.
    """

    name: str
    target: persam.Target
    views: tuple[View, ...] = ()
    scale: Scale = field(default_factory=lambda: Scale(0, -1))


@dataclass(frozen=True, eq=False)
class Personal:
    """A model that has been shown things; what `Segmenter.personalize` returns.

    Attributes:
        model: Who looks for them.
        things: What it was shown.
        config: How it looks.
    """

    model: Model
    things: tuple[Thing, ...]
    config: PersonalConfig = field(default_factory=PersonalConfig)

    def __repr__(self) -> str:
        """Name the things and the model."""
        names = ", ".join(thing.name for thing in self.things)
        return f"Personal({names}; {self.model.variant.name}, {self.config.method})"

    @property
    def names(self) -> tuple[str, ...]:
        """What the things are called."""
        return tuple(thing.name for thing in self.things)

    @overload
    def find(  # type: ignore[overload-overlap]  # a str is a sequence of str: it counts as one
        self, image: Embedding | ImageLike
    ) -> Masks: ...
    @overload
    def find(self, image: Sequence[Embedding | ImageLike]) -> list[Masks]: ...

    @threads_work()
    def find(
        self, image: Embedding | ImageLike | Sequence[Embedding | ImageLike]
    ) -> Masks | list[Masks]:
        """Find the things in an image, or in each image of a list.

        Args:
            image: A path, bytes, Pillow image or array, or what the model embedded.

        Returns:
            A mask for each instance, the likeliest first, none if nothing is here. ``labels`` are
            the names; ``scores`` how likely it is the thing, 0 to 1 (for the published methods
            the predicted IoU); ``meta`` holds ``predicted_iou``; ``dropped`` counts answers of the
            last round that were not alike enough.

        Raises:
            InputError: The image cannot be read, or was embedded by another model.

        Examples:
            >>> import numpy as np
            >>> from anymask import load
            >>> photo = np.full((96, 128, 3), 90, np.uint8)
            >>> photo[30:60, 20:50] = (250, 180, 20)
            >>> mask = np.zeros((96, 128), bool)
            >>> mask[30:60, 20:50] = True
            >>> personal = load().personalize(photo, mask, names="square")
            >>> personal.find(photo[:, ::-1]).labels
            ('square',)
        """
        if isinstance(image, (list, tuple)):
            return [self.find(one) for one in image]
        subject = cast("Embedding | ImageLike", image)
        embedding = subject if isinstance(subject, Embedding) else self.model.embed(subject)
        if self.config.method != "match":
            return self._published(embedding)
        cells = describe(self.model, embedding)
        found = [self._instances(embedding, cells, thing) for thing in self.things]
        dropped = sum((masks.dropped for masks in found), Counter[str]())
        return replace(Masks.concat(found).nms(_ONE_PLACE, "mask"), dropped=dropped)

    def _published(self, embedding: Embedding) -> Masks:
        """Answer as PerSAM does: one mask of each thing."""
        answers = []
        for thing in self.things:
            found = persam.find(self.model, embedding, thing.target)
            answers.append(replace(found, labels=(thing.name,) * len(found)))
        return Masks.concat(answers).sort()

    def _instances(self, embedding: Embedding, cells: Cells, thing: Thing) -> Masks:
        """Find all instances of a thing."""
        between = [distances(cells, view) for view in thing.views]
        taken = torch.zeros(len(cells.vectors), dtype=torch.bool)
        chosen: list[_Instance] = []
        dropped = 0
        while len(chosen) < self.config.max_instances:
            asked = candidates(
                self.model, embedding, cells, thing.views, between, self.config.clicks, taken
            )
            new = self._chosen(asked, thing, [one.covered for one in chosen])
            if not new:
                dropped = len(asked)
                break
            chosen += new
            taken = torch.stack([taken, *(one.covered > _TAKEN for one in new)]).any(dim=0)
        chosen = sorted(chosen, key=lambda one: -one.confidence)[: self.config.max_instances]
        guided = isinstance(self.model.network, Promptable)
        masks = (self._guided if guided else self._masks)(embedding, thing, chosen)
        masks = masks.nms(_ONE_PLACE, "containment")  # the last answers may have grown into others
        return replace(masks, dropped=Counter({"threshold": dropped}))

    def _chosen(self, asked: Candidates, thing: Thing, before: Sequence[Tensor]) -> list[_Instance]:
        """Choose answers that are alike enough and in no other's place, the likeliest first."""
        confidence = thing.scale.confidence(asked.resemblance)
        chosen: list[_Instance] = []
        for i in confidence.argsort(descending=True, stable=True).tolist():
            if confidence[i] < self.config.threshold or asked.resemblance[i] == -torch.inf:
                break
            covered = asked.covered[i]
            others = [*before, *(one.covered for one in chosen)]
            if all(_overlap(covered, other) < _OVERLAP for other in others):
                point = asked.points_xy[i // 3]
                iou = float(asked.predicted_iou[i])
                chosen.append(_Instance(point, asked.logits[i], covered, float(confidence[i]), iou))
        return chosen

    def _guided(self, embedding: Embedding, thing: Thing, chosen: Sequence[_Instance]) -> Masks:
        """Let SAM's decoder answer the same clicks again, guided, as PerSAM does."""
        similar = persam.similarity(self.model, embedding, thing.target)
        _, bottom = persam.extremes(similar)
        answers = [Masks.empty(embedding.size_hw, source=embedding.source)]
        for one in chosen:
            places = np.stack([one.point_xy, bottom])
            answer = persam.answer(self.model, embedding, places, similar, thing.target)
            if len(answer):
                known = {"predicted_iou": round(float(answer.scores[0]), 4)}
                scores = np.array([one.confidence], np.float32)
                answers.append(replace(answer, scores=scores, labels=(thing.name,), meta=(known,)))
        return Masks.concat(answers)

    def _masks(self, embedding: Embedding, thing: Thing, chosen: Sequence[_Instance]) -> Masks:
        """Bring what was chosen to the size of the image."""
        model = self.model
        empty = Masks.empty(embedding.size_hw, source=embedding.source, model=model.variant.name)
        if not chosen:
            return empty
        logits = self._again(embedding, chosen)
        dense = (embedding.transform.masks_to_image(logits) > 0).numpy()
        kept = [i for i in range(len(chosen)) if dense[i].any()]
        return replace(
            Masks.from_dense(dense)[kept],
            scores=np.array([chosen[i].confidence for i in kept], np.float32),
            prompts=tuple(Prompt([chosen[i].point_xy]) for i in kept),
            logits=logits[kept].numpy(),
            source=embedding.source,
            model=model.variant.name,
            labels=(thing.name,) * len(kept),
            meta=tuple({"predicted_iou": round(chosen[i].predicted_iou, 4)} for i in kept),
        )

    def _again(self, embedding: Embedding, chosen: Sequence[_Instance]) -> Tensor:
        """Improve answers by asking once more with themselves as masks: (n, h', w').

        What comes out elsewhere is no improvement.
        """
        first = torch.stack([one.logits for one in chosen])
        if "mask" not in self.model.variant.capabilities:
            return first
        asked = [Prompt([one.point_xy], mask_logits=one.logits.numpy()) for one in chosen]
        second = torch.as_tensor(self.model.decode(embedding, asked, False)[0])[:, 0].cpu()
        both = ((first > 0) & (second > 0)).flatten(1).sum(dim=1)
        either = ((first > 0) | (second > 0)).flatten(1).sum(dim=1)
        return torch.where((both > 0.5 * either)[:, None, None], second, first)


@dataclass(frozen=True, eq=False)
class _Instance:
    point_xy: Any  # float64 (2,)
    logits: Tensor  # (h', w')
    covered: Tensor  # (cells,)
    confidence: float
    predicted_iou: float


def _overlap(one: Tensor, other: Tensor) -> float:
    """Measure how much of the smaller of two masks (cells,) lies in the other."""
    both = torch.minimum(one, other).sum()
    return float(both / torch.minimum(one.sum(), other.sum()).clamp(min=1e-6))


def personalize(
    model: Model,
    reference: ImageLike | Sequence[ImageLike],
    mask: MaskLike | Sequence[MaskLike],
    names: str | Sequence[str] | None = None,
    config: PersonalConfig | None = None,
    **options: Any,
) -> Personal:
    """Show things to a model, to find them in other images; `Segmenter.personalize` calls it.

    Args:
        model: Who is to look for them: the bundled model, or one with SAM's decoder.
        reference: An image, or a list of them: several things, or several views of one.
        mask: Where the thing is in each: bool (h, w), an image file that is light there, a label
            map of several things, or `Masks`; see `examples.things_of`.
        names: What the things are called: one name for all, one for each reference (the same for
            views of one thing), or one for each label of a label map. None: what `Masks` say, or
            "thing".
        config: How to look; None: as usual.
        **options: Single settings of `PersonalConfig` that should differ from that.

    Returns:
        What finds the things, any number of times: the references are encoded here, once, and so
        are three views of each that are made to learn how alike is alike enough.

    Raises:
        InputError: There is no reference, a mask is empty, covers everything or does not fit its
            image, or names are too few or too many.
        CapabilityError: The model's features cannot be compared, as FastSAM's.

    Examples:
        >>> from anymask import load
        >>> mask = "mug-mask.png"
        >>> personal = load().personalize("mug.jpg", mask, names="mug")  # doctest: +SKIP
        >>> personal.find("kitchen.jpg")  # doctest: +SKIP
        Masks(2 masks of 640 x 480: 2 mug; best score 0.97)
    """
    settings = changed(PersonalConfig(), config, options)
    persam.appearance_of(model)
    return learn(model, read_examples(reference, mask, names), settings)


@threads_work()
def learn(
    model: Model, examples: Sequence[Example], config: PersonalConfig | None = None
) -> Personal:
    """Learn from examples what things look like; each image is encoded once.

    Args:
        model: Who is to look for them.
        examples: At least one; those of one name are views of one thing.
        config: How it is to look; None: as usual.

    Raises:
        CapabilityError: The model's features cannot be compared.
    """
    config = config or PersonalConfig()
    persam.appearance_of(model)
    images = {id(example.image): example.image for example in examples}
    embedded = dict(zip(images, model.embed(list(images.values())), strict=True))
    named: dict[str, list[Example]] = {}
    for example in examples:
        named.setdefault(example.name, []).append(example)
    things = [
        _known(model, name, own, [embedded[id(one.image)] for one in own], config)
        for name, own in named.items()
    ]
    return Personal(model, tuple(things), config)


def _known(
    model: Model,
    name: str,
    examples: Sequence[Example],
    embeddings: Sequence[Embedding],
    config: PersonalConfig,
) -> Thing:
    """Say what examples of one thing show."""
    pairs = list(zip(examples, embeddings, strict=True))
    learn_one: Callable[..., persam.Target] = (
        persam.learn if config.method == "persam-f" else persam.target_of
    )
    target = persam.mean_target([learn_one(model, e, example.mask) for example, e in pairs])
    if config.method != "match":
        return Thing(name, target)
    views = tuple(View.of(describe(model, e), example.mask) for example, e in pairs)
    scale = calibrate(model, examples, embeddings, views, config.clicks)
    return Thing(name, target, views, scale)

"""From words to masks: a grounder says where, a model of prompts what belongs to it.

Grounded segmentation (Ren et al., 2024): boxes of a detector that knows words are prompts of a
model that knows none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias, cast, overload

from anymask.arrays import Device
from anymask.detections import Detections
from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.models.variants import Variant
from anymask.parallel import threads_work
from anymask.prompt import Prompt
from anymask.text.ground import Grounder, GrounderLike, choose, detect, look_for
from anymask.text.phrases import Phrases, Text, Threshold

__all__ = ["PREDICTED_IOU", "FindsWords", "check_capable", "find_words"]

PREDICTED_IOU = "mask_predicted_iou"
"""Where `Masks.meta` has the predicted IoU of a mask whose score is the grounder's."""

_SAME_PHRASE = 0.5
_INSIDE = 0.8  # things of one name share no pixels: a torso within its person is no other one
_OTHER_PHRASE = 0.8  # as for boxes: what has another name may still be most of the same thing
_IMAGES_AT_ONCE = 8


Subject: TypeAlias = Embedding | ImageLike


class Promptable(Protocol):
    """What a model must be able to do: answer boxes."""

    @property
    def variant(self) -> Variant:
        """Which model it is."""
        ...

    @property
    def device(self) -> Device:
        """Where it computes."""
        ...

    def embed(self, image: Sequence[ImageLike], /) -> list[Embedding]:
        """Encode images."""
        ...

    def predict(
        self, embedding: Embedding, /, *, prompts: Sequence[Prompt], multimask: bool | None
    ) -> list[Masks]:
        """Answer prompts about one image."""
        ...


class FindsWords:
    """What a `Segmenter` does with words."""

    @overload
    def detect(  # type: ignore[overload-overlap]  # a str is a sequence of str: it counts as one
        self,
        image: ImageLike,
        text: Text | None = ...,
        *,
        negative: Text | None = ...,
        threshold: Threshold | None = ...,
        grounder: GrounderLike | None = ...,
    ) -> Detections: ...
    @overload
    def detect(
        self,
        image: Sequence[ImageLike],
        text: Text | None = ...,
        *,
        negative: Text | None = ...,
        threshold: Threshold | None = ...,
        grounder: GrounderLike | None = ...,
    ) -> list[Detections]: ...

    def detect(
        self,
        image: ImageLike | Sequence[ImageLike],
        text: Text | None = None,
        *,
        negative: Text | None = None,
        threshold: Threshold | None = None,
        grounder: GrounderLike | None = None,
    ) -> Detections | list[Detections]:
        """Find boxes of what words name, without cutting anything out; see `anymask.detect`."""
        return detect(
            image,
            text,
            negative=negative,
            threshold=threshold,
            grounder=grounder,
            device=cast(Promptable, self).device,
        )

    def _predict_words(
        self,
        subject: Subject | Sequence[Subject],
        text: Text,
        negative: Text | None,
        threshold: Threshold | None,
        grounder: GrounderLike | None,
        multimask: bool | None,
    ) -> Masks | list[Masks]:
        """Cut out what words name, in one image or in each of a list; see `Segmenter.predict`."""
        phrases = Phrases.of(text, negative, threshold)
        model = cast(Promptable, self)
        check_capable(model)
        chosen = choose(phrases, grounder, model.device)
        if isinstance(subject, (list, tuple)):
            return find_words(model, subject, phrases, chosen, multimask)
        return find_words(model, [cast(Subject, subject)], phrases, chosen, multimask)[0]


def check_capable(model: Promptable) -> None:
    """Check that a model can go on from the boxes of a grounder.

    Raises:
        CapabilityError: It cannot.
    """
    if "box" not in model.variant.capabilities:
        raise CapabilityError(
            f"{model.variant.name} does not know words, for it does not take the boxes of a "
            "grounder; load another model, such as 'bundled'"
        )


def find_words(
    model: Promptable,
    subjects: Sequence[Subject],
    phrases: Phrases,
    grounder: Grounder,
    multimask: bool | None = None,
) -> list[Masks]:
    """Cut out what phrases name, all instances of it, in each image of a list.

    Where two masks of one phrase overlap by more than half (intersection over union) or one lies in
    the other by more than 0.8, or two of different phrases overlap by more than 0.8, the one of the
    lower score goes; so does an empty one.

    Args:
        model: Knows boxes.
        subjects: Images, or embeddings of images that can be found.
        phrases: What is looked for.
        grounder: Knows all of the phrases.
        multimask: Choose the best of three answers to each box; None: as the model likes it.

    Returns:
        For each image its masks, best first: each with one of the phrases as its label, the
        grounder's score, the box as its prompt, and in its meta the model's predicted IoU.

    Raises:
        InputError: An embedding's image cannot be found.
    """
    answers: list[Masks] = []
    for start in range(0, len(subjects), _IMAGES_AT_ONCE):
        few = subjects[start : start + _IMAGES_AT_ONCE]
        images = [_image_of(subject) for subject in few]
        with threads_work():
            found = look_for(phrases, images, grounder)
        answers += _cut_out(model, few, images, found, multimask)
    return answers


def _cut_out(
    model: Promptable,
    subjects: Sequence[Subject],
    images: Sequence[Image],
    found: Sequence[Detections],
    multimask: bool | None,
) -> list[Masks]:
    """Turn the boxes of a few images into masks; where there are none, nothing is embedded."""
    given = {i: one for i, one in enumerate(subjects) if isinstance(one, Embedding)}
    needed = [i for i in range(len(images)) if len(found[i]) and i not in given]
    embeddings = given | dict(zip(needed, model.embed([images[i] for i in needed]), strict=True))
    name = model.variant.name
    return [
        _named(model, embeddings[i], boxes, multimask)
        if len(boxes)
        else Masks.empty(images[i].size_hw, source=images[i].source, model=name)
        for i, boxes in enumerate(found)
    ]


def _named(
    model: Promptable, embedding: Embedding, found: Detections, multimask: bool | None
) -> Masks:
    """Cut out what boxes hold, and call it by their names."""
    answers = model.predict(embedding, prompts=found.prompts(), multimask=multimask)
    best = [answer.best() for answer in answers]
    named = [
        replace(
            mask,
            scores=box.scores,
            labels=box.labels,
            meta=tuple({PREDICTED_IOU: round(float(score), 4)} for score in mask.scores),
        )
        for mask, box in zip(best, found, strict=True)
        if len(mask)
    ]
    if not named:
        return Masks.empty(embedding.size_hw, source=embedding.source, model=model.variant.name)
    return _without_duplicates(Masks.concat(named))


def _without_duplicates(masks: Masks) -> Masks:
    some = masks[masks.areas > 0]
    kept = [
        some.filter(label=label).nms(_SAME_PHRASE, "mask").nms(_INSIDE, "containment")
        for label in dict.fromkeys(some.labels)
        if label is not None
    ]
    return Masks.concat(kept).nms(_OTHER_PHRASE, "mask") if kept else some


def _image_of(subject: Subject) -> Image:
    """Open an image; that of an embedding by where it came from."""
    if not isinstance(subject, Embedding):
        return Image.open(subject)
    source = subject.source
    if source is None or not os.path.isfile(source):
        where = "without its image" if source is None else f"of {source!r}, which is not there"
        raise InputError(
            f"expected an image to look for words in, got an Embedding {where}; give the image "
            "itself"
        )
    image = Image.open(Path(source))
    if image.size_hw != subject.size_hw:
        (h, w), (height, width) = subject.size_hw, image.size_hw
        raise InputError(
            f"expected {source!r} as it was embedded, {w} x {h} pixels, got {width} x {height}; "
            "give the image itself"
        )
    return image

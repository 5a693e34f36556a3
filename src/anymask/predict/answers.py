"""A model that answers prompts: from these and embeddings, or images, to masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast, overload

import numpy as np
import numpy.typing as npt

from anymask.arrays import to_numpy
from anymask.embedding import Embedding
from anymask.image.image import Image, ImageLike
from anymask.masks.enlarge import enlarged_counts
from anymask.masks.masks import Masks
from anymask.predict.checks import (
    check_list,
    check_lists,
    check_no_words,
    check_said_once,
    check_words_alone,
    warn_of_shares,
)
from anymask.predict.decoder import Decoder
from anymask.predict.embedder import IMAGES_AT_ONCE
from anymask.predict.words import FindsWords
from anymask.prompt import Numbers, Prompt
from anymask.text.phrases import Text, Threshold

if TYPE_CHECKING:
    from anymask.text.ground import GrounderLike

__all__ = ["Answers", "Subject"]

_PROMPTS_AT_ONCE = 64  # this bounds the memory of long lists

Subject: TypeAlias = Embedding | ImageLike
"""What prompts are about."""


@dataclass(frozen=True, eq=False, repr=False)
class Answers(Decoder, FindsWords):
    """How a `Segmenter` answers prompts."""

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str: it counts as one
        self,
        embedding: Subject,
        *,
        points: Numbers | None = ...,
        labels: Numbers | None = ...,
        box: Numbers | None = ...,
        mask: Numbers | None = ...,
        mask_logits: Numbers | None = ...,
        text: Text | None = ...,
        negative: Text | None = ...,
        threshold: Threshold | None = ...,
        grounder: GrounderLike | None = ...,
        prompts: Prompt | None = ...,
        multimask: bool | None = ...,
    ) -> Masks: ...
    @overload
    def predict(
        self,
        embedding: Sequence[Subject],
        *,
        text: Text,
        negative: Text | None = ...,
        threshold: Threshold | None = ...,
        grounder: GrounderLike | None = ...,
        multimask: bool | None = ...,
    ) -> list[Masks]: ...
    @overload
    def predict(
        self, embedding: Subject, *, prompts: Sequence[Prompt], multimask: bool | None = ...
    ) -> list[Masks]: ...
    @overload
    def predict(
        self,
        embedding: Sequence[Subject],
        *,
        prompts: Sequence[Sequence[Prompt]],
        multimask: bool | None = ...,
    ) -> list[list[Masks]]: ...

    def predict(
        self,
        embedding: Subject | Sequence[Subject],
        *,
        points: Numbers | None = None,
        labels: Numbers | None = None,
        box: Numbers | None = None,
        mask: Numbers | None = None,
        mask_logits: Numbers | None = None,
        text: Text | None = None,
        negative: Text | None = None,
        threshold: Threshold | None = None,
        grounder: GrounderLike | None = None,
        prompts: Prompt | Sequence[Prompt] | Sequence[Sequence[Prompt]] | None = None,
        multimask: bool | None = None,
    ) -> Masks | list[Masks] | list[list[Masks]]:
        """Cut out what prompts ask for.

        Say it directly, for one object, or give ``prompts``: one, or a list of them in any mixture
        (answered in the same order), or for a list of embeddings one list of prompts for each. Or
        name things by ``text``, alone: all instances are cut out, by the boxes of a detector that
        knows words (see `anymask.text.ground`), in one image or in each of a list. Say nothing to a
        model that learned to find one kind of thing by itself (SAM-Adapter).

        Args:
            embedding: What `embed` returned; an image is embedded on the fly. Or a list of these.
            points: (n, 2), x before y, pixels of the original image, whole at their centres.
            labels: (n,), 1 for points on the object, 0 for background points; None: all 1.
            box: (4,), xyxy, pixels of the original image, whole between them.
            mask: Rough mask, bool (h, w), original image size.
            mask_logits: One of an earlier answer's `Masks.logits`, float (h', w'), to improve.
            text: What things are called: ``"dog. red car."``, or a list of phrases. FastSAM, asked
                without ``grounder``, takes one text, and compares its instances with it by CLIP.
            negative: Words for what is not meant.
            threshold: Least score of the detector, for all phrases or by phrase.
            grounder: The detector, see `anymask.text.ground.ground`; None: the bundled one, or for
                words that it does not know one for open words that is at hand.
            prompts: Instead of all these.
            multimask: Three answers (whole, part, subpart), or one; None: three for a single point
                alone, which can mean any of them, else one.

        Returns:
            For each prompt its answers, best first by predicted IoU. Of words, for each image all
            instances, none if there is none, best first by the detector's score: ``labels`` are the
            words, ``prompts`` the boxes, and ``meta`` has the ``mask_predicted_iou``.

        Raises:
            InputError: A prompt is not what it should be, or the embedding is another model's; or
                a word is unknown, or the image of an embedding cannot be found.
            CapabilityError: The model does not know this kind of prompt.

        Examples:
            >>> from anymask import load
            >>> masks = load().predict("docs/pictures/coffee.jpg", text="cups. dog")
            >>> masks.labels, masks.scores.round(1).tolist()
            (('cups',), [0.5])
        """
        grounds = "text" not in self.variant.capabilities or grounder is not None
        if text is not None and grounds:
            check_words_alone(points, labels, box, mask, mask_logits, prompts)
            return self._predict_words(embedding, text, negative, threshold, grounder, multimask)
        check_no_words(text, negative, threshold, grounder)
        direct = {
            "points": points,
            "labels": labels,
            "box": box,
            "mask": mask,
            "mask_logits": mask_logits,
            "text": text,
        }
        check_said_once(direct, prompts, embedding)
        if isinstance(embedding, (list, tuple)):
            return self._answer(embedding, check_lists(prompts, len(embedding)), multimask)
        subject = cast(Subject, embedding)
        if prompts is None:
            silent = all(value is None for value in direct.values())
            if silent and "nothing" in self.variant.capabilities:
                prompts = Prompt.nothing()
            else:
                prompts = Prompt(points, labels, box, mask, mask_logits, cast("str | None", text))
        if isinstance(prompts, Prompt):
            return self._answer([subject], [[prompts]], multimask)[0][0]
        return self._answer([subject], [check_list(prompts)], multimask)[0]

    def _answer(
        self,
        subjects: Sequence[Subject],
        groups: Sequence[Sequence[Prompt]],
        multimask: bool | None,
    ) -> list[list[Masks]]:
        """Answer a group of prompts about each subject, in their order."""
        embeddings = self._embedded(subjects, groups, multimask)
        answers = []
        for embedding, prompts in zip(embeddings, groups, strict=True):
            answers.append(self._answer_one(embedding, prompts, multimask))
            for prompt in prompts:
                warn_of_shares(prompt, embedding.size_hw)
        return answers

    def _embedded(
        self,
        subjects: Sequence[Subject],
        groups: Sequence[Sequence[Prompt]],
        multimask: bool | None,
    ) -> Iterator[Embedding]:
        """Embed those subjects that are images, a few at a time and once their prompts fit."""
        for start in range(0, len(subjects), IMAGES_AT_ONCE):
            ready: dict[int, Embedding] = {}
            images: dict[int, Image] = {}
            few = subjects[start : start + IMAGES_AT_ONCE]
            for i, (subject, prompts) in enumerate(zip(few, groups[start:], strict=False)):
                if isinstance(subject, Embedding):
                    ready[i] = subject
                    continue
                images[i] = Image.open(subject)
                self._check_capable(prompts, multimask)
                for prompt in prompts:
                    prompt.check_inside(images[i].size_hw)
            ready.update(zip(images, self._embed(list(images.values())), strict=True))
            yield from (ready[i] for i in range(len(few)))

    def _answer_one(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool | None
    ) -> list[Masks]:
        """Answer prompts about one image, in their order."""
        three = [self._wants_three(p) if multimask is None else multimask for p in prompts]
        answers: dict[int, Masks] = {}
        for want in (False, True):
            places = [i for i in range(len(prompts)) if three[i] == want]
            for start in range(0, len(places), _PROMPTS_AT_ONCE):
                some = places[start : start + _PROMPTS_AT_ONCE]
                numbers = self.decode(embedding, [prompts[i] for i in some], want)
                for i, *answer in zip(some, *map(to_numpy, numbers), strict=True):
                    answers[i] = self._masks(embedding, prompts[i], *answer)
        return [answers[i] for i in range(len(prompts))]

    def _masks(
        self,
        embedding: Embedding,
        prompt: Prompt,
        logits: npt.NDArray[np.float32],
        predicted_iou: npt.NDArray[np.float32],
    ) -> Masks:
        """Bring the answers to one prompt, (k, h', w') and (k,), to the size of the image."""
        counts = tuple(enlarged_counts(logits, embedding.transform))
        if (most := self.variant.preprocessing.clamp) is not None:
            logits = np.clip(logits, -most, most)
        masks = Masks(
            embedding.size_hw,
            counts,
            scores=predicted_iou,
            prompts=(prompt,) * len(predicted_iou),
            logits=logits,
            source=embedding.source,
            model=self.variant.name,
        )
        return masks.sort()

    def _wants_three(self, prompt: Prompt) -> bool:
        """Return whether a prompt can mean several things: a single point says nothing of size."""
        ambiguous = prompt.form == (1, False, False) or self.variant.always_three
        return ambiguous and "multimask" in self.variant.capabilities

"""Models that find all instances of an image at once and are asked afterwards.

`Segmenter` encodes an image and lets a decoder answer each prompt. Here the network has said
everything it knows when the image is embedded, and a prompt selects (Zhao et al., 2023).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from anymask.arrays import floats, to_numpy
from anymask.config import InstanceConfig
from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.image.image import ImageLike
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.models.detection import Candidates, candidates, detect, draw, image_boxes
from anymask.parallel import threads_work
from anymask.predict.segmenter import Segmenter
from anymask.predict.select import merge, select
from anymask.prompt import Prompt

if TYPE_CHECKING:
    from anymask.everything.search import Progress
    from anymask.text.rank import Scorer

__all__ = ["InstanceSegmenter"]

# Guesses, which were never tried with real weights.
_ALIKE = 0.23  # a cosine of CLIP's
_SURE = 0.05  # a probability of SigLIP's


@dataclass(frozen=True, eq=False, repr=False)
class InstanceSegmenter(Segmenter):
    """A model of all instances, ready for use; its methods are those of `Segmenter`.

    Scores are those of the instances, whatever the prompt. `predict` therefore gives the answers in
    the order of `select`: one for each prompt, up to three with ``multimask=True``, and none where
    no instance fits. `decode` does not exist here.

    Attributes:
        settings: What `predict` selects from, and what `generate` keeps unless told otherwise;
            None: those of the variant.
        scorer: Compares instances with a text; None: the CLIP that the settings name.

    Examples:
        >>> model = load("fastsam-s")  # doctest: +SKIP
        >>> united = replace(model, settings=InstanceConfig(merge_points=True))  # doctest: +SKIP
    """

    settings: InstanceConfig | None = None
    scorer: Scorer | None = None

    @property
    def _usual(self) -> InstanceConfig:
        return self.settings or cast(InstanceConfig, self.variant.generate)

    def _find(self, image: ImageLike, settings: Any, progress: Progress | None = None) -> Masks:
        embedding = self.embed(image)
        if progress is not None:
            progress(0, 1)
        found = self._detect(embedding, settings)
        scores = candidates(embedding.features).scores
        doubted = int((scores <= settings.confidence).sum())
        gone = {"confidence": doubted, "box_nms_thresh": len(scores) - doubted - len(found.scores)}
        return replace(self._draw(embedding, found, settings), dropped=Counter(gone))

    @threads_work()
    def _answer_one(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool | None
    ) -> list[Masks]:
        """Answer prompts about one image, in their order."""
        self._check_embedding(embedding)
        self._check_capable(prompts, multimask)
        for prompt in prompts:
            prompt.check_inside(embedding.size_hw)
        found = self._detect(embedding, self._usual)
        boxes = image_boxes(found.boxes, embedding.transform)
        answers = []
        for prompt in prompts:
            masks = self._draw(embedding, found[_near(prompt, boxes)], self._usual)
            fitting = self._select(embedding, masks, prompt)[: 3 if multimask else 1]
            answers.append(replace(fitting, prompts=(prompt,) * len(fitting)))
        return answers

    def _detect(self, embedding: Embedding, settings: InstanceConfig) -> Candidates:
        return detect(candidates(embedding.features), embedding.transform.frame_hw, settings)

    def _draw(self, embedding: Embedding, found: Candidates, settings: InstanceConfig) -> Masks:
        """Draw the masks of instances and keep those that have any pixel."""
        prototypes = floats(to_numpy(embedding.features["prototypes"])[0])
        size_hw = embedding.size_hw
        masks = Masks(
            size_hw,
            tuple(
                rle.place(rle.encode(inside), inside.shape, corner_xy, size_hw)
                for corner_xy, inside in draw(found, prototypes, embedding.transform, settings)
            ),
            scores=found.scores,
            source=embedding.source,
            model=self.variant.name,
        )
        return masks[masks.areas > 0]

    def _select(self, embedding: Embedding, masks: Masks, prompt: Prompt) -> Masks:
        settings = self._usual
        if settings.merge_points and prompt.required_capabilities in (
            ["points"],
            ["points", "negative_points"],
        ):
            return merge(masks, prompt.points_xy, prompt.labels)
        similarity, least = None, -1.0
        if prompt.text is not None:
            similarity, usual = self._compare(embedding, masks, prompt.text)
            least = usual if settings.text_thresh is None else settings.text_thresh
        return select(masks, prompt, similarity, least)

    def _compare(
        self, embedding: Embedding, masks: Masks, text: str
    ) -> tuple[npt.NDArray[Any], float]:
        """Tell how alike masks, each alone on grey, and a text are, (n,), and what is enough."""
        if not len(masks):
            return np.zeros(0), 0.0
        from anymask.text.rank import Ranker, crops, load_ranker  # they need PyTorch

        scorer = self.scorer or load_ranker(self._usual.text_model, str(self.device))
        alike = np.asarray(scorer(crops(masks, _seen(embedding)), [text]), dtype=np.float64)
        if alike.shape != (len(masks), 1):
            raise InputError(
                f"expected a scorer that gives ({len(masks)}, 1) numbers for {len(masks)} images "
                f"and a phrase, got shape {alike.shape}; correct it"
            )
        if isinstance(scorer, Ranker) and scorer.sigmoid:
            return scorer.probabilities(alike)[:, 0], _SURE
        return alike[:, 0], _ALIKE


def _near(prompt: Prompt, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Tell whose mask can hold any of the points and touch the box: bool (n,).

    Args:
        prompt: In pixels of the image.
        boxes: (n, 4), xyxy, pixels of the image.
    """
    near = np.ones(len(boxes), dtype=np.bool_)
    if prompt.labels.any():  # a background point says nothing of where the object is
        points = prompt.points_xy.astype(np.float32)
        # A point stands for the nearest pixel, which can be half a pixel away.
        beyond = (points < boxes[:, None, :2] - 1) | (points > boxes[:, None, 2:] + 1)
        near &= np.any(~beyond.any(axis=2), axis=1)
    if prompt.box is not None:
        box = prompt.box.astype(np.float32)
        near &= (boxes[:, :2] <= box[2:]).all(axis=1) & (boxes[:, 2:] >= box[:2]).all(axis=1)
    return near


def _seen(embedding: Embedding) -> npt.NDArray[np.uint8]:
    """Give what the network saw, without its padding: RGB uint8 (h, w, 3)."""
    (top, left), (h, w) = embedding.transform.offset_hw, embedding.transform.resized_hw
    picture = to_numpy(embedding.features["picture"])[0, :, top : top + h, left : left + w]
    values = np.rint(picture.astype(np.float32) * 255).astype(np.uint8)
    return np.ascontiguousarray(values.transpose(1, 2, 0))

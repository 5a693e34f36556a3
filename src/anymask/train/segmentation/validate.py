"""How good a model is while it learns, prompted as `anymask evaluate` prompts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import cast

import PIL.Image
from torch import nn

from anymask.data.dataset import Dataset
from anymask.data.mask_filter import MaskFilter
from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.evaluate.protocol import Row
from anymask.evaluate.protocols.boxes import Boxes
from anymask.evaluate.protocols.points import Points
from anymask.image.image import Image
from anymask.models.network import Network
from anymask.models.variants import Variant
from anymask.predict.segmenter import Segmenter

__all__ = ["DRAWN", "PromptValidation", "side_by_side"]

_CLICKS = 5
DRAWN = 6
"""Cases in a preview."""
_SPREAD = 0.035
"""How much images differ in what a fine-tune brings them: the standard deviation over the facades
of `docs/training.md`, eight masks each, of the mean IoU that decides."""
_TILE = 256  # pixels along each side of a drawn case


class PromptValidation:
    """One click, five clicks and a box, as far as a model knows them, on masks kept from learning.

    The mean of all IoUs decides which weights are kept; what a few images say may be noise, see
    `Validation`.
    """

    metric = "iou"

    def __init__(
        self,
        variant: Variant,
        data: Dataset,
        mask_filter: MaskFilter,
        *,
        encoder_learns: bool = True,
    ) -> None:
        """Prepare.

        Args:
            variant: What the network is.
            data: Images that the model does not learn from.
            mask_filter: Which of their masks take part.
            encoder_learns: Whether images must be encoded anew each time.
        """
        self.variant, self.data, self.mask_filter = variant, data, mask_filter
        self.encoder_learns = encoder_learns
        self.noise_tolerance = _SPREAD / math.sqrt(max(1, len(data)))
        self._clicks = Points(counts=(1, _CLICKS), max_clicks=_CLICKS, mask_filter=mask_filter)
        self._boxes = Boxes(mask_filter=mask_filter)
        self._embeddings: dict[bytes, Embedding] = {}

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        """Measure mean IoU: ``one_click``, ``best_of_three``, ``five_clicks``, ``box``, their mean.

        One click gets three masks: the one ranked first counts, and so does the best of them. Of a
        model that knows no clicks there is ``box`` alone.

        Raises:
            InputError: No image has a mask that takes part.
        """
        segmenter = self._segmenter(model)
        clicked: list[Row] = []
        boxed: list[Row] = []
        for i in range(len(self.data)):
            sample = self.data[i]
            if "points" in self.variant.capabilities:
                clicked += self._clicks.measure(segmenter, sample)
            boxed += self._boxes.measure(segmenter, sample)
        if not boxed:
            raise InputError(
                f"expected masks to validate on in {len(self.data)} images, got none that cover "
                f"{self.mask_filter.min_area} pixels to {self.mask_filter.max_share:.0%} of their "
                "image; give others with --val"
            )
        metrics = {"box": fmean(row["tight"] for row in boxed)}
        if clicked:
            metrics = {
                "one_click": fmean(row["first"][0] for row in clicked),
                "best_of_three": fmean(row["oracle"][0] for row in clicked),
                "five_clicks": fmean(row["first"][-1] for row in clicked),
                **metrics,
            }
        return {**metrics, "iou": fmean(metrics.values())}

    def draw(self, model: nn.Module) -> PIL.Image.Image | None:
        """Draw predictions for boxes around the first mask of a few images; in white the truth."""
        segmenter = self._segmenter(model)
        cases: list[PIL.Image.Image] = []
        for i in range(len(self.data)):
            sample = self.data[i]
            truths = self.mask_filter.select(sample)
            if truths:
                cases.append(self._boxes.draw(segmenter, sample, truths[0].row()))
            if len(cases) == DRAWN:
                break
        return side_by_side(cases) if cases else None

    def _segmenter(self, model: nn.Module) -> Segmenter:
        """Make a segmenter of a network that is learning."""
        if self.encoder_learns:
            self._embeddings.clear()
        return _Remembering(self.variant, cast(Network, model), "", self._embeddings)


@dataclass(frozen=True, eq=False, repr=False)
class _Remembering(Segmenter):
    """Encodes each image once, however often it is prompted."""

    embeddings: dict[bytes, Embedding] = field(default_factory=dict)

    def embed(self, image: Image) -> Embedding:  # type: ignore[override]  # one at a time will do
        """Encode an image, or remember how it was encoded."""
        key = hashlib.sha256(image.pixels.tobytes()).digest()
        if key not in self.embeddings:
            self.embeddings[key] = super().embed(image)
        return self.embeddings[key]


def side_by_side(cases: Sequence[PIL.Image.Image]) -> PIL.Image.Image:
    """Put images beside one another, small."""
    sheet = PIL.Image.new("RGB", (_TILE * len(cases), _TILE))
    for i, case in enumerate(cases):
        case.thumbnail((_TILE, _TILE))
        sheet.paste(case, (_TILE * i, 0))
    return sheet

"""Graphs as transformers.js reads them, behind the `Network` protocol.

What its names mean is told in `anymask.export.transformers_js`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from anymask.models.exported import Computing, Exported
from anymask.models.runtime import Array
from anymask.models.runtime_network import RuntimeNetwork, floats

if TYPE_CHECKING:
    from anymask.models.prompt_batch import PromptBatch

__all__ = ["CODE", "FILL", "SINGLE", "TransformersJsNetwork"]

CODE = "image_positional_embeddings"
SINGLE = "single_"
"""How the outputs of the single answer begin."""
FILL = -10
"""Label of a point that is none."""

_CORNERS = (2, 3)
_PROMPTS_AT_ONCE = 4


class TransformersJsNetwork(RuntimeNetwork):
    """An encoder, a decoder of points with labels, and an encoder of masks."""

    frames_name = "pixel_values"

    def __init__(
        self,
        folder: Path,
        exported: Exported,
        runtime: Literal["onnx", "openvino"],
        *,
        dtype: Computing = "float32",
        any_decoder: bool = False,
    ) -> None:
        """Open the graphs; see `RuntimeNetwork`."""
        super().__init__(folder, exported, runtime, dtype=dtype, any_decoder=any_decoder)
        self._masks = self.open("mask_encoder")
        takes = {"image_embeddings", "input_masks"}
        self._check(self._masks, "mask_encoder", takes, {"image_embeddings_with_masks"})
        self._code: Array | None = None

    def _check_decoder(self) -> None:
        """Check the decoder's names.

        Raises:
            WeightsError: They are others.
        """
        assert self.decoder is not None
        takes = {"image_embeddings", CODE, "input_points", "input_labels"}
        self._check(self.decoder, "decoder", takes, {"iou_scores", "pred_masks"})

    def _encoded(self, frames: Array, resized_hw: tuple[int, int]) -> dict[str, Array]:
        given = super()._encoded(frames, resized_hw)
        self._code = given[CODE][:1]
        return given

    def code(self) -> Array:
        """Give the position code of an embedding's cells, the same for all images.

        Only the encoder's graph knows it: where the embedding was read from a file, a blank frame
        is encoded once.
        """
        if self._code is None:
            side = self.exported.variant.preprocessing.side
            self._encoded(np.zeros((1, 3, side, side), np.float32), (side, side))
        assert self._code is not None
        return self._code

    def decode_all(
        self, features: Mapping[str, Any], prompts: PromptBatch, slots: slice = slice(4)
    ) -> tuple[Array, Array]:
        """Answer n prompts in all slots, or in some: logits (n, k, h', w') and IoU (n, k)."""
        image = floats(features["image"])
        points, labels = lay_out(prompts)
        logits, scores = [], []
        for start in range(0, len(points), _PROMPTS_AT_ONCE):
            some = slice(start, start + _PROMPTS_AT_ONCE)
            if prompts.mask_logits is None:
                answer = self.answer(image, points[None, some], labels[None, some])
            else:
                masks = floats(prompts.mask_logits)[some]
                own = self.with_masks(image, masks)
                answer = self.answer(own, points[some, None], labels[some, None])
            logits.append(_joined(answer, "pred_masks"))
            scores.append(_joined(answer, "iou_scores"))
        return np.concatenate(logits)[:, slots], np.concatenate(scores)[:, slots]

    def with_masks(self, image: Array, masks: Array) -> Array:
        """Put masks (n, 1, h', w') into embeddings (1 or n, c, grid, grid)."""
        return self._masks(image_embeddings=image, input_masks=masks)["image_embeddings_with_masks"]

    def answer(self, image: Array, points: Array, labels: Array) -> dict[str, Array]:
        """Ask the decoder about points (b, p, n, 2) with labels (b, p, n)."""
        assert self.decoder is not None
        code = np.broadcast_to(self.code(), (len(image), *self.code().shape[1:]))
        return self.decoder(
            image_embeddings=image,
            image_positional_embeddings=np.ascontiguousarray(code),
            input_points=np.ascontiguousarray(points, np.float32),
            input_labels=np.ascontiguousarray(labels, np.int64),
        )


def lay_out(prompts: PromptBatch) -> tuple[Array, Array]:
    """Lay out points and box as the decoder takes them: (n, t, 2) and int64 (n, t)."""
    points, labels = floats(prompts.points_xy), np.asarray(prompts.labels, np.int64)
    n = len(points)
    if prompts.boxes is not None:
        points = np.concatenate([points, floats(prompts.boxes).reshape(n, 2, 2)], axis=1)
        labels = np.concatenate([labels, np.tile(np.array(_CORNERS, np.int64), (n, 1))], axis=1)
    if not labels.shape[1]:
        return np.zeros((n, 1, 2), np.float32), np.full((n, 1), FILL)
    return points, labels


def _joined(answer: Mapping[str, Array], name: str) -> Array:
    """Put the slots in a row, the single answer first: (n, k, ...)."""
    parts = [answer[f"{SINGLE}{name}"], answer[name]] if SINGLE + name in answer else [answer[name]]
    whole = np.concatenate(parts, axis=2)
    return whole.reshape(-1, *whole.shape[2:])

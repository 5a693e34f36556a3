"""Graphs of SAM 2 with samexporter's names, behind the `Network` protocol.

They are for programs that run samexporter's graphs; anymask opens them to compare them only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anymask.errors import InputError
from anymask.models.exported import Exported
from anymask.models.runtime import Array
from anymask.models.runtime_network import RuntimeNetwork

if TYPE_CHECKING:
    from anymask.models.prompt_batch import PromptBatch

__all__ = ["ENCODER_INPUT", "FEATURES", "LIMIT", "LOGITS", "SamexporterNetwork"]

ENCODER_INPUT = "image"
"""How the encoder calls preprocessed frames."""
FEATURES = {"high_res_0": "high_res_feats_0", "high_res_1": "high_res_feats_1"} | {
    "image": "image_embed"
}
"""How it calls the features, in its order."""
LOGITS = "masks"
"""How the decoder calls logits of low resolution, its only ones."""
LIMIT = 32.0
"""Logits lie between this and its negative."""


class SamexporterNetwork(RuntimeNetwork):
    """An encoder, and a decoder of the three masks of an unclear prompt."""

    frames_name = ENCODER_INPUT
    logits_name = LOGITS
    _no_size: Mapping[str, Array] = {}

    def _points(self, prompts: PromptBatch) -> tuple[Array, Array]:
        """Lay out points and box without the padding point, which this graph adds."""
        points, labels = super()._points(prompts)
        return np.ascontiguousarray(points[:, :-1]), np.ascontiguousarray(labels[:, :-1])

    @staticmethod
    def _check_slots(folder: Path, exported: Exported) -> None:
        """Refuse what has no single answer.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"expected a decoder with all four masks in {str(folder)!r}, got samexporter's, which "
            "has no answer to a clear prompt; export the model --to onnx for anymask"
        )

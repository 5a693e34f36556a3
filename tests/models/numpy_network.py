"""A network without PyTorch inside, as a session of another runtime is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from anymask.config import GenerateConfig
from anymask.errors import InputError
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Preprocessing, Variant, find

VARIANT: Variant = replace(
    find("sam-vit-b"),
    name="flat",
    network=None,
    preprocessing=Preprocessing(side=64),
    aliases=(),
    generate=GenerateConfig(8, pred_iou_thresh=0.1, stability_score_thresh=0),
)


class FlatColours:
    """Finds what has the colour of a prompt's first point, of its box's middle or of its mask."""

    device, dtype = "cpu", "float32"

    def __init__(self) -> None:
        self.version = 0
        self.prepared = 0

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        return frame_hw[0] // 2, frame_hw[1] // 2

    def encode(self, pixels: np.ndarray, resized_hw: tuple[int, int]) -> dict[str, np.ndarray]:
        b, c, h, w = pixels.shape
        assert type(pixels) is np.ndarray and pixels.dtype == np.float32
        return {"colour": pixels.reshape(b, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))}

    def prepare(self, features: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        self.prepared += 1
        return features

    def decode(
        self, features: Mapping[str, np.ndarray], prompts: PromptBatch, multimask: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        colour = features["colour"][0]
        answers = [self._distance(colour, prompts, i) for i in range(len(prompts))]
        gains = (0.6, 0.5, 0.4)[: 3 if multimask else 1]
        logits = np.stack([[4 - 4 * gain * away for gain in gains] for away in answers])
        predicted_iou = np.tile(np.float64([0.7, 0.9, 0.8][: len(gains)]), (len(prompts), 1))
        return logits, predicted_iou

    def _distance(self, colour: np.ndarray, prompts: PromptBatch, i: int) -> np.ndarray:
        if len(prompts.points_xy[i]):
            x, y = prompts.points_xy[i, 0].astype(int) // 2
            wanted = colour[:, y, x]
        elif prompts.boxes is not None:
            x0, y0, x1, y1 = prompts.boxes[i].astype(int) // 2
            wanted = colour[:, (y0 + y1) // 2, (x0 + x1) // 2]
        else:
            assert prompts.mask_logits is not None
            wanted = colour[:, prompts.mask_logits[i, 0] > 0].mean(axis=1)
        return np.abs(colour - wanted[:, None, None]).max(axis=0)

    def moved(self, device: object, dtype: object) -> FlatColours:
        if (str(device), str(dtype).removeprefix("torch.")) != ("cpu", "float32"):
            raise InputError(f"expected float32 on the CPU, got {dtype}, {device}; leave it")
        return self

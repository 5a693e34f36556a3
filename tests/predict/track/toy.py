"""A model that cuts out by colour, and clips of coloured squares, whose answers are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from anymask.embedding import Embedding
from anymask.errors import CapabilityError
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.predict.track.tracks import Tracks
from anymask.prompt import Prompt

SIZE_HW = (48, 64)
RED, GREEN, GREY = (220, 30, 30), (30, 200, 40), (120, 120, 120)


class ColourModel(Tracks):
    """Answers with what has the colour under the prompt, inside its box."""

    def __init__(self, **variant: Any) -> None:
        capabilities = {"points", "negative_points", "box", "mask", "multimask"}
        about = {"name": "toy", "kind": "promptable", "capabilities": capabilities}
        self.variant = SimpleNamespace(**(about | variant))
        self.network = SimpleNamespace(appearance=("image",), mask_hw=lambda frame_hw: frame_hw)
        self.weights_digest = "0" * 64
        self.dtype = "float32"
        self.embedded = 0

    def embed(self, image: Any) -> Embedding:
        self.embedded += 1
        opened = Image.open(image)
        pixels = torch.from_numpy(opened.pixels.astype(np.float32) / 58).permute(2, 0, 1)[None]
        transform = Transform(opened.size_hw, opened.size_hw, opened.size_hw)
        return Embedding({"image": pixels}, transform, "toy", opened.source)

    def decode(
        self, embedding: Embedding, prompts: list[Prompt], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for need in {need for prompt in prompts for need in prompt.required_capabilities}:
            if need not in self.variant.capabilities:
                raise CapabilityError(f"toy does not know {need}")
        pixels = embedding.features["image"][0].numpy() * 58
        logits = np.stack([self._answer(pixels, prompt) for prompt in prompts])
        count = 3 if multimask else 1
        found = torch.from_numpy(logits[:, None].repeat(count, axis=1).astype(np.float32))
        return found, torch.full((len(prompts), count), 0.9)

    def _answer(self, pixels: Any, prompt: Prompt) -> Any:
        h, w = pixels.shape[1:]
        inside = np.ones((h, w), bool)
        on = prompt.points_xy[prompt.labels == 1]
        if prompt.box is not None:
            x0, y0, x1, y1 = np.clip(np.rint(prompt.box), 0, (w, h, w, h)).astype(int)
            inside[:] = False
            inside[y0:y1, x0:x1] = True
            on = on if len(on) else np.array([[(x0 + x1) // 2, (y0 + y1) // 2]])
        if not len(on) and prompt.mask_logits is not None:
            rows, columns = np.nonzero(prompt.mask_logits > 0)
            on = np.array([[np.median(columns), np.median(rows)]])
        x, y = np.clip(np.rint(on[0]), 0, (w - 1, h - 1)).astype(int)
        apart = np.abs(pixels - pixels[:, y : y + 1, x : x + 1]).max(axis=0)
        logits = np.where(inside & (apart < 40), 6.0, -6.0)
        for x, y in np.rint(prompt.points_xy[prompt.labels == 0]).astype(int):
            logits[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = -6.0
        return logits


def square(frame: Any, x: int, y: int, colour: Any, side: int = 12) -> Any:
    """Paint a square that may reach over the border; gives where it is."""
    mask = np.zeros(frame.shape[:2], bool)
    mask[max(0, y) : max(0, y + side), max(0, x) : max(0, x + side)] = True
    frame[mask] = colour
    return mask


def ground() -> Any:
    """Make a grey frame with a little texture, the same each time."""
    noise = np.random.default_rng(0).integers(-12, 12, (*SIZE_HW, 1))
    return (np.array(GREY) + noise).clip(0, 255).astype(np.uint8)


def moving(places: list[tuple[int, int] | None], colour: Any = RED) -> tuple[list[Any], list[Any]]:
    """Make a clip of a square at these places, None where it is hidden; and its masks."""
    frames, masks = [], []
    for place in places:
        frame = ground()
        masks.append(np.zeros(SIZE_HW, bool) if place is None else square(frame, *place, colour))
        frames.append(frame)
    return frames, masks


def iou(a: Any, b: Any) -> float:
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0

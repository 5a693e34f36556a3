"""A model that cuts out whatever has one colour, and whose features are colours."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import cv2
import numpy as np
import torch
from torch import nn

from anymask.models.torch_network import TorchNetwork
from anymask.models.variants import Preprocessing, find
from anymask.predict.segmenter import Segmenter

SIDE, STRIDE = 256, 4
RED, BLUE, GREEN, YELLOW = (220, 30, 30), (30, 40, 220), (20, 160, 40), (230, 210, 20)


class OneColour(TorchNetwork):
    """Answers a point with the patch of its colour, with what is around it, and with all."""

    appearance = ("image",)
    texture: ClassVar = {"image": 1.0}

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.encoded, self.decoded = 0, []

    def mask_hw(self, frame_hw):
        return frame_hw[0] // STRIDE, frame_hw[1] // STRIDE

    def encode(self, pixels, resized_hw):
        self.encoded += len(pixels)
        return {"image": nn.functional.avg_pool2d(pixels, STRIDE)}

    def prepare(self, features):
        return features

    def decode(self, features, prompts, multimask):
        n = len(prompts)
        self.decoded.append(n)
        colours = features["image"][0].permute(1, 2, 0).numpy()
        logits = np.full((n, 3, *colours.shape[:2]), 5.0, np.float32)
        for i, (x, y) in enumerate(prompts.points_xy[:, 0].numpy() / STRIDE):
            patch = flooded(colours, int(y), int(x))
            logits[i, 0] = np.where(patch, 5, -5)
            logits[i, 1] = np.where(grown(patch, 4), 5, -5)
        iou = torch.tensor([0.9, 0.6, 0.2]).expand(n, -1)
        k = 3 if multimask else 1
        return torch.from_numpy(logits[:, :k]), iou[:, :k]


def grown(mask: np.ndarray, times: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=times) > 0


def flooded(colours: np.ndarray, y: int, x: int) -> np.ndarray:
    same = np.abs(colours - colours[y, x]).max(axis=2) < 0.3
    _, patches = cv2.connectedComponents(same.astype(np.uint8), connectivity=4)
    return patches == patches[y, x]


def toy() -> Segmenter:
    variant = replace(find("sam-vit-b"), name="toy", preprocessing=Preprocessing(side=SIDE))
    return Segmenter(variant, OneColour().eval(), "1" * 64)


def photo(*things: tuple[tuple[int, int, int], int, int], size: int = 60) -> np.ndarray:
    """Grey noise with squares of these colours, at x and y."""
    rng = np.random.default_rng(len(things))
    image = (100 + rng.integers(-3, 4, (192, 256, 3))).astype(np.uint8)
    for colour, x, y in things:
        image[y : y + size, x : x + size] = colour
    return image


def square(x: int, y: int, size: int = 60) -> np.ndarray:
    mask = np.zeros((192, 256), bool)
    mask[y : y + size, x : x + size] = True
    return mask

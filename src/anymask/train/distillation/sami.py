"""SAMI: teach an encoder to see what a SAM sees, from a quarter of the image (Xiong et al., 2023).

The encoder is shown a quarter of the tokens. A decoder guesses the rest: its queries are the masked
tokens alone, its keys and values are all of them. A linear head brings both, in their places, to
the width of the teacher's embedding, and the loss is the mean squared error over all tokens (paper,
section 3.2). What is kept is the encoder, which is that of an EfficientSAM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.efficient_sam import PlainVit
from anymask.models.kernels import Linear, attend
from anymask.models.layers import MLP
from anymask.models.prompt_encoder import FourierCode
from anymask.models.variants import Preprocessing
from anymask.train.distillation.config import SamiConfig
from anymask.train.distillation.sample import DistillSample, frames, resample
from anymask.train.objective import Step

__all__ = ["Reconstruct", "Sami", "Similarity"]


class Sami(nn.Module):
    """An encoder with what it is pre-trained by."""

    def __init__(self, encoder: PlainVit, teacher_width: int, config: SamiConfig) -> None:
        """Build what is around the encoder, with random weights.

        Args:
            encoder: The one that learns; its neck does not take part.
            teacher_width: Channels of the teacher's embedding.
            config: The other numbers.
        """
        super().__init__()
        self.grid = config.side // encoder.patch_embed.proj.kernel_size[0]
        self.visible = self.grid**2 - round(config.mask_ratio * self.grid**2)
        self.encoder = encoder
        self.enter = Linear(encoder.pos_embed.shape[-1], config.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.code = FourierCode(config.width)
        self.blocks = nn.ModuleList(
            CrossBlock(config.width, config.heads) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.head = Linear(config.width, teacher_width)

    def forward(self, pixels: Tensor, order: Tensor) -> Tensor:
        """Guess the teacher's embedding.

        Args:
            pixels: Normalised RGB (b, 3, side, side).
            order: int64 (b, n), the tokens of each image, visible ones first.

        Returns:
            (b, n, teacher's width), tokens in reading order.
        """
        tokens = self.encoder.patch_embed(pixels) + self.encoder.position((self.grid, self.grid))
        tokens = tokens.flatten(1, 2)
        visible, masked = order[:, : self.visible], order[:, self.visible :]
        code = self.code.cells(self.grid).flatten(2).mT.expand(len(order), -1, -1)
        known = self.enter(self._encode(_pick(tokens, visible)))
        guess = self.mask_token + _pick(code, masked).to(known.dtype)
        around = known + _pick(code, visible).to(known.dtype)
        for block in self.blocks:
            guess = block(guess, around)
        every = _pick(torch.cat([known, guess], dim=1), order.argsort(dim=1))
        out: Tensor = self.head(self.norm(every))
        return out

    def orders(self, batch: Sequence[DistillSample]) -> Tensor:
        """Draw which tokens are visible: each sample's own order of them, int64 (b, n)."""
        draws = [np.random.default_rng(x.seed).permutation(self.grid**2) for x in batch]
        return torch.from_numpy(np.stack(draws))

    def targets(self, batch: Sequence[DistillSample]) -> Tensor:
        """Bring the teacher's embeddings to the tokens' places: float32 (b, n, its width)."""
        size_hw = self.grid, self.grid
        maps = [
            resample(
                x.teacher_embedding.features["image"][0],
                x.teacher_embedding.transform,
                x.transform,
                size_hw,
            )
            for x in batch
        ]
        return torch.stack(maps).flatten(2).mT

    def _encode(self, tokens: Tensor) -> Tensor:
        """Run the encoder's blocks on some tokens (b, n, width)."""
        x = tokens[:, None]  # its attention does not mind how the tokens are arranged
        for block in self.encoder.blocks:
            x = block(x)
        return x[:, 0]


class CrossBlock(nn.Module):
    """A transformer block in which masked tokens attend to the visible ones and one another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.norm_around = nn.LayerNorm(width, eps=1e-6)
        self.q = Linear(width, width)
        self.kv = Linear(width, 2 * width)
        self.proj = Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLP(width, 4 * width, nn.GELU())

    def forward(self, x: Tensor, around: Tensor) -> Tensor:
        """Map masked tokens (b, n, width), among visible ones (b, m, width), to the same shape."""
        own = self.norm1(x)
        every = torch.cat([self.norm_around(around), own], dim=1)
        q = self.q(own).unflatten(2, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(every).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.proj(attend(q, k, v).transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Reconstruct:
    """The objective of SAMI: the teacher's embedding from a part of the image."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        """Prepare.

        Args:
            preprocessing: How the encoder wants its images.
        """
        self.preprocessing = preprocessing

    def __call__(
        self, model: nn.Module, batch: Sequence[DistillSample], step: Step
    ) -> Mapping[str, float]:
        """Set the gradients of one batch.

        Returns:
            ``loss``; ``masked``, the same of the masked tokens alone; and ``similarity``, the mean
            cosine between the tokens and the teacher's.
        """
        assert isinstance(model, Sami)
        pixels = frames(batch, self.preprocessing, step.device)
        order = model.orders(batch).to(step.device)
        target = model.targets(batch).to(step.device)
        guess = model(pixels, order).float()
        error = ((guess - target) ** 2).mean(dim=2)
        step.backward(error.mean())
        masked = order[:, model.visible :]
        return {
            "loss": error.mean().item(),
            "masked": error.detach().gather(1, masked).mean().item(),
            "similarity": F.cosine_similarity(guess.detach(), target, dim=2).mean().item(),
        }


class Similarity:
    """Validates on images that are not learned from, of which the same tokens are always masked."""

    metric = "similarity"
    noise_tolerance = 0.0

    def __init__(self, preprocessing: Preprocessing, samples: Sequence[DistillSample]) -> None:
        """Prepare.

        Args:
            preprocessing: How the encoder wants its images.
            samples: The images, and what the teacher sees in them.
        """
        self.preprocessing, self.samples = preprocessing, samples

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        """Measure the mean cosine between the tokens and the teacher's."""
        assert isinstance(model, Sami)
        device = next(model.parameters()).device
        found = []
        for sample in self.samples:
            pixels = frames([sample], self.preprocessing, device)
            guess = model(pixels, model.orders([sample]).to(device)).float()
            target = model.targets([sample]).to(device)
            found.append(F.cosine_similarity(guess, target, dim=2).mean().item())
        return {self.metric: fmean(found)}

    def draw(self, model: nn.Module) -> None:
        """Draw nothing: there are no masks yet."""


def _pick(tokens: Tensor, which: Tensor) -> Tensor:
    """Pick tokens (b, n, c) by their numbers (b, m): (b, m, c)."""
    return tokens.gather(1, which[..., None].expand(-1, -1, tokens.shape[2]))

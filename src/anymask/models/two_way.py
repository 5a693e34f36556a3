"""The mask decoder's transformer: prompt tokens read the image, and the image reads them back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.config import DecoderConfig
from anymask.models.layers import ACTIVATIONS, MLP

__all__ = ["TwoWayTransformer"]


class TwoWayTransformer(nn.Module):
    """Two-way blocks, and one last look of the tokens at the image.

    The image side may come with batch 1 while the tokens have batch n: as long as all prompts see
    the same image, it is projected once for all of them.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.layers = nn.ModuleList(TwoWayBlock(config, first=i == 0) for i in range(config.depth))
        self.final_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, image: Tensor, image_code: Tensor) -> tuple[Tensor, Tensor]:
        """Let tokens and image exchange what they know.

        Args:
            tokens: (n, t, c).
            image: Image tokens (n or 1, cells, c).
            image_code: Position code of the cells, (1, cells, c).

        Returns:
            Both sides after the exchange, (n, t, c) and (n, cells, c).
        """
        token_code = tokens  # the tokens as they came in are their own position code
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_code, image_code)
        read = self.final_attn_token_to_image(tokens + token_code, image + image_code, image)
        return self.norm_final_attn(tokens + read), image


class TwoWayBlock(nn.Module):
    """Tokens among themselves, tokens to image, an MLP on the tokens, image to tokens."""

    def __init__(self, config: DecoderConfig, first: bool) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.first, self.add_code = first, config.add_code
        self.self_attn = Attention(width, heads, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width, config.mlp, ACTIVATIONS[config.activation]())
        self.norm3 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, width // 2)
        self.norm4 = nn.LayerNorm(width)

    def forward(
        self, tokens: Tensor, image: Tensor, token_code: Tensor, image_code: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the tokens (n, t, c) and the image (n, cells, c) after one exchange."""
        tokens = self.norm1(self._among_themselves(tokens, token_code))
        coded_image = image + image_code
        read = self.cross_attn_token_to_image(tokens + token_code, coded_image, image)
        tokens = self.norm2(tokens + read)
        tokens = self.norm3(tokens + self.mlp(tokens))
        told = self.cross_attn_image_to_token(coded_image, tokens + token_code, tokens)
        return tokens, self.norm4(image + told)

    def _among_themselves(self, tokens: Tensor, code: Tensor) -> Tensor:
        """Let the tokens (n, t, c) attend to each other; in the first block they are their code."""
        coded = tokens if self.first else tokens + code
        if self.add_code:
            told: Tensor = coded + self.self_attn(coded, coded, coded)
            return told
        told = self.self_attn(coded, coded, tokens)
        return told if self.first else tokens + told  # SAM's first block replaces its tokens


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than its outer one."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from q (n or 1, i, c) to k and v (n or 1, j, c); returns (n, i, c)."""
        n = max(len(q), len(k))
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2).expand(n, -1, -1, -1)
            for project, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        out: Tensor = self.out_proj(
            F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        )
        return out

"""The mask decoder's transformer: prompt tokens read the image, and the image reads them back.

A prompt has a handful of tokens and an image thousands of cells, so where a projection stands
between the two, it is applied to the tokens: the same product in another order, at a fraction of
the work. See docs/decoder.md.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.config import DecoderConfig
from anymask.models.kernels import tracing
from anymask.models.layers import ACTIVATIONS, MLP

__all__ = ["FirstLook", "Guidance", "TwoWayTransformer"]


class FirstLook(NamedTuple):
    """What the first block makes of an image before it knows of any prompt.

    Each is (1, heads, cells, channels of a head).
    """

    keys: Tensor
    """What the tokens compare themselves with."""
    values: Tensor
    """What they read."""
    queries: Tensor
    """What the cells ask the tokens."""


class Guidance(NamedTuple):
    """Where and what to look for, beside a prompt (PerSAM, Zhang et al., 2023, section 3.2)."""

    attention: Tensor
    """How much each cell resembles the target, 0 to 1: (cells,)."""
    target: Tensor
    """What the target looks like, (c,): the mean of its cells' embeddings."""


class TwoWayTransformer(nn.Module):
    """Two-way blocks, and one last look of the tokens at the image."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.layers = nn.ModuleList(TwoWayBlock(config, first=i == 0) for i in range(config.depth))
        self.final_attn_token_to_image = TokenToImage(width, heads, width // 2)
        self.norm_final_attn = nn.LayerNorm(width, config.norm_eps)

    def look(self, image: Tensor, image_code: Tensor) -> FirstLook:
        """Work out once what does not depend on the prompts, for an image (1, cells, c)."""
        first, coded = cast(TwoWayBlock, self.layers[0]), image + image_code
        reading, telling = first.cross_attn_token_to_image, first.cross_attn_image_to_token
        maps = reading.k_proj(coded), reading.v_proj(image), telling.q_proj(coded)
        return FirstLook(*(reading.split(x).contiguous() for x in maps))

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        image_code: Tensor,
        look: FirstLook | None = None,
        answers: int | None = None,
        guidance: Guidance | None = None,
        token_bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Let tokens and image exchange what they know.

        Args:
            tokens: (n, t, c).
            image: Image tokens (n, cells, c), or (1, cells, c) if all prompts see the same image.
            image_code: Position code of the cells, (1, cells, c).
            look: What `look` made of the image, if it was asked.
            answers: How many tokens, from the first on, are wanted in the end; None: all.
            guidance: Its target is added to the tokens before each block and to the last queries,
                its map to the attention of the tokens in each block.
            token_bias: Added to the scores wherever tokens are read, (n, 1, 1, t): far below 0 for
                those that only fill up.

        Returns:
            Both sides after the exchange, (n, answers, c) and (n, cells, c).
        """
        attention, target = (None, None) if guidance is None else guidance
        # The tokens as they came in are their own position code; PerSAM's with the target.
        token_code = tokens if target is None else tokens + target
        for layer in self.layers:
            if target is not None:
                tokens = tokens + target
            tokens, image = layer(
                tokens, image, token_code, image_code, look, attention, token_bias
            )
            look = None
        tokens, token_code = tokens[:, :answers], token_code[:, :answers]
        coded = tokens + token_code if target is None else tokens + token_code + target
        read = self.final_attn_token_to_image(coded, image + image_code, image)
        return self.norm_final_attn(tokens + read), image


class TwoWayBlock(nn.Module):
    """Tokens among themselves, tokens to image, an MLP on the tokens, image to tokens."""

    def __init__(self, config: DecoderConfig, first: bool) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.first, self.add_code = first, config.add_code
        self.self_attn = Attention(width, heads, width)
        self.norm1 = nn.LayerNorm(width, config.norm_eps)
        self.cross_attn_token_to_image = TokenToImage(width, heads, width // 2)
        self.norm2 = nn.LayerNorm(width, config.norm_eps)
        self.mlp = MLP(width, config.mlp, ACTIVATIONS[config.activation]())
        self.norm3 = nn.LayerNorm(width, config.norm_eps)
        self.cross_attn_image_to_token = ImageToToken(width, heads, width // 2)
        self.norm4 = nn.LayerNorm(width, config.norm_eps)

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        token_code: Tensor,
        image_code: Tensor,
        look: FirstLook | None = None,
        attention: Tensor | None = None,
        token_bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the tokens (n, t, c) and the image (n, cells, c) after one exchange."""
        tokens = self.norm1(self._among_themselves(tokens, token_code, token_bias))
        coded_image = image + image_code if look is None else image  # a look has it in it
        read = self.cross_attn_token_to_image(
            tokens + token_code, coded_image, image, look, attention
        )
        tokens = self.norm2(tokens + read)
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.cross_attn_image_to_token(
            image, coded_image, tokens + token_code, tokens, look, token_bias
        )
        return tokens, self.norm4(image)

    def _among_themselves(self, tokens: Tensor, code: Tensor, bias: Tensor | None) -> Tensor:
        """Let the tokens (n, t, c) attend to each other; in the first block they are their code."""
        coded = tokens if self.first else tokens + code
        if self.add_code:
            told: Tensor = coded + self.self_attn(coded, coded, coded, bias)
            return told
        told = self.self_attn(coded, coded, tokens, bias)
        return told if self.first else tokens + told  # SAM's first block replaces its tokens


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than its outer one."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from q (n, i, c) to k and v (n, j, c), of which n may be 1; returns (n, i, c).

        A bias (n, 1, 1, j) is added to the scores.
        """
        q, k, v = (self.split(x) for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        return self.attend(q, k, v, bias)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend with what is projected and cut into heads; returns (n, i, c)."""
        n = max(q.shape[0], k.shape[0])
        q, k, v = (x.expand(n, -1, -1, -1) for x in (q, k, v))
        return self.join(F.scaled_dot_product_attention(q, k, v, attn_mask=bias))

    def split(self, x: Tensor) -> Tensor:
        """Cut tokens (n, i, inner) into heads, (n, heads, i, d)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        """Join the heads (n, heads, i, d) and give them the outer width, (n, i, c)."""
        out: Tensor = self.out_proj(x.transpose(1, 2).flatten(2))
        return out

    def of_heads(self, parameter: Tensor) -> Tensor:
        """Cut a weight (inner, c) or a bias (inner,) into heads, (heads, d, c) or (heads, d)."""
        return parameter.view(self.heads, -1, *parameter.shape[1:])

    def few(self, tokens: Tensor) -> bool:
        """Return whether to project the tokens (n, t, c) rather than the cells: it is less work.

        What is recorded must not depend on their number. It takes the weights themselves, so the
        layers must be plain: scripts put others, such as low-rank adapters, in their places.
        """
        layers = self.q_proj, self.k_proj, self.v_proj, self.out_proj
        if any(type(layer) is not nn.Linear for layer in layers):
            return False
        return tracing() or tokens.shape[1] < self.q_proj.out_features // self.heads

    def compare(self, tokens: Tensor, cells: Tensor, project: nn.Linear) -> Tensor:
        """Multiply tokens (n, heads, t, d) by project(cells), scaled: (n, heads, t, cells)."""
        n, _, t, _ = tokens.shape
        tokens = tokens * self.scale
        moved = (tokens @ self.of_heads(project.weight)).flatten(1, 2)
        constant = (tokens @ self.of_heads(project.bias)[..., None]).flatten(1, 2)
        products = torch.baddbmm(constant, moved, cells.expand(n, -1, -1).mT)
        return products.view(n, self.heads, t, cells.shape[1])


class TokenToImage(Attention):
    """Tokens read the image."""

    def forward(  # type: ignore[override]
        self,
        tokens: Tensor,
        coded_image: Tensor,
        image: Tensor,
        look: FirstLook | None = None,
        attention: Tensor | None = None,
    ) -> Tensor:
        """Attend from tokens (n, t, c) to cells (n or 1, cells, c); returns (n, t, c)."""
        if attention is not None:
            return self.guided(tokens, coded_image, image, attention)
        if look is not None:
            return self.attend(self.split(self.q_proj(tokens)), look.keys, look.values)
        if not self.few(tokens):
            return super().forward(tokens, coded_image, image)
        queries = self.split(self.q_proj(tokens))
        weights = self.compare(queries, coded_image, self.k_proj).softmax(dim=-1)
        mixed = (weights.flatten(1, 2) @ image).view(*queries.shape[:3], -1)
        # The weights add up to 1, so that the bias comes through as it is.
        values = mixed @ self.of_heads(self.v_proj.weight).mT
        return self.join(values + self.of_heads(self.v_proj.bias)[:, None])

    def guided(
        self, tokens: Tensor, coded_image: Tensor, image: Tensor, attention: Tensor
    ) -> Tensor:
        """Attend with a map (cells,) added to the weights, which a second softmax evens out."""
        projected = self.q_proj(tokens), self.k_proj(coded_image), self.v_proj(image)
        q, k, v = (self.split(x) for x in projected)
        weights = (q @ k.mT * self.scale).softmax(dim=-1)
        return self.join((weights + attention).softmax(dim=-1) @ v)


class ImageToToken(Attention):
    """The image reads the tokens."""

    def forward(  # type: ignore[override]
        self,
        image: Tensor,
        coded_image: Tensor,
        coded: Tensor,
        tokens: Tensor,
        look: FirstLook | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Attend from cells (n or 1, cells, c) to tokens (n, t, c), and add to the image."""
        keys, values = self.split(self.k_proj(coded)), self.split(self.v_proj(tokens))
        if not self.few(tokens):
            queries = self.split(self.q_proj(coded_image)) if look is None else look.queries
            return image + self.attend(queries, keys, values, bias)
        if look is None:
            scores = self.compare(keys, coded_image, self.q_proj)
        else:
            scores = torch.einsum("nhtd,ohcd->nhtc", keys * self.scale, look.queries)
        if bias is not None:
            scores = scores + bias.mT
        weights = scores.softmax(dim=2).flatten(1, 2)
        # The weights of each head add up to 1, so that the heads may share the bias.
        told = (values @ self.of_heads(self.out_proj.weight.mT)).flatten(1, 2)
        told = told + self.out_proj.bias / self.heads
        return torch.baddbmm(image.expand(told.shape[0], -1, -1), weights.mT, told)

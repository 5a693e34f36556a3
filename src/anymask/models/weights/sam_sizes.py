"""SAM in a size that is in no table, told by the shapes of its weights alone.

SlimSAM (Chen et al., 2023), for one, is a ViT-B that was pruned to narrower layers.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from anymask.errors import WeightsError
from anymask.models.config import SamConfig, VitConfig
from anymask.models.variants import Variant
from anymask.models.weights.transformers_layout import row_of

__all__ = ["check_pruned_evenly", "row_by_sizes"]

_BLOCK = re.compile(r"image_encoder\.blocks\.(\d+)\.(.+)")
_ROWS = "attn.rel_pos_h"  # (2 * side - 1, channels of a head), of the window or of the whole grid
_SEPARATE = re.compile(r"attn\.[qkv](_proj)?\.weight")


def row_by_sizes(state: Mapping[str, Tensor], origin: str | os.PathLike[str]) -> Variant | None:
    """Make a row of the table for weights with SAM's keys, whatever the sizes of the encoder.

    Args:
        state: Tensors by key, in the original layout, without a prefix.
        origin: Where they come from, for messages.

    Returns:
        The row; None if these are no weights of a SAM with a plain vision transformer.

    Raises:
        WeightsError: It is a SAM whose layers are of unequal width.
    """
    patches = state.get("image_encoder.patch_embed.proj.weight")
    places = state.get("image_encoder.pos_embed")
    if patches is None or places is None or patches.ndim != 4 or places.ndim != 4:
        return None
    blocks = _blocks(state)
    if not blocks or set(blocks) != set(range(len(blocks))):
        return None
    if _apart(blocks) or not _alike(blocks):
        raise _uneven(origin)
    if any(key not in blocks[0] for key in (_ROWS, "mlp.lin1.weight")):
        return None
    (width, _, patch, _), grid = patches.shape, places.shape[1]
    rows = [blocks[i][_ROWS].shape for i in range(len(blocks))]
    mlp = len(blocks[0]["mlp.lin1.weight"])
    windows = Counter((n + 1) // 2 for n, _ in rows if n != 2 * grid - 1)
    encoder = VitConfig(
        width=width,
        depth=len(blocks),
        heads=max(1, width // rows[0][1]),
        global_blocks=tuple(i for i, (n, _) in enumerate(rows) if n == 2 * grid - 1),
        side=grid * patch,
        patch=patch,
        window=next(iter(windows), VitConfig.window),
        mlp=None if mlp == 4 * width else mlp,
    )
    return row_of(SamConfig(encoder))


def check_pruned_evenly(state: Mapping[str, Tensor], origin: str | os.PathLike[str]) -> None:
    """Refuse a SAM that was pruned to layers of many widths, however much else of it is known.

    Args:
        state: Tensors by key, in the original layout, without a prefix.
        origin: Where they come from, for messages.

    Raises:
        WeightsError: It is such a SAM. One layer of another width is a damage, and not said here.
    """
    blocks = _blocks(state)
    shapes: dict[str, set[tuple[int, ...]]] = {}
    for block in blocks.values():
        for key, shape in _shapes(block).items():
            shapes.setdefault(key, set()).add(shape)
    if _apart(blocks) or any(len(some) > 2 for some in shapes.values()):
        raise _uneven(origin)


def _uneven(origin: str | os.PathLike[str]) -> WeightsError:
    return WeightsError(
        f"expected a SAM whose layers are all of one width, got one of unequal layers in "
        f"{str(origin)!r}, as SlimSAM's files of whole modules are; load a uniform one, "
        f"such as Zigeng/SlimSAM-uniform-77"
    )


def _apart(blocks: Mapping[int, Mapping[str, Tensor]]) -> bool:
    """Return whether queries, keys and values come from layers of their own."""
    return any(_SEPARATE.fullmatch(key) for block in blocks.values() for key in block)


def _blocks(state: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Sort the encoder's tensors by their block."""
    blocks: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        if match := _BLOCK.fullmatch(key):
            blocks.setdefault(int(match[1]), {})[match[2]] = value
    return blocks


def _alike(blocks: Mapping[int, Mapping[str, Tensor]]) -> bool:
    """Return whether all blocks have the same keys and shapes, but for the tables of positions."""
    first, *others = map(_shapes, blocks.values())
    return all(other == first for other in others)


def _shapes(block: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Give the shapes of a block; tables of positions are as long as their window needs."""
    return {
        key: tuple(value.shape[1:] if "rel_pos" in key else value.shape)
        for key, value in block.items()
    }

"""A detector for 23 everyday things: SSD heads on the trunk that the bundled model stands on.

Single Shot MultiBox Detector (Liu et al., ECCV 2016) with MobileNetV2, as TensorFlow's object
detection library builds it. From six maps of a photo that was squashed to 300 x 300, each cell says
for a few anchor boxes which thing they hold and how they should be moved. The weights are Google's,
learned from Open Images V4; `recipes/fetch_trunk.py` makes our file of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.errors import WeightsError
from anymask.models.compact import TAPS
from anymask.models.ssd import GRIDS, NAME, shapes
from anymask.models.trunk import TAP_WIDTHS, SameConv, Trunk
from anymask.models.vocabulary import LABELS
from anymask.models.weights.files import read_state
from anymask.models.weights.filling import fill
from anymask.models.weights.locate import locate

__all__ = ["LABELS", "Detector", "load_detector"]

FILE = f"{NAME}.safetensors"
"""The heads, beside the bundled model, whose file has the trunk."""

_TRUNK = f"{TAPS}backbone."
"""How the keys of the trunk begin in the file of the bundled model."""

_FURTHER = ((256, 512), (128, 256), (128, 256), (64, 128))
"""Channels of what follows the trunk, halving the map each time: squeezed, and handed on."""


class Further(nn.Module):
    """Squeeze the channels, then halve the map."""

    def __init__(self, inside: int, squeezed: int, outside: int) -> None:
        super().__init__()
        self.squeeze = SameConv(inside, squeezed)
        self.down = SameConv(squeezed, outside, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, c', h / 2, w / 2), sizes rounded up."""
        return F.relu6(self.down(F.relu6(self.squeeze(x))))


class Head(nn.Module):
    """What each cell of a map says about its anchors."""

    def __init__(self, inside: int, each: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.box = SameConv(inside, 4 * each)
        self.score = SameConv(inside, (1 + classes) * each)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return box codes (b, n, 4) and logits (b, n, 24), cell by cell, anchor by anchor."""
        code, logits = (y.permute(0, 2, 3, 1) for y in (self.box(x), self.score(x)))
        return code.flatten(1).unflatten(1, (-1, 4)), logits.flatten(1).unflatten(
            1, (-1, 1 + self.classes)
        )


class Detector(nn.Module):
    """Trunk and heads."""

    def __init__(self, trunk: Trunk | None = None, classes: int = len(LABELS)) -> None:
        """Build it with random weights.

        Args:
            trunk: Shared with another network; None: one of its own.
            classes: Kinds of things that it tells apart; 1: it says where things are, not which.
        """
        super().__init__()
        self.trunk = Trunk() if trunk is None else trunk
        ends = (TAP_WIDTHS[3], *(outside for _, outside in _FURTHER))
        self.further = nn.ModuleList(
            Further(inside, *widths) for inside, widths in zip(ends[:-1], _FURTHER, strict=True)
        )
        each = [len(shapes(level)) for level in range(len(GRIDS))]
        self.heads = nn.ModuleList(
            Head(width, n, classes) for width, n in zip((TAP_WIDTHS[2], *ends), each, strict=True)
        )

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.parameters()).device

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Read what all anchors hold.

        Args:
            pixels: RGB scaled to -1..1, float32 (b, 3, 300, 300).

        Returns:
            Box codes (b, 1917, 4) and logits (b, 1917, 24), the background first; see `ssd`.
        """
        *_, c16, c32 = self.trunk(pixels)
        return self.read(c16, c32)

    def read(self, c16: Tensor, c32: Tensor) -> tuple[Tensor, Tensor]:
        """Read what all anchors hold from the maps of the trunk, see `forward`.

        Args:
            c16: Maps (b, 576, 19, 19).
            c32: Maps (b, 1280, 10, 10).
        """
        maps = [c16, c32]
        for further in self.further:
            maps.append(further(maps[-1]))
        said = [head(x) for head, x in zip(self.heads, maps, strict=True)]
        codes, logits = zip(*said, strict=True)
        return torch.cat(codes, dim=1), torch.cat(logits, dim=1)


def load_detector(device: torch.device | str = "cpu", heads: Path | None = None) -> Detector:
    """Load the detector that ships inside the package, or other heads on its trunk.

    Args:
        device: Where it is to compute.
        heads: A file of heads that tell any number of classes apart; None: those of the package.

    Raises:
        WeightsError: The package was installed without its weights, or the file is damaged.
    """
    bundled, _ = locate("bundled", offline=True)
    state = read_state(bundled)
    trunk = {k.removeprefix(_TRUNK): v for k, v in state.items() if k.startswith(_TRUNK)}
    if not trunk:
        raise WeightsError(
            f"expected a trunk in {bundled.name}, got weights without one; install anymask again"
        )
    heads = bundled.with_name(FILE) if heads is None else heads
    said = dict(read_state(heads))
    detector = Detector(classes=_classes(said))
    state = {f"trunk.{key}": value for key, value in trunk.items()} | said
    fill(detector, state, heads, name="the detector")
    detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return detector.to(device).eval()


def _classes(state: Mapping[str, Tensor]) -> int:
    """Tell from the first head how many classes there are; what does not fit is said later."""
    score = state.get("heads.0.score.bias")
    return len(LABELS) if score is None else max(1, len(score) // len(shapes(0)) - 1)

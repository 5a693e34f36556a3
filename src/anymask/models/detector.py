"""A detector for 23 everyday things: SSD heads on the trunk that the bundled model stands on.

Single Shot MultiBox Detector (Liu et al., ECCV 2016) with MobileNetV2, as TensorFlow's object
detection library builds it. From six maps of a photo that was squashed to 300 x 300, each cell says
for a few anchor boxes which thing they hold and how they should be moved. The weights are Google's,
learned from Open Images V4; `recipes/fetch_trunk.py` makes our file of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask import geometry
from anymask.detections import Detections
from anymask.errors import InputError, WeightsError
from anymask.image.image import Image, ImageLike
from anymask.models.compact import TAPS
from anymask.models.trunk import TAP_WIDTHS, SameConv, Trunk
from anymask.models.variants import Preprocessing
from anymask.models.vocabulary import LABELS
from anymask.models.weights.files import read_state
from anymask.models.weights.filling import fill
from anymask.models.weights.locate import locate

__all__ = ["LABELS", "Detector", "anchors", "decode", "detect", "load_detector"]

PREPROCESSING = Preprocessing(side=300, pad=None, squash=True, mean=(127.5,) * 3, std=(127.5,) * 3)
"""How a photo becomes its input."""

NAME = "anymask-detector"
"""What its results say made them."""

FILE = f"{NAME}.safetensors"
"""The heads, beside the bundled model, whose file has the trunk."""

_TRUNK = f"{TAPS}backbone."
"""How the keys of the trunk begin in the file of the bundled model."""

_FURTHER = ((256, 512), (128, 256), (128, 256), (64, 128))
"""Channels of what follows the trunk, halving the map each time: squeezed, and handed on."""

_GRIDS = (19, 10, 5, 3, 2, 1)
"""Rows and columns of the six maps."""

_RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
"""Width by height of the anchors of a scale."""

_CODE = (10.0, 10.0, 5.0, 5.0)
"""Divides the code of a box: y, x, log height, log width."""


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

    def __init__(self, inside: int, each: int) -> None:
        super().__init__()
        self.box = SameConv(inside, 4 * each)
        self.score = SameConv(inside, (1 + len(LABELS)) * each)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return box codes (b, n, 4) and logits (b, n, 24), cell by cell, anchor by anchor."""
        code, logits = (y.permute(0, 2, 3, 1) for y in (self.box(x), self.score(x)))
        return code.flatten(1).unflatten(1, (-1, 4)), logits.flatten(1).unflatten(
            1, (-1, 1 + len(LABELS))
        )


class Detector(nn.Module):
    """Trunk and heads."""

    def __init__(self, trunk: Trunk | None = None) -> None:
        """Build it with random weights.

        Args:
            trunk: Shared with another network; None: one of its own.
        """
        super().__init__()
        self.trunk = Trunk() if trunk is None else trunk
        ends = (TAP_WIDTHS[3], *(outside for _, outside in _FURTHER))
        self.further = nn.ModuleList(
            Further(inside, *widths) for inside, widths in zip(ends[:-1], _FURTHER, strict=True)
        )
        each = [len(_shapes(level)) for level in range(len(_GRIDS))]
        self.heads = nn.ModuleList(
            Head(width, n) for width, n in zip((TAP_WIDTHS[2], *ends), each, strict=True)
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Read what all anchors hold.

        Args:
            pixels: RGB scaled to -1..1, float32 (b, 3, 300, 300).

        Returns:
            Box codes (b, 1917, 4), see `decode`, and logits (b, 1917, 24), the background first.
        """
        *_, c16, c32 = self.trunk(pixels)
        maps = [c16, c32]
        for further in self.further:
            maps.append(further(maps[-1]))
        said = [head(x) for head, x in zip(self.heads, maps, strict=True)]
        codes, logits = zip(*said, strict=True)
        return torch.cat(codes, dim=1), torch.cat(logits, dim=1)


def _shapes(level: int) -> list[tuple[float, float]]:
    """List height and width of the anchors of a level, as shares of the frame."""
    if level == 0:
        scaled = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
    else:
        scale, larger = (0.2 + 0.75 * i / 5 if i <= 5 else 1.0 for i in (level, level + 1))
        scaled = [*((scale, ratio) for ratio in _RATIOS), (math.sqrt(scale * larger), 1.0)]
    return [(scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for scale, ratio in scaled]


def anchors() -> Tensor:
    """List the anchors in the order of the answers, float32 (1917, 4).

    Each is its middle's y and x, its height and its width, as shares of the frame.

    Examples:
        >>> anchors().shape
        torch.Size([1917, 4])
    """
    rows = [
        ((y + 0.5) / grid, (x + 0.5) / grid, height, width)
        for level, grid in enumerate(_GRIDS)
        for y in range(grid)
        for x in range(grid)
        for height, width in _shapes(level)
    ]
    return torch.tensor(rows)


def decode(codes: Tensor) -> Tensor:
    """Turn box codes, float32 (..., 1917, 4), into boxes xyxy, as shares of the frame."""
    y, x, height, width = anchors().to(codes.device).unbind(-1)
    down, across, taller, wider = (codes / codes.new_tensor(_CODE)).unbind(-1)
    middle_y, middle_x = y + down * height, x + across * width
    half_h, half_w = height * taller.exp() / 2, width * wider.exp() / 2
    edges = [middle_x - half_w, middle_y - half_h, middle_x + half_w, middle_y + half_h]
    return torch.stack(edges, dim=-1)


@torch.inference_mode()
def detect(
    detector: Detector,
    image: ImageLike,
    *,
    min_score: float = 0.3,
    nms_thresh: float = 0.5,
    max_detections: int = 100,
    labels: Sequence[str] = LABELS,
) -> Detections:
    """Find things in an image.

    Args:
        detector: See `load_detector`.
        image: What `Image.open` takes.
        min_score: Least score, 0 to 1.
        nms_thresh: Of two boxes of one label whose IoU is greater than this, the better one stays.
        max_detections: At most so many, the best ones.
        labels: What to look for, out of `LABELS`.

    Returns:
        Things in pixels of the image, clipped to it, best first, labelled out of ``labels``.

    Raises:
        InputError: A number is out of its range, or a label is unknown.

    Examples:
        >>> from anymask.models.detector import detect, load_detector
        >>> found = detect(load_detector(), "photo.jpg")  # doctest: +SKIP
        >>> found.labels, found.boxes.shape  # doctest: +SKIP
        (('Dog', 'Chair'), (2, 4))
    """
    _check(min_score, nms_thresh, max_detections, labels)
    photo = Image.open(image)
    transform = PREPROCESSING.fit(photo.size_hw)
    device = next(detector.parameters()).device
    resized = transform.resize(photo, PREPROCESSING.resize)
    codes, logits = detector(PREPROCESSING.frames(resized[None], transform, device))
    wanted = torch.tensor([LABELS.index(label) for label in labels], device=device)
    scores = torch.sigmoid(logits[0, :, 1:])[:, wanted]
    which, column = (scores >= min_score).nonzero(as_tuple=True)
    h, w = photo.size_hw
    size = codes.new_tensor([w, h, w, h])
    boxes = (decode(codes[0])[which].clamp(0, 1) * size).float()
    kept = geometry.nms(
        boxes, scores[which, column], nms_thresh, groups=column, max_kept=max_detections
    )
    return Detections(
        photo.size_hw,
        boxes[kept].cpu().numpy(),
        scores[which, column][kept].float().cpu().numpy(),
        tuple(labels[i] for i in column[kept].tolist()),
        photo.source,
        NAME,
    )


def _check(min_score: float, nms_thresh: float, max_detections: int, labels: Sequence[str]) -> None:
    if not (0 <= min_score <= 1 and 0 <= nms_thresh <= 1 and max_detections >= 1):
        raise InputError(
            f"expected min_score and nms_thresh from 0 to 1 and max_detections of at least 1, got "
            f"{min_score}, {nms_thresh} and {max_detections}; correct them"
        )
    unknown = [label for label in labels if label not in LABELS]
    if unknown or not labels:
        raise InputError(
            f"expected labels out of {', '.join(LABELS)}, got {', '.join(unknown) or 'none'}; "
            "name some of these"
        )


def load_detector(device: torch.device | str = "cpu") -> Detector:
    """Load the detector that ships inside the package.

    Raises:
        WeightsError: The package was installed without its weights.
    """
    bundled, _ = locate("bundled", offline=True)
    state = read_state(bundled)
    trunk = {k.removeprefix(_TRUNK): v for k, v in state.items() if k.startswith(_TRUNK)}
    if not trunk:
        raise WeightsError(
            f"expected a trunk in {bundled.name}, got weights without one; install anymask again"
        )
    heads = bundled.with_name(FILE)
    detector = Detector()
    state = {f"trunk.{key}": value for key, value in trunk.items()} | dict(read_state(heads))
    fill(detector, state, heads, name="the detector")
    detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return detector.to(device).eval()

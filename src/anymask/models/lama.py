"""LaMa: a network that paints what a mask hides, with the keys of the published big-lama.

Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions" (WACV 2022). Its
layers are fast Fourier convolutions (Chi et al., NeurIPS 2020): channels in two halves, a local one
that sees its neighbours, and a global one that passes through the frequencies of the whole image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.errors import WeightsError
from anymask.models.build import SkipInit
from anymask.models.weights.files import State, check_file, read_state
from anymask.models.weights.filling import fill, first
from anymask.models.weights.locate import locate

__all__ = [
    "CONFIG",
    "Lama",
    "find_lama",
    "holds_lama",
    "inpaint_part",
    "load_lama",
    "read_lama",
]

CONFIG = {"model_type": "big-lama"}
"""What ``config.json`` says in a folder of converted weights."""


_WIDTH, _BLOCKS = 64, 18
_GLOBAL = 0.75  # share of the channels that are global
_STRIDE = 8  # of the deepest layers; sides are padded to multiples of it
_SMALLEST = 2 * _STRIDE  # of which the deepest layers can mirror the edge
_MARK = "ffc.convl2l.weight"  # how a key ends that no other network has

Pair = tuple[Tensor, Tensor | None]
"""The local and the global half; None where there is no global one."""


class FourierUnit(nn.Module):
    """A 1x1 convolution of frequencies, with norm and ReLU, so that each pixel sees all others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to the same shape."""
        b, c, h, w = x.shape
        # Transforms of 16-bit numbers need sides of powers of two, and lose too much.
        seen = torch.view_as_real(torch.fft.rfftn(x.float(), dim=(-2, -1), norm="ortho"))
        stacked = seen.permute(0, 1, 4, 2, 3).reshape(b, 2 * c, h, -1)
        mixed = F.relu(self.bn(self.conv_layer(stacked.to(x.dtype)))).float()
        pairs = mixed.reshape(b, c, 2, h, -1).permute(0, 1, 3, 4, 2).contiguous()
        back = torch.fft.irfftn(torch.view_as_complex(pairs), s=(h, w), dim=(-2, -1), norm="ortho")
        result: Tensor = back.to(x.dtype)
        return result


class SpectralTransform(nn.Module):
    """From global to global channels: through half as many, and their frequencies."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        middle = outside // 2
        self.conv1 = nn.Sequential(
            nn.Conv2d(inside, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU()
        )
        self.fu = FourierUnit(middle)
        self.conv2 = nn.Conv2d(middle, outside, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, c', h, w)."""
        x = self.conv1(x)
        mixed: Tensor = self.conv2(x + self.fu(x))
        return mixed


class FourierConvolution(nn.Module):
    """Four convolutions: from each half of the channels to each, as far as there are both."""

    def __init__(
        self, inside: tuple[int, int], outside: tuple[int, int], kernel: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.padding = 0 if kernel == 7 else kernel // 2  # the stem is padded before

        def conv(a: int, b: int) -> nn.Conv2d | None:
            return nn.Conv2d(a, b, kernel, stride, bias=False) if a and b else None

        self.convl2l = conv(inside[0], outside[0])
        self.convl2g = conv(inside[0], outside[1])
        self.convg2l = conv(inside[1], outside[0])
        both = inside[1] and outside[1]
        self.convg2g = SpectralTransform(inside[1], outside[1]) if both else None

    def forward(self, x: Pair) -> Pair:
        """Map both halves."""
        wide, far = (self._padded(half) for half in x)
        assert wide is not None and self.convl2l is not None
        out_l, out_g = self.convl2l(wide), None
        if far is not None and self.convg2l is not None:
            out_l = out_l + self.convg2l(far)
        if self.convl2g is not None:
            out_g = self.convl2g(wide)
            if x[1] is not None and self.convg2g is not None:
                out_g = out_g + self.convg2g(x[1])
        return out_l, out_g

    def _padded(self, half: Tensor | None) -> Tensor | None:
        if half is None or not self.padding:
            return half
        return F.pad(half, (self.padding,) * 4, mode="reflect")


class FourierLayer(nn.Module):
    """A Fourier convolution, with norm and ReLU for each half."""

    def __init__(
        self, inside: tuple[int, int], outside: tuple[int, int], kernel: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.ffc = FourierConvolution(inside, outside, kernel, stride)
        self.bn_l = nn.BatchNorm2d(outside[0])
        self.bn_g = nn.BatchNorm2d(outside[1]) if outside[1] else None

    def forward(self, x: Pair) -> Pair:
        """Map both halves."""
        out_l, out_g = self.ffc(x)
        out_l = F.relu(self.bn_l(out_l), inplace=True)
        if out_g is not None and self.bn_g is not None:
            out_g = F.relu(self.bn_g(out_g), inplace=True)
        return out_l, out_g


class FourierBlock(nn.Module):
    """Two layers, added to what came in."""

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = FourierLayer(channels, channels, 3)
        self.conv2 = FourierLayer(channels, channels, 3)

    def forward(self, x: Pair) -> Pair:
        """Map both halves."""
        out_l, out_g = self.conv2(self.conv1(x))
        assert x[1] is not None and out_g is not None
        return x[0] + out_l, x[1] + out_g


class _Pad(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (3, 3, 3, 3), mode="reflect")


class _Split(nn.Module):
    """Begin with local channels alone."""

    def forward(self, x: Tensor) -> Pair:
        return F.pad(x, (3, 3, 3, 3), mode="reflect"), None


class _Join(nn.Module):
    def forward(self, x: Pair) -> Tensor:
        assert x[1] is not None
        return torch.cat([x[0], x[1]], dim=1)


class Lama(nn.Module):
    """The generator of big-lama; the numbers in its keys are places in one sequence."""

    def __init__(self, width: int = _WIDTH, blocks: int = _BLOCKS) -> None:
        super().__init__()
        deep = _STRIDE * width
        halves = (deep - int(_GLOBAL * deep), int(_GLOBAL * deep))
        layers: list[nn.Module] = [_Split(), FourierLayer((4, 0), (width, 0), 7)]
        layers += [FourierLayer((width * k, 0), (2 * width * k, 0), 3, 2) for k in (1, 2)]
        layers += [FourierLayer((4 * width, 0), halves, 3, 2)]
        layers += [FourierBlock(halves) for _ in range(blocks)]
        layers += [_Join()]
        for factor in (4, 2, 1):
            inside, outside = 2 * factor * width, factor * width
            up = nn.ConvTranspose2d(inside, outside, 3, 2, padding=1, output_padding=1)
            layers += [up, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
        layers += [_Pad(), nn.Conv2d(width, 3, 7)]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Paint.

        Args:
            image: (b, 3, h, w), RGB from 0 to 1, sides multiples of 8.
            mask: (b, 1, h, w), 1 where to paint, 0 elsewhere.

        Returns:
            (b, 3, h, w), RGB from 0 to 1, everywhere.
        """
        seen = torch.cat([image * (1 - mask), mask], dim=1)
        return torch.sigmoid(self.model(seen))


@torch.inference_mode()
def inpaint_part(
    network: Lama, pixels: npt.NDArray[np.uint8], mask: npt.NDArray[np.generic]
) -> npt.NDArray[np.uint8]:
    """Paint the hole in an image, as LaMa's own prediction script does.

    Args:
        network: See `load_lama`.
        pixels: uint8 (h, w, 3), RGB.
        mask: (h, w), not 0 where to paint.

    Returns:
        uint8 (h, w, 3), as it was outside of the mask.
    """
    height, width = pixels.shape[:2]
    parameter = next(network.parameters())
    # Mirrored with the edge repeated; of the smallest images, more than once.
    ends = ((0, _missing(height)), (0, _missing(width)))
    image = np.pad(pixels, (*ends, (0, 0)), mode="symmetric").transpose(2, 0, 1)
    hole = np.pad(np.asarray(mask) != 0, ends, mode="symmetric")[None]
    x = (torch.from_numpy(image.astype(np.float32))[None] / 255).to(parameter.device)
    m = torch.from_numpy(hole.astype(np.float32))[None].to(parameter.device)
    painted = network(x.to(parameter.dtype), m.to(parameter.dtype)).float()
    whole = (m * painted + (1 - m) * x)[0, :, :height, :width].cpu().numpy()
    result: npt.NDArray[np.uint8] = np.clip(whole * 255, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(result.transpose(1, 2, 0))


def _missing(side: int) -> int:
    return max(side + -side % _STRIDE, _SMALLEST) - side


# ------------------------------------------------------------------------ weights


def holds_lama(path: Path) -> bool:
    """Return whether a file is of LaMa: holds its generator, whatever else it holds.

    Raises:
        WeightsError: It is a TorchScript program of anything else, or cannot be read.
    """
    if path.is_dir():
        return False
    if check_file(path) == "torchscript":
        read_lama(path)
        return True
    return any(key.endswith(f"model.1.{_MARK}") for key in read_state(path))


def find_lama(source: str, offline: bool = False) -> Path:
    """Find the file of LaMa's weights that a path, a folder or an address means.

    Raises:
        WeightsError: There is none.
    """
    from anymask.models.weights.folder import pick

    path, _ = locate(source, offline)
    if path.is_dir():
        path /= pick((entry.name for entry in path.iterdir()), repr(str(path)))
    return path


def read_lama(path: Path, origin: str = "") -> State:
    """Read the generator's weights: safetensors, a Lightning checkpoint, or TorchScript.

    Nothing in the file is executed; of a TorchScript program only its tensors are read.

    Args:
        path: The file.
        origin: Where it comes from, for messages.

    Returns:
        Tensors by the keys of `Lama`; which are there is for `load_lama` to check.

    Raises:
        WeightsError: It cannot be read, or is of another network.
    """
    origin = origin or str(path)
    state = read_state(path, origin, scripted=True)
    mark = next((key for key in state if key.endswith(f"model.1.{_MARK}")), None)
    if mark is None:
        raise WeightsError(
            f"expected weights of LaMa, got {origin!r} with {len(state)} other keys "
            f"({first(state)}); use those of big-lama"
        )
    prefix = mark.removesuffix(f"model.1.{_MARK}")
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def load_lama(
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    origin: str = "",
) -> Lama:
    """Load LaMa, ready to paint.

    Args:
        path: The file of its weights.
        device: Where it should live.
        dtype: Floating-point type of its weights; None: as they are.
        origin: Where they come from, for messages.

    Raises:
        WeightsError: The file cannot be read, or its keys are not exactly the generator's.

    Examples:
        >>> network = load_lama(Path("big-lama.pt"))  # doctest: +SKIP
    """
    with SkipInit():
        network = Lama()
    fill(network, read_lama(path, origin), origin or path, dtype, "big-lama")
    return network.to(device).eval()

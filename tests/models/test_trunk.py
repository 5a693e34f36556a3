"""The trunk: its shapes, its padding, and its maps of a photo against recorded ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.models.compact import CompactEncoder, Taps
from anymask.models.config import CompactConfig
from anymask.models.trunk import TAP_WIDTHS, SameConv, Trunk, _margins
from anymask.models.weights import fill, read_state
from anymask.models.weights.locate import locate

COFFEE = Path(__file__).parents[2] / "docs/pictures/coffee.jpg"
DOG = {4: (0.647610, 0.890072), 8: (0.351948, 0.602152), 16: (0.203417, 0.581974),
       32: (0.189490, 0.485991)}  # fmt: skip
"""Mean and standard deviation of the maps of a photo that the repository does not hold."""


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    """The trunk of the bundled model."""
    begins = "encoder.taps.backbone."
    path, _ = locate("bundled", offline=True)
    state = {k.removeprefix(begins): v for k, v in read_state(path).items() if begins in k}
    network = Trunk()
    fill(network, state, path)
    return network.eval()


def pixels(photo: Path) -> Tensor:
    picture = PIL.Image.open(photo).convert("RGB")
    small = picture.resize((300, 300), PIL.Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 127.5 - 1


def check(trunk: Trunk, photo: Path, expected: dict[int, tuple[float, float]]) -> None:
    with torch.inference_mode():
        maps = dict(zip((4, 8, 16, 32), trunk(pixels(photo)), strict=True))
    for stride, (mean, std) in expected.items():
        assert maps[stride].mean().item() == pytest.approx(mean, abs=1e-4)
        assert maps[stride].std().item() == pytest.approx(std, abs=1e-4)


def test_it_is_mobilenet_v2() -> None:
    trunk = Trunk()
    assert sum(p.numel() for p in trunk.parameters()) == 2_206_816
    maps = trunk(torch.zeros(1, 3, 96, 70))
    sizes = [(24, 18), (12, 9), (6, 5), (3, 3)]  # rounded up
    assert [tuple(m.shape[1:]) for m in maps] == [
        (width, *size) for width, size in zip(TAP_WIDTHS, sizes, strict=True)
    ]


def test_it_sees_a_photo_as_the_interpreter_does(trunk: Trunk, parity_dir: Path) -> None:
    recorded = json.loads((parity_dir / "detector/coffee.json").read_text())["taps"]
    check(trunk, COFFEE, {int(stride): tuple(facts) for stride, facts in recorded.items()})


def test_it_sees_the_shared_dog_as_the_interpreter_does(trunk: Trunk, shared_dir: Path) -> None:
    check(trunk, shared_dir / "parity/images/dog_240x360.png", DOG)


@pytest.mark.parametrize(("size", "margins"), [(6, (0, 1)), (7, (1, 1)), (1, (1, 1)), (2, (0, 1))])
def test_padding_is_tensorflows(size: int, margins: tuple[int, int]) -> None:
    assert _margins(size, 3, 2) == margins


def test_a_halving_convolution_begins_at_the_first_pixel_of_even_sizes() -> None:
    torch.manual_seed(0)
    layer, x = SameConv(2, 3, 3, 2), torch.randn(1, 2, 6, 7)
    y = layer(x)
    assert y.shape == (1, 3, 3, 4)
    first = (layer.weight[:, :, :, 1:] * x[0, :, 0:3, 0:2]).sum((1, 2, 3)) + layer.bias
    assert torch.allclose(y[0, :, 0, 0], first, atol=1e-6)
    assert not torch.allclose(y, F.conv2d(x, layer.weight, layer.bias, 2, 1)[..., :4])


@pytest.mark.parametrize("side", [64, 512])
def test_strips_change_nothing(side: int) -> None:
    torch.manual_seed(0)
    trunk, x = Trunk().eval(), torch.randn(1, 3, side, 96)
    with torch.inference_mode():
        in_strips = trunk(x)
    whole = trunk(x)
    for one, other in zip(in_strips, whole, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_taps_begin_by_saying_nothing_and_see_the_pixels_as_the_trunk_wants_them() -> None:
    torch.manual_seed(0)
    taps = Taps((8, 12, 16, 32))
    said = taps(torch.randn(1, 3, 64, 64))
    assert [m.shape[1] for m in said] == [8, 12, 16, 32]
    assert not any(m.any() for m in said)
    seen: list[Tensor] = []
    taps.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    grey = torch.tensor([123.675, 116.28, 103.53])[:, None, None].expand(3, 32, 32)[None]
    taps(torch.zeros(1, 3, 32, 32))  # the mean of the photos, normalised
    assert torch.allclose(seen[0], grey / 127.5 - 1, atol=1e-6)


def test_an_encoder_with_taps_begins_as_the_one_without() -> None:
    torch.manual_seed(0)
    config = CompactConfig((8, 12, 16, 32), (1, 1, 1, 1), 2, (8, 12, 16, 16), trunk=False)
    plain = CompactEncoder(config).eval()
    rich = CompactEncoder(CompactConfig((8, 12, 16, 32), (1, 1, 1, 1), 2, (8, 12, 16, 16))).eval()
    rich.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 96)
    for one, other in zip(plain(x), rich(x), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert rich.stages()[0] is rich.taps.backbone  # the deepest, which learns the slowest

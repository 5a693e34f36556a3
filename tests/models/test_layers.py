from __future__ import annotations

import pytest
import torch
from torch import nn

from anymask.models.layers import convolve_and_normalise


def layers(groups: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=groups, bias=False)
    norm = nn.BatchNorm2d(8)
    for values in (norm.weight.data, norm.bias.data, norm.running_mean):
        nn.init.normal_(values)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return convolution.double(), norm.double()


@pytest.mark.parametrize("groups", [1, 4])
def test_normalised_weights_do_what_normalising_does(groups: int) -> None:
    convolution, norm = layers(groups)
    x = torch.randn(2, 4, 9, 6, dtype=torch.float64)
    norm.eval()
    wanted = norm(convolution(x))
    torch.testing.assert_close(convolve_and_normalise(x, convolution, norm), wanted)


def test_what_training_learned_is_in_force_at_once() -> None:
    convolution, norm = layers(1)
    x = torch.randn(2, 4, 9, 6, dtype=torch.float64)
    before = convolve_and_normalise(x, convolution, norm.eval())
    trained = convolve_and_normalise(x, convolution, norm.train())
    torch.testing.assert_close(trained.mean(dim=(0, 2, 3)), norm.bias)
    after = convolve_and_normalise(x, convolution, norm.eval())
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, norm(convolution(x)))

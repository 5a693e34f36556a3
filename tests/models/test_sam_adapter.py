"""SAM-Adapter: what it sees of a picture, where it goes, and that it begins as nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.adapted import answers, learn, lively
from tests.models.tiny import SIDE, prompts

from anymask.errors import CapabilityError, InputError
from anymask.models.sam_adapter import (
    PLACE,
    SamAdapter,
    SamAdapterConfig,
    add_sam_adapter,
    high_frequencies,
)

NAMES = ("sam-vit-b", "efficient-sam-ti")


pytestmark = pytest.mark.usefixtures("one_thread")


def shifted(image: np.ndarray, share: float) -> np.ndarray:
    """The same as the paper draws it: the middle of the shifted spectrum is set to zero."""
    h, w = image.shape
    reach = int((h * w * share) ** 0.5 // 2)
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    rows, columns = (slice(max(0, n // 2 - reach), n // 2 + reach) for n in (h, w))
    spectrum[rows, columns] = 0
    return np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum)).real)


@pytest.mark.parametrize("size_hw", [(16, 16), (12, 20), (9, 14), (7, 7)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.9])
def test_high_frequencies(size_hw: tuple[int, int], share: float) -> None:
    image = np.random.default_rng(0).normal(size=size_hw)
    found = high_frequencies(torch.from_numpy(image)[None, None], share)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0, 0], shifted(image, share), atol=1e-5)


def test_slow_changes_go_and_fast_ones_stay() -> None:
    y, x = np.mgrid[:32, :32]
    slow, fast = np.cos(2 * np.pi * x / 32), (-1.0) ** (x + y)
    found = high_frequencies(torch.from_numpy(5 + slow + fast)[None, None], 0.25)
    np.testing.assert_allclose(found[0, 0], np.abs(fast), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_as_nothing_and_reaches_every_block(name: str) -> None:
    network = lively(name)
    before = answers(network)
    add_sam_adapter(network, SamAdapterConfig())
    torch.testing.assert_close(answers(network), before, rtol=0, atol=0)
    learn(network)
    assert (answers(network) - before).abs().max() > 1e-3

    batch = prompts(1, 0)  # which says nothing
    features = network.encode(torch.randn(1, 3, SIDE, SIDE), (SIDE, SIDE))
    logits, iou = network.decode_all(features, batch, slice(1))
    assert logits.shape[:2] == (1, 1)
    (logits.square().mean() + iou.mean()).backward()
    adapter = network.get_submodule(PLACE)
    assert isinstance(adapter, SamAdapter)
    assert len(adapter.of_block) == 2
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in adapter.parameters())
    learned = {n.partition(".")[0] for n, p in network.named_parameters() if p.grad is not None}
    assert learned == {"image_encoder", "mask_decoder"}
    frozen = {n for n, p in network.named_parameters() if not p.requires_grad}
    assert {n for n in frozen if n.startswith(PLACE)} == set()
    assert "image_encoder.blocks.0.attn.qkv.weight" in frozen


def test_its_size() -> None:
    adapter = SamAdapter(SamAdapterConfig(reduction=4), width=32, patch=16, depth=3)
    shapes = {key: tuple(value.shape) for key, value in adapter.state_dict().items()}
    assert shapes["of_detail.proj.weight"] == (8, 3, 16, 16)
    assert shapes["of_tokens.weight"] == (8, 32)
    assert shapes["of_block.2.weight"] == (8, 8)
    assert shapes["up.weight"] == (32, 8)  # shared by the blocks
    told = list(adapter(torch.randn(2, 3, 64, 48), torch.randn(2, 4, 3, 32)))
    assert [tuple(x.shape) for x in told] == [(2, 4, 3, 32)] * 3


def test_networks_that_can_have_none() -> None:
    for name in ("bundled", "mobile-sam"):
        with pytest.raises(CapabilityError, match=r"no plain vision transformer; use LoRA"):
            add_sam_adapter(lively(name), SamAdapterConfig())
    network = lively("sam-vit-b")
    add_sam_adapter(network, SamAdapterConfig())
    with pytest.raises(InputError, match="got one that has it"):
        add_sam_adapter(network, SamAdapterConfig())


@pytest.mark.parametrize("numbers", [{"reduction": 0}, {"low_share": 1.0}, {"low_share": -0.1}])
def test_numbers_out_of_range(numbers: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"32 and 0\.25 are usual"):
        SamAdapterConfig(**numbers)

"""LaMa: its layout, its numbers against recorded ones, and the files that its weights come in."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.parity import pseudo_weights

from anymask.errors import WeightsError
from anymask.image.image import Image
from anymask.models.lama import Lama, holds_lama, inpaint_part, load_lama, read_lama

CASES = ["square_64x64", "odd_223x149"]


@pytest.fixture(scope="module")
def layout(parity_dir: Path) -> dict:
    return pseudo_weights.load_layout(parity_dir / "keys/big_lama.json")


@pytest.fixture(scope="module")
def network(layout: dict, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Lama:
    """Pseudo-weights by way of a Lightning checkpoint, as they are published."""
    state = pseudo_weights.make_state_dict(layout, seed=0)
    tensors = {f"generator.{key}": torch.from_numpy(np.array(v)) for key, v in state.items()}
    path = tmp_path_factory.mktemp("lama") / "best.ckpt"
    others = {"discriminator.model0.0.weight": torch.zeros(3)}
    torch.save({"state_dict": {**others, **tensors}, "epoch": 39, "hyper_parameters": {}}, path)
    return load_lama(path)


def test_the_layout_is_that_of_the_published_file(layout: dict) -> None:
    with torch.device("meta"):
        state = Lama().state_dict()
    published = {key: tuple(shape) for key, (shape, _) in layout["keys"].items()}
    assert {key: tuple(value.shape) for key, value in state.items()} == published
    assert len(state) == 989
    assert list(state) == list(published)


@pytest.mark.parametrize("name", CASES)
def test_recorded_numbers(network: Lama, parity_dir: Path, name: str) -> None:
    golden = np.load(parity_dir / f"big_lama/{name}.npz")
    meta = json.loads(str(golden["meta"]))
    image = Image.open(parity_dir / "images" / meta["image"])
    if meta.get("crop"):
        x, y, w, h = meta["crop"]
        image = image.crop((x, y, x + w, y + h))
    result = inpaint_part(network, image.pixels, golden["mask"])
    hole = golden["mask"] > 0
    np.testing.assert_array_equal(result[~hole], image.pixels[~hole])
    difference = np.abs(result[::3, ::3].astype(int) - golden["result_sub"])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01
    height, width = meta["padded_size"]
    ends = ((0, height - hole.shape[0]), (0, width - hole.shape[1]))
    pixels = np.pad(image.pixels, (*ends, (0, 0)), mode="symmetric").transpose(2, 0, 1)
    mask = np.pad(hole, ends, mode="symmetric")
    with torch.inference_mode():
        painted = network(
            torch.from_numpy(pixels.astype(np.float32))[None] / 255,
            torch.from_numpy(mask.astype(np.float32))[None, None],
        )[0].numpy()
    np.testing.assert_allclose(painted[:, ::3, ::3], golden["predicted_sub"], atol=2e-5, rtol=0)


def small() -> Lama:
    torch.manual_seed(0)
    return Lama(width=8, blocks=1).eval()


def test_a_mask_value_of_one_counts() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    mask = np.zeros((24, 32), np.uint8)
    mask[5:9, 5:9] = 1
    whole = inpaint_part(small(), pixels, mask * 255)
    np.testing.assert_array_equal(inpaint_part(small(), pixels, mask), whole)
    assert (whole[5:9, 5:9] != pixels[5:9, 5:9]).any()


def test_half_precision_transforms_in_full() -> None:
    """Transforms of 16-bit numbers are not there on a CPU, and only for powers of two on a GPU."""
    network, wide = small(), small().bfloat16()
    image, mask = torch.rand(1, 3, 24, 40), torch.zeros(1, 1, 24, 40)
    mask[..., 5:15, 5:25] = 1
    with torch.inference_mode():
        exact, rough = network(image, mask), wide(image.bfloat16(), mask.bfloat16())
    assert rough.dtype == torch.bfloat16
    assert (exact - rough.float()).abs().max() < 0.05


# ------------------------------------------------------------------------- files


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Lama:
    """Let a network of a few thousand numbers be the published one."""
    monkeypatch.setattr(Lama.__init__, "__defaults__", (8, 1))
    return small()


class Wrapped(torch.nn.Module):
    """A network as big-lama.pt has it."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.model(image, mask)


def save_script(model: torch.nn.Module, path: Path) -> Path:
    inputs = (torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but the files are there
        torch.jit.trace(model, inputs, check_trace=False, strict=False).save(path)
    return path


@pytest.mark.parametrize("kind", ["torchscript", "wrapped", "safetensors", "plain", "lightning"])
def test_each_kind_of_file(tiny: Lama, tmp_path: Path, kind: str) -> None:
    path, state = tmp_path / f"{kind}.pt", tiny.state_dict()
    if kind in ("torchscript", "wrapped"):
        save_script(Wrapped(tiny) if kind == "wrapped" else tiny, path)
    elif kind == "safetensors":
        save_file(state, path)
    elif kind == "plain":
        torch.save(state, path)
    else:
        torch.save({"state_dict": {f"generator.{k}": v for k, v in state.items()}}, path)
    assert holds_lama(path)
    loaded = load_lama(path)
    torch.testing.assert_close(dict(loaded.state_dict()), dict(state), rtol=0, atol=0)
    assert not loaded.training


def test_torchscript_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(3, 2)).save(path)
    for read in (read_lama, holds_lama, load_lama):
        with pytest.raises(WeightsError, match=r"weights of LaMa, got .* 2 other keys \(weight"):
            read(path)


def test_weights_that_are_not_all_there(tiny: Lama, tmp_path: Path) -> None:
    state = tiny.state_dict()
    del state["model.8.bias"]
    torch.save(state, tmp_path / "less.pt")
    with pytest.raises(WeightsError, match=r"keys of big-lama, got 1 missing \(model.8.bias\)"):
        load_lama(tmp_path / "less.pt")
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pt")
    assert not holds_lama(tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="got 'elsewhere' with 1 other keys"):
        load_lama(tmp_path / "other.pt", origin="elsewhere")

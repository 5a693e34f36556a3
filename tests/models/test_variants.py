from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import anymask
from anymask.errors import WeightsError
from anymask.models.variants import VARIANTS, find
from anymask.models.weights import build

SAM_SIZES = [("b", 93_735_472), ("l", 312_342_832), ("h", 641_090_608)]


def test_names_are_unambiguous_and_findable() -> None:
    names = [name for v in VARIANTS for name in (v.name, *v.aliases)]
    assert len(names) == len(set(names))
    for variant in VARIANTS:
        for name in (variant.name, variant.name.upper(), *variant.aliases):
            assert find(name) is variant


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("sam-vit-x", "sam-vit-"),
        ("sam_vitb", "sam-vit-b"),
        ("bundle", "anymask-compact"),
        ("???", "anymask-compact or sam-vit-b or sam-vit-l or sam-vit-h"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name: str, suggested: str) -> None:
    with pytest.raises(WeightsError, match=suggested) as error:
        find(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_the_network_has_the_stated_number_of_parameters(variant) -> None:
    with torch.device("meta"):
        network = build(variant)
    assert sum(p.numel() for p in network.parameters()) == variant.parameters


@pytest.mark.parametrize(("size", "parameters"), SAM_SIZES)
def test_sam_has_the_published_numbers(size: str, parameters: int) -> None:
    variant = find(f"sam-vit-{size}")
    assert variant.parameters == parameters
    assert variant.weights.url.endswith(f"sam_vit_{size}_{variant.weights.sha256}.pth")
    with torch.device("meta"):
        network = build(variant)
    counts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()
    }
    assert counts["prompt_encoder"] == 6_220
    assert counts["mask_decoder"] == 4_058_340


@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_sam_has_the_published_keys_and_shapes(
    size: str, parity_dir: Path, request: pytest.FixtureRequest
) -> None:
    parity = parity_dir if size == "b" else request.getfixturevalue("shared_dir") / "parity"
    layout = json.loads((parity / f"keys/sam_vit_{size}.json").read_text())
    with torch.device("meta"):
        network = build(find(f"sam-vit-{size}"))
    got = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert got == {key: shape for key, (shape, _) in layout["keys"].items()}
    assert [name for name, _ in network.named_buffers()] == layout["buffers"]


def test_the_table_can_be_listed_without_torch() -> None:
    script = "import sys; from anymask import VARIANTS; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(anymask.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert run.returncode == 0

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import anymask
from anymask.errors import CapabilityError, WeightsError
from anymask.image.image import Image
from anymask.models.variants import VARIANTS, find
from anymask.models.weights import build

# Parameters of the image encoder, the prompt encoder and the mask decoder. Of MobileSAM's, 321,640
# are a classifier that its file carries and nothing asks.
PUBLISHED = {
    "sam_vit_b": (89_670_912, 6_220, 4_058_340),
    "sam_vit_l": (308_278_272, 6_220, 4_058_340),
    "sam_vit_h": (637_026_048, 6_220, 4_058_340),
    "mobile_sam": (6_065_532, 6_220, 4_058_340),
    "efficient_sam_vitt": (6_163_840, 1_024, 4_058_340),
    "efficient_sam_vits": (22_353_664, 1_024, 4_058_340),
}


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


@pytest.mark.parametrize(("name", "parts"), PUBLISHED.items())
def test_a_network_has_the_published_numbers(name: str, parts: tuple[int, ...]) -> None:
    variant = find(name)
    with torch.device("meta"):
        network = build(variant)
    assert tuple(sum(p.numel() for p in part.parameters()) for part in network.children()) == parts
    assert variant.parameters == sum(parts)


@pytest.mark.parametrize("name", [*PUBLISHED, "fastsam_s", "fastsam_x"])
def test_a_network_has_the_published_keys_and_shapes(
    name: str, parity_dir: Path, request: pytest.FixtureRequest
) -> None:
    path = parity_dir / f"keys/{name}.json"
    if not path.exists():
        path = request.getfixturevalue("shared_dir") / f"parity/keys/{name}.json"
    layout = json.loads(path.read_text())
    with torch.device("meta"):
        network = build(find(name))
    got = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert got == {key: shape for key, (shape, _) in layout["keys"].items()}
    assert [name for name, _ in network.named_buffers()] == layout["buffers"]


SIZES_OF_SAM2 = {
    "tiny": (27_219_136, (5, 7, 9)),
    "small": (34_316_992, (7, 10, 13)),
    "base-plus": (69_106_816, (12, 16, 20)),
    "large": (212_703_280, (23, 33, 43)),
}


@pytest.mark.parametrize(("size", "numbers"), SIZES_OF_SAM2.items())
def test_sam2_has_the_published_numbers(size: str, numbers: tuple[int, tuple[int, ...]]) -> None:
    newer, older = find(f"sam2.1-{size}"), find(f"sam2-{size}")
    with torch.device("meta"):
        network = build(newer)
    parts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()
    }
    assert parts["image_encoder"] == numbers[0]
    assert parts["prompt_encoder"] == 6_220 and parts["mask_decoder"] == 4_215_109
    assert parts["memory_attention"] == 5_922_304 and parts["memory_encoder"] == 1_384_608
    assert newer.network.encoder.global_blocks == numbers[1]
    own = size.replace("-", "_")
    assert newer.weights.url.endswith(f"/092824/sam2.1_hiera_{own}.pt")
    assert older.weights.url.endswith(f"/072824/sam2_hiera_{own}.pt")


@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_sams_files_are_named_after_their_hash(size: str) -> None:
    weights = find(f"sam-vit-{size}").weights
    assert weights.url.endswith(f"sam_vit_{size}_{weights.sha256}.pth")


def test_the_table_can_be_listed_without_torch() -> None:
    script = "import sys; from anymask import VARIANTS; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(anymask.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert run.returncode == 0


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_medsam_sees_each_image_from_its_darkest_to_its_lightest_value(device: Any) -> None:
    how = find("medsam").preprocessing
    image = Image(np.array([[[10, 20, 30], [60, 110, 40]]], np.uint8).repeat(4, axis=0))
    transform = how.fit(image.size_hw)
    assert transform.resized_hw == (1024, 1024)
    resized = transform.resize(image, how.resize)[None]
    frames = np.asarray(how.frames(np.concatenate([resized, resized // 2]), transform, device))
    assert frames.shape == (2, 3, 1024, 1024)
    low, high = float(resized.min()), float(resized.max())
    wanted = (resized[0].transpose(2, 0, 1) - low) / (high - low)
    np.testing.assert_allclose(frames[0], wanted, atol=1e-6)
    assert frames.min() == 0 and frames[1].max() == 1
    flat = how.frames(np.full((1, 1024, 1024, 3), 7, np.uint8), transform, device)
    assert not np.asarray(flat).any()


def test_medsam_takes_boxes_only() -> None:
    with pytest.raises(CapabilityError, match="medsam does not know points, only boxes"):
        find("medsam").check_capable({"points"})

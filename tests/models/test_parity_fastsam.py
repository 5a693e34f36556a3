"""FastSAM against recorded numbers of the reference implementation, on pseudo-weights.

The small network and what follows after it are compared with numbers that are in the repository;
the large one and more pictures with those of the shared folder, slowly.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.parity import pseudo_weights
from tests.parity.amg.fake_scene import texture_image
from tests.parity.golden import Golden, close, watched, weights

from anymask.config import InstanceConfig
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.models.build import build
from anymask.models.detection import Candidates, candidates, detect, draw, image_boxes
from anymask.models.fastsam import FastSam
from anymask.models.variants import find
from anymask.predict.instances import InstanceSegmenter

SHARED_CASES = [("s", "dog_240x360"), ("s", "truck_480x320"), ("x", "truck_480x320")]
# The layers that have weights; the others resize or join.
LAYERS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 18, 19, 21]


@pytest.mark.parametrize("size", ["s", "x"])
def test_keys_shapes_and_parameters_are_the_published_ones(size: str, parity_dir: Path) -> None:
    layout = json.loads((parity_dir / f"keys/fastsam_{size}.json").read_text())
    with torch.device("meta"):
        network = build(find(f"fastsam-{size}"))
    got = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert list(got.items()) == [(key, shape) for key, (shape, _) in layout["keys"].items()]
    assert [name for name, _ in network.named_buffers()] == layout["buffers"]
    assert network.model["22"].dfl.conv.in_channels == layout["reg_max"]
    counts = {name: sum(p.numel() for p in m.parameters()) for name, m in network.model.items()}
    assert {f"model.{name}": n for name, n in counts.items()} == layout["parameters_by_module"]
    assert sum(counts.values()) == layout["parameters_total"]


# ---- network ----------------------------------------------------------------------------------


def segmenter(size: str, layout: Path) -> InstanceSegmenter:
    variant = find(f"fastsam-{size}")
    network = build(variant).eval()
    network.load_state_dict(weights(pseudo_weights.load_layout(layout), ""))
    network.to(memory_format=torch.channels_last)
    return InstanceSegmenter(variant, network, "pseudo-weights")


@pytest.fixture(scope="module")
def small(parity_dir: Path) -> InstanceSegmenter:
    return segmenter("s", parity_dir / "keys/fastsam_s.json")


def as_recorded(found: Candidates) -> np.ndarray:
    """Candidates as (5 + prototypes, n): middle, width, height, score, coefficients."""
    low, high = found.boxes[:, :2], found.boxes[:, 2:]
    parts = [(low + high) / 2, high - low, found.scores[:, None], found.coefficients]
    return np.concatenate(parts, axis=1).T


def compare_candidates(got: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(got[:4], wanted[:4], atol=0.05)
    np.testing.assert_allclose(got[4], wanted[4], atol=1e-4)
    np.testing.assert_allclose(got[5:], wanted[5:], atol=1e-3)


def compare_layers(network: FastSam, golden: Golden) -> None:
    image = texture_image(256, 320, 31)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode(), watched(network.model) as stages:
        features = network.encode(pixels, (256, 320))
    for layer in LAYERS:
        got = stages[str(layer)]
        assert list(got.shape) == golden.meta["shapes"][str(layer)]
        stride = int(golden[f"layer{layer}__stride"][0])
        close(got.flatten()[::stride], golden[f"layer{layer}__values"])
    np.testing.assert_allclose(
        features["prototypes"][0, :, ::3, ::3], golden["proto_sub"], atol=1e-3
    )
    compare_candidates(as_recorded(candidates(features))[:, ::3], golden["pred"])


def test_every_layer_gives_the_recorded_numbers(small: InstanceSegmenter, parity_dir: Path) -> None:
    compare_layers(small.network, Golden(parity_dir / "fastsam/network_only.npz"))


@pytest.mark.slow
def test_every_layer_of_the_large_network(shared_dir: Path) -> None:
    parity = shared_dir / "parity"
    network = segmenter("x", parity / "keys/fastsam_x.json").network
    compare_layers(network, Golden(parity / "cases/fastsam_x/network_only.npz"))


def test_folding_the_norms_changes_nothing_but_rounding(small: InstanceSegmenter) -> None:
    block = small.network.model["5"]
    x = torch.randn(1, 128, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        unfolded = torch.nn.functional.silu(block.bn(block.conv(x)))
        torch.testing.assert_close(block(x), unfolded, rtol=1e-5, atol=1e-5)


# ---- after the network --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def synthetic(parity_dir: Path) -> Golden:
    return Golden(parity_dir / "fastsam/after_network.npz")


def whole(found: Candidates, prototypes: np.ndarray, at: Transform, config: InstanceConfig):
    """Every mask, bool (n, h, w)."""
    masks = np.zeros((len(found), *at.original_hw), dtype=bool)
    for mask, ((x, y), part) in zip(masks, draw(found, prototypes, at, config), strict=True):
        mask[y : y + part.shape[0], x : x + part.shape[1]] = part
    return masks


def recorded_masks(golden: Golden, name: str) -> np.ndarray:
    shape = golden[f"{name}masks_shape"]
    return np.unpackbits(golden[f"{name}masks_packed"])[: shape.prod()].reshape(shape).astype(bool)


@pytest.mark.parametrize(
    "case",
    ["defaults", "fastsam", "fastsam_other_size", "letterbox_other_size", "max_det_10"],
)
def test_synthetic_candidates_become_exactly_the_recorded_instances(
    synthetic: Golden, case: str
) -> None:
    about, frame_hw = synthetic.meta["cases"][case], tuple(synthetic.meta["input_size"])
    config = InstanceConfig(
        confidence=about["conf"],
        box_nms_thresh=about["iou"],
        max_instances=about["max_det"],
        retina=about["retina_masks"],
    )
    values = synthetic["pred"]
    low, high = values[:2] - values[2:4] / 2, values[:2] + values[2:4] / 2
    found = Candidates(np.concatenate([low, high]).T, values[4], values[5:].T)
    found = detect(found, frame_hw, config)
    at = Transform(tuple(about["original_size"]), frame_hw, frame_hw)
    np.testing.assert_array_equal(image_boxes(found.boxes, at), synthetic[f"{case}__boxes"][:, :4])
    np.testing.assert_array_equal(found.scores, synthetic[f"{case}__boxes"][:, 4])

    prototypes = pseudo_weights.pseudo_embedding("protos", 0, channels=32, side=64)[0, :, :48]
    if not config.retina:  # those were recorded at the size of the frame
        at = Transform(frame_hw, frame_hw, frame_hw)
    masks = whole(found, prototypes, at, config)
    np.testing.assert_array_equal(masks.sum(axis=(1, 2)), synthetic[f"{case}__area"])
    wanted = recorded_masks(synthetic, f"{case}__")
    np.testing.assert_array_equal(masks[: len(wanted)], wanted)


def test_boxes_snap_to_the_border_and_nearly_whole_ones_become_whole(parity_dir: Path) -> None:
    border = Golden(parity_dir / "fastsam/prompts.npz").meta["border"]
    boxes = np.array(border["boxes"], np.float32)
    n, (h, w) = len(boxes), border["image_size"]
    found = Candidates(boxes, np.linspace(0.9, 0.5, n, dtype=np.float32), np.zeros((n, 1)))
    got = detect(found, (h, w), InstanceConfig(box_nms_thresh=1)).boxes
    wanted = np.array(border["snapped"])
    wanted[border["over_0_9"]] = [0, 0, w, h]
    assert len(border["over_0_9"]) > 1  # the reference fails at two
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4)


# ---- pictures -----------------------------------------------------------------------------------


def compare_picture(model: InstanceSegmenter, golden: Golden, image: Image) -> None:
    """Compare all that is recorded of a picture, from the pixels that the network sees on."""
    how = model.variant.preprocessing
    at = Transform.fit(image.size_hw, side=golden.meta["imgsz"], pad=how.pad, centre=how.centre)
    features = model._encode(at.resize(image, how.resize)[None], at)
    prototypes = features["prototypes"][0].numpy()
    seen = features["picture"][0, :, ::15, ::15].float()
    np.testing.assert_allclose(seen, golden["input_sub"], atol=1e-3)
    np.testing.assert_allclose(prototypes[:, ::7, ::7], golden["proto_sub"], atol=1e-3)
    compare_candidates(as_recorded(candidates(features))[:, ::11], golden["pred_sub"])

    found = detect(candidates(features), at.frame_hw, InstanceConfig())
    wanted = golden["nms_boxes"][:, 4]
    np.testing.assert_allclose(found.scores, wanted, atol=1e-4)
    boxes = image_boxes(found.boxes, at)
    compare_instances(golden, "retina_", boxes, whole(found, prototypes, at, InstanceConfig()))
    framed = Transform(at.frame_hw, at.frame_hw, at.frame_hw)  # letterbox masks are not cut down
    coarse = whole(found, prototypes, framed, InstanceConfig(retina=False))
    compare_instances(golden, "letterbox_", boxes, coarse)


def compare_instances(golden: Golden, kind: str, boxes: np.ndarray, masks: np.ndarray) -> None:
    np.testing.assert_allclose(boxes, golden[f"{kind}boxes"][:, :4], atol=0.05)
    off = np.abs(masks.sum(axis=(1, 2)) - golden[f"{kind}area"]) > max(3, 5e-4 * masks[0].size)
    # Where an edge rounds to another pixel, a whole row or column of the mask goes with it.
    assert off.mean() <= 0.01
    wanted = recorded_masks(golden, kind)
    assert (masks[: len(wanted)] != wanted).mean() <= 5e-4


def test_a_picture_gives_the_recorded_instances(small: InstanceSegmenter, parity_dir: Path) -> None:
    name = "truck_odd_223x149"
    image = Image.open(parity_dir / f"images/{name}.png")
    compare_picture(small, Golden(parity_dir / f"fastsam/{name}.npz"), image)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "name"), SHARED_CASES)
def test_more_pictures(shared_dir: Path, size: str, name: str) -> None:
    parity = shared_dir / "parity"
    model = segmenter(size, parity / f"keys/fastsam_{size}.json")
    golden = Golden(parity / f"cases/fastsam_{size}/{name}.npz")
    compare_picture(model, golden, Image.open(parity / f"images/{name}.png"))

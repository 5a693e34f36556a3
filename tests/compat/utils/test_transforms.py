"""The resize helper, against recorded numbers of the reference."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.parity.amg.fake_scene import texture_image

from anymask.compat.utils.transforms import ResizeLongestSide


@pytest.fixture(scope="module")
def recorded(parity_dir: Path) -> dict[str, Any]:
    with np.load(parity_dir / "preprocess/pre_and_post.npz") as file:
        return dict(file)


@pytest.mark.parametrize("index", range(10))
def test_it_resizes_like_the_reference(recorded: dict[str, Any], index: int) -> None:
    about = json.loads(str(recorded["meta"]))["images"][index]
    h, w = about["size"]
    image = texture_image(h, w, about["texture_seed"])
    transform = ResizeLongestSide(1024)
    resized = transform.apply_image(image)
    assert resized.dtype == np.uint8
    assert (
        hashlib.sha256(np.ascontiguousarray(resized).tobytes()).hexdigest()
        == (about["resized_sha256"])
    )
    assert transform.get_preprocess_shape(h, w, 1024) == resized.shape[:2]

    points, wanted = recorded[f"i{index}_points"], recorded[f"i{index}_points_1024"]
    np.testing.assert_array_equal(transform.apply_coords(points, (h, w)), wanted)
    in_torch = transform.apply_coords_torch(torch.from_numpy(points), (h, w))
    assert in_torch.dtype == torch.float32
    np.testing.assert_allclose(in_torch, wanted, rtol=1e-6)

    boxes, wanted = recorded[f"i{index}_boxes"], recorded[f"i{index}_boxes_1024"]
    np.testing.assert_array_equal(transform.apply_boxes(boxes, torch.Size([h, w])), wanted)
    in_torch = transform.apply_boxes_torch(torch.from_numpy(boxes), np.array([h, w]))
    np.testing.assert_allclose(in_torch, wanted, rtol=1e-6)


def test_shapes_and_inputs_stay_as_they_were() -> None:
    transform = ResizeLongestSide(100)
    points = np.array([[[3, 4]], [[5, 6]]])
    carried = transform.apply_coords(points, (50, 20))
    assert points.tolist() == [[[3, 4]], [[5, 6]]]
    assert carried.tolist() == [[[6, 8]], [[10, 12]]]
    assert transform.apply_boxes([1, 2, 3, 4], (50, 20)).tolist() == [[2, 4, 6, 8]]


def test_a_grey_picture_stays_grey() -> None:
    colours = texture_image(30, 40)
    transform = ResizeLongestSide(64)
    np.testing.assert_array_equal(
        transform.apply_image(colours[..., 0]), transform.apply_image(colours)[..., 0]
    )
    assert transform.apply_image(colours[..., :1]).shape == (48, 64)


def test_resizing_in_torch_is_nearly_the_same() -> None:
    image = texture_image(300, 400)
    transform = ResizeLongestSide(128)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    in_torch = transform.apply_image_torch(pixels)[0].permute(1, 2, 0).numpy()
    assert np.abs(in_torch - transform.apply_image(image)).max() < 1.5

"""EfficientSAM against recorded numbers of the reference implementation, on pseudo-weights.

EfficientSAM-Ti and one picture are compared with numbers that are in the repository; both sizes,
all pictures and a batch with those of the shared folder, slowly.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.parity.golden import (
    Golden,
    close,
    compare_answer,
    compare_embedding,
    compare_prediction,
    compare_stages,
    framed,
    prompt_batch,
    segmenter,
    watched,
)
from torch import Tensor

from anymask.embedding import Embedding
from anymask.image.image import Image
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

SIZES = ["efficient_sam_vitt", "efficient_sam_vits"]
IMAGES = ["truck_480x320", "dog_240x360", "truck_odd_223x149"]
CASES = [
    "point1", "points2", "points3", "box", "box_point", "point1_single", "box_single", "points6",
    "points8_truncated_to_6", "points2_padded", "label0_as_position_only", "corners", "queries4",
    "boxes8_single",
]  # fmt: skip
WHOLE = [("efficient_sam_vitt", "truck_480x320", "repository")]
WHOLE += [(name, image, "shared") for name in SIZES for image in IMAGES]
PADDING, POINT, TOP_LEFT, BOTTOM_RIGHT = -1, 1, 2, 3


class Place:
    """Where recorded numbers, pictures and key layouts lie."""

    def __init__(self, where: str, request: pytest.FixtureRequest) -> None:
        shared = where == "shared"
        self.root: Path = request.getfixturevalue("shared_dir" if shared else "parity_dir")
        self.root = self.root / "parity" if shared else self.root
        self.cases = self.root / "cases" if shared else self.root

    def golden(self, name: str, file: str) -> Golden:
        return Golden(self.cases / name / f"{file}.npz")

    def image(self, picture: str) -> Image:
        return Image.open(self.root / f"images/{picture}.png")

    def model(self, name: str) -> Segmenter:
        return load(name, self.root / f"keys/{name}.json")


@functools.lru_cache(maxsize=1)
def load(name: str, layout: Path) -> Segmenter:
    return segmenter(find(name), layout)


def where_from(cases: list[tuple[str, ...]]) -> list:
    """Test parameters, slow if their numbers are in the shared folder."""
    return [pytest.param(*c, marks=[pytest.mark.slow] if c[-1] == "shared" else []) for c in cases]


@pytest.mark.parametrize(
    ("name", "where"),
    where_from([(SIZES[0], "repository"), (SIZES[0], "shared"), (SIZES[1], "shared")]),
)
@torch.inference_mode()
def test_every_stage(name: str, where: str, request: pytest.FixtureRequest) -> None:
    place = Place(where, request)
    encoder = place.model(name).network.image_encoder
    modules = {f"block_{i}": block for i, block in enumerate(encoder.blocks)}
    modules |= {f"neck_{i}": module for i, module in enumerate(encoder.neck)}
    modules |= {"patch_embed": encoder.patch_embed, "block_0_attention": encoder.blocks[0].attn}
    frame, _ = framed(place.image("truck_480x320"), find(name))
    close(frame[0, :, ::31, ::31], place.golden(name, "truck_480x320")["input_sub"])
    with watched(modules) as stages:
        encoder(frame)
    stages["patch_embed"] = stages["patch_embed"].permute(0, 3, 1, 2)
    compare_stages(place.golden(name, "intermediates"), stages)


@pytest.mark.parametrize(("name", "picture", "where"), where_from(WHOLE))
@pytest.mark.filterwarnings("ignore:EfficientSAM reads 6 points:UserWarning")
@torch.inference_mode()
def test_every_prompt(name: str, picture: str, where: str, request: pytest.FixtureRequest) -> None:
    place = Place(where, request)
    model, golden = place.model(name), place.golden(name, picture)
    photo = model.embed(place.image(picture))
    compare_embedding(golden, photo.features["image"])
    assert list(golden.meta["cases"]) == [*CASES, "end_to_end"]
    for case in golden.meta["cases"]:
        compare_case(model, photo, golden, case)


def compare_case(model: Segmenter, photo: Embedding, golden: Golden, case: str) -> None:
    """Compare the network's answers and, where they can be asked of `predict`, those as well."""
    multimask = golden.meta["cases"][case]["multimask_output"]
    points, labels = golden.tensor(f"{case}__point_coords"), golden.tensor(f"{case}__point_labels")
    framed_xy = photo.transform.points_to_frame(points)
    batch = prompt_batch(len(points), points=framed_xy, labels=labels)
    logits, iou = model.network.decode(photo.features, batch, multimask)
    compare_answer(golden, case, logits, iou, photo.transform.masks_to_image(logits))
    if len(points) == 1 and labels.min() >= POINT:
        masks = model.predict(photo, prompts=prompt(points[0], labels[0]), multimask=multimask)
        compare_prediction(golden, case, masks)


def prompt(points: Tensor, labels: Tensor) -> Prompt:
    """A prompt in our terms: a box is no pair of points."""
    corners = points[(labels == TOP_LEFT) | (labels == BOTTOM_RIGHT)]
    return Prompt(points[labels == POINT], box=corners.flatten() if len(corners) else None)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
@torch.inference_mode()
def test_two_images_at_once(name: str, request: pytest.FixtureRequest) -> None:
    place = Place("shared", request)
    model, golden = place.model(name), place.golden(name, "batch_of_two_images")
    image = place.image("truck_odd_223x149")
    photos = model.embed([image, Image.open(image.pixels[:, ::-1])])
    for i, photo in enumerate(photos):
        framed_xy = photo.transform.points_to_frame(golden.tensor("point_coords")[i])
        batch = prompt_batch(2, points=framed_xy, labels=golden.tensor("point_labels")[i])
        logits, iou = model.network.decode(photo.features, batch, multimask=True)
        close(logits[..., ::5, ::5], golden["low_res_sub"][i])
        np.testing.assert_allclose(iou.numpy(), golden["iou"][i], atol=1e-4)

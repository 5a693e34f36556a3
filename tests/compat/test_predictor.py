"""The predictor: its state, its frames, and recorded numbers of the reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.parity import pseudo_weights
from torch import Tensor

from anymask.compat import NoImageError, Sam, SamPredictor, sam_model_registry
from anymask.compat.build_sam import assemble
from anymask.errors import AnymaskError, InputError
from anymask.image.image import Image
from anymask.models.config import VitConfig
from anymask.models.variants import find

Array = np.ndarray[Any, Any]

# ---- state and frames -----------------------------------------------------------------------


def test_it_remembers_the_image_until_told_otherwise(sam: Sam, image: Array) -> None:
    predictor = SamPredictor(sam)
    assert not predictor.is_image_set
    predictor.set_image(image)
    assert predictor.is_image_set
    assert predictor.original_size == (37, 50)
    assert predictor.input_size == (47, 64)
    embedding = predictor.get_image_embedding()
    assert embedding is predictor.features
    assert embedding.shape == (1, 32, 4, 4)
    assert not embedding.is_inference()  # a script may train a decoder on it
    assert predictor.device == torch.device("cpu")
    predictor.reset_image()
    assert not predictor.is_image_set and predictor.features is None


@pytest.mark.parametrize("kind", [NoImageError, RuntimeError, InputError, AnymaskError])
def test_a_question_without_an_image(sam: Sam, kind: type[Exception]) -> None:
    predictor = SamPredictor(sam)
    questions = [
        lambda: predictor.predict(box=np.array([0, 0, 5, 5])),
        lambda: predictor.predict_torch(None, None),
        predictor.get_image_embedding,
    ]
    for ask in questions:
        with pytest.raises(kind, match="call set_image first"):
            ask()


def test_the_order_of_colours_can_be_said(sam: Sam, image: Array) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    wanted = predictor.get_image_embedding()
    predictor.set_image(image[..., ::-1], image_format="BGR")
    torch.testing.assert_close(predictor.get_image_embedding(), wanted, rtol=0, atol=0)
    with pytest.raises(InputError, match="image_format of RGB or BGR, got 'HSV'"):
        predictor.set_image(image, image_format="HSV")


def test_an_image_resized_by_the_script(sam: Sam, image: Array) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    wanted = predictor.get_image_embedding()
    resized = torch.as_tensor(predictor.transform.apply_image(image)).permute(2, 0, 1)[None]
    predictor.set_torch_image(resized, image.shape[:2])
    torch.testing.assert_close(predictor.get_image_embedding(), wanted, rtol=0, atol=0)
    for wrong in (resized[0], resized[:, :1], resized[..., :40]):
        with pytest.raises(InputError, match="a longest side of 64"):
            predictor.set_torch_image(wrong, image.shape[:2])


def test_half_a_prompt(sam: Sam, image: Array) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    with pytest.raises(InputError, match="a label for each point"):
        predictor.predict(point_coords=np.array([[3, 4]]))
    with pytest.raises(InputError, match="points with labels"):
        predictor.predict_torch(torch.zeros(1, 1, 2), None)
    with pytest.raises(InputError, match="expected one box, got 2; several go through"):
        predictor.predict(box=np.array([[0, 0, 5, 5], [1, 1, 6, 6]]))


def test_no_boxes_have_no_masks(sam: Sam, image: Array) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    for multimask, k in ((False, 1), (True, 3)):
        masks, iou, low_res = predictor.predict_torch(
            None, None, torch.zeros(0, 4), multimask_output=multimask
        )
        assert masks.shape == (0, k, 37, 50) and masks.dtype == torch.bool
        assert iou.shape == (0, k) and low_res.shape == (0, k, 16, 16)
    masks, *_ = predictor.predict_torch(torch.zeros(0, 2, 2), torch.zeros(0, 2))
    assert masks.shape == (0, 3, 37, 50)
    one = {"image": torch.zeros(3, 47, 64), "original_size": (37, 50), "boxes": torch.zeros(0, 4)}
    assert sam([one], multimask_output=False)[0]["masks"].shape == (0, 1, 37, 50)


@pytest.mark.parametrize("label", [2, 3, 5, -2])
def test_a_label_that_sam_does_not_know_is_a_place_of_no_kind(sam: Sam, label: int) -> None:
    """The original adds what it learned about a kind to 0, 1 and -1 alone."""
    points = torch.tensor([[[10.0, 20.0], [30.0, 5.0]]])
    labels = torch.tensor([[label, 1]])
    encoder = sam.prompt_encoder
    tokens, _ = encoder(points=(points, labels), boxes=None, masks=None)
    known, _ = encoder(points=(points, torch.ones(1, 2)), boxes=None, masks=None)
    kind = encoder.point_embeddings[1].weight
    torch.testing.assert_close(tokens[:, :1], known[:, :1] - kind, rtol=0, atol=1e-5)
    torch.testing.assert_close(tokens[:, 1:], known[:, 1:], rtol=0, atol=1e-5)
    box = torch.tensor([[1.0, 2.0, 30.0, 40.0]])
    with_box, _ = encoder(points=(points, labels), boxes=box, masks=None)
    torch.testing.assert_close(with_box[:, :2], tokens[:, :2], rtol=0, atol=1e-5)
    assert with_box.shape == (1, 4, 32)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"point_coords": [[3, 4]], "point_labels": [1, 1]}, "one label for each point"),
        ({"point_coords": [[3, 4], [5, 6]], "point_labels": [1]}, "one label for each point"),
        ({"point_coords": [3, 4], "point_labels": [1]}, "expected points"),
        ({"mask_input": np.zeros((16, 16))}, r"expected mask_input as logits \(1, h, w\)"),
        ({"mask_input": np.zeros((1, 8, 8))}, r"expected masks as logits \(n, 1, 16, 16\)"),
        ({"mask_input": np.zeros((3, 16, 16))}, r"expected masks as logits \(n, 1, 16, 16\)"),
    ],
)
def test_prompts_of_other_shapes(
    sam: Sam, image: Array, said: dict[str, Any], message: str
) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    with pytest.raises(InputError, match=message):
        predictor.predict(**{name: np.asarray(value) for name, value in said.items()})


@pytest.mark.parametrize("shape", [(37, 50), (37, 50, 1), (37, 50, 4), (2, 37, 50, 3)])
def test_images_of_other_shapes(sam: Sam, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected an image of \(h, w, 3\)"):
        SamPredictor(sam).set_image(np.zeros(shape, np.uint8))


# ---- recorded numbers -----------------------------------------------------------------------


class Recorded:
    def __init__(self, path: Path) -> None:
        self.values = np.load(path)
        self.meta: dict[str, Any] = json.loads(str(self.values["meta"]))

    def get(self, name: str) -> Array | None:
        return self.values[name] if name in self.values.files else None

    def tensor(self, name: str) -> Tensor | None:
        value = self.get(name)
        return None if value is None else torch.from_numpy(value)


def weights(keys: Path, *prefixes: str) -> dict[str, Tensor]:
    layout = pseudo_weights.load_layout(keys)
    layout["keys"] = {k: v for k, v in layout["keys"].items() if k.startswith(prefixes)}
    state = pseudo_weights.make_state_dict(layout)
    return {key: torch.from_numpy(value) for key, value in state.items()}


@pytest.fixture(scope="module")
def decoder(parity_dir: Path) -> Sam:
    """The published prompt encoder and mask decoder behind a toy of an image encoder."""
    variant = find("sam-vit-b")
    toy = VitConfig(width=8, depth=1, heads=1, global_blocks=())
    sam = assemble(replace(variant, network=replace(variant.network, encoder=toy)))
    state = weights(parity_dir / "keys/sam_vit_b.json", "prompt_encoder.", "mask_decoder.")
    found = sam.load_state_dict(state, strict=False)
    assert not found.unexpected_keys
    assert all(key.startswith("image_encoder.") for key in found.missing_keys)
    return sam


DECODER_CASES = [
    "point", "point_bg", "points5", "points_padded", "box", "boxes3",
    "box_point", "mask", "mask_point", "mask_box_points", "nothing", "batch4x3",
]  # fmt: skip


@pytest.mark.parametrize("case", DECODER_CASES)
def test_a_planted_embedding_is_answered_like_the_reference(
    decoder: Sam, parity_dir: Path, case: str
) -> None:
    golden = Recorded(parity_dir / "sam_decoder/synthetic_embedding.npz")
    predictor = SamPredictor(decoder)
    predictor.features = torch.from_numpy(pseudo_weights.pseudo_embedding("decoder", 0))
    predictor.original_size = predictor.input_size = (1024, 1024)
    predictor.is_image_set = True
    mask = pseudo_weights.pseudo_embedding("mask_prompt", 0, channels=1, side=256) * 5
    step = golden.meta["low_res_stride"]
    for multimask, slots in ((True, slice(1, 4)), (False, slice(0, 1))):
        masks, iou, low_res = predictor.predict_torch(
            golden.tensor(f"{case}__points"),
            golden.tensor(f"{case}__labels"),
            golden.tensor(f"{case}__boxes"),
            torch.from_numpy(mask) if golden.meta["cases"][case]["mask_prompt"] else None,
            multimask_output=multimask,
        )
        wanted = golden.values[f"{case}__low_res_sub"][:, slots]
        np.testing.assert_allclose(low_res[..., ::step, ::step], wanted, rtol=1e-3, atol=2e-4)
        np.testing.assert_allclose(iou, golden.values[f"{case}__iou"][:, slots], atol=1e-4)
        assert masks.shape == (*iou.shape, 1024, 1024) and masks.dtype == torch.bool


def answer(predictor: SamPredictor, golden: Recorded, case: str) -> list[list[Array]]:
    """Ask what a case asks: masks or logits of the image's size, predicted IoU, small logits."""
    about = golden.meta["cases"][case]
    mask = golden.get("mask_input") if about.get("mask_input_from") else None
    both = []
    for return_logits in (False, True):
        if about["api"] == "predict":
            answers = predictor.predict(
                golden.get(f"{case}__point_coords"),
                golden.get(f"{case}__point_labels"),
                golden.get(f"{case}__box"),
                mask,
                about["multimask_output"],
                return_logits,
            )
        else:
            points = golden.tensor(f"{case}__point_coords")
            labels = golden.tensor(f"{case}__point_labels")
            boxes = golden.tensor(f"{case}__boxes")
            masks = None
            if case == "points2_boxes2_masks2_single":
                points = golden.tensor("points4x2_multi__point_coords")[:2]
                labels = golden.tensor("points4x2_multi__point_labels")[:2]
                boxes = golden.tensor("boxes8_single__boxes")[:2]
                masks = torch.stack([golden.tensor("mask_input"), -golden.tensor("mask_input")])
            size, transform = predictor.original_size, predictor.transform
            answers = predictor.predict_torch(
                None if points is None else transform.apply_coords_torch(points, size),
                labels,
                None if boxes is None else transform.apply_boxes_torch(boxes, size),
                masks,
                multimask_output=about["multimask_output"],
                return_logits=return_logits,
            )
        both.append([np.asarray(value) for value in answers])
    return both


@pytest.mark.slow
@pytest.mark.parametrize("picture", ["truck_480x320", "dog_240x360", "truck_odd_223x149"])
@pytest.mark.parametrize("name", ["mobile_sam", "sam_vit_b"])
def test_every_recorded_prompt(shared_dir: Path, tmp_path: Path, name: str, picture: str) -> None:
    parity = shared_dir / "parity"
    checkpoint = tmp_path / "weights.pth"
    torch.save(weights(parity / f"keys/{name}.json", ""), checkpoint)
    build = sam_model_registry["vit_t" if name == "mobile_sam" else "vit_b"]
    predictor = SamPredictor(build(checkpoint=str(checkpoint)))
    golden = Recorded(parity / f"cases/{name}/{picture}.npz")
    predictor.set_image(np.array(Image.open(parity / f"images/{picture}.png").pixels))
    embedding = predictor.get_image_embedding()
    np.testing.assert_allclose(
        embedding[0, ::4, ::3, ::3], golden.values["emb_sub"], rtol=1e-3, atol=2e-4
    )
    assert len(golden.meta["cases"]) == 19
    for case, about in golden.meta["cases"].items():
        (masks, iou, low_res), (logits, _, _) = answer(predictor, golden, case)
        step = about.get("low_res_stride", golden.meta["low_res_stride"])
        wanted = golden.values[f"{case}__low_res_sub"]
        np.testing.assert_allclose(low_res[..., ::step, ::step], wanted, rtol=1e-3, atol=2e-4)
        np.testing.assert_allclose(iou, golden.values[f"{case}__iou"], atol=1e-4)
        off = np.abs(masks.sum(axis=(-2, -1)) - golden.values[f"{case}__area"])
        assert off.max() <= max(3, 5e-4 * masks[0].size), case
        high = golden.get(f"{case}__high_res_sub")
        if high is not None:
            np.testing.assert_allclose(logits[..., ::7, ::7], high, rtol=1e-3, atol=2e-4)
        packed = golden.get(f"{case}__masks_packed")
        if packed is not None:
            bits = np.unpackbits(packed)[: masks.size].reshape(masks.shape)
            assert (masks != bits.astype(bool)).mean() <= 5e-4, case

"""What people do with the original package, as its notebooks and fine-tuning scripts do it."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from anymask.compat import Sam, SamAutomaticMaskGenerator, SamPredictor
from anymask.compat.utils.onnx import SamOnnxModel
from anymask.compat.utils.transforms import ResizeLongestSide

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("", "sam_model_registry"),
        ("", "build_sam"),
        (".build_sam", "build_sam_vit_b"),
        (".predictor", "SamPredictor"),
        (".automatic_mask_generator", "SamAutomaticMaskGenerator"),
        (".modeling", "Sam"),
        (".utils.transforms", "ResizeLongestSide"),
        (".utils.onnx", "SamOnnxModel"),
        (".utils.amg", "batched_mask_to_box"),
    ],
)
def test_names_are_found_where_scripts_look_for_them(module: str, name: str) -> None:
    found = getattr(importlib.import_module(f"anymask.compat{module}"), name)
    assert callable(found) or name == "sam_model_registry"


def test_a_click_and_a_second_one_that_improves_it(sam: Sam, image: Array) -> None:
    sam.to(device="cpu")
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    masks, scores, logits = predictor.predict(
        point_coords=np.array([[20, 15]]), point_labels=np.array([1]), multimask_output=True
    )
    assert (masks.shape, masks.dtype) == ((3, 37, 50), np.bool_)
    assert (scores.shape, scores.dtype) == ((3,), np.float32)
    assert (logits.shape, logits.dtype) == ((3, 16, 16), np.float32)

    masks, scores, logits = predictor.predict(
        point_coords=np.array([[20, 15], [30, 30]]),
        point_labels=np.array([1, 0]),
        mask_input=logits[np.argmax(scores), :, :][None, :, :],
        multimask_output=False,
    )
    assert masks.shape == (1, 37, 50) and scores.shape == (1,) and logits.shape == (1, 16, 16)


def test_a_box_and_a_point_beside_the_object(sam: Sam, image: Array) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    box = np.array([5, 4, 30, 28])
    plain, _, _ = predictor.predict(box=box, multimask_output=False, return_logits=True)
    more, _, _ = predictor.predict(
        np.array([[12, 9]]), np.array([0]), box, multimask_output=False, return_logits=True
    )
    assert plain.shape == more.shape == (1, 37, 50)
    assert plain.dtype == np.float32
    assert not np.allclose(plain, more)
    row, _, _ = predictor.predict(box=box[None, :], multimask_output=False, return_logits=True)
    np.testing.assert_array_equal(row, plain)


def test_several_boxes_at_once(sam: Sam, image: Array) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    boxes = torch.tensor([[5, 4, 30, 28], [0, 0, 50, 37], [20, 20, 40, 30]], device=sam.device)
    masks, scores, logits = predictor.predict_torch(
        point_coords=None,
        point_labels=None,
        boxes=predictor.transform.apply_boxes_torch(boxes, image.shape[:2]),
        multimask_output=False,
    )
    assert masks.shape == (3, 1, 37, 50) and masks.dtype == torch.bool
    assert scores.shape == (3, 1) and logits.shape == (3, 1, 16, 16)
    for box, logit, score in zip(boxes, logits, scores, strict=True):
        _, alone, low_res = predictor.predict(box=box.numpy(), multimask_output=False)
        np.testing.assert_allclose(logit.numpy(), low_res, atol=1e-5)
        np.testing.assert_allclose(score.numpy(), alone, atol=1e-5)


def test_several_images_with_their_boxes(sam: Sam, image: Array) -> None:
    transform = ResizeLongestSide(sam.image_encoder.img_size)
    images = [image, image[:20, ::-1].copy()]
    boxes = [torch.tensor([[5, 4, 30, 28], [0, 0, 50, 30]]), torch.tensor([[3, 3, 40, 12]])]
    batch = [
        {
            "image": torch.as_tensor(transform.apply_image(one)).permute(2, 0, 1).contiguous(),
            "boxes": transform.apply_boxes_torch(box, one.shape[:2]),
            "original_size": one.shape[:2],
        }
        for one, box in zip(images, boxes, strict=True)
    ]
    answers = sam(batch, multimask_output=False)
    predictor = SamPredictor(sam)
    for one, box, answer in zip(images, batch, answers, strict=True):
        predictor.set_image(one)
        masks, iou, low_res = predictor.predict_torch(
            None, None, box["boxes"], multimask_output=False
        )
        assert answer["masks"].shape == (len(box["boxes"]), 1, *one.shape[:2])
        assert torch.equal(answer["masks"], masks)
        torch.testing.assert_close(answer["iou_predictions"], iou)
        torch.testing.assert_close(answer["low_res_logits"], low_res)


def test_everything(sam: Sam, image: Array) -> None:
    generator = SamAutomaticMaskGenerator(
        model=sam,
        points_per_side=4,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
        crop_n_layers=1,
        crop_n_points_downscale_factor=2,
    )
    records = generator.generate(image)
    assert records
    for one in sorted(records, key=lambda record: record["area"], reverse=True):
        mask = one["segmentation"]
        assert mask.shape == (37, 50) and mask.dtype == np.bool_
        assert mask.sum() == one["area"]
        assert len(one["bbox"]) == len(one["crop_box"]) == 4
        assert 0 <= one["stability_score"] <= 1


def test_the_exported_decoder_in_place_of_the_predictors(sam: Sam, image: Array) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    box, point, label = np.array([5, 4, 30, 28]), np.array([[12, 9]]), np.array([0])
    coords = np.concatenate([point, box.reshape(2, 2)], axis=0)[None, :, :]
    labels = np.concatenate([label, np.array([2, 3])], axis=0)[None, :].astype(np.float32)
    inputs = {
        "image_embeddings": predictor.get_image_embedding(),
        "point_coords": predictor.transform.apply_coords(coords, image.shape[:2]),
        "point_labels": labels,
        "mask_input": np.zeros((1, 1, 16, 16), dtype=np.float32),
        "has_mask_input": np.zeros(1, dtype=np.float32),
        "orig_im_size": np.array(image.shape[:2], dtype=np.float32),
    }
    tensors = {name: torch.as_tensor(value, dtype=torch.float) for name, value in inputs.items()}
    masks, scores, low_res = SamOnnxModel(sam, return_single_mask=True)(**tensors)
    wanted = predictor.predict(point, label, box, multimask_output=False, return_logits=True)
    for got, value in zip((masks, scores, low_res), wanted, strict=True):
        np.testing.assert_allclose(got[0].detach().numpy(), value, atol=1e-4)


class LowRank(torch.nn.Module):
    """Stands in the place of a linear layer, and offers its weights as adapters do."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.down = torch.nn.Linear(layer.in_features, 2, bias=False)
        self.up = torch.nn.Linear(2, layer.out_features, bias=False)
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.layer.out_features == 3 * self.layer.in_features:  # scripts count on the windows
            assert x.ndim == 4
        out: torch.Tensor = self.layer(x) + self.up(self.down(x))
        return out

    @property
    def merged(self) -> torch.Tensor:
        return self.layer.weight + self.up.weight @ self.down.weight


@torch.no_grad()
@pytest.mark.parametrize("prompts", [1, 7])
def test_low_rank_adapters_in_the_places_of_layers(sam: Sam, prompts: int) -> None:
    """They answer as if they were added to the weights, wherever they are put."""
    merged = copy.deepcopy(sam)
    names = [n for n, _ in sam.named_modules() if n.endswith(("qkv", "q_proj", "v_proj"))]
    for name in names:
        parent, _, last = name.rpartition(".")
        adapter = LowRank(sam.get_submodule(name))
        setattr(sam.get_submodule(parent), last, adapter)
        merged.get_parameter(f"{name}.weight").copy_(adapter.merged)

    def ask(model: Sam) -> torch.Tensor:
        points = torch.full((prompts, 1, 2), 20.0), torch.ones(prompts, 1)
        sparse, dense = model.prompt_encoder(points=points, boxes=None, masks=None)
        embedding = model.image_encoder(torch.linspace(-2, 2, 3 * 64 * 64).view(1, 3, 64, 64))
        code = model.prompt_encoder.get_dense_pe()
        logits: torch.Tensor = model.mask_decoder(embedding, code, sparse, dense, True)[0]
        return logits

    torch.testing.assert_close(ask(sam), ask(merged))


def test_fine_tuning_the_mask_decoder(sam: Sam, image: Array) -> None:
    """The image is encoded once, without gradients; the decoder learns to draw a disc."""
    sam.train()
    before = copy.deepcopy(sam.state_dict())
    transform = ResizeLongestSide(sam.image_encoder.img_size)
    resized = torch.as_tensor(transform.apply_image(image), device=sam.device)
    pixels = sam.preprocess(resized.permute(2, 0, 1)[None, :, :, :])
    box = transform.apply_boxes(np.array([10, 5, 40, 30]), image.shape[:2])
    boxes = torch.as_tensor(box, dtype=torch.float, device=sam.device)[None, :]
    y, x = np.mgrid[:37, :50]
    target = torch.as_tensor((x - 25) ** 2 + (y - 17) ** 2 < 120)[None, None].float()

    optimizer = torch.optim.Adam(sam.mask_decoder.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        with torch.no_grad():
            embedding = sam.image_encoder(pixels)
            sparse, dense = sam.prompt_encoder(points=None, boxes=boxes, masks=None)
        low_res, iou = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        upscaled = sam.postprocess_masks(low_res, resized.shape[:2], image.shape[:2])
        loss = F.binary_cross_entropy_with_logits(upscaled, target) + (iou - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.6 * losses[0]
    changed = {
        key for key, value in sam.state_dict().items() if not torch.equal(value, before[key])
    }
    assert changed and all(key.startswith("mask_decoder.") for key in changed)

"""SAM-HQ against recorded numbers of the reference implementation, on pseudo-weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.test_parity_sam import case_prompts, prompt_of
from tests.parity import pseudo_weights
from tests.parity.golden import (
    Golden,
    close,
    compare_embedding,
    compare_masks,
    prompt_batch,
    segmenter,
    weights,
)

from anymask.image.image import Image
from anymask.models.config import TinyVitConfig
from anymask.models.sam_hq import SamHq
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter

NAMES = ["sam_hq_vit_tiny", pytest.param("sam_hq_vit_b", marks=pytest.mark.slow)]
WIDTHS = {"sam_hq_vit_tiny": 160, "sam_hq_vit_b": 768}


@pytest.fixture(scope="module")
def decoders(shared_dir: Path) -> dict[str, SamHq]:
    """The published prompt encoder and decoder behind a toy of an image encoder."""
    networks = {}
    for name, width in WIDTHS.items():
        toy = TinyVitConfig((8, 8, width, 8), (1, 1, 1, 1), (1, 1, 1), (7, 7, 7), classes=1)
        network = SamHq(replace(find(name).network, encoder=toy, early=1)).eval()
        layout = pseudo_weights.load_layout(shared_dir / f"parity/keys/{name}.json")
        network.load_state_dict(weights(layout, "prompt_encoder.", "mask_decoder."), strict=False)
        networks[name] = network
    return networks


@pytest.mark.parametrize("case", ["point", "boxes2", "points3_box"])
@pytest.mark.parametrize("name", WIDTHS)
@torch.inference_mode()
def test_decoder_alone(decoders: dict[str, SamHq], shared_dir: Path, name: str, case: str) -> None:
    golden = Golden(shared_dir / f"parity/cases/{name}/decoder_only.npz")
    network = decoders[name]
    image = torch.from_numpy(pseudo_weights.pseudo_embedding("decoder", 0))
    early = torch.from_numpy(pseudo_weights.pseudo_embedding("hq_interm", 0, channels=WIDTHS[name]))
    fine = network.mask_decoder.fine(image, early)
    features = {"image": image, "fine": fine}
    if case == "point":
        step = int(golden["stage__hq_features__stride"][0])
        close(fine.flatten()[::step], golden["stage__hq_features__values"])
    prompts = prompt_batch(
        golden.meta["cases"][case]["batch"],
        points=golden.tensor(f"{case}__points"),
        labels=golden.tensor(f"{case}__labels"),
        boxes=golden.tensor(f"{case}__boxes"),
    )
    masks, sharp, iou = network.answer(features, prompts)
    close(torch.cat([masks, sharp], dim=1)[..., ::5, ::5], golden[f"{case}__all_low_res_sub"])
    np.testing.assert_allclose(iou.numpy(), golden[f"{case}__all_iou"], atol=1e-4)
    prepared = network.prepare(features)
    for way in ("single_sum", "single_hq", "multi_sum", "multi_hq"):
        network.alone = way.endswith("hq")
        for seen in (features, prepared):
            logits, iou = network.decode(seen, prompts, way.startswith("multi"))
            best = iou.argmax(dim=1)
            one = torch.arange(len(best))
            stride = golden.meta["cases"][case]["chosen_stride"]
            close(
                logits[one, best][:, None, ::stride, ::stride],
                golden[f"{case}__{way}__low_res_sub"],
            )
            wanted = golden[f"{case}__{way}__iou"]
            np.testing.assert_allclose(iou[one, best][:, None].numpy(), wanted, atol=1e-4)


@pytest.mark.parametrize("picture", ["truck_480x320", "dog_240x360"])
@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_every_prompt(shared_dir: Path, name: str, picture: str) -> None:
    folder = shared_dir / "parity"
    golden = Golden(folder / f"cases/{name}/{picture}.npz")
    summed = segmenter(find(name), folder / f"keys/{name}.json")
    photo = summed.embed(Image.open(folder / f"images/{picture}.png"))
    compare_embedding(golden, photo.features["image"])
    mask_input = golden.tensor("mask_input")
    for case, about in golden.meta["cases"].items():
        prompts = case_prompts(golden, case, photo.transform, mask_input)
        for alone in (False, True):
            summed.network.alone = alone
            for many in (False, True):
                way = f"{case}__{'multi' if many else 'single'}_{'hq' if alone else 'sum'}"
                logits, iou = summed.network.decode(photo.features, prompts, many)
                best = iou.argmax(dim=1)
                one = torch.arange(len(best))
                masks = photo.transform.masks_to_image(logits[one, best][:, None])
                wanted = golden[f"{way}__iou"].reshape(-1)
                np.testing.assert_allclose(iou[one, best].numpy(), wanted, atol=1e-4)
                compare_masks(golden, way, (masks > 0).numpy())
                if f"{way}__low_res_sub" in golden:
                    step = about.get("low_res_stride", golden.meta["low_res_stride"])
                    got = logits[one, best][:, None, ::step, ::step]
                    close(
                        got.reshape(golden[f"{way}__low_res_sub"].shape),
                        golden[f"{way}__low_res_sub"],
                    )


@torch.inference_mode()
def test_the_best_of_three_answers_has_the_fine_mask(shared_dir: Path) -> None:
    folder = shared_dir / "parity"
    golden = Golden(folder / "cases/sam_hq_vit_tiny/truck_480x320.npz")
    model: Segmenter = segmenter(find("sam-hq-vit-tiny-only"), folder / "keys/sam_hq_vit_tiny.json")
    masks = model.predict(
        folder / "images/truck_480x320.png", prompts=prompt_of(golden, "fg1", None)
    )
    assert len(masks) == 3
    np.testing.assert_allclose(masks.scores[0], golden["fg1__multi_hq__iou"][0], atol=1e-4)
    compare_masks(golden, "fg1__multi_hq", masks[:1].dense())

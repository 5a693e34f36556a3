"""Embedding and prediction with real networks: in threads, in company, and like the reference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny
from tests.parity import pseudo_weights
from torch import nn

from anymask.masks.masks import Masks
from anymask.models.lora import LoraConfig, add_lora, lora_layers
from anymask.models.variants import find
from anymask.models.weights import build
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

NETWORKS = pytest.mark.parametrize(
    "name",
    [
        *("sam-vit-b", "mobile-sam", "efficient-sam-ti", "sam2.1-tiny", "bundled"),
        *("sam-hq-vit-b", "efficientvit-sam-l0"),
    ],
)


def picture(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def tiny_model(name: str) -> Segmenter:
    torch.manual_seed(0)
    variant = tiny(find(name))
    return Segmenter(variant, build(variant).eval(), "tiny")


def test_what_was_learned_since_the_last_question_counts() -> None:
    model = tiny_model("sam-vit-b")
    photo = model.embed(picture(40, 60))
    before = model.predict(photo, points=[(9, 9)])
    network = cast(nn.Module, model.network)
    add_lora(network, LoraConfig(targets=("q_proj", "v_proj")))
    assert model.predict(photo, points=[(9, 9)]) == before
    with torch.no_grad():
        for layer in lora_layers(network).values():
            layer.lora_B.weight.normal_()
    fresh = Segmenter(model.variant, model.network, "tiny")
    after = model.predict(photo, points=[(9, 9)])
    assert after == fresh.predict(photo, points=[(9, 9)])
    assert after != before


@NETWORKS
def test_eight_threads_get_what_one_gets(name: str) -> None:
    model = tiny_model(name)
    rng = np.random.default_rng(0)
    tasks = []
    for seed in range(16):
        h, w = rng.integers(20, 90, 2).tolist()
        points = rng.uniform(0, (w, h), (rng.integers(1, 4), 2))
        tasks.append((picture(h, w, seed), [Prompt(points), Prompt(box=(1, 1, w - 1, h - 1))]))

    def work(task: tuple[np.ndarray, Sequence[Prompt]]) -> list[Masks]:
        image, prompts = task
        return model.predict(model.embed(image), prompts=prompts)

    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    alone = [work(task) for task in tasks]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            assert list(threads.map(work, tasks)) == alone  # scores and logits bit by bit
    after = model.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@NETWORKS
def test_images_are_embedded_the_same_alone_and_in_company(name: str) -> None:
    model = tiny_model(name)
    images = [picture(50, 70, seed) for seed in range(3)]
    for image, embedding in zip(images, model.embed(images), strict=True):
        torch.testing.assert_close(
            embedding.features, model.embed(image).features, rtol=1e-4, atol=1e-5
        )


@NETWORKS
def test_prompts_answer_the_same_alone_and_in_company(name: str) -> None:
    model = tiny_model(name)
    photo = model.embed(picture(50, 70))
    prompts = [Prompt([(x, y)]) for x in (5, 30, 60) for y in (4, 25, 45)]
    for prompt, masks in zip(prompts, model.predict(photo, prompts=prompts), strict=True):
        alone = model.predict(photo, prompts=prompt)
        assert masks.logits is not None and alone.logits is not None
        np.testing.assert_allclose(masks.logits, alone.logits, atol=1e-5)
        np.testing.assert_allclose(masks.scores, alone.scores, atol=1e-6)


@pytest.mark.slow
def test_from_file_to_masks_like_the_reference(shared_dir: Path) -> None:
    parity = shared_dir / "parity"
    layout = pseudo_weights.load_layout(parity / "keys/sam_vit_b.json")
    state = pseudo_weights.make_state_dict(layout)
    variant = find("sam-vit-b")
    network = build(variant)
    network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    model = Segmenter(variant, network.eval(), "pseudo")

    photo = model.embed(parity / "images/truck_odd_223x149.png")
    golden = np.load(parity / "cases/sam_vit_b/truck_odd_223x149.npz")
    cases = json.loads(str(golden["meta"]))["cases"]
    known = [name for name, about in cases.items() if about["api"] == "predict"]
    known.remove("no_prompt_multi")  # a Prompt says something
    said = ("point_coords", "point_labels", "box")
    for case in known:
        values = [golden.get(f"{case}__{name}") for name in said]
        fed_back = golden["mask_input"] if cases[case]["mask_input_from"] else None
        prompt = Prompt(*values, mask_logits=fed_back)
        masks = model.predict(photo, prompts=prompt, multimask=cases[case]["multimask_output"])

        order = np.argsort(-golden[f"{case}__iou"], kind="stable")
        np.testing.assert_allclose(masks.scores, golden[f"{case}__iou"][order], atol=1e-4)
        np.testing.assert_allclose(masks.areas, golden[f"{case}__area"][order], atol=17)
        assert masks.logits is not None
        logits = golden[f"{case}__low_res_sub"][order]
        np.testing.assert_allclose(masks.logits[:, ::5, ::5], logits, rtol=1e-3, atol=2e-4)

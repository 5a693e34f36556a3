"""The training recipe, on a folder of drawn pictures and for a few seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from recipes.train_bundled import Config, Crops, Run, export
from tests.models.tiny import prompts, tiny
from torch.utils.data import default_collate

from anymask.models.variants import find
from anymask.models.weights import build, fill, read_state
from recipes import train_bundled

cv2 = pytest.importorskip("cv2", reason="training needs the extra 'image'")


def draw_set(root: Path, count: int = 4) -> None:
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for i in range(count):
        image = rng.integers(0, 60, (96, 128, 3)).astype(np.uint8)
        labels = np.full((96, 128), 1, np.uint8)
        for label in (2, 3):
            x, y = rng.integers(30, 66, 2)
            cv2.circle(labels, (int(x), int(y)), int(rng.integers(12, 25)), label, -1)
            image[labels == label] += np.uint8(60 * label)
        PillowImage.fromarray(image).save(root / "images" / f"{i}.jpg")
        PillowImage.fromarray(labels).save(root / "masks" / f"{i}.0.png")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(train_bundled, "SETS", {"drawn": 1.0})
    small = tiny(find("bundled")).network
    monkeypatch.setattr(train_bundled, "CompactConfig", lambda: small)
    draw_set(tmp_path / "drawn")
    sides = {"sides": (64,), "parts": (1.0,), "pixels": 4 * 64**2, "rate": 3e-3}
    sides |= {"masks": (4,), "zooms": (1.8,)}
    return Config(data=tmp_path, out=tmp_path / "run", minutes=0.1, **sides)


def batch_of(config: Config, seed: int) -> dict[str, torch.Tensor]:
    stream = iter(Crops(config, 64, seed))
    return default_collate([next(stream) for _ in range(4)])


def test_crops_are_consistent(config: Config) -> None:
    batch = batch_of(config, seed=1)
    assert batch["image"].shape == (4, 64, 64, 3)
    assert batch["masks"].shape == (4, 4, 32, 32)
    for masks, clicks, boxes in zip(batch["masks"], batch["clicks"], batch["boxes"], strict=True):
        for mask, (x, y), (x0, y0, x1, y1) in zip(masks, clicks, boxes, strict=True):
            assert mask[int(y) // 2, int(x) // 2] > 0
            assert x0 < x1 and y0 < y1


def test_every_weight_learns(config: Config) -> None:
    run = Run(config)
    run.net.train()
    for seed in range(8):  # the first step opens the branches that start at zero
        run._step(batch_of(config, seed), np.random.default_rng(seed), 0.0)
    moments = {n: run.optimiser.state[p].get("exp_avg") for n, p in run.net.named_parameters()}
    assert [n for n, moment in moments.items() if moment is None or not moment.any()] == []


def test_the_loss_falls(config: Config) -> None:
    run = Run(config)
    run.net.train()
    batch = batch_of(config, seed=0)
    rng = np.random.default_rng(0)
    first = [run._step(batch, rng, 0.0)["box1_loss"] for _ in range(3)]
    for _ in range(70):
        run._step(batch, rng, 0.0)
    last = [run._step(batch, rng, 0.0)["box1_loss"] for _ in range(3)]
    assert np.mean(last) < 0.85 * np.mean(first)


def test_a_stopped_run_goes_on(config: Config) -> None:
    config.out.mkdir()
    run = Run(config)
    run._step(batch_of(config, seed=0), np.random.default_rng(0), 0.5)
    run.spent = 3.0
    run.save()
    again = Run(config)
    assert (again.steps, again.spent) == (1, 3.0)
    for one, other in zip(run.net.parameters(), again.net.parameters(), strict=True):
        assert torch.equal(one, other)
    assert (
        again.optimiser.state_dict()["state"].keys() == run.optimiser.state_dict()["state"].keys()
    )


def test_exported_weights_load_strictly(config: Config, tmp_path: Path) -> None:
    run = Run(config)
    path = tmp_path / "out.safetensors"
    export(run.net, path, blend=0.0, lift=(0.0, 0.0))
    network = build(tiny(find("bundled")))
    fill(network, read_state(path), path)
    for one, other in zip(run.net.parameters(), network.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-3)


def test_exported_answers_are_blended_and_lifted(config: Config, tmp_path: Path) -> None:
    net = Run(config).net.eval()
    blended = build(tiny(find("bundled"))).eval()
    export(net, tmp_path / "blended.safetensors", blend=0.25, lift=(0.5, 0.25))
    fill(blended, read_state(tmp_path / "blended.safetensors"), "here")
    with torch.inference_mode():
        features = net.encode(torch.randn(1, 3, 64, 64), (64, 64))
        before, _ = net.decode_all(features, prompts(2, 1))
        after, _ = blended.decode_all(features, prompts(2, 1))
    expected = 0.75 * before[:, 1:] + 0.25 * before[:, :1] + 0.25
    assert torch.allclose(after[:, 1:], expected, atol=2e-2)
    assert torch.allclose(after[:, 0], before[:, 0] + 0.5, atol=2e-2)
    assert not torch.allclose(before[:, 1:], expected, atol=2e-2)


@pytest.mark.slow
def test_a_whole_run(config: Config) -> None:
    train_bundled.main(config)
    assert (config.out / "anymask-compact.safetensors").exists()
    assert json.loads((config.out / "config.json").read_text())["seed"] == "0"

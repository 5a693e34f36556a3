"""The recipe of the bundled model, on a folder of drawn pictures and at tiny size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from recipes.train_bundled import Config, Mixture, Phases, export, make_network
from tests.models.tiny import prompts, tiny

from anymask.models.variants import find
from anymask.models.weights import build, fill, read_state
from anymask.train.config import LoopConfig
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
    for part in ("train", "val"):
        draw_set(tmp_path / f"drawn-{part}")
    loop = LoopConfig(lr=3e-3, warmup=5, evaluate_every=1000, workers=0, ema_decay=0.0)
    return Config(
        data=tmp_path,
        out=tmp_path / "run",
        sides=(64, 96),
        steps=(2, 1),
        crops=(4, 2),
        masks=(3, 2),
        zooms=(1.8, 1.2),
        val_images=1,
        loop=loop,
    )


def test_crops_are_consistent(config: Config) -> None:
    mixture = Mixture(config, 0)
    for position in range(8):
        item = mixture[position]
        assert item.image is not None
        assert item.image.shape in {(64, 64, 3), (48, 64, 3)}  # whole where a crop has no masks
        assert item.masks.shape[1:] == item.image.shape[:2]
        assert all(50 <= mask.sum() <= 0.9 * mask.size for mask in item.masks)
        assert np.array_equal(item.image, mixture[position].image)
    assert len({mixture[p].image.tobytes() for p in range(8)}) == 8  # type: ignore[union-attr]


def test_phases_follow_each_other(config: Config) -> None:
    batches = list(Phases(config).iterate(0))
    assert [(len(b), b[0].image.shape[1]) for b in batches] == [(4, 64), (4, 64), (2, 96)]
    later = list(Phases(config).iterate(1))
    assert np.array_equal(later[0][0].image, batches[1][0].image)


def test_it_learns(config: Config) -> None:
    config = replace(config, steps=(60, 1), loop=replace(config.loop, record_every=1))
    train_bundled.main(config)
    lines = (config.out / "metrics.jsonl").read_text().splitlines()
    losses = [facts["loss"] for facts in map(json.loads, lines) if "loss" in facts]
    assert len(losses) == 61
    assert np.mean(losses[50:60]) < 0.9 * np.mean(losses[:5])
    network = build(tiny(find("bundled")))
    path = config.out / "last" / find("bundled").weights.file
    fill(network, read_state(path), path)  # strictly


def test_exported_weights_load_strictly(config: Config, tmp_path: Path) -> None:
    net, path = make_network(config), tmp_path / "out.safetensors"
    export(net, path, blend=0.0, lift=(0.0, 0.0))
    again = make_network(replace(config, start=path))
    for one, other in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-3)


def test_exported_answers_are_blended_and_lifted(config: Config, tmp_path: Path) -> None:
    net = make_network(config).eval()
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

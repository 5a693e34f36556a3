"""The recipe of the bundled model, on a folder of drawn pictures and at tiny size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from recipes.train_bundled import (
    Config,
    Mixture,
    Phases,
    PromptsOrMask,
    export,
    make_network,
    rough_logits,
)
from safetensors.torch import save_file
from tests.models.tiny import prompts, tiny

from anymask.image.transform import LOGIT
from anymask.models.config import CompactConfig
from anymask.models.trunk import Trunk
from anymask.models.variants import Variant, find
from anymask.models.weights import build, fill, read_state
from anymask.train.config import LoopConfig
from anymask.train.objective import Step
from recipes import train_bundled

cv2 = pytest.importorskip("cv2", reason="training needs the extra 'image'")


def plain() -> Variant:
    """The bundled model, tiny and without a trunk."""
    variant = tiny(find("bundled"))
    assert isinstance(variant.network, CompactConfig)
    return replace(variant, network=replace(variant.network, trunk=False))


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
    small = plain().network
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
    network = build(plain())
    path = config.out / "last" / find("bundled").weights.file
    fill(network, read_state(path), path)  # strictly


def test_a_trunk_is_added_to_weights_without_one_and_rests(config: Config, tmp_path: Path) -> None:
    plain, path = make_network(config).eval(), tmp_path / "plain.safetensors"
    export(plain, path, blend=0.0, lift=(0.0, 0.0))
    torch.manual_seed(1)
    save_file(Trunk().state_dict(), tmp_path / "trunk.safetensors")
    config = replace(config, start=path, trunk=tmp_path / "trunk.safetensors", steps=(1, 1))
    rich = make_network(config).eval()
    assert rich.encoder.taps is not None
    learning = {name for name, p in rich.named_parameters() if p.requires_grad}
    assert not any("backbone" in name for name in learning)
    assert any("taps.mixes" in name for name in learning)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before, after = (net.encode(pixels, (64, 64)) for net in (plain, rich))
    assert all(torch.allclose(before[k], after[k], atol=0.02) for k in before)  # fp16
    train_bundled.main(config)
    learned = read_state(config.out / "last" / find("bundled").weights.file)
    given = read_state(tmp_path / "trunk.safetensors")
    assert all(
        torch.equal(learned[f"encoder.taps.backbone.{k}"], v.half()) for k, v in given.items()
    )
    assert learned["encoder.taps.mixes.0.weight"].any()
    last = config.out / "last" / find("bundled").weights.file
    assert make_network(replace(config, start=last, trunk=None)).encoder.taps is not None


@pytest.mark.parametrize("seed", range(4))
def test_rough_masks_come_as_logits(seed: int) -> None:
    targets = torch.zeros(2, 32, 32)
    targets[0, 8:24, 8:24] = 1
    targets[1, 3, 3] = 0.2  # thinner than a cell
    logits = rough_logits(targets, np.random.default_rng(seed))
    assert logits.shape == targets.shape
    assert logits.abs().max() <= LOGIT
    assert (logits[0] > 0).any() and (logits[0] < 0).any()
    overlap = ((logits[0] > 0) & (targets[0] > 0)).sum() / (
        (logits[0] > 0) | (targets[0] > 0)
    ).sum()
    assert overlap > 0.4


def test_some_rounds_begin_with_a_rough_mask_alone(config: Config) -> None:
    seen: list[tuple[int, bool, bool]] = []

    class Watched(PromptsOrMask):
        def _predict(self, model, features, rollout, prompts):
            has_box, has_mask = prompts.boxes is not None, prompts.mask_logits is not None
            seen.append((prompts.points_xy.shape[1], has_box, has_mask))
            return super()._predict(model, features, rollout, prompts)

    objective = Watched(config.prompting, rough_prob=1.0)
    net, batch = make_network(config), next(iter(Phases(config).iterate(0)))
    step = Step(0, np.random.default_rng(0), torch.device("cpu"), lambda loss: loss.backward())
    assert np.isfinite(objective(net, batch, step)["loss"])
    assert seen[0] == (0, False, True)
    seen.clear()
    Watched(config.prompting, rough_prob=0.0)(net, batch, step)
    assert (0, False, True) not in seen


def test_exported_weights_load_strictly(config: Config, tmp_path: Path) -> None:
    net, path = make_network(config), tmp_path / "out.safetensors"
    export(net, path, blend=0.0, lift=(0.0, 0.0))
    again = make_network(replace(config, start=path))
    for one, other in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-3)


def test_exported_answers_are_blended_and_lifted(config: Config, tmp_path: Path) -> None:
    net = make_network(config).eval()
    blended = build(plain()).eval()
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

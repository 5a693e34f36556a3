"""The recipe of the boundary map, on drawn pictures and at tiny size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.models.tiny import tiny
from tests.recipes.test_train_bundled import draw_set

from anymask.models.variants import find
from anymask.models.weights import build, read_state
from anymask.train.config import LoopConfig
from recipes import train_boundary

pytest.importorskip("cv2", reason="training needs the extra 'image'")


def test_only_the_refinement_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tiny(find("bundled"))
    monkeypatch.setattr(train_boundary, "CompactConfig", lambda: small.network)
    monkeypatch.setattr(train_boundary, "find", lambda _: small)
    for part in ("train", "val"):
        draw_set(tmp_path / f"drawn-{part}")
    start = {k: v.contiguous() for k, v in build(small).state_dict().items()}
    older = {k: v for k, v in start.items() if not k.startswith("refinement.")}
    save_file(older, tmp_path / "start.safetensors")  # of before there was a refinement
    loop = LoopConfig(
        steps=150,
        batch_size=4,
        lr=3e-2,
        workers=0,
        ema_decay=0.5,
        evaluate_every=150,
        record_every=1,
    )
    config = train_boundary.Config(
        data=tmp_path,
        start=tmp_path / "start.safetensors",
        out=tmp_path / "run",
        name="drawn",
        val_images=1,
        loop=loop,
    )
    train_boundary.main(config)
    lines = map(json.loads, (config.out / "metrics.jsonl").read_text().splitlines())
    losses = [facts["loss"] for facts in lines if "loss" in facts]
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:20])
    shipped = read_state(config.out / "last" / find("bundled").weights.file)
    changed = {k for k, v in shipped.items() if k not in older or (v != older[k].to(v.dtype)).any()}
    assert changed == {k for k in start if k.startswith("refinement.")}


def test_each_photo_is_encoded_once() -> None:
    network = build(tiny(find("bundled"))).eval()
    two = torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)])
    with torch.no_grad():
        before = network.encoder(two)
    passes: list[int] = []
    network.encoder.stem.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    train_boundary.encode_once(network.encoder)
    for _ in range(3):
        found = network.encoder(two)
    assert passes == [1, 1]
    assert all(
        torch.allclose(a, b, rtol=2e-3, atol=2e-3) for a, b in zip(before, found, strict=True)
    )

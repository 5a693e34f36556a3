"""The recipe of the predicted IoU, on drawn pictures and at tiny size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from recipes.train_iou_head import Config, Head, learn, make_network, predict, split
from safetensors.torch import save_file
from tests.models.tiny import tiny
from tests.recipes.test_train_bundled import draw_set

from anymask.models.variants import find
from anymask.models.weights import build, read_state
from recipes import train_iou_head

pytest.importorskip("cv2", reason="training needs the extra 'image'")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Config:
    small = tiny(find("bundled"))
    monkeypatch.setattr(train_iou_head, "CompactConfig", lambda: small.network)
    monkeypatch.setattr(train_iou_head, "find", lambda _: small)
    monkeypatch.setattr(train_iou_head, "IMAGES", {"drawn": 6})
    draw_set(tmp_path / "drawn-train")
    torch.manual_seed(1)
    start = {k: v.contiguous() for k, v in build(small).state_dict().items()}
    save_file(start, tmp_path / "start.safetensors")
    return Config(
        data=tmp_path,
        start=tmp_path / "start.safetensors",
        out=tmp_path / "new" / "run",
        val_fraction=0.2,
        batch_size=16,
    )


def test_only_the_iou_head_learns(config: Config) -> None:
    train_iou_head.main(config)
    before, after = read_state(config.start), read_state(config.out / find("bundled").weights.file)
    changed = {name for name in before if (before[name].to(after[name].dtype) != after[name]).any()}
    assert changed == {
        "decoder.slot",
        *(f"decoder.quality_{p}.{kind}" for p in ("in", "out") for kind in ("weight", "bias")),
    }


def test_all_slots_are_kept(config: Config) -> None:
    masks = predict(config, make_network(config.start))
    assert set(masks.slots.tolist()) == {0, 1, 2, 3}
    assert set(masks.image.tolist()) == set(range(4))  # two of the four are looked at twice
    assert len(masks.inputs) == len(masks.iou) == len(masks.slots)
    assert 0 <= masks.iou.min() < masks.iou.max() <= 1


def test_the_head_is_the_decoder_s_and_goes_back_into_it(config: Config) -> None:
    network = make_network(config.start)
    decoder = network.decoder
    seen: list[torch.Tensor] = []
    decoder.quality_out.register_forward_hook(
        lambda _, given, made: seen.append(torch.sigmoid(made).flatten())
    )
    masks = predict(config, network)
    theirs = torch.cat(seen)
    head = Head(decoder, masks.inputs, 0.2).eval()
    torch.testing.assert_close(head(masks), theirs, rtol=0, atol=1e-4)

    before = (theirs - masks.iou).square().mean()
    learn(head, masks, config)
    assert (head(masks) - masks.iou).square().mean() < 0.8 * before
    head.give_back(decoder)
    seen.clear()
    again = predict(config, network)  # other masks are corrected now
    torch.testing.assert_close(torch.cat(seen), head(again), rtol=0, atol=1e-4)


def test_validation_images_are_not_learned_from(config: Config) -> None:
    masks = predict(config, make_network(config.start))
    train, val = split(masks, 0.5)
    assert len(train.iou) + len(val.iou) == len(masks.iou)
    assert set(train.image.tolist()).isdisjoint(val.image.tolist())
    assert len(set(val.image.tolist())) == 2


def test_there_need_be_no_validation(config: Config) -> None:
    train_iou_head.main(replace(config, val_fraction=0.0, epochs=1))
    assert "before: null" in (config.out / "config.yaml").read_text()

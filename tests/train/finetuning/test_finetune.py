"""Fine-tuning end to end, on tiny networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import anymask
from anymask.data.mask_filter import MaskFilter
from anymask.data.open import open_dataset
from anymask.data.subset import Subset
from anymask.errors import CapabilityError, InputError
from anymask.models.prompt_batch import PromptBatch
from anymask.plain import from_plain, read_yaml
from anymask.train.config import LoopConfig
from anymask.train.finetuning.config import FineTuneConfig
from anymask.train.finetuning.finetune import _anchored, finetune
from anymask.train.finetuning.trainable import choose_trainable
from anymask.train.segmentation.rollout import InteractiveRollout
from anymask.train.segmentation.validate import PromptValidation

Make = Callable[[str], str]
LOOP = LoopConfig(steps=2, batch_size=1, warmup=0, ema_decay=0, evaluate_every=1, workers=0)


def settings(photos: Path, **changes: object) -> FineTuneConfig:
    usual = FineTuneConfig(data=(photos,), masks=2, rounds=2, views=1, loop=LOOP)
    return replace(usual, **changes)


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    return dict(anymask.load(path).network.state_dict())


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("model", "learn", "changes"),
    [
        ("bundled", "decoder", ("decoder", "prompt_maps")),
        ("bundled", "decoder+prompts", ("decoder", "prompt_maps", "key", "image", "boundary")),
        ("bundled", "everything", ("",)),
        ("sam-vit-b", "decoder", ("mask_decoder",)),
        ("sam-vit-b", "decoder+prompts", ("mask_decoder", "prompt_encoder")),
        ("mobile-sam", "everything", ("",)),
        ("efficient-sam-ti", "decoder", ("mask_decoder",)),
        (
            "sam-vit-b",
            "lora",
            ("image_encoder.blocks.0.attn.qkv", "image_encoder.blocks.1.attn.qkv", "mask_decoder"),
        ),
        ("sam2.1-tiny", "decoder", ("sam_mask_decoder",)),
        ("sam2.1-tiny", "lora", ("image_encoder.trunk.blocks", "sam_mask_decoder")),
        ("sam2.1-tiny", "everything", ("image_encoder", "sam_", "no_mem_embed")),
        ("bundled", "lora", ("encoder.stage", "decoder", "prompt_maps")),
        ("sam-hq-vit-b", "decoder", ("mask_decoder",)),
        ("sam-hq-vit-b", "lora", ("image_encoder.blocks", "mask_decoder")),
        ("sam-hq-vit-tiny", "everything", ("",)),
        ("efficientvit-sam-l0", "decoder", ("mask_decoder",)),
        ("efficientvit-sam-l0", "lora", ("image_encoder.backbone", "mask_decoder")),
    ],
)
def test_what_is_chosen_learns_and_nothing_else(
    tmp_path: Path, photos: Path, tiny_model: Make, model: str, learn: str, changes: tuple[str, ...]
) -> None:
    before, out = tiny_model(model), tmp_path / "run"
    finetune(settings(photos, model=before, learn=learn), out, quiet=True)
    old, new = weights(before), weights(out / "last")
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved
    assert all(name.startswith(changes) for name in moved)


@pytest.mark.parametrize("learn", ["decoder", "everything", "lora"])
def test_what_clips_alone_would_teach_is_frozen(tiny_model: Make, learn: str) -> None:
    model = anymask.load(tiny_model("sam2.1-tiny"))
    choose_trainable(model, FineTuneConfig(learn=learn), "mine")
    network = cast(nn.Module, model.network)
    learning = [name for name, p in network.named_parameters() if p.requires_grad]
    assert any(name.startswith("mask_decoder.") for name in learning)
    assert not [name for name in learning if "mem" in name.replace("no_mem_embed", "")]
    assert not [name for name in learning if name.startswith(network.untaught)]


@pytest.mark.parametrize("model", ["sam2.1-tiny", "efficientvit-sam-l0", "sam-hq-vit-tiny"])
def test_no_adapter_where_there_is_no_plain_transformer(tiny_model: Make, model: str) -> None:
    with pytest.raises(CapabilityError, match="no plain vision transformer; use LoRA"):
        choose_trainable(anymask.load(tiny_model(model)), FineTuneConfig(learn="adapter"), "mine")


@pytest.mark.parametrize(("learn", "kept"), [("decoder", True), ("everything", False)])
def test_images_are_encoded_once_where_the_encoder_stays(
    tmp_path: Path, photos: Path, tiny_model: Make, learn: str, kept: bool
) -> None:
    config = settings(photos, model=tiny_model("sam-vit-b"), learn=learn)
    finetune(config, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "embeddings" / "store.json").exists() is kept


def test_lora_is_kept_beside_the_model(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    base, out = tiny_model("sam-vit-b"), tmp_path / "run"
    config = settings(photos, model=base, learn="lora", rank=2, targets=("attn.proj",))
    finetune(config, out, quiet=True)
    facts = json.loads((out / "last" / "adapter_config.json").read_text())
    assert (facts["peft_type"], facts["r"], facts["lora_alpha"]) == ("LORA", 2, 4.0)
    assert facts["base_model_name_or_path"] == base
    assert not (out / "last" / "model.safetensors").exists()
    assert len(anymask.load(out).predict(photos / "images" / "0.png", points=[(12, 14)])) == 3


def test_a_run_can_be_loaded_by_its_folder(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    out = tmp_path / "mine"
    report = finetune(settings(photos, model=tiny_model("bundled")), out, quiet=True)
    model = anymask.load(out)
    assert model.variant.name == "mine"
    assert model.variant.weights.licence == anymask.load("bundled").variant.weights.licence
    assert len(model.predict(photos / "images" / "0.png", points=[(12, 14)])) == 3
    assert report.outcome.best is not None
    assert 0 <= report.outcome.best - report.after["iou"] < 0.035  # chance, with one image


def test_few_images_get_halfway_only(photos: Path) -> None:
    config = settings(photos)
    assert _anchored(config, 100).anchor == 0.5
    assert _anchored(config, 101).anchor == 0
    assert _anchored(replace(config, learn="adapter"), 20).anchor == 0
    assert _anchored(replace(config, loop=replace(LOOP, anchor=0.25)), 20).anchor == 0.25


def test_the_loss_falls(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    loop = replace(LOOP, steps=20, batch_size=2, lr=5e-3, evaluate_every=20, record_every=5)
    config = settings(photos, model=tiny_model("bundled"), learn="everything", views=0, loop=loop)
    finetune(config, tmp_path / "run", quiet=True)
    losses = [line["loss"] for line in metrics(tmp_path / "run") if "loss" in line]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_twenty_images_make_the_bundled_model_better(tmp_path: Path, shared_dir: Path) -> None:
    data, unseen = (shared_dir / "data" / f"facades-{part}" for part in ("train", "val"))
    finetune(FineTuneConfig(data=(data,), images=20), tmp_path / "run", quiet=True)
    some = Subset(open_dataset(unseen), range(0, 40, 4))
    mask_filter = MaskFilter(min_area=100, max_share=0.9, per_image=10)
    facts = []
    for model in map(anymask.load, ("bundled", tmp_path / "run")):
        user = PromptValidation(model.variant, some, mask_filter)
        facts.append(user(cast(nn.Module, model.network)))
    before, after = facts
    assert after["iou"] > before["iou"]
    assert all(after[name] > before[name] - 0.015 for name in before)


def test_the_settings_are_beside_the_run(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    config = settings(photos, model=tiny_model("bundled"))
    finetune(config, tmp_path / "run", quiet=True)
    found = read_yaml(tmp_path / "run" / "config.yaml")
    assert found.pop("found")["train_images"] == 5
    assert from_plain(FineTuneConfig, found) == replace(config, loop=_anchored(config, 5))


def test_other_settings_are_refused(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    config = settings(photos, model=tiny_model("bundled"))
    finetune(config, tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match=r"masks: 2, now 1"):
        finetune(replace(config, masks=1), tmp_path / "run", quiet=True)
    finetune(replace(config, masks=1), tmp_path / "run", quiet=True, allow_changes=True)


def test_copies_of_another_seed_are_other_copies(
    tmp_path: Path, photos: Path, tiny_model: Make
) -> None:
    config = settings(photos, model=tiny_model("bundled"), loop=replace(LOOP, batch_size=5))
    finetune(config, tmp_path / "run", quiet=True)
    other = replace(config, val=(photos,), loop=replace(config.loop, seed=1))
    finetune(other, tmp_path / "run", quiet=True, allow_changes=True)


def test_without_images_to_validate_on_the_last_weights_count(
    tmp_path: Path, photos: Path, tiny_model: Make
) -> None:
    config = settings(photos, model=tiny_model("bundled"), val_fraction=0.0)
    report = finetune(config, tmp_path / "run", quiet=True)
    assert (report.val_images, report.before, report.outcome.best) == (0, {}, None)
    assert not (tmp_path / "run" / "best").exists()
    assert anymask.load(tmp_path / "run").variant.name == "run"


# ------------------------------------------------------------------- bad input


def test_a_model_without_prompts_is_refused(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    config = settings(photos, model=tiny_model("fastsam-s"))
    with pytest.raises(CapabilityError, match=r"answers prompts, got fastsam-s, .*another model"):
        finetune(config, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"learn": "encoder"}, "expected learn out of decoder, .*, got 'encoder'"),
        ({"val_fraction": 1.0}, "val_fraction from 0 to below 1, got 1.0"),
        ({"masks": 0}, "masks"),
        ({"images": 0}, "images"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        FineTuneConfig(**changes)


@pytest.mark.parametrize("learn", ["decoder", "everything"])
def test_two_empty_label_maps_of_six_do_not_matter(
    tmp_path: Path, photos: Path, tiny_model: Make, learn: str
) -> None:
    for number in (1, 4):
        nothing = PIL.Image.fromarray(np.zeros((48, 64), np.uint8))
        nothing.save(photos / "masks" / f"{number}.png")
    model = tiny_model("bundled")
    for seed in range(3):
        config = settings(photos, model=model, learn=learn, loop=replace(LOOP, seed=seed))
        report = finetune(config, tmp_path / f"run{seed}", quiet=True)
        assert (report.train_images, report.val_images) == (5, 1)
        assert report.after.keys() == {"one_click", "best_of_three", "five_clicks", "box", "iou"}


def test_a_model_that_knows_boxes_alone_learns_from_them(
    tmp_path: Path, photos: Path, tiny_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []
    ask = InteractiveRollout.next_prompts

    def watch(self: InteractiveRollout, **how: bool) -> PromptBatch | None:
        prompts = ask(self, **how)
        if prompts is not None:
            asked.append((prompts.points_xy.shape[1], prompts.boxes is not None))
        return prompts

    monkeypatch.setattr(InteractiveRollout, "next_prompts", watch)
    report = finetune(settings(photos, model=tiny_model("medsam")), tmp_path / "run", quiet=True)
    assert set(asked) == {(0, True)}
    assert report.after.keys() == {"box", "iou"}
    assert anymask.load(tmp_path / "run").variant.name == "medsam"


def test_images_without_masks_are_no_use(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    for path in (photos / "masks").iterdir():
        PIL.Image.fromarray(np.zeros((48, 64), np.uint8)).save(path)
    with pytest.raises(InputError, match="got none in 6 images"):
        finetune(settings(photos, model=tiny_model("bundled")), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_what_became_of_it_is_recorded(tmp_path: Path, photos: Path, tiny_model: Make) -> None:
    finetune(settings(photos, model=tiny_model("bundled")), tmp_path / "run", quiet=True)
    judged = [line["validation"] for line in metrics(tmp_path / "run") if "validation" in line]
    assert len(judged) == 3
    assert judged[0].keys() == {"one_click", "best_of_three", "five_clicks", "box", "iou"}
    assert len(list((tmp_path / "run" / "previews").iterdir())) == 3

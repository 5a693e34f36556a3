"""Learning to find one kind of thing unprompted: the data, the objective, and the way to use it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny
from tests.train.segmentation.shapes import embedded, item, network_of
from torch import nn

import anymask
from anymask.data.dataset import Sample
from anymask.data.item import Item
from anymask.errors import CapabilityError, InputError
from anymask.models.sam_adapter import SamAdapterConfig, add_sam_adapter
from anymask.models.variants import find
from anymask.train.config import LoopConfig
from anymask.train.finetuning.config import FineTuneConfig
from anymask.train.finetuning.finetune import finetune
from anymask.train.objective import Step
from anymask.train.segmentation.promptless import OneKind, Promptless, Unprompted

SAM = tiny(find("sam-vit-b"))


pytestmark = pytest.mark.usefixtures("one_thread")


def step() -> Step:
    backward = torch.Tensor.backward
    return Step(0, np.random.default_rng(0), torch.device("cpu"), lambda loss: backward(loss))


# ---- one mask per image ---------------------------------------------------------------------


class Two:
    """An image with a roof and two trees of which one is in a layer of its own, and a bare one."""

    def __len__(self) -> int:
        return 2

    def key(self, index: int) -> str:
        return f"photo-{index}"

    def __getitem__(self, index: int) -> Sample:
        first, second = np.zeros((2, 6, 8), np.uint8)
        first[:2], first[4:], second[3:5, :4] = 1, 2, 9
        void = np.eye(6, 8, dtype=bool)
        layers, names = ((first, second), ("roof", "tree", "tree")) if index == 0 else ((), ())
        return Sample(np.zeros((6, 8, 3), np.uint8), layers, void=void, names=names)


@pytest.mark.parametrize(
    ("names", "rows"),
    [((), {0, 1, 3, 4, 5}), (("roof",), {0, 1}), (("tree",), {3, 4, 5}), (("car",), set())],
)
def test_all_of_a_kind_becomes_one_mask(names: tuple[str, ...], rows: set[int]) -> None:
    data = OneKind(Two(), names)
    assert (len(data), data.key(1)) == (2, "photo-1")
    masks = data[0].masks()
    assert len(masks) == bool(rows)
    if rows:
        assert set(np.flatnonzero(masks[0][:, 0])) == rows
    assert data[0].void is not None
    assert data[0].names == ()
    assert data[1].masks() == []


def test_names_that_the_data_do_not_have() -> None:
    class Nameless(Two):
        def __getitem__(self, index: int) -> Sample:
            return replace(super().__getitem__(index), names=())

    with pytest.raises(InputError, match="to find roof and tree, got 3 without in 'photo-0'"):
        OneKind(Nameless(), ("tree", "roof"))[0]


# ---- the objective --------------------------------------------------------------------------


class Says(nn.Module):
    """Answers with one number everywhere, and writes down how it was asked."""

    def __init__(self, logit: float, predicted_iou: float) -> None:
        super().__init__()
        self.encoder = nn.Linear(1, 1)
        self.mask_decoder = nn.ParameterList([torch.tensor(logit), torch.tensor(predicted_iou)])
        self.forms: list[tuple[int, int, bool, bool]] = []

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        return frame_hw[0] // 4, frame_hw[1] // 4

    def encode(self, pixels: torch.Tensor, _: object) -> dict[str, torch.Tensor]:
        return {"image": self.encoder(pixels.mean(dim=(1, 2, 3))[:, None])[:, :, None, None]}

    def decode_all(
        self, features: object, prompts: anymask.prompt.PromptBatch, slots: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert slots == slice(1)
        *form, boxes, masks = *prompts.points_xy.shape[:2], prompts.boxes, prompts.mask_logits
        self.forms.append((form[0], form[1], boxes is None, masks is None))
        logit, predicted_iou = self.mask_decoder
        return logit.expand(len(prompts), 1, 16, 16), predicted_iou.expand(len(prompts), 1)


def thing(seed: int = 0, *, void: bool = False) -> Item:
    """A photo with one mask, a square."""
    return item(SAM, 1, void=void, seed=seed)


def share_of(one: Item) -> float:
    known = ~one.void if one.void is not None else np.ones(one.masks.shape[1:], bool)
    return float(one.masks[0][known].mean())


@pytest.mark.parametrize("void", [False, True])
@pytest.mark.parametrize("logit", [-2.0, 0.5])
def test_the_loss_is_cross_entropy_and_iou_and_judgement(logit: float, void: bool) -> None:
    model, one = Says(logit, 0.3), thing(void=void)
    facts = Promptless(SAM)(model, [one], step())
    assert model.forms == [(1, 0, True, True)]  # nothing was said
    inside, p = share_of(one), 1 / (1 + math.exp(-logit))
    entropy = -(inside * math.log(p) + (1 - inside) * math.log(1 - p))
    soft = inside * p / (inside + p - inside * p)
    iou = inside if logit > 0 else 0.0
    assert facts["iou"] == pytest.approx(iou, abs=0.02)  # the edges fall between cells
    wanted = entropy + 1 - soft + (0.3 - facts["iou"]) ** 2
    assert facts["loss"] == pytest.approx(wanted, abs=0.02)
    assert all(p.grad is not None for p in model.mask_decoder)


def test_a_batch_is_the_mean_of_its_photos() -> None:
    photos = [thing(seed) for seed in range(3)]
    whole, each = Says(0.5, 0.3), Says(0.5, 0.3)
    together = Promptless(SAM)(whole, photos, step())
    apart = [Promptless(SAM)(each, [one], step()) for one in photos]
    assert together["loss"] == pytest.approx(np.mean([facts["loss"] for facts in apart]), rel=1e-5)
    assert together["iou"] == pytest.approx(np.mean([facts["iou"] for facts in apart]), rel=1e-5)
    for one, other in zip(whole.mask_decoder, each.mask_decoder, strict=True):
        torch.testing.assert_close(3 * one.grad, other.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["sam-vit-b", "efficient-sam-ti"])
def test_the_loss_falls_and_the_rest_stays(name: str) -> None:
    variant, network = network_of(find(name))
    add_sam_adapter(network, SamAdapterConfig(reduction=4))
    plain = {n: p.clone() for n, p in network.named_parameters() if not p.requires_grad}
    photos = [item(variant, 1, seed=seed) for seed in range(2)]
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer, losses = torch.optim.Adam(learned, 3e-3), []
    for _ in range(12):
        optimizer.zero_grad()
        losses.append(Promptless(variant)(network, photos, step())["loss"])
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    assert all(torch.equal(network.get_parameter(n), value) for n, value in plain.items())


def test_features_do_instead_of_images() -> None:
    variant, network = network_of(find("sam-vit-b"))
    network.requires_grad_(False)
    network.get_submodule("mask_decoder").requires_grad_(True)
    one = item(variant, 1)
    facts = [
        Promptless(variant)(network, [i], step()) for i in (one, embedded(one, network, variant))
    ]
    assert facts[0] == pytest.approx(facts[1], rel=1e-4)


# ---- from photos to a model that is asked nothing -------------------------------------------


def config_of(photos: Path, base: str, **changes: object) -> FineTuneConfig:
    loop = LoopConfig(steps=2, batch_size=1, warmup=0, ema_decay=0, evaluate_every=1, workers=0)
    return replace(
        FineTuneConfig(data=(photos,), model=base, learn="adapter", loop=loop), **changes
    )


def test_a_model_that_learned_it_is_prompted_with_nothing(
    tmp_path: Path, photos: Path, tiny_model: Callable[[str], str]
) -> None:
    report = finetune(config_of(photos, tiny_model("sam-vit-b")), tmp_path / "run", quiet=True)
    assert set(report.after) == {"iou"}
    model = anymask.load(tmp_path / "run")
    picture = photos / "images" / "0.png"
    masks = model.predict(picture)
    assert len(masks) == 1
    assert masks == model.predict(model.embed(picture))
    masks.save(tmp_path / "found.json")
    assert anymask.read(tmp_path / "found.json").areas.tolist() == masks.areas.tolist()
    with pytest.raises(CapabilityError, match="does not know points, only images without"):
        model.predict(picture, points=[(12, 14)])
    with pytest.raises(CapabilityError, match="only images without a prompt"):
        model.generate(picture)
    assert len(list((tmp_path / "run" / "previews").iterdir())) == 3


def test_other_models_have_to_be_asked(tmp_path: Path) -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(InputError, match="got an empty prompt; add one"):
        anymask.load().predict(picture)
    with pytest.raises(CapabilityError, match="does not know images without a prompt"):
        anymask.load().predict(picture, prompts=anymask.Prompt.nothing())


def test_names_are_for_it_alone(photos: Path) -> None:
    with pytest.raises(InputError, match="names for a SAM-Adapter alone, got them to learn lora"):
        config_of(photos, "bundled", learn="lora", names=("roof",))


def test_models_that_cannot(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(CapabilityError, match="use LoRA instead"):
        finetune(config_of(photos, "bundled"), tmp_path / "run", quiet=True)


def test_validation_needs_the_thing() -> None:
    class Bare(Two):
        def __getitem__(self, index: int) -> Sample:
            return super().__getitem__(1)

    variant, network = network_of(find("sam-vit-b"))
    with pytest.raises(InputError, match="got none with a mask of it"):
        Unprompted(variant, OneKind(Bare()))(network)
    facts = Unprompted(variant, OneKind(Two(), ("roof",)))(network)
    assert 0 <= facts["iou"] <= 1

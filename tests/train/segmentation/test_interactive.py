"""The objective of SAM: how it asks, which answers learn, and that all kinds of networks do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.models.tiny import tiny
from tests.train.segmentation.shapes import embedded, item, network_of
from torch import Tensor, nn

from anymask.data.item import Item
from anymask.errors import CapabilityError, InputError
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant, find
from anymask.train.objective import Step
from anymask.train.segmentation.interactive import Interactive, InteractiveConfig, Round
from anymask.train.segmentation.losses import mask_loss

CPU = torch.device("cpu")
SAM = tiny(find("sam-vit-b"))
NAMES = ("sam-vit-b", "mobile-sam", "efficient-sam-ti", "sam2.1-tiny", "bundled")
every_network = pytest.mark.parametrize("variant", [find(n) for n in NAMES], ids=NAMES)


pytestmark = pytest.mark.usefixtures("one_thread")


class Flat(nn.Module):
    """Answers each slot with one logit everywhere, and writes down what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(1, 1)
        self.mask_decoder = nn.ParameterDict(
            {
                "logits": torch.tensor([1.0, -4.0, 0.5, 3.0]),
                "predicted_iou": torch.tensor([0.5, 0.1, 0.9, 0.2]),
            }
        )
        self.images: list[int] = []
        self.asked: list[tuple[PromptBatch, slice]] = []

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        return frame_hw[0] // 4, frame_hw[1] // 4

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        self.images.append(len(pixels))
        return {"image": self.encoder(pixels.mean(dim=(1, 2, 3))[:, None])[:, :, None, None]}

    def decode_all(
        self, features: dict[str, Tensor], prompts: PromptBatch, slots: slice
    ) -> tuple[Tensor, Tensor]:
        assert len(features["image"]) in (1, len(prompts))
        self.asked.append((prompts, slots))
        n, size = len(prompts), self.mask_hw(prompts.frame_hw)
        logits = self.mask_decoder["logits"][slots] + 0 * features["image"][:, :, 0, 0]
        return (
            logits[..., None, None].expand(n, -1, *size),
            self.mask_decoder["predicted_iou"][slots].expand(n, -1),
        )


def step(number: int = 0) -> Step:
    return Step(number, np.random.default_rng([7, number]), CPU, lambda loss: loss.backward())


def learn(
    network: nn.Module,
    batch: Sequence[Item],
    variant: Variant = SAM,
    feature_loss: Any = None,
    **config: Any,
) -> dict[str, float]:
    return Interactive(variant, InteractiveConfig(**config), feature_loss)(network, batch, step())


def gradients(network: nn.Module) -> dict[str, Tensor]:
    found = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    return found


def alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    largest = max(float(grad.abs().max()) for grad in one.values())
    return one.keys() == other.keys() and all(
        torch.allclose(grad, other[name], rtol=1e-3, atol=1e-4 * largest)
        for name, grad in one.items()
    )


# ------------------------------------------------------------------------------------------ rounds


def test_eleven_rounds_two_of_which_say_nothing_new() -> None:
    rng = np.random.default_rng(0)
    silent = set()
    for _ in range(60):
        rounds = InteractiveConfig().draw_rounds(rng)
        assert len(rounds) == 11
        assert all(round_.with_mask for round_ in rounds)
        quiet = [i for i, round_ in enumerate(rounds) if not round_.new_prompt]
        assert len(quiet) == 2
        assert quiet[-1] == 10
        silent.add(quiet[0])
    assert silent == set(range(1, 10))


@pytest.mark.parametrize(
    ("rounds", "speaking"), [(1, "s"), (2, "ss"), (3, "ss-"), (4, {"s-s-", "ss--"})]
)
def test_few_rounds_leave_room_for_a_correction(rounds: int, speaking: str | set[str]) -> None:
    rng = np.random.default_rng(0)
    drawn = [InteractiveConfig(rounds=rounds).draw_rounds(rng) for _ in range(30)]
    found = {"".join("s" if t.new_prompt else "-" for t in some) for some in drawn}
    assert found == ({speaking} if isinstance(speaking, str) else speaking)


def test_rounds_can_be_drawn_and_memory_be_lost() -> None:
    config = InteractiveConfig(round_probs=(0.5, 0.3, 0.2), silent_rounds=0, mask_prompt_prob=0.8)
    rng = np.random.default_rng(0)
    drawn: list[list[Round]] = [config.draw_rounds(rng) for _ in range(600)]
    lengths = np.bincount([len(rounds) for rounds in drawn], minlength=4) / len(drawn)
    assert lengths[1:] == pytest.approx([0.5, 0.3, 0.2], abs=0.06)
    assert config.expected_rounds == pytest.approx(1.7)
    assert np.mean([t.with_mask for some in drawn for t in some]) == pytest.approx(0.8, abs=0.05)
    assert all(round_.new_prompt for rounds in drawn for round_ in rounds)


def test_each_round_adds_a_click_and_feeds_the_answer_back() -> None:
    network = Flat()
    facts = learn(network, [item(SAM)], box_prob=0)
    assert network.images == [1]  # encoded once
    prompts = [asked for asked, _ in network.asked]
    assert [len(p) for p in prompts] == [2] * 11
    points = [p.points_xy.shape[1] for p in prompts]
    assert points[0] == 1
    assert points[-1] == points[-2] == 9
    assert sorted(np.diff(points).tolist()) == [0, 0] + [1] * 8
    assert [p.mask_logits is None for p in prompts] == [True] + [False] * 10
    assert facts.keys() == {"loss", "first", "best", "last"}


# ----------------------------------------------------------------------------------------- answers


def test_of_one_click_only_the_best_nested_answer_learns() -> None:
    network = Flat()
    learn(network, [item(SAM, 1)], rounds=1, box_prob=0, iou_loss_weight=0)
    assert network.asked[0][1] == slice(1, 4)
    grad = network.mask_decoder["logits"].grad
    assert grad is not None
    # The object is small, so the answer of nothing at all is the best of the three.
    assert grad.nonzero().flatten().tolist() == [1]


def test_of_more_prompts_the_single_answer_learns() -> None:
    network = Flat()
    learn(network, [item(SAM, 1)], rounds=5, box_prob=0, iou_loss_weight=0)
    assert [slots for _, slots in network.asked[1:]] == [slice(0, 1)] * 4
    # The first click was answered by the nested one of the highest predicted_iou: it is fed back.
    first, second = (network.asked[i][0].mask_logits for i in (1, 2))
    assert first is not None and second is not None
    assert first.eq(0.5).all()
    assert second.eq(1.0).all()


def test_of_a_box_alone_both_kinds_learn() -> None:
    network = Flat()
    learn(network, [item(SAM, 1)], rounds=1, box_prob=1, iou_loss_weight=0)
    assert network.asked[0][1] == slice(0, 4)
    grad = network.mask_decoder["logits"].grad
    assert grad is not None
    assert grad.nonzero().flatten().tolist() == [0, 1]


def test_a_network_that_always_gives_three_answers_learns_them() -> None:
    efficient = tiny(find("efficient-sam-ti"))
    network = Flat()
    learn(network, [item(efficient, 1)], efficient, box_prob=0)
    # Six clicks are all that it reads, and without memory the same question is not asked twice.
    assert [p.points_xy.shape[1] for p, _ in network.asked] == [1, 2, 3, 4, 5, 6]
    assert [slots for _, slots in network.asked] == [slice(1, 4)] + [slice(0, 4)] * 5


def test_the_loss_by_hand() -> None:
    network = Flat()
    one = item(SAM, 1, void=True)
    facts = learn(
        network,
        [one],
        rounds=2,
        box_prob=0,
        focal_alpha=0.4,
        mean_loss_weight=0.3,
        top_loss_weight=0.5,
        single_weight=2,
        iou_loss_weight=4,
    )
    mask = torch.from_numpy(one.masks).float()
    weight = torch.ones(1, 1, 64, 64)
    weight[:, :, 48:] = 0
    weight[:, :, :, 56:] = 0
    target, weight = (F.avg_pool2d(x, 4) for x in (F.pad(mask, (0, 0, 0, 16))[None], weight))
    logits = network.mask_decoder["logits"].detach()[None, :, None, None].expand(1, 4, 16, 16)
    losses = mask_loss(logits, target.expand_as(logits), weight, alpha=0.4)[0]
    covered = float((target.gt(0.5) * weight).sum() / weight.sum())
    iou = torch.tensor([covered, 0.0, covered, covered])
    predicted_iou = network.mask_decoder["predicted_iou"].detach()
    nested = losses[1:].min() + 0.3 * losses[1:].mean() + 0.5 * losses[2]
    first = 2 * losses[0] + nested + 4 * ((predicted_iou - iou) ** 2).mean()
    second = losses[0] + 4 * (predicted_iou[0] - iou[0]) ** 2
    assert facts["loss"] == pytest.approx(float(first + second) / 2, rel=1e-5)
    assert facts["first"] == facts["best"] == facts["last"] == pytest.approx(covered)


# ------------------------------------------------------------------------------------------- batch


@every_network
def test_a_batch_is_the_mean_of_its_parts(variant: Variant) -> None:
    small, network = network_of(variant)
    # Photos count the same, however many masks they have.
    batch = [item(small, count, seed=seed) for seed, count in enumerate((2, 1, 3, 1))]
    learn(network, batch, small, rounds=3)
    whole = gradients(network)
    for half in (batch[:2], batch[2:]):
        learn(network, half, small, rounds=3)
    halves = {name: grad / 2 for name, grad in gradients(network).items()}
    assert alike(whole, halves)
    learn(network, batch, small, rounds=3, prompts_per_batch=2)
    assert alike(whole, gradients(network))


def test_photos_of_different_frames_go_into_one_batch() -> None:
    small, network = network_of(find("bundled"))
    wide = item(replace(small, preprocessing=replace(small.preprocessing, side=96)))
    assert wide.transform.frame_hw == (96, 96)
    batch = [item(small), wide]
    learn(network, batch, small, rounds=2)
    whole = gradients(network)
    for one in batch:
        learn(network, [one], small, rounds=2)
    assert alike(whole, {name: grad / 2 for name, grad in gradients(network).items()})


@every_network
def test_embeddings_teach_the_decoder_what_images_do(variant: Variant) -> None:
    # One round: where the second click lies depends on single pixels, and so on rounding.
    small, network = network_of(variant)
    for name, weights in network.named_parameters():
        weights.requires_grad_("decoder" in name)
    batch = [item(small, seed=seed) for seed in range(2)]
    learn(network, batch, small, rounds=1)
    fresh = gradients(network)
    learn(network, [embedded(one, network, small) for one in batch], small, rounds=1)
    assert alike(fresh, gradients(network))


def test_void_and_padding_teach_nothing() -> None:
    small, network = network_of(find("sam-vit-b"))
    one = item(small, void=True)
    asked: list[Tensor] = []
    original = network.decode_all

    def decode_all(*args: Any) -> tuple[Tensor, Tensor]:
        logits, predicted_iou = original(*args)
        logits.retain_grad()
        asked.append(logits)
        return logits, predicted_iou

    network.decode_all = decode_all  # type: ignore[assignment]
    learn(network, [one], small, rounds=4)
    for logits in asked:
        assert logits.grad is not None
        assert logits.grad[..., :12, :14].abs().sum() > 0
        assert logits.grad[..., 12:, :].eq(0).all()
        assert logits.grad[..., 14:].eq(0).all()


@pytest.mark.parametrize("side", [64, 96], ids=["one frame", "two frames"])
def test_a_further_loss_shapes_the_features(side: int) -> None:
    network = Flat()
    other = replace(SAM, preprocessing=replace(SAM.preprocessing, side=side))
    seen: list[str] = []

    def further(features: dict[str, Tensor], items: Sequence[Item]) -> Tensor:
        seen.extend(one.key for one in items)
        assert len(features["image"]) == len(items)
        return 3 * features["image"].mean()

    batch = [item(SAM), item(other, seed=1)]
    facts = learn(network, batch, feature_loss=further, rounds=1)
    assert seen == ["0", "1"]
    assert network.encoder.bias.grad is not None
    assert network.encoder.bias.grad.item() == pytest.approx(3)
    plain = learn(Flat(), batch, rounds=1)
    assert facts["loss"] == pytest.approx(plain["loss"] + facts["feature_loss"], rel=1e-5)


# ------------------------------------------------------------------------------------------ learns


@pytest.mark.parametrize("name", ["sam-vit-b", "efficient-sam-ti", "bundled"])
def test_prompts_come_to_mean_their_masks(name: str) -> None:
    small, network = network_of(find(name))
    network.train()
    batch = [item(small)]
    objective = Interactive(small, InteractiveConfig(rounds=2, focal_alpha=0.75))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    facts = []
    for number in range(60):
        facts.append(objective(network, batch, step(number)))
        optimizer.step()
        optimizer.zero_grad()
    loss, last = (np.mean([some[name] for some in facts[-10:]]) for name in ("loss", "last"))
    assert loss < 0.5 * facts[0]["loss"]
    # Who does not listen cannot be right about more than one of the two squares.
    assert last > 0.55 > facts[0]["last"]


# --------------------------------------------------------------------------------------- bad input


def test_a_network_without_prompts_is_refused() -> None:
    with pytest.raises(CapabilityError, match="answers prompts, got fastsam-s"):
        Interactive(find("fastsam-s"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rounds": 0},
        {"rounds": 1.5},
        {"silent_rounds": -1},
        {"prompts_per_batch": 0},
        {"box_prob": 1.5},
        {"center_prob": -0.1},
        {"tight_box_prob": 1.1},
        {"mask_prompt_prob": 2.0},
        {"round_probs": (0.5, 0.4)},
        {"round_probs": (1.5, -0.5)},
        {"iou_loss_weight": float("nan")},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"expected {next(iter(wrong))}"):
        InteractiveConfig(**wrong)

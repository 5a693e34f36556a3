"""Prompts of simulated users: in the frame of the network, about what is wrong, and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny
from tests.train.segmentation.shapes import item

from anymask.data.item import Item
from anymask.image.transform import Transform
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import Variant, find
from anymask.train.segmentation.rollout import InteractiveRollout, MaskTarget, targets_of

CPU = torch.device("cpu")
SAM, EFFICIENT = (tiny(find(name)) for name in ("sam-vit-b", "efficient-sam-ti"))


def of(
    one: Item, box_prob: float = 0.0, image_index: int = 0, weight: float = 1
) -> list[MaskTarget]:
    return targets_of(one, image_index, (16, 16), box_prob=box_prob, loss_weight=weight)


def begin(
    variant: Variant = SAM, box_prob: float = 0.0, center_prob: float = 0.0, **more: bool
) -> InteractiveRollout:
    targets = of(item(variant, **more), box_prob)
    return InteractiveRollout(targets, variant, CPU, center_prob=center_prob)


def after(rollout: InteractiveRollout, **options: bool) -> PromptBatch:
    prompts = rollout.next_prompts(**options)
    assert prompts is not None
    return prompts


def predictions(rollout: InteractiveRollout, right: bool = False) -> torch.Tensor:
    """Logits that are all right or all wrong."""
    return (rollout.soft_mask - 0.5) * (20 if right else -20)


def test_targets_have_the_masks_in_the_size_of_the_predictions() -> None:
    two = of(item(SAM, void=True), image_index=3, weight=0.5)
    assert [target.image_index for target in two] == [3, 3]
    assert [target.loss_weight for target in two] == [0.25, 0.25]
    assert two[0].weight[:12, :14].eq(1).all()  # the frame is 64 x 64, and the image 48 x 64
    assert two[0].weight[12:].eq(0).all()  # padding
    assert two[0].weight[:, 14:].eq(0).all()  # void
    for target in two:
        assert target.soft_mask.shape == (16, 16)
        assert target.soft_mask.max() == 1
        assert 0 < target.soft_mask.mean() < 0.2
        assert float((target.soft_mask * target.weight).sum()) * 16 == pytest.approx(
            target.mask.sum()
        )


def test_an_image_without_masks_has_no_targets() -> None:
    assert of(replace(item(SAM), chosen=np.zeros((0, 2), int), seeds=np.zeros(0, int))) == []


def test_each_mask_has_a_random_generator_of_its_own() -> None:
    one, other = ([target.rng.random() for target in of(item(SAM, n), 0.5)] for n in (3, 2))
    assert one[:2] == other
    assert len(set(one)) == 3


def test_boxes_and_clicks_come_as_often_as_wanted() -> None:
    many = [target.by_box for seed in range(100) for target in of(item(SAM, seed=seed), 0.3)]
    assert np.mean(many) == pytest.approx(0.3, abs=0.08)
    assert not any(target.by_box for target in of(item(SAM), 0))
    assert all(target.by_box for target in of(item(SAM), 1))


@pytest.mark.parametrize("center_prob", [0.0, 1.0])
@pytest.mark.parametrize("offset", [0, 8])
def test_the_first_click_is_on_the_mask(center_prob: float, offset: int) -> None:
    transform = Transform((48, 64), (48, 64), (64, 64), offset_hw=(offset, 0))
    moved = replace(item(SAM), transform=transform)
    rollout = InteractiveRollout(of(moved), SAM, CPU, center_prob=center_prob)
    prompts = after(rollout)
    assert rollout.single_prompt
    assert prompts.boxes is None and prompts.mask_logits is None
    assert prompts.frame_hw == (64, 64)
    assert prompts.labels.tolist() == [[1], [1]]
    clicks = prompts.points_xy[:, 0].int().tolist()
    for (x, y), target in zip(clicks, rollout.targets, strict=True):
        assert target.mask[y - offset, x]
        assert target.soft_mask[y // 4, x // 4] > 0


def test_boxes_fit_exactly_as_often_as_wanted() -> None:
    exact = 0
    for seed in range(100):
        targets = of(item(SAM, 1, seed=4 * seed), 1)
        boxes = after(InteractiveRollout(targets, SAM, CPU, tight_box_prob=0.7)).boxes
        assert boxes is not None
        exact += boxes[0].tolist() == [3, 6, 19, 28]
    assert exact == pytest.approx(70, abs=14)


def test_boxes_are_noisy_and_in_the_frame() -> None:
    boxes = []
    for seed in range(60):
        rollout = InteractiveRollout(of(item(SAM, 1, seed=4 * seed), 1), SAM, CPU)
        prompts = after(rollout)
        assert rollout.single_prompt
        assert prompts.points_xy.shape == (1, 0, 2)
        assert prompts.boxes is not None
        boxes.append(prompts.boxes[0].numpy())
    moves = np.array(boxes) - [3, 6, 19, 28]  # the square is 16 wide and 22 high
    assert moves[:, 0].std() == pytest.approx(1.6, rel=0.3)
    assert moves[:, 1].std() == pytest.approx(2.2, rel=0.3)


def test_boxes_lie_where_the_image_does() -> None:
    transform = Transform((48, 64), (48, 64), (64, 64), offset_hw=(8, 0))
    moved = replace(item(SAM, 1), transform=transform)
    boxes = after(InteractiveRollout(of(moved, 1), SAM, CPU, tight_box_prob=1)).boxes
    assert boxes is not None
    assert boxes.tolist() == [[3, 14, 19, 36]]


@pytest.mark.parametrize("center_prob", [0.0, 1.0])
def test_corrections_are_clicks_on_what_is_wrong(center_prob: float) -> None:
    rollout = begin(center_prob=center_prob, void=True)
    prompts = after(rollout)
    truth = rollout.soft_mask.numpy() > 0.5
    for _ in range(6):
        rollout.observe(predictions(rollout))
        prompts = after(rollout, with_mask=False)
    assert prompts.points_xy.shape == (2, 7, 2)
    assert prompts.mask_logits is None
    assert not rollout.single_prompt
    for mask, points, labels in zip(truth, prompts.points_xy, prompts.labels, strict=True):
        for (x, y), label in zip(points[1:].tolist(), labels[1:].tolist(), strict=True):
            assert (x - 1.5) % 4 == (y - 1.5) % 4 == 0  # the middle of a cell of the prediction
            assert x < 56 and y < 48  # neither void nor padding
            assert label == mask[int(y // 4), int(x // 4)]
    assert {0, 1} <= set(prompts.labels.flatten().tolist())


def test_where_nothing_is_wrong_the_mask_is_clicked_once_more() -> None:
    rollout = begin()
    after(rollout)
    rollout.observe(predictions(rollout, right=True))
    prompts = after(rollout)
    assert prompts.labels.tolist() == [[1, 1], [1, 1]]
    clicks = prompts.points_xy[:, 1].tolist()
    for (x, y), soft_mask in zip(clicks, rollout.soft_mask, strict=True):
        assert soft_mask[int(y // 4), int(x // 4)] > 0.5


def test_the_prediction_is_fed_back_as_it_was() -> None:
    rollout = begin()
    first = after(rollout)
    logits = torch.randn(2, 16, 16, requires_grad=True)
    rollout.observe(logits)
    prompts = after(rollout, new=False)
    assert torch.equal(prompts.points_xy, first.points_xy)
    assert prompts.mask_logits is not None
    assert torch.equal(prompts.mask_logits, logits[:, None])
    assert not prompts.mask_logits.requires_grad
    assert after(rollout, new=False, with_mask=False).mask_logits is None


@pytest.mark.parametrize("box_prob", [0.0, 1.0])
def test_a_network_gets_only_what_it_understands(box_prob: float) -> None:
    rollout = begin(EFFICIENT, box_prob)
    given = []
    while (prompts := rollout.next_prompts()) is not None:
        given.append(prompts)
        rollout.observe(predictions(rollout))
    assert len(given) == (5 if box_prob else 6)  # six points, and a box is two
    assert given[-1].labels.shape == (2, 4 if box_prob else 6)
    assert given[-1].labels.eq(1).all()  # it knows no background points
    assert given[-1].mask_logits is None
    assert rollout.next_prompts(new=False) is None  # it would only see the same prompts again


def test_masks_thinner_than_a_cell_of_the_prediction_can_be_clicked() -> None:
    thin = item(SAM, 1)
    layers = np.zeros_like(thin.layers)
    layers[0, 20, 5:40] = 1
    rollout = InteractiveRollout(of(replace(thin, layers=layers)), SAM, CPU)
    assert rollout.soft_mask.max() < 0.5
    after(rollout)
    rollout.observe(torch.full((1, 16, 16), -5.0))
    prompts = after(rollout, with_mask=False)
    assert prompts.labels.tolist() == [[1, 1]]
    assert 20 <= prompts.points_xy[0, 1, 1] < 24

"""What simulated users say: in the frame of the network, about what is wrong, and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny
from tests.train.segmentation.shapes import item

from anymask.image.transform import Transform
from anymask.models.variants import Variant, find
from anymask.train.segmentation.conversation import Conversation, Wish, wishes_of

CPU = torch.device("cpu")
SAM, EFFICIENT = (tiny(find(name)) for name in ("sam-vit-b", "efficient-sam-ti"))


def wishes(variant: Variant = SAM, boxes: float = 0.0, count: int = 2, **more: bool) -> list[Wish]:
    return wishes_of(item(variant, count, **more), 3, (16, 16), boxes, share=0.5)


def talk(variant: Variant = SAM, boxes: float = 0.0, middle: float = 0.0, **more) -> Conversation:
    return Conversation(wishes(variant, boxes, **more), variant, CPU, middle)


def answers(conversation: Conversation, right: bool = False) -> torch.Tensor:
    """Logits that are all right or all wrong."""
    return (conversation.target - 0.5) * (20 if right else -20)


def test_wishes_have_the_masks_in_the_size_of_the_answers() -> None:
    two = wishes(void=True)
    assert [wish.owner for wish in two] == [3, 3]
    assert [wish.share for wish in two] == [0.25, 0.25]
    assert two[0].weight[:12, :14].eq(1).all()  # the frame is 64 x 64, and the photo 48 x 64
    assert two[0].weight[12:].eq(0).all()  # padding
    assert two[0].weight[:, 14:].eq(0).all()  # void
    for wish in two:
        assert wish.target.shape == (16, 16)
        assert wish.target.max() == 1
        assert 0 < wish.target.mean() < 0.2
        assert float((wish.target * wish.weight).sum()) * 16 == pytest.approx(wish.mask.sum())


def test_chance_belongs_to_the_mask() -> None:
    one, other = (
        [wish.rng.random() for wish in wishes_of(item(SAM, n), 0, (16, 16), 0.5, 1)] for n in (3, 2)
    )
    assert one[:2] == other
    assert len(set(one)) == 3


def test_boxes_and_clicks_come_as_often_as_wanted() -> None:
    many = [w.by_box for s in range(100) for w in wishes_of(item(SAM, seed=s), 0, (16, 16), 0.3, 1)]
    assert np.mean(many) == pytest.approx(0.3, abs=0.08)
    assert not any(wish.by_box for wish in wishes(boxes=0))
    assert all(wish.by_box for wish in wishes(boxes=1))


@pytest.mark.parametrize("middle", [0.0, 1.0])
@pytest.mark.parametrize("offset", [0, 8])
def test_the_first_click_is_on_the_mask(middle: float, offset: int) -> None:
    transform = Transform((48, 64), (48, 64), (64, 64), offset_hw=(offset, 0))
    moved = replace(item(SAM), transform=transform)
    conversation = Conversation(wishes_of(moved, 0, (16, 16), 0, 1), SAM, CPU, middle)
    assert conversation.speak()
    prompts = conversation.prompts(remember=True)
    assert conversation.alone
    assert prompts.boxes is None and prompts.mask_logits is None
    assert prompts.frame_hw == (64, 64)
    assert prompts.labels.tolist() == [[1], [1]]
    for (x, y), wish in zip(
        prompts.points_xy[:, 0].int().tolist(), conversation.wishes, strict=True
    ):
        assert wish.mask[y - offset, x]
        assert wish.target[y // 4, x // 4] > 0


def test_boxes_fit_exactly_as_often_as_wanted() -> None:
    exact = 0
    for seed in range(100):
        conversation = Conversation(
            wishes_of(item(SAM, 1, seed=4 * seed), 0, (16, 16), 1, 1), SAM, CPU, tight=0.7
        )
        conversation.speak()
        boxes = conversation.prompts(remember=True).boxes
        assert boxes is not None
        exact += boxes[0].tolist() == [3, 6, 19, 28]
    assert exact == pytest.approx(70, abs=14)


def test_boxes_are_noisy_and_in_the_frame() -> None:
    boxes = []
    for seed in range(60):
        one = wishes_of(item(SAM, 1, seed=4 * seed), 0, (16, 16), 1, 1)
        conversation = Conversation(one, SAM, CPU, 0)
        conversation.speak()
        assert conversation.alone
        prompts = conversation.prompts(remember=True)
        assert prompts.points_xy.shape == (1, 0, 2)
        assert prompts.boxes is not None
        boxes.append(prompts.boxes[0].numpy())
    moves = np.array(boxes) - [3, 6, 19, 28]  # the square is 16 wide and 22 high
    assert moves[:, 0].std() == pytest.approx(1.6, rel=0.3)
    assert moves[:, 1].std() == pytest.approx(2.2, rel=0.3)


@pytest.mark.parametrize("middle", [0.0, 1.0])
def test_corrections_are_clicks_on_what_is_wrong(middle: float) -> None:
    conversation = talk(middle=middle, void=True)
    conversation.speak()
    truth = conversation.target.numpy() > 0.5
    for _ in range(6):
        conversation.hear(answers(conversation))
        assert conversation.speak()
    prompts = conversation.prompts(remember=False)
    assert prompts.points_xy.shape == (2, 7, 2)
    assert prompts.mask_logits is None
    assert not conversation.alone
    for mask, points, labels in zip(truth, prompts.points_xy, prompts.labels, strict=True):
        for (x, y), label in zip(points[1:].tolist(), labels[1:].tolist(), strict=True):
            assert (x - 1.5) % 4 == (y - 1.5) % 4 == 0  # the middle of a pixel of the answer
            assert x < 56 and y < 48  # neither void nor padding
            assert label == mask[int(y // 4), int(x // 4)]
    assert {0, 1} <= set(prompts.labels.flatten().tolist())


def test_where_nothing_is_wrong_the_mask_is_clicked_once_more() -> None:
    conversation = talk()
    conversation.speak()
    conversation.hear(answers(conversation, right=True))
    assert conversation.speak()
    prompts = conversation.prompts(remember=True)
    assert prompts.labels.tolist() == [[1, 1], [1, 1]]
    for (x, y), target in zip(prompts.points_xy[:, 1].tolist(), conversation.target, strict=True):
        assert target[int(y // 4), int(x // 4)] > 0.5


def test_the_answer_is_fed_back_as_it_was() -> None:
    conversation = talk()
    conversation.speak()
    logits = torch.randn(2, 16, 16, requires_grad=True)
    conversation.hear(logits)
    prompts = conversation.prompts(remember=True)
    assert prompts.mask_logits is not None
    assert torch.equal(prompts.mask_logits, logits[:, None])
    assert not prompts.mask_logits.requires_grad


@pytest.mark.parametrize("boxes", [0.0, 1.0])
def test_a_network_is_told_only_what_it_understands(boxes: float) -> None:
    conversation = talk(EFFICIENT, boxes)
    said = 0
    while conversation.speak():
        conversation.hear(answers(conversation))
        said += 1
    prompts = conversation.prompts(remember=True)
    assert said == (5 if boxes else 6)  # six points, and a box is two
    assert prompts.labels.shape == (2, 4 if boxes else 6)
    assert prompts.labels.eq(1).all()  # it knows none beside the object
    assert prompts.mask_logits is None


def test_masks_thinner_than_a_pixel_of_the_answer_can_be_clicked() -> None:
    thin = item(SAM, 1)
    layers = np.zeros_like(thin.layers)
    layers[0, 20, 5:40] = 1
    conversation = Conversation(
        wishes_of(replace(thin, layers=layers), 0, (16, 16), 0, 1), SAM, CPU, 0
    )
    assert conversation.target.max() < 0.5
    conversation.speak()
    conversation.hear(torch.full((1, 16, 16), -5.0))
    conversation.speak()
    prompts = conversation.prompts(remember=False)
    assert prompts.labels.tolist() == [[1, 1]]
    assert 20 <= prompts.points_xy[0, 1, 1] < 24

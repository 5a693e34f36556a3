"""What the bundled model's decoder is shown of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.models.prompt_batch import PromptBatch
from anymask.models.prompt_maps import COARSE_MAPS, FINE_MAPS, InputProjection, PromptMapMaker

FRAME = (64, 96)
BOX = torch.tensor([[16.0, 16.0, 48.0, 48.0]])


def features(batch: int = 1) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    maps = {
        f"key{stride}": F.normalize(
            torch.randn(batch, 6, FRAME[0] // stride, FRAME[1] // stride, generator=rng), dim=1
        )
        for stride in (4, 8, 16)
    }
    return maps | {"colour": torch.rand(batch, 3, 16, 24, generator=rng)}


def batch(
    points: list[tuple[float, float]] | None = None,
    labels: list[int] | None = None,
    boxes: Tensor | None = None,
    mask_logits: Tensor | None = None,
) -> PromptBatch:
    points_xy = torch.tensor(points or []).reshape(1, -1, 2)
    count = points_xy.shape[1]
    known = torch.tensor(labels or [1] * count, dtype=torch.long).reshape(1, count)
    return PromptBatch(points_xy, known, boxes, mask_logits, FRAME)


class Drawn(NamedTuple):
    fine: Tensor
    coarse8: Tensor
    coarse16: Tensor


@torch.inference_mode()
def draw(prompts: PromptBatch, of: dict[str, Tensor] | None = None) -> Drawn:
    """Draw the numbers too: every part as (n, channels, h, w), one after the other."""
    of = of or features()
    maps = PromptMapMaker()(of, prompts)
    n = len(prompts)
    levels = {"key4": maps.fine, "key8": maps.coarse8, "key16": maps.coarse16}
    return Drawn(*(full(parts, n, of[key]) for key, parts in levels.items()))


def full(parts: Sequence[Tensor], n: int, like: Tensor) -> Tensor:
    flat = [part[None, :, None, None] if part.ndim == 1 else part for part in parts]
    return torch.cat([part.expand(n, -1, *like.shape[-2:]) for part in flat], dim=1)


def test_shapes_follow_the_frame() -> None:
    maps = draw(batch([(10, 20)], boxes=BOX, mask_logits=torch.zeros(1, 1, 32, 48)))
    assert maps.fine.shape == (1, FINE_MAPS, 16, 24)
    assert maps.coarse8.shape == (1, COARSE_MAPS, 8, 12)
    assert maps.coarse16.shape == (1, COARSE_MAPS, 4, 6)


def test_a_click_resembles_its_own_cell_most() -> None:
    fine = draw(batch([(4 * 7 + 1.5, 4 * 3 + 1.5)])).fine[0]  # the centre of cell (7, 3)
    assert fine[0].argmax() == 3 * 24 + 7
    assert fine[0, 3, 7] == pytest.approx(1.0, abs=1e-5)
    assert fine[2].unique().tolist() == [-1.0]  # nobody clicked beside the object


def test_labels_choose_the_map() -> None:
    near, far = (29.5, 13.5), (73.5, 41.5)
    both = draw(batch([near, far], [1, 0])).fine[0]
    swapped = draw(batch([near, far], [0, 1])).fine[0]
    assert torch.equal(both[0:2], swapped[2:4])
    assert torch.equal(both[6:9], swapped[9:12])  # distances


def test_the_nearest_of_several_clicks_counts() -> None:
    one, other = draw(batch([(5, 5)])).fine, draw(batch([(80, 50)])).fine
    both = draw(batch([(5, 5), (80, 50)])).fine
    assert torch.equal(both[:, 0], torch.maximum(one[:, 0], other[:, 0]))
    assert torch.equal(both[:, 8], torch.minimum(one[:, 8], other[:, 8]))


def test_no_click_and_a_click_elsewhere_only_agree_where_they_should() -> None:
    without = draw(batch(boxes=BOX)).fine[0]
    beside = draw(batch([(80, 50)], [0], boxes=BOX)).fine[0]
    assert torch.allclose(without[:2], beside[:2], atol=1e-4)  # no foreground click in either
    assert not torch.allclose(without[2:4], beside[2:4], atol=1e-4)


@pytest.mark.parametrize(
    "prompts",
    [
        batch([(10, 20)]),
        batch([(10, 20), (70, 30)], [1, 0]),
        batch(boxes=BOX),
        batch(mask_logits=torch.ones(1, 1, 32, 48)),
        batch(),
    ],
    ids=["click", "clicks", "box", "mask", "nothing"],
)
@torch.inference_mode()
def test_numbers_count_like_drawn_maps(prompts: PromptBatch) -> None:
    torch.manual_seed(0)
    entrance = InputProjection(FINE_MAPS, 5)
    of = features()
    parts = PromptMapMaker()(of, prompts).fine
    image = torch.randn(1, 5, 16, 24)
    entered = entrance.enter(parts, image) - image
    assert torch.allclose(entered, entrance(full(parts, 1, of["key4"])), atol=1e-5)
    assert any(part.ndim == 1 for part in parts)  # else this shows nothing


def test_the_inside_of_a_box_is_marked() -> None:
    inside = draw(batch(boxes=BOX)).fine[0, 14]
    expected = torch.zeros(16, 24)
    expected[4:12, 4:12] = 1
    assert torch.equal(inside, expected)


def test_a_box_smaller_than_a_cell_is_finite() -> None:
    maps = draw(batch(boxes=torch.tensor([[20.2, 20.2, 20.7, 20.7]])))
    assert all(m.isfinite().all() for m in (maps.fine, maps.coarse8, maps.coarse16))


def test_a_box_resembles_what_fills_it() -> None:
    of = features()
    key = torch.zeros(1, 6, 16, 24)
    key[:, 0] = 1
    key[:, 0, 4:12, 4:12], key[:, 1, 4:12, 4:12] = 0, 1
    like_middle, like_bands = draw(batch(boxes=BOX), of | {"key4": key}).fine[0, 4:6]
    assert like_middle[8, 8] > 0.9 > 0.2 > like_middle[0, 0]
    assert like_bands[0, 0] > 0.9 > like_bands[8, 8]


def test_a_previous_mask_keeps_its_sub_cells() -> None:
    logits = torch.randn(1, 1, 32, 48, generator=torch.Generator().manual_seed(3))
    maps = draw(batch([(5, 5)], mask_logits=logits)).fine
    assert torch.allclose(F.pixel_shuffle(maps[:, -5:-1], 2), torch.tanh(logits / 4))
    assert maps[:, -1].unique().tolist() == [1.0]


def test_prompts_on_several_images_equal_one_at_a_time() -> None:
    of = features(batch=2)
    points_xy = torch.tensor([[[9.0, 9.0]], [[60.0, 33.0]]])
    labels = torch.ones(2, 1, dtype=torch.long)
    boxes = torch.cat([BOX, BOX + 8])
    together = draw(PromptBatch(points_xy, labels, boxes, None, FRAME), of)
    for i in range(2):
        own = {name: value[i : i + 1] for name, value in of.items()}
        one = slice(i, i + 1)
        alone = draw(PromptBatch(points_xy[one], labels[one], boxes[one], None, FRAME), own)
        assert torch.allclose(together.fine[one], alone.fine, atol=1e-5)
        assert torch.allclose(together.coarse16[one], alone.coarse16, atol=1e-5)

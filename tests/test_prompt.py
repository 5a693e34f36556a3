from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anymask.errors import InputError
from anymask.image.transform import LOGIT, Transform
from anymask.models.prompt_batch import PromptBatch
from anymask.prompt import Prompt

MASK = np.zeros((30, 40), bool)
MASK[5:15, 10:30] = True


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    "points",
    [
        [(3, 4), (5, 6)],
        ((3.0, 4.0), (5.0, 6.0)),
        [[3, 4], [5, 6]],
        np.array([[3, 4], [5, 6]]),
        np.array([[3, 4], [5, 6]], np.float16),
        torch.tensor([[3, 4], [5, 6]]),
        torch.tensor([[3, 4], [5, 6]], dtype=torch.bfloat16),
        torch.tensor([[3.0, 4.0], [5.0, 6.0]], requires_grad=True),
        [np.array([3, 4]), np.array([5, 6])],
    ],
)
def test_points_of_any_kind(points: Any) -> None:
    prompt = Prompt(points)
    assert prompt.points_xy.dtype == np.float64
    assert prompt.points_xy.tolist() == [[3, 4], [5, 6]]
    assert prompt.labels.dtype == np.int64
    assert prompt.labels.tolist() == [1, 1]


def test_coordinates_stay_what_they_were() -> None:
    prompt = Prompt([(105.925, 0.1)], box=(0.1, 0.2, 105.925, 1e6))
    assert prompt.points_xy.tolist() == [[105.925, 0.1]]
    assert prompt.box is not None
    assert prompt.box.tolist() == [0.1, 0.2, 105.925, 1e6]


def test_one_bare_point() -> None:
    prompt = Prompt((3, 4), labels=0)
    assert prompt.points_xy.tolist() == [[3, 4]]
    assert prompt.labels.tolist() == [0]


@pytest.mark.parametrize(
    "labels", [[1, 0], (True, False), np.array([1.0, 0.0]), torch.tensor([1, 0])]
)
def test_labels_of_any_kind(labels: Any) -> None:
    assert Prompt([(1, 1), (2, 2)], labels).labels.tolist() == [1, 0]


@pytest.mark.parametrize("points", [None, [], np.zeros((0, 2))])
def test_a_box_alone(points: Any) -> None:
    prompt = Prompt(points, box=(1, 2, 3, 4))
    assert prompt.points_xy.shape == (0, 2)
    assert prompt.labels.shape == (0,)
    assert prompt.box is not None
    assert prompt.box.dtype == np.float64
    assert prompt.box.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("factor", [1, 255])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_masks_of_any_kind(dtype: type, factor: int) -> None:
    prompt = Prompt(mask=(MASK.astype(int) * factor).astype(dtype))
    assert prompt.mask is not None
    assert prompt.mask.dtype == np.bool_
    np.testing.assert_array_equal(prompt.mask, MASK)


def test_empty_masks_are_masks() -> None:
    assert Prompt(mask=np.zeros((3, 4), np.uint8)).mask is not None


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5)])
def test_mask_logits_of_any_kind(shape: tuple[int, ...]) -> None:
    for logits in (np.ones(shape, np.float64), torch.ones(shape, dtype=torch.float16)):
        prompt = Prompt(mask_logits=logits)
        assert prompt.mask_logits is not None
        assert prompt.mask_logits.dtype == np.float32
        assert prompt.mask_logits.shape == (4, 5)


def test_text_alone() -> None:
    assert Prompt(text=" a truck ").text == "a truck"


def test_a_prompt_is_locked_and_its_own() -> None:
    points = np.array([[3.0, 4.0]])
    mask = MASK.copy()
    prompt = Prompt(points, mask=mask)
    points[:] = 9
    mask[:] = True
    assert prompt.points_xy.tolist() == [[3, 4]]
    np.testing.assert_array_equal(prompt.mask, MASK)
    with pytest.raises(ValueError, match="read-only"):
        prompt.points_xy[0] = 1
    with pytest.raises(FrozenInstanceError):
        prompt.box = None  # type: ignore[misc]


def test_a_prompt_can_be_changed_by_copy_and_travel() -> None:
    prompt = Prompt([(1, 2)], box=(0, 0, 5, 5), mask_logits=np.ones((4, 4)))
    assert replace(prompt, box=None).form == (1, False, True)
    back = pickle.loads(pickle.dumps(prompt))
    assert back.points_xy.tolist() == [[1, 2]]
    assert back.form == prompt.form == (1, True, True)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "got an empty prompt; add one"),
        ({"points_xy": []}, "got an empty prompt"),
        ({"points_xy": [], "labels": []}, "got an empty prompt"),
        ({"points_xy": [(1, np.nan)]}, "finite points, got NaN or infinity"),
        ({"points_xy": [(np.inf, 1)]}, "finite points"),
        ({"points_xy": [1, 2, 3]}, r"shape \(n, 2\), x before y, got \(3,\)"),
        ({"points_xy": [(1, 2, 3)]}, r"got \(1, 3\)"),
        ({"points_xy": [[(1, 2)]]}, r"got \(1, 1, 2\); pass one Prompt per object"),
        ({"points_xy": [(1, 2), (3,)]}, "points as plain numbers in equal rows"),
        ({"points_xy": "500,375"}, "points as plain numbers .* got '500,375'"),
        ({"points_xy": [("a", "b")]}, "points as plain numbers"),
        ({"points_xy": [(None, 1)]}, "points as plain numbers"),
        ({"points_xy": [(1j, 1)]}, "points as plain numbers"),
        ({"points_xy": [(1, 2)], "labels": [2]}, r"1 \(object\) or 0 \(background\), got 2"),
        ({"points_xy": [(1, 2)], "labels": [-1]}, "got -1"),
        ({"points_xy": [(1, 2)], "labels": [0.5]}, r"got 0\.5"),
        ({"points_xy": [(1, 2)], "labels": [np.nan]}, "got nan"),
        ({"points_xy": [(1, 2)], "labels": ["1"]}, "labels as plain numbers"),
        ({"points_xy": [(1, 2)], "labels": [1, 0]}, r"each of the 1 points, got shape \(2,\)"),
        ({"points_xy": [(1, 2), (3, 4)], "labels": 1}, r"got shape \(1,\)"),
        ({"points_xy": [(1, 2)], "labels": [[1]]}, r"got shape \(1, 1\)"),
        ({"labels": [1]}, "each of the 0 points"),
        ({"box": (1, 1, 1, 5)}, "with an area, got x 1 to 1"),
        ({"box": (1, 5, 3, 5)}, "with an area, got .* y 5 to 5"),
        ({"box": (2, 2, 2, 2)}, "with an area"),
        ({"box": (5, 1, 2, 3)}, "left, top, right, bottom, got x 5 to 2, .* swap"),
        ({"box": (1, 3, 2, 1)}, "swap its corners"),
        ({"box": (1, 2, np.nan, 4)}, "finite box corners"),
        ({"box": (1, 2, 3)}, r"4 numbers x0, y0, x1, y1, got shape \(3,\)"),
        ({"box": [(1, 2, 3, 4)]}, r"got shape \(1, 4\); flatten it, and pass one Prompt"),
        ({"box": "1,2,3,4"}, "box as plain numbers"),
        ({"mask": MASK[None]}, r"shape \(h, w\), got \(1, 30, 40\)"),
        ({"mask": MASK[:0]}, r"got \(0, 40\)"),
        ({"mask": MASK.astype(np.float32)}, "bool, 0 / 1 or 0 / 255, got float32 from 0 to 1"),
        ({"mask": np.array([[0, 1, 255]])}, "bool, 0 / 1 or 0 / 255"),
        ({"mask": np.array([[0, 7]])}, "got int64 from 0 to 7"),
        ({"mask": np.array([[0, -1]])}, "got int64 from -1 to 0"),
        ({"mask": "mask.png"}, "mask as plain numbers"),
        ({"mask_logits": np.zeros((3, 4, 4))}, r"got float64 \(3, 4, 4\)"),
        ({"mask_logits": np.zeros((4, 4), bool)}, "got bool"),
        ({"mask_logits": np.full((4, 4), np.nan)}, "finite mask_logits"),
        ({"mask": MASK, "mask_logits": np.zeros((4, 4))}, "got both; leave one out"),
        ({"text": " "}, "some words as text"),
        ({"text": 5}, "some words as text, got 5"),
    ],
)
def test_unfit_prompts_are_one_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Prompt(**arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


# ---------------------------------------------------------------- inside the image


@pytest.mark.parametrize(
    "arguments",
    [
        {"points_xy": [(0, 0), (39, 29), (40, 0), (0, 30)]},
        {"box": (0, 0, 40, 30)},
        {"box": (-50, -50, 100, 100)},
        {"box": (39.9, 29.9, 50, 50)},
        {"mask": MASK},
        {"mask_logits": np.zeros((4, 4))},
        {"text": "truck"},
    ],
)
def test_the_border_is_inside(arguments: dict[str, Any]) -> None:
    Prompt(**arguments).check_inside((30, 40))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points_xy": [(1, 1), (40.1, 5)]}, r"inside the 40 x 30 image, got point 2 at x 40\.1"),
        ({"points_xy": [(5, 31)]}, "point 1 at x 5, y 31"),
        ({"points_xy": [(-0.1, 5)]}, "x -0.1"),
        ({"points_xy": [(1e300, 5)]}, r"x 1e\+300"),
        ({"box": (40, 0, 50, 9)}, "touches the 40 x 30 image, got x 40 to 50, y 0 to 9"),
        ({"box": (-9, 0, 0, 9)}, "touches"),
        ({"box": (0, 30, 9, 31)}, "touches"),
        ({"box": (0, -3, 9, 0)}, "touches"),
        ({"mask": MASK.T}, r"mask of \(h, w\) = \(30, 40\) .*, got \(40, 30\)"),
    ],
)
def test_the_rest_is_outside(arguments: dict[str, Any], message: str) -> None:
    prompt = Prompt(**arguments)
    with pytest.raises(InputError, match=message):
        prompt.check_inside((30, 40))
    with pytest.raises(InputError, match=message):
        PromptBatch.of([prompt], Transform.fit((30, 40), side=64), (16, 16))


# ---------------------------------------------------------------- batches

TRANSFORM = Transform.fit((30, 40), side=64)
CPU = torch.device("cpu")


def test_a_batch_is_in_the_frame() -> None:
    prompts = [
        Prompt([(10, 15), (0, 0)], [1, 0], box=(5, 5, 35, 25)),
        Prompt([(39, 29), (1, 1)], box=(-10, 20, 90, 31)),
    ]
    batch = PromptBatch.of(prompts, TRANSFORM, (16, 16), CPU)

    assert len(batch) == 2
    assert batch.frame_hw == (64, 64)
    assert batch.points_xy.dtype == torch.float32
    torch.testing.assert_close(
        batch.points_xy, torch.tensor([[[16.0, 24], [0, 0]], [[62.4, 46.4], [1.6, 1.6]]])
    )
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [[1, 0], [1, 1]]
    assert batch.boxes is not None
    # What reaches over the border is cut off.
    torch.testing.assert_close(batch.boxes, torch.tensor([[8.0, 8, 56, 40], [0, 32, 64, 48]]))
    assert batch.mask_logits is None


def test_a_batch_without_points() -> None:
    batch = PromptBatch.of([Prompt(box=(1, 1, 9, 9))] * 3, TRANSFORM, (16, 16), CPU)
    assert batch.points_xy.shape == (3, 0, 2)
    assert batch.labels.shape == (3, 0)


def test_both_kinds_of_masks_go_into_one_batch() -> None:
    logits = np.linspace(-3, 3, 256).reshape(16, 16)
    prompts = [Prompt(mask=MASK), Prompt(mask_logits=logits)]
    batch = PromptBatch.of(prompts, TRANSFORM, (16, 16), CPU)

    assert batch.boxes is None
    assert batch.mask_logits is not None
    assert batch.mask_logits.shape == (2, 1, 16, 16)
    assert batch.mask_logits.dtype == torch.float32
    framed = TRANSFORM.masks_to_frame(MASK, (16, 16))
    np.testing.assert_array_equal(batch.mask_logits[0, 0].numpy(), framed)
    assert batch.mask_logits[0].max() == LOGIT
    np.testing.assert_array_equal(batch.mask_logits[1, 0].numpy(), logits.astype(np.float32))


def test_a_string_as_the_device_means_numpy_arrays() -> None:
    prompts = [Prompt([(10, 15)], box=(5, 5, 35, 25), mask=MASK)] * 2
    arrays = PromptBatch.of(prompts, TRANSFORM, (16, 16), "cpu")
    tensors = PromptBatch.of(prompts, TRANSFORM, (16, 16), CPU)
    for name in ("points_xy", "labels", "boxes", "mask_logits"):
        array, tensor = getattr(arrays, name), getattr(tensors, name)
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, tensor.numpy(), strict=True)


def test_nothing_of_64_bits_reaches_the_device() -> None:
    meta = PromptBatch.of(
        [Prompt([(1, 1)], box=(1, 1, 9, 9), mask=MASK)], TRANSFORM, (16, 16), torch.device("meta")
    )
    for tensor in (meta.points_xy, meta.boxes, meta.mask_logits):
        assert tensor is not None
        assert tensor.device.type == "meta"
        assert tensor.dtype == torch.float32
    assert meta.labels.device.type == "meta"


@given(st.lists(st.tuples(st.floats(0, 39), st.floats(0, 29)), min_size=1, max_size=5))
def test_a_prompt_is_the_same_alone_and_in_company(points: list[tuple[float, float]]) -> None:
    prompt, other = Prompt(points), Prompt([(20, 15)] * len(points))
    alone = PromptBatch.of([prompt], TRANSFORM, (16, 16), CPU)
    together = PromptBatch.of([other, prompt, other], TRANSFORM, (16, 16), CPU)
    assert torch.equal(together.points_xy[1], alone.points_xy[0])


@pytest.mark.parametrize("form", [{}, {"box": (1, 2, 9, 8), "mask": MASK}])
def test_a_batch_is_cut_into_smaller_ones(form: dict[str, Any]) -> None:
    prompts = [Prompt([(i, 2 * i)], **form) for i in range(5)]
    parts = PromptBatch.of(prompts, TRANSFORM, (16, 16), CPU).split(2)
    assert [len(part) for part in parts] == [2, 2, 1]
    for part, some in zip(parts, (prompts[:2], prompts[2:4], prompts[4:]), strict=True):
        wanted = PromptBatch.of(some, TRANSFORM, (16, 16), CPU)
        for field in fields(PromptBatch):
            torch.testing.assert_close(getattr(part, field.name), getattr(wanted, field.name))


@pytest.mark.parametrize(
    "prompts",
    [
        [],
        [Prompt((1, 1)), Prompt([(1, 1), (2, 2)])],
        [Prompt((1, 1)), Prompt((1, 1), box=(0, 0, 5, 5))],
        [Prompt((1, 1)), Prompt((1, 1), mask=MASK)],
    ],
)
def test_prompts_of_several_forms_are_refused(prompts: list[Prompt]) -> None:
    with pytest.raises(InputError, match="of one form, got several or none; group them first"):
        PromptBatch.of(prompts, TRANSFORM, (16, 16), CPU)


def test_logits_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(16, 16\) for this model and image, got \(8, 8\)"):
        PromptBatch.of([Prompt(mask_logits=np.zeros((8, 8)))], TRANSFORM, (16, 16), CPU)


def test_saying_nothing_has_to_be_meant() -> None:
    prompt = Prompt.nothing()
    assert (prompt.form, prompt.required_capabilities) == ((0, False, False), ["nothing"])
    assert (prompt.box, prompt.mask, prompt.mask_logits, prompt.text) == (None,) * 4
    batch = PromptBatch.of([prompt, prompt], TRANSFORM, (16, 16), CPU)
    assert batch.points_xy.shape == (2, 0, 2)
    assert batch.labels.shape == (2, 0)
    assert (batch.boxes, batch.mask_logits) == (None, None)

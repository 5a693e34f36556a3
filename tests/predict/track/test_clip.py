"""Whole clips: both directions, corrections, and prompts that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.predict.track.toy import GREEN, RED, SIZE_HW, ColourModel, ground, iou, moving, square

from anymask.errors import InputError
from anymask.image.video import Listed
from anymask.prompt import Prompt

PATH = [(4 + 3 * i, 10 + i) for i in range(12)]


def at(index: int, side: int = 12) -> Prompt:
    x, y = PATH[index]
    return Prompt(box=(x, y, x + side, y + side))


def results_of(frames: Any) -> dict[int, Any]:
    return {frame.index: frame.masks for frame in frames}


def test_a_prompt_in_the_middle_is_carried_both_ways() -> None:
    frames, truth = moving(PATH)
    order = list(ColourModel().track(frames, {7: {"cup": at(7)}}))
    assert [frame.index for frame in order] == [*range(7, 12), *range(7, -1, -1)]
    found = results_of(order)
    assert all(iou(found[i].dense()[0], truth[i]) > 0.9 for i in range(12))
    assert found[0].meta[0]["anchor"] == 7


def test_things_that_begin_on_different_frames_are_all_there_in_the_end() -> None:
    frames, truth = moving(PATH)
    for frame in frames:
        square(frame, 2, 32, GREEN)
    said = {0: {"cup": at(0)}, 6: {"leaf": Prompt([(8, 38)])}}
    found = results_of(ColourModel().track(frames, said))
    assert all(found[i].labels == ("cup", "leaf") and found[i].ids == (1, 2) for i in range(12))
    assert all(iou(found[i].dense()[0], truth[i]) > 0.9 for i in range(12))
    assert all(found[i].areas[1] == 144 for i in range(12))


def test_a_correction_is_carried_both_ways_up_to_the_nearer_prompt() -> None:
    frames, _ = moving(PATH)
    for frame in frames:
        square(frame, 2, 32, GREEN)
    wrong, right = Prompt([(8, 38)]), at(8)  # first the leaf, then what was meant
    found = results_of(ColourModel().track(frames, {0: {"cup": wrong}, 8: {"cup": right}}))
    anchors = [found[i].meta[0]["anchor"] for i in range(12)]
    assert anchors[8:] == [8] * 4 and anchors[5:8] == [8] * 3  # nearer to 8
    assert anchors[:4] == [0] * 4
    assert found[6].dense()[0][10 + 6 + 5, 4 + 18 + 5] and found[10].dense()[0][25, 40]


def test_a_prompt_where_it_was_lost_fills_what_lies_before() -> None:
    frames, truth = moving(PATH)
    hidden = [frames[0], *(ground() for _ in range(3)), *frames[4:]]
    # From frame 4 on it is blue, which nothing of the first prompt tells.
    for i in range(4, 12):
        hidden[i][truth[i]] = (30, 40, 220)
    first = results_of(ColourModel().track(hidden, {0: {"cup": at(0)}}))
    assert all(first[i].areas[0] == 0 for i in range(1, 12))
    found = results_of(ColourModel().track(hidden, {0: {"cup": at(0)}, 10: {"cup": at(10)}}))
    assert all(iou(found[i].dense()[0], truth[i]) > 0.9 for i in (0, *range(4, 12)))


def test_clicks_correct_what_was_followed_until_then() -> None:
    frames, _ = moving(PATH)
    model = ColourModel()
    x, y = PATH[5]
    click = Prompt([(x + 2, y + 2)], labels=[0])
    found = results_of(model.track(frames, {0: {"cup": at(0)}, 5: {"cup": click}}))
    assert found[5].meta[0]["status"] == "prompted"
    assert 0 < found[5].areas[0] < found[4].areas[0]


def test_frames_are_read_only_as_far_as_needed() -> None:
    frames, _ = moving(PATH)
    model = ColourModel()
    list(model.track(frames, {9: {"cup": at(9)}}))
    assert model.embedded == 13  # 9 to 11, then 9 to 0
    model = ColourModel()
    next(iter(model.track(frames, {0: {"cup": at(0)}})))
    assert model.embedded <= 6  # some are read ahead


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ({12: {"cup": at(0)}}, "frames 0 to 11, got one for frame 12"),
        ({-1: {"cup": at(0)}}, "got one for frame -1"),
        ({"0": {"cup": at(0)}}, "got one for frame '0'"),
        ({}, "expected a prompt on some frame"),
        ({3: {"cup": Prompt([(64.5, 3)])}}, "points inside"),
        ({3: {"cup": Prompt([(5, 3)], labels=[0])}}, "background points alone"),
    ],
)
def test_prompts_that_do_not_fit_are_refused_before_any_work(prompts: Any, words: str) -> None:
    model = ColourModel()
    with pytest.raises(InputError, match=words):
        list(model.track(moving(PATH)[0], prompts))
    assert model.embedded == 0


def test_a_clip_of_one_frame_and_a_thing_that_fills_it() -> None:
    frame = np.full((*SIZE_HW, 3), RED, np.uint8)
    whole = Prompt(mask=np.ones(SIZE_HW, bool))
    found = results_of(ColourModel().track([frame], {0: {"wall": whole}}))
    assert found[0].areas[0] == SIZE_HW[0] * SIZE_HW[1]
    found = results_of(ColourModel().track([frame] * 3, {0: {"wall": whole}}))
    assert found[2].areas[0] == SIZE_HW[0] * SIZE_HW[1]


@pytest.mark.parametrize("second", ["same box", "empty mask"])
def test_a_thing_without_pixels_at_its_prompt_is_not_followed_backwards(second: str) -> None:
    frames, truth = moving(PATH)
    said: Any = {1: {"a": at(1), "b": at(1)}}
    if second == "empty mask":
        said = {0: {"a": at(0), "b": at(0)}, 6: {"b": Prompt(mask=np.zeros(SIZE_HW, bool))}}
    found = results_of(ColourModel().track(frames, said))
    assert sorted(found) == list(range(12))
    for i in range(12):
        masks = dict(zip(found[i].labels, found[i].dense(), strict=True))
        assert iou(masks["a"], truth[i]) > 0.9
        assert "b" not in masks or not masks["b"].any()


class Damaged(Listed):
    """A clip that turns out, while it is read, to end early."""

    cut_off: Any = None
    length = 12

    def __len__(self) -> int:
        return self.length

    def frames(self, start: int = 0, stop: int | None = None) -> Any:
        yield from super().frames(start, min(8, stop or 8))
        self.length, self.cut_off = 8, "it is cut off after frame 7"


def test_a_prompt_behind_the_end_that_a_damaged_clip_turns_out_to_have_is_refused() -> None:
    clip: Any = Damaged(moving(PATH)[0])
    tracked = ColourModel().track(clip, {2: {"cup": at(2)}, 10: {"cup": at(10)}})
    with pytest.raises(InputError, match="up to 7, got one for frame 10: it is cut off"):
        list(tracked)

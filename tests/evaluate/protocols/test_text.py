"""Names of categories as prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from tests.predict.test_instances import ELSEWHERE, PICTURE, model_of

from anymask.data.dataset import Sample
from anymask.errors import CapabilityError, InputError
from anymask.evaluate.protocols.text import Text
from anymask.masks.masks import Masks
from anymask.models.variants import find
from anymask.prompt import Prompt

SIZE = (4, 6)


def rows(*numbers: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[list(numbers)] = True
    return mask


class Reader:
    """Answers each text with the masks given for it."""

    variant = find("fastsam-s")

    def __init__(self, answers: Mapping[str, Sequence[np.ndarray]]) -> None:
        self.answers = answers

    def predict(self, image: object, *, prompts: Sequence[Prompt]) -> list[Masks]:
        return [self._answer(self.answers[prompt.text or ""]) for prompt in prompts]

    def _answer(self, masks: Sequence[np.ndarray]) -> Masks:
        return Masks.from_dense(np.array(masks)) if len(masks) else Masks.empty(SIZE)


def sample(**more: Any) -> Sample:
    """Two cats in the first and second row, a dog in the fourth."""
    labels = np.repeat(np.array([1, 2, 0, 3], np.uint8)[:, None], SIZE[1], axis=1)
    fields: dict[str, Any] = {"meta": {"set": "pets"}, "names": ("cat", "cat", "hot_dog")}
    return Sample(np.zeros((*SIZE, 3), np.uint8), (labels,), **fields | more)


def measure(answers: Mapping[str, Sequence[np.ndarray]], shown: Sample, **options: Any) -> Any:
    model: Any = Reader(answers)
    return Text(**options).measure(model, shown)


def test_measures_the_best_object_and_all_together() -> None:
    found = measure({"cat": [rows(1)], "hot dog": [rows(2, 3), rows(2)]}, sample())
    assert [row["name"] for row in found] == ["cat", "hot_dog"]
    assert [row["first"] for row in found] == [1.0, 0.5]
    assert [row["together"] for row in found] == [0.5, 0.5]
    assert [row["objects"] for row in found] == [2, 1]
    assert [row["predicted"] for row in found] == [1, 2]


def test_no_answer_counts_as_zero() -> None:
    found = measure({"cat": [], "hot dog": []}, sample())
    assert [(row["first"], row["together"]) for row in found] == [(0.0, 0.0)] * 2


def test_void_counts_neither_way() -> None:
    found = measure({"cat": [rows(0, 1)], "hot dog": [rows(2, 3)]}, sample(void=rows(2)))
    assert [row["together"] for row in found] == [1.0, 1.0]


LVIS = {
    "set": "lvis",
    "negative": ["bus", "bow"],
    "incomplete": ["cat"],
    "frequency": {"cat": "f", "hot_dog": "r"},
}


def test_asks_for_what_is_absent_and_spares_what_is_incomplete() -> None:
    answers = {"cat": [rows(0)], "hot dog": [rows(3)], "bus": [], "bow": [rows(2)]}
    found = measure(answers, sample(meta=LVIS))
    assert [row["together"] for row in found[:2]] == [None, 1.0]
    assert found[2:] == [
        {"name": "bus", "objects": 0, "predicted": 0},
        {"name": "bow", "objects": 0, "predicted": 1},
    ]
    overall, by_frequency = Text().summarise({"lvis": {"a": found, "b": []}}).tables
    assert overall.rows == (("lvis", 2, 1.0, 1.0, 2, 0.5),)
    assert by_frequency.rows == (("lvis", "frequent", 1, 1.0, None), ("lvis", "rare", 1, 1.0, 1.0))
    assert measure(answers, sample(meta=LVIS), present_only=True) == found[:2]


def test_nothing_to_ask_for_is_no_row() -> None:
    nothing = Sample(np.zeros((*SIZE, 3), np.uint8), ())
    assert measure({}, nothing) == []
    assert Text().summarise({"pets": {"a": []}}).tables[0].rows == (
        ("pets", 0, None, None, 0, None),
    )


def test_says_what_the_template_says() -> None:
    answers = {"a photo of a cat": [rows(0)], "a photo of a hot dog": [rows(3)]}
    found = measure(answers, sample(), template="a photo of a {}")
    assert [row["first"] for row in found] == [1.0, 1.0]
    with pytest.raises(InputError, match="expected a template with"):
        Text("a photo")


def test_draws_what_came_and_what_was_wanted() -> None:
    model: Any = Reader({"cat": [rows(0)]})
    assert Text().draw(model, sample(), {"name": "cat"}).size == SIZE[::-1]


def test_fastsam_answers_names() -> None:
    def widest(pictures, phrases):
        return [[picture.shape[1] / 100] for picture in pictures]

    x0, y0, x1, y1 = ELSEWHERE
    labels = np.zeros(PICTURE.shape[:2], np.uint8)
    labels[y0:y1, x0:x1] = 1
    shown = Sample(PICTURE, (labels,), {"set": "boxes"}, names=("bench",))
    (row,) = Text().measure(model_of(scorer=widest), shown)
    assert (row["first"], row["together"], row["predicted"]) == (1.0, 1.0, 1)


def test_a_model_without_text_is_refused() -> None:
    model: Any = Reader({})
    model.variant = find("sam-vit-b")
    with pytest.raises(CapabilityError, match="sam-vit-b does not know text"):
        Text().measure(model, sample())


def test_a_data_set_without_names_is_refused() -> None:
    with pytest.raises(InputError, match=r"names its masks, .* got 'pets' with 0 names of 3 masks"):
        measure({}, sample(names=()))


def test_what_has_no_name_is_not_prompted_for() -> None:
    found = measure({"cat": [rows(1)]}, sample(names=("cat", "cat", "")))
    assert [row["name"] for row in found] == ["cat"]

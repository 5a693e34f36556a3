"""Masks for a detector's boxes, with a model that fills its boxes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anymask.data.dataset import Sample
from anymask.errors import InputError
from anymask.evaluate.protocols.instances import Instances
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

pytest.importorskip("faster_coco_eval")

SIZE = (40, 60)


class Filler:
    """Fills the box; only half of it as long as it is not shown its answer."""

    variant = SimpleNamespace(capabilities=frozenset({"box", "mask"}))

    def embed(self, image: object) -> None:
        return None

    def predict(self, photo: None, *, prompts: Sequence[Prompt]) -> list[Masks]:
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> Masks:
        assert prompt.box is not None
        x0, y0, x1, y1 = prompt.box.astype(int)
        mask = np.zeros((1, *SIZE), bool)
        mask[0, y0 : y1 if prompt.mask_logits is not None else (y0 + y1) // 2, x0:x1] = True
        return Masks.from_dense(mask, scores=[0.5], logits=np.zeros((1, 4, 4), np.float32))


def sample() -> Sample:
    labels = np.zeros(SIZE, np.uint8)
    labels[10:30, 10:40] = 1
    corners = [10, 10, 40, 10, 40, 30, 10, 30]
    entry = {"image_id": 7, "category_id": 2, "segmentation": [corners], "iscrowd": 0}
    own = {
        "image": {"id": 7, "height": SIZE[0], "width": SIZE[1]},
        "annotations": [entry],
        "categories": {2: {"id": 2, "name": "cat"}},
        "ids": [7, 8],
    }
    return Sample(np.zeros((*SIZE, 3), np.uint8), (labels,), {"set": "cats", "coco": own})


def boxes(folder: Path, *more: dict[str, Any]) -> Path:
    found = {"image_id": 7, "category_id": 2, "bbox": [10, 10, 30, 20], "score": 0.8}
    path = folder / "boxes.json"
    path.write_text(json.dumps([{**found, **one} for one in more]))
    return path


def row_of(path: Path, **options: Any) -> Any:
    model: Any = Filler()
    (row,) = Instances(path, **options).measure(model, sample())
    return row


def ap(path: Path, row: Any) -> Any:
    return Instances(path).summarise({"cats": {"a": [row]}}).tables[0].rows[0]


@pytest.mark.parametrize(("rounds", "precision"), [(1, 1.0), (0, 0.1)])
def test_an_answer_is_fed_back_with_its_box(tmp_path: Path, rounds: int, precision: float) -> None:
    path = boxes(tmp_path, {})
    row = row_of(path, rounds=rounds)
    assert row["score"] == (1.0 if rounds else 0.5)
    assert ap(path, row)[:4] == ("cats", 1, 1, pytest.approx(precision))


def test_the_score_is_the_detectors_unless_the_product_is_wanted(tmp_path: Path) -> None:
    path = boxes(tmp_path, {})
    assert row_of(path)["found"][0]["score"] == 0.8
    assert row_of(path, score="product")["found"][0]["score"] == 0.4


def test_boxes_without_anything_of_the_image_find_nothing(tmp_path: Path) -> None:
    path = boxes(tmp_path, {"bbox": [5, 5, 0, 3], "score": 0.9}, {"bbox": [70, 5, 9, 9]}, {})
    row = row_of(path)
    assert len(row["found"]) == 3
    assert ap(path, row)[3] == pytest.approx(1 / 3)  # the two are false alarms
    assert len(row_of(path, limit=1)["found"]) == 1


def test_an_image_without_boxes_is_all_missed(tmp_path: Path) -> None:
    path = boxes(tmp_path, {"image_id": 8})
    row = row_of(path)
    assert (row["found"], row["score"]) == ([], 0.0)
    assert ap(path, row)[:4] == ("cats", 1, 0, 0.0)


def test_nothing_measured_is_nothing(tmp_path: Path) -> None:
    summary = Instances(boxes(tmp_path)).summarise({"cats": {}})
    assert summary.tables[0].rows[0][:4] == ("cats", 0, 0, None)


@pytest.mark.parametrize(
    ("stranger", "complaint"),
    [
        ({"image_id": 9}, "the images of the data set, got 1 unknown ids in .* such as 9"),
        ({"category_id": 0}, "the categories of the data set, got 1 unknown ids"),
    ],
)
def test_boxes_of_another_set_are_refused(tmp_path: Path, stranger: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        row_of(boxes(tmp_path, {}, stranger))


def test_other_layouts_are_refused(tmp_path: Path) -> None:
    model: Any = Filler()
    plain = Sample(np.zeros((*SIZE, 3), np.uint8), (), {"set": "plain"})
    with pytest.raises(InputError, match="in COCO's or LVIS's layout, got 'plain'"):
        Instances(boxes(tmp_path, {})).measure(model, plain)


def test_draws_the_best_masks(tmp_path: Path) -> None:
    path, model = boxes(tmp_path, {}), Filler()
    drawn: Any = Instances(path).draw(model, sample(), row_of(path))  # type: ignore[arg-type]
    assert drawn.size == SIZE[::-1]


@pytest.mark.parametrize("options", [{"rounds": -1}, {"limit": 0}])
def test_numbers_are_checked(options: Any) -> None:
    with pytest.raises(InputError, match="expected rounds"):
        Instances(Path("boxes.json"), **options)


def test_a_category_that_is_not_listed_is_measured_by_its_id(tmp_path: Path) -> None:
    shown = sample()
    shown.meta["coco"]["annotations"][0]["category_id"] = 5
    model: Any = Filler()
    (row,) = Instances(boxes(tmp_path, {})).measure(model, shown)
    assert row["categories"] == [{"id": 5}]
    assert ap(boxes(tmp_path, {}), row)[3] == 0.0  # the cat that was found is another category

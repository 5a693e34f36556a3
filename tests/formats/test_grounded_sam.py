from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from anymask import formats
from anymask.errors import InputError
from anymask.formats import grounded_sam, png
from anymask.masks.masks import Masks
from anymask.prompt import Prompt


@pytest.fixture
def found() -> Masks:
    dense = np.zeros((3, 20, 30), bool)
    dense[0, 2:10, 3:12] = True
    dense[1, 4:6, 5:8] = True  # inside of the first
    dense[2, 15:, 20:] = True
    return Masks.from_dense(
        dense,
        scores=[0.75, 0.5, np.nan],
        labels=["dog", "collar", None],
        prompts=(Prompt(box=(2.5, 2, 12, 10)), None, None),
    )


def test_the_files_are_as_grounded_sam_writes_them(found: Masks, tmp_path: Path) -> None:
    found.save(tmp_path / "photo.png", format="grounded-sam")
    entries = json.loads((tmp_path / "photo.json").read_text())
    assert entries == [
        {"value": 0, "label": "background"},
        {"value": 1, "label": "dog", "logit": 0.75, "box": [2.5, 2.0, 12.0, 10.0]},
        {"value": 2, "label": "collar", "logit": 0.5, "box": [5.0, 4.0, 8.0, 6.0]},
        {"value": 3, "label": "object", "unlabelled": True, "box": [20.0, 15.0, 30.0, 20.0]},
    ]
    with PIL.Image.open(tmp_path / "photo.png") as image:
        assert image.mode == "L"
        values = np.array(image)
    assert sorted(np.unique(values)) == [0, 1, 2, 3]
    for entry in (entries[2], entries[1], entries[3]):  # what is inside of another one first
        x0, y0, x1, y1 = (round(edge) for edge in entry["box"])
        assert (values[y0:y1, x0:x1] == entry["value"]).any()
        values[y0:y1, x0:x1] = 0
    assert not values.any()


def test_they_are_read_again(found: Masks, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    found.save(path, format="grounded-sam")
    again = formats.read(path)
    assert again.labels == found.labels
    np.testing.assert_array_equal(again.scores, found.scores)
    np.testing.assert_array_equal(again.areas, [8 * 9 - 6, 6, 50])
    assert again.prompts[0] is not None
    np.testing.assert_array_equal(again.prompts[0].box, [2.5, 2, 12, 10])
    with PIL.Image.open(path) as image:  # an editor that drops texts
        image.save(path)
    assert formats.read(path, format="grounded-sam") == again
    assert png.read(path).labels == (None, None, None)


def test_a_mask_that_is_covered_comes_back_empty(tmp_path: Path) -> None:
    dense = np.zeros((2, 4, 4), bool)
    dense[:, 1:3, 1:3] = True
    Masks.from_dense(dense, labels=["a", "b"]).save(tmp_path / "a.png", format="grounded-sam")
    again = formats.read(tmp_path / "a.png")
    assert again.labels == ("a", "b")
    assert sorted(again.areas) == [0, 4]


def test_no_masks_are_a_background(tmp_path: Path) -> None:
    Masks.empty((4, 6)).save(tmp_path / "a.png", format="grounded-sam")
    assert json.loads((tmp_path / "a.json").read_text()) == [{"value": 0, "label": "background"}]
    assert len(formats.read(tmp_path / "a.png")) == 0


def test_many_masks_and_labels_of_all_scripts(tmp_path: Path) -> None:
    dense = np.eye(300, dtype=bool)[:, None].repeat(2, axis=1)
    labels = [f"Häuschen 家 {i}" for i in range(300)]
    masks = Masks.from_dense(dense, labels=labels, scores=np.linspace(0, 1, 300))
    masks.save(tmp_path / "a.png", format="grounded-sam")
    again = formats.read(tmp_path / "a.png")
    assert again.labels == tuple(labels)
    np.testing.assert_array_equal(again.areas, masks.areas)
    assert "家" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_the_name_of_one_file_is_not_that_of_the_other(found: Masks, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.png, got 'photo\.json'"):
        found.save(tmp_path / "photo.json", format="grounded-sam")
    assert list(tmp_path.iterdir()) == []


def test_a_label_map_without_words_is_refused(found: Masks, tmp_path: Path) -> None:
    png.write(tmp_path / "a.png", found)
    with pytest.raises(InputError, match="with a JSON file beside it"):
        formats.read(tmp_path / "a.png", format="grounded-sam")
    with pytest.raises(InputError, match="with a JSON file beside it"):
        grounded_sam.read((tmp_path / "a.png").read_bytes())


@pytest.mark.parametrize(
    "document", [{}, [1], [{}], [{"value": 1}], [{"value": 1, "label": "a", "logit": "x"}], "a"]
)
def test_foreign_json_is_one_sentence(document: Any, found: Masks, tmp_path: Path) -> None:
    png.write(tmp_path / "a.png", found)
    (tmp_path / "a.json").write_text(json.dumps(document))
    if document == {}:
        assert len(formats.read(tmp_path / "a.png", format="grounded-sam")) == 0
        return
    with pytest.raises(InputError, match="cannot read the JSON file beside it"):
        formats.read(tmp_path / "a.png", format="grounded-sam")


def test_open_files_get_the_label_map_alone(found: Masks) -> None:
    file = io.BytesIO()
    found.save(file, format="grounded-sam")
    assert formats.read(file.getvalue()).labels == found.labels

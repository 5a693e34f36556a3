"""Large COCO files are read image by image, and give what reading them at once gives."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from anymask import InputError, Masks
from anymask.formats import coco, coco_stream, conversion


@pytest.fixture
def document() -> dict:
    """Five images whose annotations stand in no order, some of them of no image."""
    rng = np.random.default_rng(0)
    annotations = [
        {
            "id": number,
            "image_id": int(rng.integers(0, 5)),
            "category_id": number % 2,
            "bbox": [0, 0, 1, 1],
            "segmentation": [[0, 0, 0, 3, int(rng.integers(1, 7)), 3]] if number % 5 else [],
            "name": 'Straße \U0001f6e3 \\ "{[',
            "iscrowd": 0,
        }
        for number in range(40)
    ]
    images = [{"id": i, "file_name": f"Bild-ü{i}.jpg", "width": 8, "height": 6} for i in range(4)]
    categories = [{"id": 0, "name": "Ampel"}, {"id": 1, "name": "Fuß", "keypoints": [1, 2]}]
    return {
        "annotations": annotations,
        "info": {"year": 2026},
        "images": images,
        "licenses": [],
        "categories": categories,
    }


def both(path: Path) -> tuple[list[Masks], list[Masks], list[str], list[str]]:
    with warnings.catch_warnings(record=True) as at_once:
        warnings.simplefilter("always")
        expected = coco.read_all(path)
    with warnings.catch_warnings(record=True) as each:
        warnings.simplefilter("always")
        found = list(coco_stream.read_each(path))
    return expected, found, [str(w.message) for w in at_once], [str(w.message) for w in each]


@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 37, 1 << 16])
def test_it_reads_what_reading_at_once_reads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    document: dict,
    ascii: bool,
    indent: int | None,
    chunk: int,
) -> None:
    monkeypatch.setattr(coco_stream, "_CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document, ensure_ascii=ascii, indent=indent), encoding="utf-8")
    expected, found, words, said = both(path)
    assert found == expected and len(found) == 4
    assert sorted(said) == sorted(words) and len(words) == 2


@pytest.mark.parametrize("order", [("images", "annotations"), ("annotations", "images")])
def test_keys_may_stand_in_any_order_and_lists_be_empty(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({key: [] for key in order}), encoding="utf-8")
    assert list(coco_stream.read_each(path)) == []
    image = [{"id": "x", "file_name": "a.jpg", "width": 3, "height": 2}]
    content = {key: image if key == "images" else [] for key in order}
    path.write_text("\ufeff \n" + json.dumps(content), encoding="utf-8")
    assert [len(masks) for masks in coco_stream.read_each(path)] == [0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "which is none"),
        (lambda text: text[:-1], "which is none"),
        (lambda text: text.replace('"image_id"', '"image"'), "a field 'image_id'"),
        (lambda text: text.replace('"images"', '"pictures"'), "a field 'images'"),
        (lambda text: text.replace('"id": 1, "file', '"id": 0, "file'), "ids of their own"),
        (lambda text: "[" + text + "]", "which is none"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, document: dict, change, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(change(json.dumps(document)), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match=words):
            list(coco_stream.read_each(path))


def test_conversion_takes_this_way_for_large_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = np.ones((2, 4, 6), bool)
    for name in ("a", "b"):
        coco.write(tmp_path / f"{name}.json", Masks.from_dense(dense, source=f"{name}.jpg"))
    monkeypatch.setattr(coco_stream, "LARGE", 10)
    monkeypatch.setattr(coco, "read_all", None)
    found = list(conversion.read_place(tmp_path))
    assert [(one.name, len(one.masks)) for one in found] == [("a", 2), ("b", 2)]

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from anymask import formats
from anymask.draw.palette import colours_of_labels
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import semantic
from anymask.masks.masks import Masks

SIZE = (6, 8)


def masks_of(*labels: str | None, **known) -> Masks:
    """Squares that begin at the same corner, each smaller than the one before."""
    dense = np.zeros((len(labels), *SIZE), bool)
    for i, mask in enumerate(dense):
        mask[: 6 - i, : 8 - i] = True
    return Masks.from_dense(dense, labels=labels, **known)


def values_in(data: bytes) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def written(masks: Masks, **options) -> bytes:
    file = io.BytesIO()
    formats.write(file, masks, format="semantic", **options)
    return file.getvalue()


def test_values_are_the_places_of_the_names() -> None:
    data = written(masks_of("sky", "dog", None), names=["cat", "dog", "sky"])
    values = values_in(data)
    assert values.dtype == np.uint8
    assert (values[5] == 3).all()  # sky alone
    assert (values[:5, :7] == 2).all()  # the smaller one, and what has no name hides nothing
    assert sorted(np.unique(values)) == [2, 3]


def test_masks_of_one_name_are_one() -> None:
    dense = np.zeros((3, *SIZE), bool)
    dense[0, :, :3] = dense[1, :, 2:5] = dense[2, 0, 7] = True
    masks = Masks.from_dense(dense, labels=["dog", "dog", "cat"])
    again = formats.read(written(masks))
    assert again.labels == ("cat", "dog")
    assert again.areas.tolist() == [1, 30]


def test_overlaps_can_be_decided_by_the_names_scores() -> None:
    masks = masks_of("sky", "dog", meta=[{"label_score": 0.9}, {"label_score": 0.5}])
    assert np.unique(values_in(written(masks, order="score"))).tolist() == [2]
    other = masks_of("sky", "dog", scores=[0.5, np.nan], meta=[{"label_score": 0.1}, {}])
    assert np.unique(semantic.class_map(other, order="score")).tolist() == [2]
    with pytest.raises(InputError, match="expected an order out of smallest_on_top, score"):
        semantic.class_map(masks, order="best")  # type: ignore[arg-type]


def test_colours_are_those_of_overlays() -> None:
    with PIL.Image.open(io.BytesIO(written(masks_of("sky")))) as image:
        assert image.mode == "P"
        assert image.convert("RGB").getpixel((0, 0)) == colours_of_labels(["sky"])["sky"]


def test_many_names_need_16_bits() -> None:
    names = [f"thing {i}" for i in range(300)]
    data = written(masks_of("thing 299"), names=names)
    assert values_in(data).max() == 300
    assert formats.read(data).labels == ("thing 299",)
    with pytest.raises(InputError, match="expected at most 65535 classes, got 70000"):
        written(masks_of(None), names=[str(i) for i in range(70000)])


def test_it_is_told_from_other_label_maps() -> None:
    masks = masks_of("sky", "dog")
    assert formats.read(written(masks)).labels == ("dog", "sky")
    plain = io.BytesIO()
    masks.save(plain, format="png")
    assert formats.read(plain.getvalue()).labels == ("sky", "dog")
    with pytest.raises(InputError, match="expected a label map that names its classes"):
        formats.read(plain.getvalue(), format="semantic")


def test_nothing_named_is_an_empty_map(tmp_path: Path) -> None:
    masks_of(None).save(tmp_path / "map.png", format="semantic", names=["sky"])
    assert len(formats.read(tmp_path / "map.png")) == 0
    assert len(formats.read(written(Masks.empty(SIZE)))) == 0


def test_names_must_be_listed_once() -> None:
    with pytest.raises(InputError, match="expected labels out of the 1 classes, got 'dog'"):
        written(masks_of("sky", "dog"), names=["sky"])
    with pytest.raises(InputError, match="expected each class once"):
        written(masks_of("sky"), names=["sky", "sky"])


def test_a_folder_keeps_its_numbers(tmp_path: Path) -> None:
    folder = ResumableFolder(tmp_path)
    with semantic.collect(folder, ["cat", "sky"]) as add:
        add("a", masks_of("sky"), None)
    with semantic.collect(folder, ["dog"]) as add:
        add("below/b", masks_of("dog"), None)
        add("c", masks_of("tree"), None)
    classes = json.loads((tmp_path / "classes.json").read_text())["classes"]
    assert [(one["value"], one["name"]) for one in classes] == [
        (0, None), (1, "cat"), (2, "sky"), (3, "dog"), (4, "tree"),
    ]  # fmt: skip
    found = {
        name: np.unique(values_in((tmp_path / f"{name}-classes.png").read_bytes())).tolist()
        for name in ("a", "below/b", "c")
    }
    assert found == {"a": [2], "below/b": [3], "c": [4]}


def test_a_damaged_list_of_classes_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"classes": 3}')
    with (
        pytest.raises(InputError, match=r"'classes\.json'|classes\.json"),
        semantic.collect(ResumableFolder(tmp_path), ["cat"]),
    ):
        pass
    assert (tmp_path / "classes.json").read_text() == '{"classes": 3}'

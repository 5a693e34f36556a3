"""Folders of images with label maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from anymask.data.dataset import LabelMapFolder, key_of
from anymask.data.open import open_dataset
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError


def make_folder(root: Path, size: tuple[int, int] = (6, 8)) -> Path:
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    PillowImage.new("RGB", size[::-1], (200, 10, 10)).save(root / "images" / "a.1.jpg")
    labels = np.zeros(size, np.uint8)
    labels[:2], labels[4:] = 1, 2
    PillowImage.fromarray(labels).save(root / "masks" / "a.1.0.png")
    wide = labels.astype(np.uint16)
    wide[0] = 300
    PillowImage.fromarray(wide).save(root / "masks" / "a.1.1.png")
    return root


def test_reads_images_with_all_layers(tmp_path: Path) -> None:
    data = LabelMapFolder(make_folder(tmp_path / "pets"))
    assert len(data) == 1
    sample = data[0]
    assert sample.image.shape == (6, 8, 3)
    assert sample.meta == {"set": "pets", "id": "a.1"}
    assert [int(layer.max()) for layer in sample.layers] == [2, 300]


def test_lists_every_mask_and_never_the_unknown(tmp_path: Path) -> None:
    masks = LabelMapFolder(make_folder(tmp_path))[0].masks()
    assert [int(mask.sum()) for mask in masks] == [16, 16, 8, 16, 8]


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_names_the_missing_folder(tmp_path: Path, missing: str) -> None:
    make_folder(tmp_path)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"{missing}/ is not there"):
        LabelMapFolder(tmp_path)


def test_masks_of_no_image_are_an_error(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "images" / "a.1.jpg").unlink()
    with pytest.raises(InputError, match="got none for"):
        LabelMapFolder(tmp_path)


def test_a_mask_without_an_image_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path)
    PillowImage.new("L", (8, 6)).save(tmp_path / "masks" / "c.0.png")
    with pytest.raises(InputError, match=r"c\.0\.png', which would be called images/c\.\*;"):
        LabelMapFolder(tmp_path)


def test_two_images_of_one_name_are_an_error(tmp_path: Path) -> None:
    make_folder(tmp_path)
    PillowImage.new("RGB", (8, 6)).save(tmp_path / "images" / "a.1.png")
    with pytest.raises(InputError, match=r"got a\.1\.jpg and a\.1\.png"):
        LabelMapFolder(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jpeg"])
def test_images_are_of_any_format_and_a_single_map_needs_no_number(
    folder: Any, stripes: Any, suffix: str
) -> None:
    folder.photo(f"images/a.{suffix}").labels("masks/a.png", stripes(0, 1, 2))
    data = LabelMapFolder(folder.root)
    assert data.key(0) == "a"
    assert len(data[0].masks()) == 2


@pytest.mark.parametrize("suffix", ["PNG", "tif", "TIFF", "bmp", "gif"])
def test_label_maps_are_of_any_format_without_loss(folder: Any, stripes: Any, suffix: str) -> None:
    folder.photo("images/a.jpg").labels(f"masks/a.{suffix}", stripes(0, 1, 2))
    assert len(open_dataset(folder.root)[0].masks()) == 2


def test_what_is_left_out_is_named(folder: Any, stripes: Any) -> None:
    folder.photo("images/a.jpg", "images/b.jpg", "images/c.jpg", "masks/a.jpg")
    folder.labels("masks/a.png", stripes(0, 1)).json("masks/about.json", {})
    with pytest.warns(DataWarning) as caught:
        assert len(open_dataset(folder.root)) == 1
    said = sorted(str(one.message) for one in caught)
    assert len(said) == 2
    assert "no label maps are left out: 2 in" in said[0] and said[0].endswith("'a.jpg'")
    assert "without a label map are left out: 2 in" in said[1] and said[1].endswith("'b'")


def test_an_empty_label_map_has_no_masks(folder: Any, stripes: Any) -> None:
    folder.photo("images/a.jpg").labels("masks/a.png", stripes(0))
    assert LabelMapFolder(folder.root)[0].masks() == []


def test_keys_are_fit_for_file_names() -> None:
    assert key_of("val/frankfurt/a b.c") == "val-frankfurt-a-b.c"
    assert key_of("../../etc/passwd") == "etc-passwd"


def test_a_label_map_of_another_size_is_an_error(tmp_path: Path) -> None:
    make_folder(tmp_path)
    PillowImage.new("L", (3, 3)).save(tmp_path / "masks" / "a.1.0.png")
    with pytest.raises(InputError, match=r"expected labels of shape \(6, 8\)"):
        LabelMapFolder(tmp_path)[0]


def test_reads_the_shared_sets(shared_dir: Path) -> None:
    data = LabelMapFolder(shared_dir / "data" / "coco128-val")
    assert len(data) == 24
    assert sum(len(data[i].masks()) for i in range(len(data))) == 147

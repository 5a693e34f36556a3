"""Data sets of every layout, tiny ones."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.open import FILES, LAYOUTS, open_dataset
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.masks import rle

Fill = Callable[[Any, Callable[..., np.ndarray]], object]
SQUARE = [0, 0, 4, 0, 4, 4, 0, 4]


def cityscapes(folder: Any, stripes: Any) -> None:
    folder.photo("leftImg8bit/val/ulm/ulm_1_leftImg8bit.png", "leftImg8bit/test/x_leftImg8bit.png")
    numbers = stripes(0, 7, 26001, 26002, dtype=np.uint16)
    folder.labels("gtFine/val/ulm/ulm_1_gtFine_instanceIds.png", numbers)


def dsb2018(folder: Any, stripes: Any) -> None:
    folder.photo("ab12/images/ab12.png")
    folder.labels("ab12/masks/1.png", stripes(255, 0)).labels("ab12/masks/2.png", stripes(0, 255))


def bsds500(folder: Any, stripes: Any) -> None:
    folder.photo("images/test/3096.jpg").photo("groundTruth/test/x.txt.png")
    scipy = pytest.importorskip("scipy.io")
    cells = np.empty((1, 2), object)
    for i, labels in enumerate((stripes(1, 2), stripes(1, 2, 3))):
        cells[0, i] = {"Segmentation": labels.astype(np.uint16), "Boundaries": labels == 1}
    scipy.savemat(folder.root / "groundTruth/test/3096.mat", {"groundTruth": cells})


def woodscape(folder: Any, stripes: Any) -> None:
    objects = [{"tags": ["car"], "segmentation": [SQUARE]}, {"tags": ["sky"], "segmentation": []}]
    about = {"image_height": 6, "image_width": 8, "annotation": objects}
    folder.photo("rgb_images/0_FV.png")
    folder.json("instance_annotations/0_FV.json", {"0_FV.json": about})


def sa1b(folder: Any, stripes: Any) -> None:
    mask = {"size": [6, 8], "counts": rle.to_string(rle.encode(stripes(0, 1).astype(bool)))}
    document = {
        "image": {"image_id": 1, "height": 6, "width": 8, "file_name": "sa_1.jpg"},
        "annotations": [{"id": 1, "segmentation": mask, "predicted_iou": 0.9}],
    }
    folder.photo("sa_1.jpg").json("sa_1.json", document)


def visor(folder: Any, stripes: Any) -> None:
    corners = [[SQUARE[i], SQUARE[i + 1]] for i in range(0, 8, 2)]
    objects = [
        {"name": "left hand", "segments": [corners, [[1, 1]]]},
    ]
    frame = {"image": {"name": "P01_frame_1.jpg"}, "annotations": objects}
    folder.photo("rgb_frames/val/P01/P01_107/P01_frame_1.jpg")
    folder.json("annotations/val/P01_107.json", {"video_annotations": [frame]})


def perseg(folder: Any, stripes: Any) -> None:
    for n in ("00", "01"):
        folder.photo(f"Images/red_cup/{n}.jpg")
        folder.labels(f"Annotations/red_cup/{n}.png", stripes(0, 0, 128))


def pair(image: str, labels: str, *numbers: int) -> Fill:
    return lambda folder, stripes: folder.photo(image).labels(labels, stripes(*numbers))


def ade20k(folder: Any, stripes: Any) -> None:
    colours = np.stack([stripes(0, 10), stripes(0, 3), stripes(0, 1, 2)], axis=-1)
    folder.photo("validation/a.jpg").labels("validation/a_seg.png", colours)


def yolo(folder: Any, stripes: Any) -> None:
    folder.photo("images/val/a.jpg")
    rows = "0 0 0 0.5 0 0.5 0.5 0 0.5\n1 0.5 0.5 1 0.5 1 1 0.5 1\n"
    (folder.root / "labels/val").mkdir(parents=True)
    (folder.root / "labels/val/a.txt").write_text(rows)
    (folder.root / "data.yaml").write_text("names: [dog, no]\nval: images/val\n")


def labelme(folder: Any, stripes: Any) -> None:
    square = [SQUARE[i : i + 2] for i in range(0, 8, 2)]
    shapes = [
        {"label": "dog", "points": square, "shape_type": "polygon", "group_id": group}
        for group in (1, 1, None)
    ]
    about = {"imagePath": "..\\photos\\a.jpg", "imageHeight": 6, "imageWidth": 8}
    folder.photo("photos/a.jpg").json("labels/x.json", {**about, "shapes": shapes})


FOLDERS: dict[str, tuple[Fill, str, int]] = {  # what fills it, key and masks of its first sample
    "label-maps": (pair("images/a.jpg", "masks/a.0.png", 0, 1, 2), "a", 2),
    "perseg": (perseg, "red_cup-01", 1),
    "dsb2018": (dsb2018, "ab12", 2),
    "visor": (visor, "P01_frame_1", 1),
    "cityscapes": (cityscapes, "val-ulm-ulm_1", 2),
    "cityscapes-panoptic": (cityscapes, "val-ulm-ulm_1", 3),
    "voc": (pair("JPEGImages/a.jpg", "SegmentationObject/a.png", 0, 1, 255, 2), "a", 2),
    "ade20k-scenes": (pair("images/val/a.jpg", "annotations/val/a.png", 0, 9, 8), "val-a", 2),
    "bsds500": (bsds500, "test-3096", 5),
    "doors": (pair("img/1.png", "Rock_all/1.png", 0, 255), "1", 1),
    "dram": (pair("test/art/a.jpg", "labels/art/a.png", 0, 4, 255), "art-a", 1),
    "egohos": (pair("image/a.jpg", "label/a.png", 0, 1, 2, 3), "a", 3),
    "gtea": (pair("Images/a.jpg", "Masks/a.png", 0, 255), "a", 1),
    "ishape": (pair("image/a.jpg", "instance_map/a.png", 0, 1, 2), "a", 2),
    "woodscape": (woodscape, "0_FV", 1),
    "ppdls": (pair("Ara/p1_rgb.png", "Ara/p1_label.png", 0, 1, 2), "Ara-p1", 2),
    "ade20k": (ade20k, "validation-a", 2),
    "sa1b": (sa1b, "sa_1", 1),
    "yolo": (yolo, "a", 2),
    "labelme": (labelme, "labels-x", 2),
}


# The panoptic reading of Cityscapes lies on disk like the other one, and must be asked for.
@pytest.mark.parametrize(
    ("layout", "told"),
    [(n, told) for n in LAYOUTS for told in (True, False) if told or n != "cityscapes-panoptic"],
)
def test_every_layout_of_folders(
    folder: Any, stripes: Callable[..., np.ndarray], layout: str, told: bool
) -> None:
    fill, key, masks = FOLDERS[layout]
    fill(folder, stripes)
    data = open_dataset(folder.root, layout if told else "auto")
    assert [data.key(i) for i in range(len(data))] == [key]
    sample = data[0]
    assert len(sample.masks()) == masks
    assert sample.meta["id"] == key
    assert sample.meta["set"] == "set"
    assert sample.image.shape == (6, 8, 3)
    assert all(layer.shape == (6, 8) for layer in sample.layers)
    json.dumps(sample.meta)
    elsewhere = pickle.loads(pickle.dumps(data))  # as processes that prepare batches may get it
    assert np.array_equal(elsewhere[0].layers, sample.layers)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_part_is_named(
    folder: Any, stripes: Callable[..., np.ndarray], layout: str
) -> None:
    FOLDERS[layout][0](folder, stripes)
    images, labels = LAYOUTS[layout].parts
    for path in folder.root.glob(labels):
        path.unlink()
    with pytest.raises(InputError) as error:
        open_dataset(folder.root, layout)
    assert f"the layout {layout!r}" in str(error.value)
    assert f"got nothing that matches {labels};" in str(error.value)
    assert images in str(error.value)


def test_labels_without_an_image_are_named(folder: Any, stripes: Any) -> None:
    folder.photo("image/a.jpg").labels("label/a.png", stripes(1)).labels("label/b.png", stripes(1))
    with pytest.raises(InputError, match=r"got no '.*image/b\.jpg' for '.*label/b\.png'"):
        open_dataset(folder.root)


def test_images_without_labels_are_left_out(folder: Any, stripes: Any) -> None:
    folder.photo("image/a.jpg", "image/b.jpg").labels("label/b.png", stripes(1))
    data = open_dataset(folder.root)
    assert [data.key(i) for i in range(len(data))] == ["b"]


def test_labels_of_another_size_are_refused(folder: Any, stripes: Any) -> None:
    folder.photo("image/a.jpg", size=(5, 5)).labels("label/a.png", stripes(1))
    with pytest.raises(InputError, match=r"labels of shape \(5, 5\), as their image"):
        open_dataset(folder.root)[0]


def test_a_part_alone_is_recognised(folder: Any) -> None:
    folder.photo("leftImg8bit/val/ulm/ulm_1_leftImg8bit.png")
    with pytest.raises(InputError, match=r"part of cityscapes \(without gtFine/") as error:
        open_dataset(folder.root)
    assert "ade20k (" not in str(error.value)  # png files alone say nothing


def test_a_folder_of_none_is_refused(folder: Any) -> None:
    folder.photo("a.jpg")
    with pytest.raises(InputError, match="with no part of any"):
        open_dataset(folder.root)


def test_a_folder_with_annotation_files_hints_at_them(folder: Any) -> None:
    folder.photo("images/a.jpg").json("annotations/instances.json", {})
    with pytest.raises(InputError, match=r"such as '.*annotations/instances\.json'"):
        open_dataset(folder.root)


def test_nuclei_need_their_image(folder: Any, stripes: Any) -> None:
    dsb2018(folder, stripes)
    folder.labels("cd34/masks/1.png", stripes(255))
    with pytest.raises(InputError, match=r"got 0 in '.*cd34/images'"):
        open_dataset(folder.root, "dsb2018")


def test_a_video_needs_its_frames(folder: Any, stripes: Any) -> None:
    visor(folder, stripes)
    frame = {"image": {"name": "P02_frame_7.jpg"}, "annotations": []}
    folder.json("annotations/val/P02_1.json", {"video_annotations": [frame]})
    with pytest.warns(DataWarning, match=r"left out: 1 in .*, the first is 'P02_frame_7'"):
        assert len(open_dataset(folder.root)) == 1
    (folder.root / "rgb_frames/val/P01/P01_107/P01_frame_1.jpg").rename(folder.root / "a.jpg")
    folder.photo("rgb_frames/other.jpg")
    with pytest.raises(InputError, match="got none of them; unzip"):
        open_dataset(folder.root)


def test_an_object_without_an_outline_is_named(folder: Any) -> None:
    objects = [{"name": "pan", "segments": []}, {"name": "lid", "segments": [[[1, 1], [2, 2]]]}]
    objects.append({"name": "pot", "segments": [[[0, 0], [4, 0], [4, 4], [0, 4]]]})
    frame = {"image": {"name": "1.jpg"}, "annotations": objects}
    folder.photo("rgb_frames/1.jpg").json("annotations/v.json", {"video_annotations": [frame]})
    with pytest.warns(DataWarning, match="left out: 2 in .*, the first is 'pan' of '1'"):
        data = open_dataset(folder.root)
    assert data[0].names == ("pot",)


def test_a_matlab_file_of_something_else_is_refused(folder: Any, stripes: Any) -> None:
    bsds500(folder, stripes)
    (folder.root / "groundTruth/test/3096.mat").write_bytes(b"no matrix")
    with pytest.raises(InputError, match="as ground truth of BSDS500"):
        open_dataset(folder.root)[0]


# ----------------------------------------------------------------------- files

COCO = {
    "images": [{"id": 1, "height": 6, "width": 8, "file_name": "a.jpg"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE]}],
    "categories": [{"id": 1, "name": "cat"}],
}
REGION = {
    "shape_attributes": {
        "name": "polygon",
        "all_points_x": SQUARE[::2],
        "all_points_y": SQUARE[1::2],
    },
    "region_attributes": {"species": "WBD"},
}
VIA = {"a.jpg12": {"filename": "a.jpg", "size": 12, "regions": [REGION, REGION]}}
OLD_VIA = {"a.jpg12": {"filename": "a.jpg", "size": 12, "regions": {"0": REGION}}}


@pytest.mark.parametrize(
    ("layout", "content", "masks"), [("coco", COCO, 1), ("via", VIA, 2), ("via", OLD_VIA, 1)]
)
@pytest.mark.parametrize("told", [True, False])
def test_every_layout_of_files(
    folder: Any, layout: str, content: Any, masks: int, told: bool
) -> None:
    file = folder.photo("ABOVE/a.jpg").json("ABOVE_LABELS.json", content)
    data = open_dataset(file, layout if told else "auto")
    sample = pickle.loads(pickle.dumps(data))[0]
    assert [int(mask.sum()) for mask in sample.masks()] == [16] * masks


def test_every_layout_has_a_test() -> None:
    assert FOLDERS.keys() == LAYOUTS.keys()
    # The last two have their tests in readers/test_tools.py.
    assert {"coco", "via", "cvat", "labelstudio"} == FILES.keys()


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("nowhere", {}, "expected a folder or a JSON file, got '.*nowhere'"),
        ("", {"layout": "pascal"}, "expected a layout out of auto, label-maps, .*, got 'pascal'"),
        ("", {"layout": "coco"}, "expected a JSON file"),
        ("a.json", {"layout": "voc"}, "expected a folder"),
        ("a.json", {}, "cannot read .* as VIA"),
        ("", {"images": "photos"}, "expected a JSON file with a folder of images, got the folder"),
        ("a.json", {"layout": "coco"}, "expected a field 'images'"),
    ],
)
def test_a_wrong_path_or_layout_is_refused(
    folder: Any, name: str, options: dict[str, str], complaint: str
) -> None:
    folder.json("a.json", {"something": "else"})
    with pytest.raises(InputError, match=complaint):
        open_dataset(folder.root / name, **options)


def test_reads_the_shared_sets(shared_dir: Path) -> None:
    data = open_dataset(shared_dir / "data" / "bsds500-val")
    assert len(data) == 100

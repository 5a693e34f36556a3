"""What the page writes is read by the library, and the other way round: same pixels."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.web.test_page_units import WEB, npm

from anymask import Masks, formats
from anymask.formats import coco, voc_folder, yolo_folder
from anymask.masks import rle
from anymask.prompt import Prompt

H, W = 60, 80
ALL = ("coco", "yolo", "labelme", "sa1b", "voc", "png")


@pytest.fixture(scope="module")
def exchange() -> Any:
    """The page's own code for files, run by Node."""
    done = npm("run", "--silent", "build", "--", "--tests")
    assert done.returncode == 0, done.stderr
    node = shutil.which("node")
    assert node is not None

    def run(asked: dict[str, Any]) -> dict[str, Any]:
        tool = WEB / "build" / "tools" / "exchange.mjs"
        done = subprocess.run(
            [node, str(tool)], input=json.dumps(asked), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    return run


def dense() -> np.ndarray:
    """A ring with an island, blobs that touch at corners, a block at the border, noise."""
    y, x = np.mgrid[:H, :W]
    away = np.hypot(y - 28.3, x - 31.7)
    noise = np.random.default_rng(7).random((H, W)) > 0.7
    found = np.zeros((4, H, W), bool)
    found[0] = ((away < 24) & (away > 11)) | (away < 5)
    found[1] = (x > 60) & ((x // 3 + y // 3) % 2 == 0)
    found[2, 50:, :20] = True
    found[3] = noise & (x < 30) & (y < 20)
    return found


def masks() -> Masks:
    return Masks.from_dense(
        dense(),
        labels=['cup, "blue" & <b>\'s', None, "杯子", "car"],
        scores=[0.9, np.nan, 0.5, 0.25],
        stability=[0.75, np.nan, np.nan, 1],
        ids=[7, None, None, 0],
        meta=[{"note": "x", "id": 41}, {}, {"flags": {"occluded": True}}, {"bbox": "not a box"}],
        prompts=[Prompt([(31, 10), (2, 3)], [1, 0]), None, Prompt(box=(0, 50, 20, 60)), None],
        source="sub/photo 1.jpg",
    )


def things(found: Masks) -> list[dict[str, Any]]:
    """Say masks as the page does."""
    from anymask.serve.studio.project import Stored, named
    from anymask.serve.studio.wire import things_document

    document = things_document(Stored(named(found), 0))["things"]
    return json.loads(json.dumps(document))  # type: ignore[no-any-return]


def said(found: Masks) -> list[dict[str, Any]]:
    return [{k: v for k, v in one.items() if k != "thing"} for one in things(found)]


@pytest.fixture(scope="module")
def exported(exchange: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All formats, as the page exports them."""
    folder = tmp_path_factory.mktemp("page")
    image = folder / "photo.jpg"
    PIL.Image.new("RGB", (W, H), (90, 60, 30)).save(image)
    other = Masks.from_dense(dense()[:1, ::-1], labels=["car"], source="b.jpg")
    images = [
        {"name": one.source, "w": W, "h": H, "type": "image/jpeg", "file": str(image)}
        | {"things": things(one)}
        for one in (masks(), other)
    ]
    asked = {"zip": str(folder / "all.zip"), "formats": ALL, "classes": ["car"], "images": images}
    assert exchange(asked) == {"lost": 0}
    with zipfile.ZipFile(folder / "all.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(folder / "all")
    return folder / "all"


def same_pixels(found: Masks, wanted: np.ndarray) -> None:
    assert np.array_equal(found.dense(), wanted)


def test_coco(exported: Path) -> None:
    path = exported / "coco" / "annotations.json"
    found = coco.read(path, "sub/photo 1.jpg")
    same_pixels(found, dense())
    assert found.labels == masks().labels and found.ids == masks().ids
    assert np.array_equal(found.scores, masks().scores, equal_nan=True)
    assert np.array_equal(found.stability, masks().stability, equal_nan=True)
    assert [dict(meta).get("note") for meta in found.meta] == ["x", None, None, None]
    assert found.meta[3]["bbox"] == "not a box" and found.meta[0]["id"] == 41
    assert found.prompts[0] is not None and found.prompts[0].labels.tolist() == [1, 0]
    assert found.prompts[2] is not None and found.prompts[2].box is not None
    categories = json.loads(path.read_text("utf-8"))["categories"]
    assert [one["name"] for one in categories][:2] == ["car", 'cup, "blue" & <b>\'s']


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_coco_by_pycocotools(exported: Path) -> None:
    pycocotools = pytest.importorskip("pycocotools.coco")
    data = pycocotools.COCO(exported / "coco" / "annotations.json")
    (image,) = data.getImgIds()[:1]
    entries = data.loadAnns(data.getAnnIds(image))
    assert np.array_equal(np.stack([data.annToMask(one) for one in entries]) > 0, dense())
    for entry, mask in zip(entries, masks(), strict=True):
        assert entry["area"] == mask.areas[0]
        assert entry["bbox"] == rle.coco_box(mask.counts[0], (H, W)).tolist()


def test_sa1b(exported: Path) -> None:
    found = formats.read(exported / "sa1b" / "sub" / "photo 1.json")
    same_pixels(found, dense())
    file = io.BytesIO()
    formats.write(file, masks(), format="sa1b")
    assert said(found) == said(formats.read(file.getvalue()))
    assert found.source == "photo 1.jpg"


def test_labelme(exported: Path) -> None:
    path = exported / "labelme" / "sub" / "photo 1.json"
    found = formats.read(path)
    same_pixels(found, dense())
    assert found.labels == masks().labels and found.ids == masks().ids
    assert found.meta[2]["flags"] == {"occluded": True}
    kinds = {one["shape_type"] for one in json.loads(path.read_text("utf-8"))["shapes"]}
    assert kinds == {"mask", "polygon"}


def test_yolo(exported: Path) -> None:
    found = {
        masks.source: (masks, image) for masks, image in yolo_folder.read_all(exported / "yolo")
    }
    one, image = found["sub/photo 1.jpg"]
    same_pixels(one, dense())
    assert one.labels == masks().labels
    assert image is not None and image.is_file()


def test_voc(exported: Path) -> None:
    found = {one.source: (one, image) for one, image in voc_folder.read_all(exported / "voc")}
    one, image = found["sub/photo 1.jpg"]
    order = masks().label_map("smallest_on_top")
    same_pixels(one, np.stack([order == i + 1 for i in range(4)]))
    assert one.labels == masks().labels
    assert image is not None and found["b.jpg"][0].image_meta["split"] == "train"
    boxes = formats.read(exported / "voc" / "Annotations" / "b.xml")
    assert boxes.labels == ("car",) and boxes.areas[0] == dense()[0].sum()


def test_png(exported: Path) -> None:
    found = formats.read(exported / "png" / "sub" / "photo 1-labels.png")
    order = masks().label_map("smallest_on_top")
    same_pixels(found, np.stack([order == i + 1 for i in range(4)]))
    assert found.labels == masks().labels and found.ids == masks().ids


# -------------------------------------------------------------------- the other way round


def read(exchange: Any, *files: Path, name: str = "sub/photo 1.jpg") -> Masks:
    picture = {"name": name, "w": W, "h": H}
    answer = exchange({"files": [str(file) for file in files], "picture": picture})
    assert "error" not in answer, answer
    from anymask.serve.studio.wire import ThingRecord, masks_of_things

    class Seen:
        size_hw, name = (H, W), "photo"

    records = []
    for one in answer["things"]:
        rle_ = one.pop("rle")
        records.append(ThingRecord(rle=_Rle(rle_), **one))  # type: ignore[arg-type]
    return masks_of_things(records, Seen(), "test")  # type: ignore[arg-type]


class _Rle:
    def __init__(self, document: dict[str, Any]) -> None:
        self.size, self.counts = document["size"], document["counts"]


@pytest.mark.parametrize("name", ["sa1b", "coco", "labelme", "png"])
def test_what_the_library_writes(name: str, exchange: Any, tmp_path: Path) -> None:
    path = tmp_path / f"photo 1{'-labels.png' if name == 'png' else '.json'}"
    wanted = masks()
    formats.write(path, wanted, format=name)
    back = read(exchange, path)
    same_pixels(back, formats.read(path).dense())
    assert back.labels == wanted.labels and back.ids == wanted.ids
    if name != "png":
        same_pixels(back, dense())
        assert np.array_equal(back.scores, wanted.scores, equal_nan=True)
        assert back.prompts[0] is not None
        assert back.prompts[0].points_xy.tolist() == [[31, 10], [2, 3]]
    if name in ("sa1b", "coco"):
        assert back.meta[0]["note"] == "x"


def test_polygons_of_coco(exchange: Any, tmp_path: Path) -> None:
    coco.write(tmp_path / "a.json", masks(), polygons=True)
    same_pixels(read(exchange, tmp_path / "a.json"), dense())


@pytest.mark.filterwarnings("ignore:.*cover no pixel")
@pytest.mark.parametrize("seed", range(3))
def test_polygons_of_any_kind_are_filled_alike(seed: int, exchange: Any, tmp_path: Path) -> None:
    draw = np.random.default_rng(seed)
    shapes = [draw.uniform(-20, 100, (draw.integers(3, 12), 2)) for _ in range(25)]
    image = {"id": 1, "width": W, "height": H, "file_name": "a.jpg"}
    annotations = [
        {"id": i + 1, "image_id": 1, "category_id": 1, "segmentation": [shape.ravel().tolist()]}
        for i, shape in enumerate(shapes)
    ]
    document = {"images": [image], "annotations": annotations, "categories": []}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    same_pixels(read(exchange, path), formats.read(path).dense())


@pytest.mark.filterwarnings("ignore:YOLO cannot hold all")
def test_yolo_of_the_library(exchange: Any, tmp_path: Path) -> None:
    with yolo_folder.writer(tmp_path, names=["car"]) as add:
        add(masks())
    label = tmp_path / "labels" / "train" / "sub" / "photo 1.txt"
    back = read(exchange, label, tmp_path / "data.yaml")
    same_pixels(back, dense())
    assert back.labels == masks().labels
    assert read(exchange, label).labels == ("1", "2", "3", "0")


@pytest.mark.filterwarnings("ignore:VOC cannot hold all")
def test_masks_of_voc_by_its_palette(exchange: Any, tmp_path: Path) -> None:
    with voc_folder.writer(tmp_path) as add:
        add(masks())
    objects = tmp_path / "SegmentationObject" / "sub" / "photo 1.png"
    same_pixels(read(exchange, objects), formats.read(objects).dense())


def test_a_map_of_classes(exchange: Any, tmp_path: Path) -> None:
    formats.write(tmp_path / "photo 1.png", masks().filter(label="car"), format="semantic")
    assert read(exchange, tmp_path / "photo 1.png").labels == ("car",)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_label_maps_of_any_depth(mode: str, exchange: Any, tmp_path: Path) -> None:
    numbers = np.zeros((H, W), np.uint16)
    numbers[5:20, 3:50] = 1
    if mode != "1":
        numbers[30:, 30:] = 9 if mode != "I;16" else 700
    image = (
        PIL.Image.fromarray(numbers)
        if mode == "I;16"
        else PIL.Image.fromarray(numbers.astype(np.uint8) * (255 if mode == "1" else 1)).convert(
            mode
        )
    )
    if mode == "P":
        image = PIL.Image.fromarray(numbers.astype(np.uint8))
        image.putpalette(list(range(60)))
    image.save(tmp_path / "a.png")
    same_pixels(read(exchange, tmp_path / "a.png"), formats.read(tmp_path / "a.png").dense())


def test_other_kinds_of_shapes_of_labelme(exchange: Any, tmp_path: Path) -> None:
    shapes = [
        {"label": "a", "points": [[3, 4], [30.5, 20.2]], "shape_type": "rectangle"},
        {"label": "b", "points": [[40, 30], [52.5, 30]], "shape_type": "circle", "group_id": 3},
        {"label": "b", "points": [[60, 40], [70, 40], [65, 55.5]], "group_id": 3},
        {"label": "c", "points": [[1, 2]], "shape_type": "point"},
    ]
    document = {"version": "5.5.0", "shapes": shapes, "imagePath": "..\\a.jpg", "imageData": None}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**document, "imageHeight": H, "imageWidth": W}))
    with pytest.warns(UserWarning, match="enclose nothing"):
        wanted = formats.read(path)
    back = read(exchange, path, name="a.jpg")
    same_pixels(back, wanted.dense())
    assert back.labels == wanted.labels and back.meta[2]["shape_type"] == "point"


def test_a_zip_of_the_page_goes_back_in(exported: Path, exchange: Any) -> None:
    back = read(exchange, exported.parent / "all.zip")
    same_pixels(back, dense())
    assert back.labels == masks().labels


def test_archives_of_other_programs(exchange: Any, tmp_path: Path) -> None:
    formats.write(tmp_path / "photo 1.json", masks())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "photo 1.json", "deep/er/photo 1.json")
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    same_pixels(read(exchange, tmp_path / "a.zip"), dense())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"image": {"height": 1, "width": 2}, "annotations": []}', "is of an image of 2 × 1"),
        ('{"images": 3, "annotations": []}', "no list of images"),
        ('{"image": {}, "annotations": [{"segmentation": {"counts": "~"}}]}', "damaged run"),
        ("0 0.5 0.5 7", "no masks in a format"),
        ("0 0.1 0.1 0.5 0.1 0.5 70", "in line 1, got 70"),
        ("hello", "no masks in a format"),
        ("{", "cannot be read"),
    ],
)
def test_damage_is_told(content: str, message: str, exchange: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    answer = exchange({"files": [str(path)], "picture": {"name": "a.jpg", "w": W, "h": H}})
    assert message in answer.get("error", "")

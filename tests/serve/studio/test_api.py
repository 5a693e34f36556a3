"""The studio's routes: a folder of images, and what is made of them, by ids alone."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.serve.conftest import URL, Caller, flat_model, message, png

import anymask
from anymask import Masks, formats
from anymask.formats import coco, yolo_folder
from anymask.formats.conversion import DataWarning
from anymask.image.geo import Geo
from anymask.masks import rle
from anymask.serve.app import create_app
from anymask.serve.config import ServeConfig
from anymask.serve.studio.api import add_studio
from anymask.serve.studio.project import FOLDER

TOKEN = "0123456789abcdef"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "below/a.png")):
        (folder / name).write_bytes(png(i))
    return folder


@pytest.fixture
def api(photos: Path) -> Iterator[Caller]:
    app = create_app(ServeConfig(), flat_model())
    add_studio(app, photos)
    with Caller(app, base_url=URL) as client:
        yield client


def pictures(api: Any) -> dict[str, str]:
    return {one["name"]: one["id"] for one in api.get("/v1/studio").json()["pictures"]}


def thing(name: str = "t1", label: str | None = "cup", at: int = 10) -> dict[str, Any]:
    mask = np.zeros((48, 64), bool)
    mask[at : at + 10, 20:44] = True
    return {
        "thing": name,
        "rle": {"size": [48, 64], "counts": rle.to_string(rle.encode(mask))},
        "score": 0.9,
        "stability": None,
        "label": label,
        "points": [[30, 15]],
        "labels": [1],
        "prompt_box": [20, 10, 44, 20],
        "meta": {},
    }


def save(api: Any, picture: str, *things: dict[str, Any], revision: int = 0) -> Any:
    document = {"revision": revision, "things": list(things)}
    return api.put(f"/v1/studio/pictures/{picture}/things", json=document)


def test_the_folder_is_described(api: Any) -> None:
    found = api.get("/v1/studio").json()
    assert found["name"] == "photos" and found["model"] == "flat"
    assert [(one["name"], one["w"], one["h"], one["masks"]) for one in found["pictures"]] == [
        ("a.png", 64, 48, 0),
        ("b.png", 64, 48, 0),
        ("below/a.png", 64, 48, 0),
    ]
    assert "person" in found["words"]


def test_images_are_shown_as_images_and_nothing_else(api: Any, photos: Path) -> None:
    picture = pictures(api)["a.png"]
    for route, media in (("image", "image/png"), ("thumbnail", "image/jpeg")):
        answer = api.get(f"/v1/studio/pictures/{picture}/{route}")
        assert answer.headers["content-type"] == media
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert PIL.Image.open(io.BytesIO(answer.content)).size == (64, 48)


def test_an_image_is_embedded_without_being_sent(api: Any) -> None:
    picture = pictures(api)["a.png"]
    first = api.post(f"/v1/studio/pictures/{picture}/embed").json()
    assert not first["cached"]
    assert api.post(f"/v1/studio/pictures/{picture}/embed").json() == {**first, "cached": True}
    asked = {"session": first["session"], "points": [[30, 20]]}
    assert api.post("/v1/predict", json=asked).json()["masks"][0]["area"] > 100


def test_masks_are_saved_and_come_back(api: Any, photos: Path) -> None:
    picture = pictures(api)["below/a.png"]
    assert api.get(f"/v1/studio/pictures/{picture}/things").json() == {"revision": 0, "things": []}
    sent = [thing("t1"), thing("t2", None, 30)]
    assert save(api, picture, *sent).json() == {"revision": 1}
    found = api.get(f"/v1/studio/pictures/{picture}/things").json()
    assert found["revision"] == 1
    for one, other in zip(found["things"], sent, strict=True):
        assert {**one, "score": 0} == {**other, "score": 0}
        assert one["score"] == pytest.approx(other["score"])
    masks = formats.read(photos / FOLDER / "below/a.png.json")
    assert masks.labels == ("cup", None) and masks.model == "flat"
    listed = {one["name"]: one["masks"] for one in api.get("/v1/studio").json()["pictures"]}
    assert listed == {"a.png": 0, "b.png": 0, "below/a.png": 2}


def test_another_windows_work_is_not_overwritten(api: Any) -> None:
    picture = pictures(api)["a.png"]
    save(api, picture, thing("t1"))
    answer = save(api, picture, thing("t2"))
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "conflict"
    assert answer.json()["current"]["revision"] == 1
    assert [one["thing"] for one in answer.json()["current"]["things"]] == ["t1"]
    assert save(api, picture, thing("t2"), revision=1).json() == {"revision": 2}


def test_a_page_goes_on_when_the_server_was_started_again(api: Any, photos: Path) -> None:
    picture = pictures(api)["a.png"]
    save(api, picture, thing("t1"))
    app = create_app(ServeConfig(), flat_model())
    add_studio(app, photos)
    with Caller(app, base_url=URL) as other:
        assert save(other, picture, thing("t2"), revision=1).json() == {"revision": 2}
        assert other.post(f"/v1/studio/pictures/{picture}/embed").status_code == 200


def test_classes_are_saved(api: Any) -> None:
    classes = [{"name": "cup", "color": "#4da3ff"}]
    asked = {"revision": 0, "classes": classes}
    assert api.put("/v1/studio/classes", json=asked).json() == {"revision": 1}
    found = api.get("/v1/studio").json()
    assert (found["classes"], found["classes_revision"]) == (classes, 1)
    answer = api.put("/v1/studio/classes", json=asked)
    assert (answer.status_code, answer.json()["current"]["classes"]) == (409, classes)


def test_a_disk_that_is_full_is_told(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = pictures(api)["a.png"]

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left on device" in message(save(api, picture, thing()), 507)
    assert save(api, picture, thing()).json() == {"revision": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"rle": {"size": [48, 63], "counts": [48 * 63]}},
        {"rle": {"size": [48, 64], "counts": "nonsense \x00"}},
        {"rle": {"size": [48, 64], "counts": [5]}},
        {"points": [[1e9, 1]]},
        {"points": [[1, 1], [2, 2]], "labels": [1]},
        {"prompt_box": [9, 9, 3, 3]},
        {"thing": ""},
        {"thing": "x" * 65},
        {"unknown": 1},
        {"label": "x" * 2000},
        {"score": "high"},
    ],
)
def test_things_that_are_not_as_they_should_be_are_refused(
    api: Any, photos: Path, change: dict[str, Any]
) -> None:
    picture = pictures(api)["a.png"]
    message(save(api, picture, {**thing(), **change}), 422)
    assert not (photos / FOLDER / "a.png.json").exists()


@pytest.mark.parametrize(
    "name", ["a.png", "..%2f..%2fetc%2fpasswd", "%2e%2e", "0" * 32, "photos", "a" * 5000]
)
def test_there_is_no_way_to_a_file_but_by_its_id(api: Any, name: str) -> None:
    api.get("/v1/studio")
    for route in ("image", "thumbnail", "things"):
        assert api.get(f"/v1/studio/pictures/{name}/{route}").status_code == 404
    assert api.post(f"/v1/studio/pictures/{name}/embed").status_code == 404
    assert save(api, name).status_code == 404


def test_an_image_is_added(api: Any, photos: Path) -> None:
    answer = api.post("/v1/studio/pictures?name=../../new.html", content=png(9)).json()
    assert (answer["name"], answer["w"], answer["h"], answer["error"]) == ("new.png", 64, 48, None)
    assert (photos / "new.png").read_bytes() == png(9)
    assert api.get(f"/v1/studio/pictures/{answer['id']}/image").content == png(9)
    for data in (b"<html><script>alert(1)</script>", b"", png(9)[:-30]):
        message(api.post("/v1/studio/pictures?name=x.png", content=data), 422)
    assert len(pictures(api)) == 4


def test_an_image_that_was_deleted_meanwhile_is_told(api: Any, photos: Path) -> None:
    picture = pictures(api)["a.png"]
    (photos / "a.png").unlink()
    root = f"/v1/studio/pictures/{picture}"
    for answer in (
        api.get(f"{root}/thumbnail"),
        api.get(f"{root}/image"),
        api.post(f"{root}/embed"),
    ):
        assert "load the page again" in message(answer, 404)
        assert answer.json()["error"]["code"] == "no_picture"


@pytest.mark.parametrize("depth", [150, 450, 900])
def test_what_is_nested_too_deep_is_told(api: Any, photos: Path, depth: int) -> None:
    picture = pictures(api)["a.png"]
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    answer = save(api, picture, {**thing(), "meta": {"deep": deep}})
    assert answer.status_code in (400, 422), answer.text
    file = io.BytesIO()
    formats.write(file, Masks.from_dense(np.ones((48, 64), bool), meta=[{"deep": 7}]), "sa1b")
    data = file.getvalue().replace(b'"deep": 7', b'"deep": ' + b"[" * depth + b"]" * depth)
    message(api.post(f"/v1/studio/pictures/{picture}/import", content=data), 422)
    (photos / FOLDER).mkdir(exist_ok=True)
    (photos / FOLDER / "a.png.json").write_bytes(data)
    message(api.get(f"/v1/studio/pictures/{picture}/things"), 422)
    assert api.get("/v1/studio").status_code == 200


def test_uploads_to_the_studio_may_be_as_large_as_images(photos: Path) -> None:
    app = create_app(ServeConfig(request_mb=0.04), flat_model())
    add_studio(app, photos)
    with Caller(app, base_url=URL) as client:
        picture = pictures(client)["a.png"]
        route = f"/v1/studio/pictures/{picture}"
        things = [{**thing(), "meta": {"note": "x" * 20_000}}]  # more than a quarter
        asked = {"revision": 0, "things": things}
        assert client.put(f"{route}/things", json=asked).status_code == 200
        stored = (photos / FOLDER / "a.png.json").read_bytes()
        assert client.post(f"{route}/import", content=stored).status_code == 200
        for path in (f"{route}/import", "/v1/studio/pictures"):
            said = message(client.post(path, content=b"x" * 40_001), 413)
            assert "0.04 MB" in said and "--" not in said
        for path in (f"{route}/depth", f"{route}/paint", "/v1/studio/elsewhere"):
            message(client.post(path, content=b"x" * 20_000), 422)  # masks, too, but no JSON
            message(client.post(path, content=b"x" * 40_001), 413)
        message(client.put("/v1/studio/classes", content=b"x" * 20_000), 413)


def test_what_the_page_does_not_show_is_not_lost(api: Any, photos: Path) -> None:
    dense = np.zeros((2, 48, 64), bool)
    dense[0, 10:20, 10:20] = dense[1, 30:40, 30:60] = True
    masks = Masks.from_dense(
        dense,
        ids=[7, 9],
        crop_boxes=np.array([[0, 0, 32, 32], [16, 16, 64, 48]], np.float32),
        geo=Geo((0.5, 0, 100, 0, -0.5, 200), epsg=32632),
        image_meta={"license": 3},
    )
    path = photos / FOLDER / "a.png.json"
    path.parent.mkdir()
    formats.write(path, masks, "sa1b")
    picture = pictures(api)["a.png"]
    route = f"/v1/studio/pictures/{picture}"
    found = api.get(f"{route}/things").json()
    first, second = found["things"]
    first["label"] = "cup"
    bare = {**second, "meta": {}}  # of a client that knows nothing of ids
    sent = (thing("new"), bare, first)
    assert save(api, picture, *sent, revision=found["revision"]).status_code == 200
    kept = formats.read(path)
    assert kept.ids == (None, 9, 7) and kept.labels[2] == "cup"
    assert kept.crop_boxes is not None
    assert kept.crop_boxes.tolist() == [[0, 0, 64, 48], [16, 16, 64, 48], [0, 0, 32, 32]]
    assert kept.geo == masks.geo and kept.image_meta["license"] == 3
    assert "studio_id" not in path.read_text()
    # Deleted, and brought back a revision later.
    revision = save(api, picture, thing("new"), revision=found["revision"] + 1).json()["revision"]
    save(api, picture, first, revision=revision)
    assert formats.read(path).ids == (7,)


def test_ids_of_a_file_that_is_read_are_kept(api: Any, photos: Path) -> None:
    picture = pictures(api)["a.png"]
    file = io.BytesIO()
    formats.write(file, Masks.from_dense(np.ones((48, 64), bool), ids=[12]), "sa1b")
    answer = api.post(f"/v1/studio/pictures/{picture}/import", content=file.getvalue())
    assert save(api, picture, *answer.json()["things"]).status_code == 200
    assert formats.read(photos / FOLDER / "a.png.json").ids == (12,)
    wrong = {**thing(), "meta": {"studio_id": "x"}}
    message(save(api, picture, wrong, revision=1), 422)


def test_the_example_is_added(api: Any) -> None:
    answer = api.post("/v1/studio/example").json()
    assert answer["name"] == "example.jpg" and answer["w"] > 300


def test_a_file_of_masks_is_read_for_an_image(api: Any) -> None:
    picture = pictures(api)["a.png"]
    dense = np.zeros((2, 48, 64), bool)
    dense[0, 10:20, 10:20] = dense[1, 30:40, 30:60] = True
    masks = Masks.from_dense(dense, labels=["cup", "dog"], source="a.png")
    for format in ("sa1b", "coco", "labelme", "voc", "png", "yolo"):
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # YOLO's file has numbers for names
            formats.write(file, masks, format)
        route = f"/v1/studio/pictures/{picture}/import"
        answer = api.post(route, content=file.getvalue())
        assert answer.status_code == 200, (format, answer.text)
        found = answer.json()["things"]
        areas = [rle.area(rle.from_string(one["rle"]["counts"])) for one in found]
        assert sorted(areas) == [100, 300], format
        assert len({one["thing"] for one in found}) == 2
    small = io.BytesIO()
    formats.write(small, Masks.from_dense(dense[:, :40]), "sa1b")
    said = message(api.post(route, content=small.getvalue()), 422)
    assert "expected masks of 64 x 48 like the image, got 64 x 40" in said
    message(api.post(route, content=b"nonsense"), 422)


def test_masks_are_exported_in_all_formats_at_once(api: Any, tmp_path: Path) -> None:
    ids = pictures(api)
    save(api, ids["a.png"], thing("t1", "cup"), thing("t2", "dog", 30))
    save(api, ids["below/a.png"], thing("t1", "dog"))
    formats_ = ["coco", "yolo", "labelme", "sa1b", "voc", "png", "cutout"]
    answer = api.post("/v1/studio/export", json={"formats": formats_})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path / "out")
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == set(formats_)
    read = {one.source: one for one in coco.read_all(tmp_path / "out/coco/annotations.json")}
    assert sorted(read) == ["a.png", "below/a.png"]
    assert read["a.png"].labels == ("cup", "dog")
    assert read["a.png"].areas.tolist() == [240, 240]
    assert "studio" not in (tmp_path / "out/coco/annotations.json").read_text()
    # It is unpacked anywhere: nothing says where it was made, or where the images are here.
    for path in (tmp_path / "out").rglob("*"):
        if path.suffix in (".json", ".yaml", ".xml", ".txt"):
            text = path.read_text("utf-8")
            assert not any(place in text for place in ("../", str(tmp_path), "/tmp")), path
    assert json.loads((tmp_path / "out/labelme/below/a.json").read_text())["imagePath"] == "a.png"
    assert len(list(yolo_folder.read_all(tmp_path / "out/yolo"))) == 2
    assert "cutout/a-1-cup.png" in names and "cutout/below/a-1-dog.png" in names
    one = api.post("/v1/studio/export", json={"formats": ["sa1b"], "pictures": [ids["a.png"]]})
    with zipfile.ZipFile(io.BytesIO(one.content)) as archive:
        assert "sa1b/a.json" in archive.namelist()
        assert not any("below" in name for name in archive.namelist())


def test_main_subjects_are_cut_out_with_a_soft_edge(api: Any, photos: Path) -> None:
    picture = pictures(api)["a.png"]
    soft = thing("t1", "cup") | {"meta": {"soft_edge": True}}
    save(api, picture, soft, thing("t2", "dog"))
    masks = formats.read(photos / "anymask-studio" / "a.png.json")
    answer = api.post("/v1/studio/export", json={"formats": ["cutout"]})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        made = [archive.read(f"cutout/a-{name}.png") for name in ("1-cup", "2-dog")]
    for content, mask, is_soft in zip(made, masks, (True, False), strict=True):
        wanted = np.asarray(mask.cutout(photos / "a.png", soft=is_soft))
        assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(content))), wanted)
    assert made[0] != made[1]


def test_images_that_differ_in_suffix_alone_are_exported_each(api: Any, photos: Path) -> None:
    (photos / "a.webp").write_bytes(png(5))
    (photos / "a-1.png").write_bytes(png(6))
    ids = pictures(api)
    save(api, ids["a.png"], thing("t1", "2"))
    save(api, ids["a.webp"], thing("t1", "cup" * 300))
    save(api, ids["a-1.png"], thing("t1", None), thing("t2", None, 30))
    answer = api.post("/v1/studio/export", json={"formats": ["cutout", "sa1b", "coco"]})
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        read = json.loads(archive.read("coco/annotations.json"))
    assert len([name for name in names if name.startswith("cutout/")]) == 4
    assert len([name for name in names if name.startswith("sa1b/")]) == 3
    assert len(read["images"]) == 3 and len(read["annotations"]) == 4
    assert max(map(len, names)) < 70


def test_an_export_to_a_full_disk_is_told(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = pictures(api)["a.png"]
    save(api, picture, thing())

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    answer = api.post("/v1/studio/export", json={"formats": ["cutout"]})
    assert "No space left on device" in message(answer, 507)


def test_export_of_nothing_is_told(api: Any) -> None:
    ids = pictures(api)
    assert "expected masks" in message(
        api.post("/v1/studio/export", json={"formats": ["coco"], "pictures": [ids["b.png"]]}), 422
    )
    message(api.post("/v1/studio/export", json={"formats": ["exe"]}), 422)
    message(api.post("/v1/studio/export", json={"formats": []}), 422)


def test_the_page_runs_nothing_but_its_own_script(api: Any) -> None:
    page = api.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self' 'wasm-unsafe-eval'; " in policy  # WebAssembly, and no more than that
    assert "unsafe" not in policy.replace("'wasm-unsafe-eval'", "")
    assert "<script>" not in page.text and "style=" not in page.text
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert page.headers["cross-origin-embedder-policy"] == "require-corp"
    for name, media in (
        ("studio.js", "text/javascript"),
        ("studio.css", "text/css"),
        ("worker.js", "text/javascript"),
        ("ort.mjs", "text/javascript"),
        ("ort.wasm.gz", "application/gzip"),
    ):
        answer = api.get(f"/page/{name}")
        assert answer.headers["content-type"].startswith(media)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == policy  # a worker has its own
        assert "content-encoding" not in answer.headers
        again = api.get(f"/page/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert api.get("/page/../app.py").status_code == 404
    assert api.get("/page/example.jpg").status_code == 404


def test_the_page_is_given_the_decoder(api: Any, photos: Path) -> None:
    app = create_app(ServeConfig(token=TOKEN), anymask.load("bundled", device="cpu"))
    add_studio(app, photos)
    with Caller(app, base_url=URL) as client:
        message(client.get("/v1/studio/model/model.json"), 401)
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        about = client.get("/v1/studio/model/model.json").json()
        assert list(about["graphs"]) == ["decoder"]
        for name, size in about["sizes"].items():
            assert len(client.get(f"/v1/studio/model/{name}").content) == size
        assert "got 'secrets'" in message(client.get("/v1/studio/model/secrets"), 404)
    for _ in range(2):  # the second time it is known
        assert "another package" in message(api.get("/v1/studio/model/model.json"), 422)


def test_the_page_is_open_and_all_it_asks_for_is_not(photos: Path) -> None:
    app = create_app(ServeConfig(token=TOKEN), flat_model())
    add_studio(app, photos)
    with Caller(app, base_url=URL) as api:
        assert api.get("/").status_code == 200
        message(api.get("/v1/studio"), 401)
        message(api.get(f"/v1/studio?token={TOKEN}"), 400)
        message(api.post("/v1/studio/example"), 401)
        header = {"Authorization": f"Bearer {TOKEN}"}
        found = api.get("/v1/studio", headers=header).json()["pictures"]
        route = f"/v1/studio/pictures/{found[0]['id']}/image"
        message(api.get(route), 401)
        assert api.get(route, headers=header).status_code == 200


def test_a_page_of_another_origin_may_not_call(api: Any) -> None:
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    message(api.get("/v1/studio", headers=foreign), 403)
    message(api.post("/v1/studio/example", headers=foreign), 403)


def test_openapi_lists_the_routes(api: Any) -> None:
    document = api.get("/v1/openapi.json").json()
    assert "/v1/studio/pictures/{picture}/things" in document["paths"]
    json.dumps(document)

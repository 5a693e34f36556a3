"""The studio as files: where they may go, what replaces what, and that nothing is half there."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from anymask import InputError, Masks, OutputError, formats
from anymask.serve.studio import static
from anymask.serve.studio.project import Class, Project
from anymask.serve.studio.static import write_static

ABOUT = {"variant": {"name": "tiny"}, "graphs": {"encoder": {}, "decoder": {}, "saliency": {}}}
MODEL = {"model.json": json.dumps(ABOUT).encode(), "decoder.onnx.gz": b"graph"}


def folder_of_images(path: Path) -> Path:
    path.mkdir()
    PIL.Image.new("RGB", (40, 30), (200, 10, 10)).save(path / "a.jpg")
    PIL.Image.new("CMYK", (40, 30)).save(path / "b.tif")
    (path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    mask = np.zeros((1, 30, 40), bool)
    mask[0, 5:9, 7:20] = True
    Project(path).save_masks("a.jpg", Masks.from_dense(mask, labels=["cup"], source="a.jpg"), 0)
    Project(path).save_classes([Class("cup", "#4da3ff")], 0)
    return path


def site(folder: Path) -> dict[str, dict[str, str]]:
    found = re.match(r"self\.SITE = (\{.*\});\n", (folder / "sw.js").read_text("utf-8"))
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


def test_every_file_is_listed_with_its_digest(tmp_path: Path) -> None:
    write_static(tmp_path / "new" / "out", MODEL)
    out = tmp_path / "new" / "out"
    listed = {name: digest for group in site(out).values() for name, digest in group.items()}
    there = {p.relative_to(out).as_posix(): p for p in out.rglob("*") if p.is_file()}
    assert set(listed) == set(there) - {"sw.js"}
    for name, digest in listed.items():
        assert hashlib.sha256(there[name].read_bytes()).hexdigest() == digest
    assert {"page/static.js", "page/worker.js", "page/ort.wasm.gz", "page/licenses.txt"} <= set(
        listed
    )
    assert "index.html" in site(out)["shell"] and "model/decoder.onnx.gz" in site(out)["parts"]
    assert [path.name for path in tmp_path.joinpath("new").iterdir()] == ["out"]  # no draft


def test_what_the_model_lacks_is_said(tmp_path: Path) -> None:
    write_static(tmp_path / "out", MODEL)
    given = json.loads((tmp_path / "out" / "images.json").read_text("utf-8"))
    assert given == {
        "name": "",
        "pictures": [],
        "classes": [],
        "model": "tiny",
        "words": [],
        "lacks": ["words"],
    }


def test_images_with_their_masks(tmp_path: Path) -> None:
    heard: list[str] = []
    photos = folder_of_images(tmp_path / "photos")
    written = write_static(tmp_path / "out", MODEL, images=photos, heard=heard.append)
    assert heard == ["a.jpg", "b.tif", "broken.png"]
    assert written.images == 2 and len(written.left_out) == 1
    assert written.left_out[0].startswith("broken.png: ")
    given = json.loads((tmp_path / "out" / "images.json").read_text("utf-8"))
    assert given["name"] == "photos" and given["classes"] == [{"name": "cup", "color": "#4da3ff"}]
    first, second = given["pictures"]
    assert (first["name"], first["w"], first["h"], first["masks"]) == ("a.jpg", 40, 30, 1)
    assert (tmp_path / "out" / first["file"]).read_bytes() == (photos / "a.jpg").read_bytes()
    assert formats.read(tmp_path / "out" / first["things"]).labels == ("cup",)
    assert second["things"] is None and second["file"].endswith((".png", ".jpg"))
    with PIL.Image.open(tmp_path / "out" / second["file"]) as image:
        assert image.mode == "RGB" and image.size == (40, 30)
    names = [name for one in given["pictures"] for name in (one["file"], one["thumbnail"])]
    assert written.image_bytes == sum((tmp_path / "out" / name).stat().st_size for name in names)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_static(out, MODEL)  # empty: that is fine
    (out / "CNAME").write_text("example.org")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"holds something; write into it .*--overwrite"):
        write_static(out, MODEL)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_overwriting_replaces_the_page_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_static(out, MODEL | {"old.gz": b"old"}, images=folder_of_images(tmp_path / "photos"))
    (out / "CNAME").write_text("example.org")
    (out / "images" / "mine.jpg").write_bytes(b"mine")
    write_static(out, MODEL, overwrite=True)
    assert not (out / "model" / "old.gz").exists()
    assert [path.name for path in (out / "images").iterdir()] == ["mine.jpg"]
    assert (out / "CNAME").is_file() and site(out)["images"] == {}


def test_a_list_of_somebody_else_deletes_nothing_outside(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "precious").write_text("mine")
    (out / "sw.js").write_text('self.SITE = {"shell": {"../precious": "0"}};\n')
    write_static(out, MODEL, overwrite=True)
    assert (tmp_path / "precious").is_file()


def test_the_page_does_not_go_among_the_images(tmp_path: Path) -> None:
    photos = folder_of_images(tmp_path / "photos")
    for out in (photos, photos / "site"):
        with pytest.raises(InputError, match="outside of that of the images"):
            write_static(out, MODEL, images=photos, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="got the file"):
        write_static(tmp_path / "file", MODEL)


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(static._Draft, "put", full)
    with pytest.raises(OutputError, match="No space left"):
        write_static(tmp_path / "out", MODEL)
    assert list(tmp_path.iterdir()) == []

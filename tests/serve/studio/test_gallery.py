"""The images of the studio's folder: found, shown as they are read, and added safely."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from anymask import Image, InputError
from anymask.serve.studio.gallery import Gallery
from anymask.serve.studio.project import FOLDER


def save(path: Path, size: tuple[int, int] = (40, 30), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    w, h = size
    pixels = np.zeros((h, w, 3), np.uint8)
    pixels[: h // 2] = (200, 30, 30)
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def turned() -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[274] = 6
    return exif


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(tmp_path / "photos", max_pixels=100_000)


def test_images_are_listed_in_natural_order_with_their_upright_sizes(gallery: Gallery) -> None:
    save(gallery.folder / "10.png")
    save(gallery.folder / "2.jpg", exif=turned())
    save(gallery.folder / "below" / "1.png")
    save(gallery.folder / ".hidden.png")
    save(gallery.folder / FOLDER / "x.png")
    (gallery.folder / "notes.txt").write_text("no image")
    found = gallery.look()
    assert [one.name for one in found] == ["2.jpg", "10.png", "below/1.png"]
    assert found[0].size_hw == (40, 30)
    assert gallery.get(found[0].id) == found[0]
    assert gallery.get("../../etc/passwd") is None


def test_an_empty_or_missing_folder_has_no_images(gallery: Gallery) -> None:
    assert gallery.look() == []
    gallery.folder.mkdir()
    assert gallery.look() == []


def test_images_that_cannot_be_used_say_why(gallery: Gallery) -> None:
    gallery.folder.mkdir()
    (gallery.folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    save(gallery.folder / "large.png", (400, 300))
    broken, large = gallery.look()
    assert broken.error is not None and "expected" in broken.error
    assert large.error is not None and "at most 100000 pixels" in large.error


def test_links_out_of_the_folder_are_left_out(gallery: Gallery, tmp_path: Path) -> None:
    secret = save(tmp_path / "secret" / "s.png")
    gallery.folder.mkdir()
    os.symlink(secret, gallery.folder / "link.png")
    os.symlink(secret.parent, gallery.folder / "links")
    assert gallery.look() == []


def test_a_changed_file_has_another_id(gallery: Gallery) -> None:
    path = save(gallery.folder / "a.png")
    (before,) = gallery.look()
    save(path, (50, 30))
    (after,) = gallery.look()
    assert before.id != after.id and after.size_hw == (30, 50)
    assert gallery.get(before.id) is None


@pytest.mark.parametrize(
    ("name", "options", "media"),
    [
        ("a.jpg", {}, "image/jpeg"),
        ("turned.jpg", {"exif": turned()}, "image/jpeg"),
        ("a.png", {}, "image/png"),
        ("a.webp", {"lossless": True}, "image/webp"),
    ],
)
def test_what_browsers_know_goes_out_as_it_is(
    gallery: Gallery, name: str, options: dict[str, object], media: str
) -> None:
    path = save(gallery.folder / name, **options)
    assert gallery.shown(gallery.look()[0]) == (path.read_bytes(), media)


@pytest.mark.parametrize(("name", "options"), [("a.tif", {}), ("turned.png", {"exif": turned()})])
def test_everything_else_goes_out_as_the_library_reads_it(
    gallery: Gallery, name: str, options: dict[str, object]
) -> None:
    path = save(gallery.folder / name, **options)
    data, media = gallery.shown(gallery.look()[0])
    assert media == "image/png"
    assert (Image.open(data).pixels == Image.open(path).pixels).all()


def test_sixteen_bits_go_out_as_the_library_reads_them(gallery: Gallery) -> None:
    gallery.folder.mkdir()
    path = gallery.folder / "deep.png"
    PIL.Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50).save(path)
    data, _ = gallery.shown(gallery.look()[0])
    assert (Image.open(data).pixels == Image.open(path).pixels).all()


def test_thumbnails_are_small_and_upright(gallery: Gallery) -> None:
    save(gallery.folder / "a.jpg", (300, 200), exif=turned())
    save(gallery.folder / "b.tif", (20, 10))
    turned_one, small = gallery.look()
    first = PIL.Image.open(io.BytesIO(gallery.thumbnail(turned_one)))
    assert first.format == "JPEG" and first.size == (91, 136)
    assert PIL.Image.open(io.BytesIO(gallery.thumbnail(small))).size == (20, 10)
    assert gallery.thumbnail(small) is gallery.thumbnail(small)


def test_an_image_is_added_under_a_free_name(gallery: Gallery, tmp_path: Path) -> None:
    data = save(tmp_path / "x.png").read_bytes()
    names = ["../../evil.html", "a.jpg", "a.png", "A.exe", "..", "", "日本.png", "C:\\x\\y.bmp"]
    added = [gallery.add(data, name).name for name in names]
    assert added == [
        *("evil.png", "a.png", "a-2.png", "A-3.png", "image.png", "image-2.png", "日本.png"),
        "y.png",
    ]
    assert {one.name for one in gallery.look()} == set(added)
    assert os.listdir(tmp_path / "photos") and not (tmp_path / "evil.html").exists()
    assert gallery.get(gallery.look()[0].id) is not None


@pytest.mark.parametrize(
    ("format", "suffix"),
    [("BMP", ".bmp"), ("GIF", ".gif"), ("TIFF", ".tif"), ("PCX", ".png"), ("JPEG2000", ".jp2")],
)
def test_what_was_added_is_found_again(gallery: Gallery, format: str, suffix: str) -> None:
    file = io.BytesIO()
    PIL.Image.new("RGB", (40, 30), (200, 30, 30)).save(file, format)
    added = gallery.add(file.getvalue(), "x.html")
    assert added.name == f"x{suffix}"
    assert Gallery(gallery.folder, 10_000).look() == [added]
    assert Image.open(added.path).pixels[0, 0].tolist() == [200, 30, 30]


def test_what_is_no_image_is_not_added(gallery: Gallery, tmp_path: Path) -> None:
    whole = save(tmp_path / "x.png").read_bytes()
    wide = save(tmp_path / "w.png", (400, 300)).read_bytes()
    for data in (b"<html>", b"", whole[:-40], zlib.compress(whole), wide):
        with pytest.raises(InputError):
            gallery.add(data, "a.png")
    assert not gallery.folder.exists()

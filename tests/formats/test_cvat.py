from __future__ import annotations

import io
import tracemalloc
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from tests.formats.strategies import random_masks

import anymask
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.formats import cvat
from anymask.formats.conversion import convert, read_place
from anymask.masks.masks import Masks

META = """\
  <meta>
    <task>
      <id>7</id>
      <name>cups &amp; plates</name>
      <size>2</size>
      <mode>annotation</mode>
      <overlap>0</overlap>
      <bugtracker></bugtracker>
      <created>2026-03-01 09:12:33.123456+00:00</created>
      <updated>2026-03-01 10:00:00.000000+00:00</updated>
      <subset>default</subset>
      <start_frame>0</start_frame>
      <stop_frame>1</stop_frame>
      <frame_filter></frame_filter>
      <segments>
        <segment>
          <id>5</id>
          <start>0</start>
          <stop>1</stop>
          <url>http://localhost:8080/api/jobs/5</url>
        </segment>
      </segments>
      <owner>
        <username>ann</username>
        <email>ann@example.org</email>
      </owner>
      <assignee></assignee>
      <labels>
        <label>
          <name>cup</name>
          <color>#33ddff</color>
          <type>any</type>
          <attributes>
            <attribute>
              <name>handle</name>
              <mutable>False</mutable>
              <input_type>select</input_type>
              <default_value>left</default_value>
              <values>left
right</values>
            </attribute>
          </attributes>
        </label>
        <label>
          <name>plate</name>
          <color>#fa3253</color>
          <type>any</type>
          <attributes>
          </attributes>
        </label>
      </labels>
    </task>
    <dumped>2026-03-01 10:01:02.000000+00:00</dumped>
  </meta>
"""
IMAGES = """\
  <image id="0" name="deep/a.jpg" subset="default" task_id="7" width="12" height="8">
    <mask label="cup" source="semi-auto" occluded="1" rle="1, 2, 2, 1" left="3" top="2" \
width="3" height="2" z_order="4">
      <attribute name="handle">right</attribute>
    </mask>
    <polygon label="plate" source="manual" occluded="0" points="0.00,0.00;2.00,0.00;2.00,2.00;\
0.00,2.00" z_order="0" group_id="3">
    </polygon>
    <polygon label="plate" source="manual" occluded="0" points="4.00,4.00;6.00,4.00;6.00,6.00;\
4.00,6.00" z_order="0" group_id="3">
    </polygon>
    <polygon label="cup" source="manual" occluded="0" points="8.00,4.00;9.00,4.00;9.00,6.00;\
8.00,6.00" z_order="0" group_id="3">
    </polygon>
    <box label="cup" source="manual" occluded="0" xtl="8.00" ytl="1.00" xbr="11.00" ybr="3.00" \
z_order="0">
    </box>
    <box label="cup" source="manual" occluded="0" xtl="4.00" ytl="3.00" xbr="8.00" ybr="5.00" \
rotation="90.00" z_order="0">
    </box>
    <ellipse label="plate" source="manual" occluded="0" cx="6.00" cy="4.00" rx="4.00" ry="2.00" \
z_order="0">
    </ellipse>
    <polyline label="cup" source="manual" occluded="0" points="1.00,1.00;5.00,5.00" z_order="0">
    </polyline>
    <points label="cup" source="manual" occluded="0" points="1.00,1.00" z_order="0">
    </points>
    <skeleton label="cup" source="manual" z_order="0">
      <points label="rim" source="manual" occluded="0" outside="0" points="1.00,2.00">
      </points>
    </skeleton>
    <tag label="cup" source="manual">
      <attribute name="handle">left</attribute>
    </tag>
  </image>
  <image id="1" name="b.jpg" subset="default" task_id="7" width="6" height="4">
  </image>
"""
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
FILE = f"{HEAD}{META}{IMAGES}</annotations>\n"


def of(*shapes: str, width: Any = 12, height: Any = 8) -> bytes:
    image = (
        f'<image id="0" name="a.jpg" width="{width}" height="{height}">{"".join(shapes)}</image>'
    )
    return f"{HEAD}{image}</annotations>".encode()


def shape(tag: str, **attributes: object) -> str:
    known = {"label": "x", **attributes}
    written = " ".join(f'{name}="{value}"' for name, value in known.items())
    return f"<{tag} {written}/>"


def quietly(source: Any, **options: Any) -> list[Masks]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return list(cvat.read_all(source, **options))


def drawn(*shapes: str) -> Any:
    (masks,) = quietly(of(*shapes))
    return masks.dense()


# ----------------------------------------------------------------------------- reading


def test_a_file_as_cvat_writes_it() -> None:
    a, b = quietly(FILE.encode())
    assert (a.source, b.source, a.size_hw, b.size_hw) == ("deep/a.jpg", "b.jpg", (8, 12), (4, 6))
    assert a.labels == ("cup", "plate", "cup", "cup", "cup", "plate", "cup", "cup", "cup")
    assert a.areas.tolist()[:5] == [3, 8, 2, 6, 8] and a.areas.tolist()[6:] == [0, 0, 0]
    dense = a.dense()
    assert np.argwhere(dense[0]).tolist() == [[2, 4], [2, 5], [3, 5]]  # row by row, from (3, 2) on
    assert dense[1, :2, :2].all() and dense[1, 4:6, 4:6].all()
    assert dense[4, 2:6, 5:7].all()  # turned by 90 degrees about its middle
    assert a.meta[0] == {
        "attributes": {"handle": "right"}, "occluded": 1, "z_order": 4, "source": "semi-auto",
    }  # fmt: skip
    assert a.meta[1] == {"group_id": 3} and a.meta[2] == {"group_id": 3}
    assert a.meta[8]["shape"]["parts"][0]["points"] == "1.00,2.00"
    assert a.image_meta["id"] == 0 and a.image_meta["subset"] == "default"
    assert a.image_meta["tags"] == [{"label": "cup", "attributes": {"handle": "left"}}]
    assert a.image_meta["cvat"]["labels"][0]["color"] == "#33ddff"
    assert a.image_meta["cvat"] is b.image_meta["cvat"]


def test_what_is_read_in_another_way_is_told() -> None:
    with pytest.warns(DataWarning) as told:
        list(cvat.read_all(FILE.encode()))
    said = " | ".join(str(warning.message) for warning in told)
    assert "come as empty masks: 3 in" in said and "a polyline called 'cup' of 'deep/a.jpg'" in said
    assert "boxes come as masks that fill them: 2" in said


def test_it_comes_back_whole(tmp_path: Path) -> None:
    first = quietly(FILE.encode())
    cvat.write(tmp_path / "a.xml", first)
    again = quietly(tmp_path / "a.xml")
    for one, two in zip(first, again, strict=True):
        assert one.labels == two.labels and one.meta == two.meta
        assert one.dense().tolist() == two.dense().tolist()
        assert one.image_meta == two.image_meta
    text = (tmp_path / "a.xml").read_text(encoding="utf-8")
    assert '<box label="cup" source="manual" occluded="0" xtl="4.00"' in text
    assert "<name>cups &amp; plates</name>" in text and "<size>2</size>" in text


def test_masks_are_pixels_row_by_row_within_their_window() -> None:
    mask = shape("mask", rle="0, 1, 2, 1, 5", left=9, top=5, width=3, height=3)
    assert np.argwhere(drawn(mask)[0]).tolist() == [[5, 9], [6, 9]]
    short = shape("mask", rle="0,1,2,1", left=9, top=5, width=3, height=3)  # zeros may be left out
    assert (drawn(short) == drawn(mask)).all()
    assert not drawn(shape("mask", rle="", left=0, top=0, width=0, height=0)).any()


def test_what_reaches_beyond_the_image_is_cut() -> None:
    mask = shape("mask", rle="0, 9", left=-1, top=6, width=3, height=3)
    with pytest.warns(DataWarning, match="cut at its border: 2 in"):
        (masks,) = cvat.read_all(of(mask, shape("polygon", points="-5,-5;2,-5;2,2;-5,2")))
    assert masks.areas.tolist() == [4, 4]
    assert masks.boxes[0].tolist() == [0, 6, 1, 7]


def test_shapes_are_where_geometry_says() -> None:
    y, x = np.mgrid[:8, :12] + 0.5
    ellipse = drawn(shape("ellipse", cx=6, cy=4, rx=4, ry=2))[0]
    inside = ((x - 6) / 4) ** 2 + ((y - 4) / 2) ** 2
    assert ellipse[inside < 0.8].all() and not ellipse[inside > 1.2].any()
    turned = drawn(shape("ellipse", cx=6, cy=4, rx=4, ry=2, rotation=90))[0]
    inside = ((x - 6) / 2) ** 2 + ((y - 4) / 4) ** 2
    assert turned[inside < 0.8].all() and not turned[inside > 1.2].any()
    # Clockwise as seen: the right end of a long box goes down.
    box = drawn(shape("box", xtl=2, ytl=3, xbr=10, ybr=5, rotation=30))[0]
    assert box[5, 8] and box[2, 3] and not box[2, 8] and not box[5, 3]


def test_one_image_of_several() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        assert cvat.read(FILE.encode(), "b.jpg").size_hw == (4, 6)
        with pytest.raises(InputError, match="expected one image in the bytes given, got 2"):
            cvat.read(FILE.encode())
        with pytest.raises(InputError, match=r"one image named 'c\.jpg' in the bytes given, got 0"):
            cvat.read(FILE.encode(), "c.jpg")


def test_a_video_is_told() -> None:
    track = '<track id="0" label="cup"><box frame="0" xtl="1" ytl="1" xbr="2" ybr="2"/></track>'
    with pytest.raises(InputError, match="got CVAT for video, which has tracks; export"):
        list(cvat.read_all(f"{HEAD}{track}</annotations>".encode()))


# ----------------------------------------------------------------------------- writing


@settings(deadline=None)
@given(random_masks())
def test_masks_come_back(masks: Masks) -> None:
    for shapes in ("mask", "polygon"):
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            cvat.write(file, masks, shapes=shapes)  # type: ignore[arg-type]
        again = cvat.read(file.getvalue())
        held = masks.areas > 0
        assert again.dense().tolist() == masks.dense()[held].tolist()
        named = [masks.labels[i] or "object" for i in np.flatnonzero(held)]
        assert list(again.labels) == named


def test_polygons_of_one_mask_are_a_group() -> None:
    dense = np.zeros((3, 6, 9), bool)
    dense[0, 1:3, 1:3] = dense[0, 1:3, 5:7] = dense[1, 4, 1] = True
    dense[2, 1:5, 1:5] = True
    dense[2, 2:4, 2:4] = False  # a hole, which polygons cannot have
    file = io.BytesIO()
    cvat.write(file, Masks.from_dense(dense, labels=["a", "a", "a"]), shapes="polygon")
    root = ElementTree.fromstring(file.getvalue())
    found = [(child.tag, child.get("group_id")) for child in root.iter("image").__next__()]
    assert found == [("polygon", "1"), ("polygon", "1"), ("polygon", None), ("mask", None)]


def test_numbers_of_groups_never_join_two_masks() -> None:
    dense = np.zeros((3, 4, 9), bool)
    for i in range(3):
        dense[i, 1:3, 3 * i : 3 * i + 2] = True
    meta = [{"group_id": 1}] * 3
    masks = Masks.from_dense(dense, labels=["a", "a", "b"], meta=meta)
    file = io.BytesIO()
    cvat.write(file, masks)
    again = cvat.read(file.getvalue())
    assert again.areas.tolist() == [4, 4, 4] and again.labels == ("a", "a", "b")


def test_what_cannot_be_held_is_told(masks: Masks, tmp_path: Path) -> None:
    known = replace(masks, meta=({"note": "x", "z_order": 2}, {}, {}, {}), ids=(1, None, None, 2))
    with pytest.warns(DataWarning) as told:
        cvat.write(tmp_path / "a.xml", known)
    assert [str(warning.message) for warning in told] == [
        "CVAT cannot hold all that is known: 3 scores, 3 stability scores, 3 prompts, 2 ids, "
        f"1 entry of meta and 1 empty mask are not in {str(tmp_path / 'a.xml')!r}; 4 masks without "
        "a label became 'object'"
    ]


def test_labels_get_colours_and_attributes() -> None:
    dense = np.ones((2, 2, 3), bool)
    meta = [{"attributes": {"wet": True, "side": "left"}}, {"attributes": {"side": "right"}}]
    file = io.BytesIO()
    cvat.write(file, Masks.from_dense(dense, labels=["a", "a"], meta=meta))
    root = ElementTree.fromstring(file.getvalue())
    (label,) = root.iter("label")
    assert (label.findtext("color") or "").startswith("#") and label.findtext("type") == "any"
    values = {a.findtext("name"): a.findtext("values") for a in label.findall(".//attribute")}
    assert values == {"wet": "true", "side": "left\nright"}


def test_names_that_xml_cannot_hold_as_they_are() -> None:
    name = '<a> & "b" ]]> \u732b'
    masks = Masks.from_dense(np.ones((1, 2, 3), bool), labels=[name], source="\u732b/ä.jpg")
    file = io.BytesIO()
    cvat.write(file, masks)
    again = cvat.read(file.getvalue())
    assert again.labels == (name,) and again.source == "\u732b/ä.jpg"
    file = io.BytesIO()
    cvat.write(file, replace(masks, labels=("a\0b",)))
    assert cvat.read(file.getvalue()).labels == ("a\ufffdb",)


# ---------------------------------------------------------------------------- its zip


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A zip as CVAT exports it."""
    photo = io.BytesIO()
    PIL.Image.new("RGB", (12, 8), "red").save(photo, format="JPEG")
    path = tmp_path / "task_7.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images/deep/a.jpg", photo.getvalue())
        archive.writestr("annotations.xml", FILE)
    return path


@pytest.mark.filterwarnings("ignore::anymask.data.readers.notes.DataWarning")
def test_a_zip(exported: Path, tmp_path: Path) -> None:
    assert [masks.source for masks in cvat.read_all(exported)] == ["deep/a.jpg", "b.jpg"]
    assert anymask.formats.read(exported, file_name="b.jpg").size_hw == (4, 6)
    assert convert(exported, tmp_path / "set", "yolo") == 2
    assert (tmp_path / "set/images/train/deep/a.jpg").is_file()
    assert convert(exported, tmp_path / "again.zip", "cvat") == 2
    with zipfile.ZipFile(tmp_path / "again.zip") as archive:
        assert archive.namelist() == ["images/deep/a.jpg", "annotations.xml"]
    first, second = read_place(tmp_path / "again.zip")
    assert first.name == "deep/a" and len(first.masks) == 9 and first.image is not None
    assert second.name == "b" and second.image is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[:-40], "is not a zip file|truncated"),
        (lambda data: data.replace(b"annotations.xml", b"annotationz.xml"), "one annotations.xml"),
        (lambda data: data.replace(b"cup", b"cap", 1), "Bad CRC"),
    ],
)
def test_damaged_zips(change: Any, says: str, exported: Path) -> None:
    exported.write_bytes(change(exported.read_bytes()))
    with pytest.raises(InputError, match=says):
        quietly(exported)


def test_images_of_a_zip_stay_where_they_are_put(tmp_path: Path) -> None:
    path = tmp_path / "in" / "evil.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations.xml", of(shape("polygon", points="0,0;5,0;5,5"))
                         .replace(b'name="a.jpg"', b'name="../../../evil.jpg"'))  # fmt: skip
        archive.writestr("images/../../../evil.jpg", b"x")
    ((_, masks, image),) = read_place(path)
    assert len(masks) == 1 and image is not None and image.name == "1.jpg"
    assert not list(tmp_path.rglob("evil.jpg"))


# -------------------------------------------------------------------------- bad input


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>
<annotations><image id="0" name="&b;" width="2" height="2"/></annotations>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>
<annotations><image id="0" name="&e;" width="2" height="2"/></annotations>"""


@pytest.mark.parametrize("format", [None, "cvat"])
@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
def test_entities_are_refused(text: str, format: str | None) -> None:
    with pytest.raises(InputError, match="without a document type"):
        anymask.formats.read(text.encode(), format=format)


def test_voc_refuses_them_too() -> None:
    with pytest.raises(InputError, match="without a document type"):
        anymask.formats.read(BOMB.replace("annotations", "annotation").encode(), format="voc")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<annotations>", "no element found"),
        (b"<annotation/>", r"expected <annotations>"),
        (b"<annotations>" + b"<a>" * 60, "at most 50 elements"),
        (of(width="x"), "width and height of an image"),
        (of(width=-3), "width and height of an image"),
        (of(width=10**6, height=10**6), "product up to 4,294,967,295"),
        (of(width="1e999"), "width and height"),
        (of().replace(b'name="a.jpg"', b""), "expected a field 'name'"),
        (of("<polygon points='0,0;1,1;2,0'/>"), "expected a field 'label'"),
        (of(shape("polygon")), "expected a field 'points'"),
        (of(shape("polygon", points="0,0;1")), "a polygon"),
        (of(shape("polygon", points="0,0;nan,1;3,3")), "finite"),
        (of(shape("polygon", points="0,0;9e9,1;3,3")), "in or near the image"),
        (of(shape("box", xtl=0, ytl=0, xbr="inf", ybr=1)), "finite"),
        (of(shape("ellipse", cx=0, cy=0, rx=1)), "expected a field 'ry'"),
        (of(shape("mask", rle="0,5", left=0, top=0, width=2, height=2)), "within the window"),
        (of(shape("mask", rle="0,3,3", left=0, top=0, width=2, height=2)), "add up to 2 \\* 2"),
        (of(shape("mask", rle="-1,3", left=0, top=0, width=2, height=2)), "0 or more"),
        (of(shape("mask", rle="a", left=0, top=0, width=2, height=2)), "a mask"),
        (of(shape("mask", rle="0,1", left=0.5, top=0, width=2, height=2)), "whole pixels"),
        (of(shape("mask", rle="0,9999999", left=0, top=0, width=10**6, height=10**6)), "within"),
        (of(shape("mask", rle=f"0,1,{10**9},1", left=0, top=0, width=60000, height=60000)),
         "at most 536,870,912 pixels"),
        (of(shape("polygon", points="0,0;5,0;5,5", group_id="x")), "whole number as group_id"),
        (of(shape("polygon", points="0,0;5,0;5,5", z_order="x")), "whole number as z_order"),
    ],
)  # fmt: skip
def test_damaged_files(data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as told:
        cvat.read(data)
    assert "the bytes given" in str(told.value) and "\n" not in str(told.value)


def test_memory_is_that_of_an_image(tmp_path: Path) -> None:
    path = tmp_path / "large.xml"
    note = f'<attribute name="note">{"x" * 9000}</attribute>'
    one = shape("polygon", points="0,0;5,0;5,5").replace("/>", f">{note}</polygon>")
    with path.open("w") as file:
        file.write(f"{HEAD}{META}")
        for i in range(500):
            file.write(f'<image id="{i}" name="{i}.jpg" width="12" height="8">{one}</image>\n')
        file.write("</annotations>")
    tracemalloc.start()
    number = sum(len(masks) for masks in cvat.read_all(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == 500 and path.stat().st_size > 4e6
    assert peak < 1.5e6

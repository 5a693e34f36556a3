"""JSON of the VGG Image Annotator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from anymask.data.open import open_dataset
from anymask.data.readers.notes import DataWarning


def region(name: str, **shape: Any) -> dict[str, Any]:
    return {"shape_attributes": {"name": name} | shape, "region_attributes": {}}


SQUARE = region("polygon", all_points_x=[0, 4, 4, 0], all_points_y=[0, 0, 4, 4])


def about(*regions: Any, name: str = "a.jpg") -> dict[str, Any]:
    return {"filename": name, "size": 12, "regions": list(regions)}


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        (region("rect", x=1, y=1, width=3, height=2), range(6, 7)),
        (region("circle", cx=4, cy=3, r=2), range(9, 14)),  # 4 pi is 12.6
        (region("ellipse", cx=4, cy=3, rx=3, ry=1), range(6, 12)),  # 3 pi is 9.4
        (region("ellipse", cx=4, cy=3, rx=1, ry=2.5, theta=1.5708), range(6, 10)),  # 2.5 pi is 7.9
    ],
    ids=["rectangle", "circle", "ellipse", "turned ellipse"],
)
def test_every_shape_that_encloses_something(folder: Any, shape: Any, pixels: range) -> None:
    file = folder.photo("a.jpg").json("labels.json", {"a.jpg12": about(shape)})
    (mask,) = open_dataset(file)[0].masks()
    assert int(mask.sum()) in pixels


def test_a_turned_ellipse_lies_on_its_side(folder: Any) -> None:
    shape = region("ellipse", cx=4, cy=3, rx=1, ry=3, theta=1.5708)
    file = folder.photo("a.jpg").json("labels.json", {"a.jpg12": about(shape)})
    (mask,) = open_dataset(file)[0].masks()
    assert mask.any(axis=0).sum() > mask.any(axis=1).sum()  # wider than high


def test_points_and_lines_are_named(folder: Any) -> None:
    point = region("point", cx=1, cy=1)
    line = region("polyline", all_points_x=[0, 4, 4], all_points_y=[0, 0, 4])
    corner = region("polygon", all_points_x=[0, 4], all_points_y=[0, 0])
    content = {"a.jpg12": about(point, SQUARE, line, corner)}
    file = folder.photo("a.jpg").json("labels.json", content)
    with pytest.warns(DataWarning, match=r"left out: 3 in .* is a point of 'a\.jpg'") as caught:
        data = open_dataset(file)
    assert len(caught) == 1 and len(data[0].masks()) == 1


def test_a_saved_project_is_read(folder: Any) -> None:
    content = {"_via_settings": {}, "_via_img_metadata": {"a.jpg12": about(SQUARE)}}
    file = folder.photo("a.jpg").json("project.json", content)
    assert len(open_dataset(file)[0].masks()) == 1


def test_an_image_that_is_listed_twice_is_one(folder: Any) -> None:
    other = region("rect", x=5, y=0, width=2, height=6)
    content = {"a.jpg12": about(SQUARE), "a.jpg15": about(other)}
    file = folder.photo("a.jpg").json("labels.json", content)
    with pytest.warns(DataWarning, match=r"twice are taken together: 1 in .* is 'a\.jpg'"):
        data = open_dataset(file)
    assert len(data) == 1 and len(data[0].masks()) == 2
    json.dumps(data[0].meta)


def test_images_that_are_not_there_are_named(folder: Any) -> None:
    content = {"a.jpg12": about(SQUARE), "b.jpg12": about(SQUARE, name="b.jpg")}
    file = folder.photo("a.jpg").json("labels.json", content)
    with pytest.warns(DataWarning, match=r"not there are left out: 1 in .* is 'b\.jpg'"):
        assert len(open_dataset(file)) == 1

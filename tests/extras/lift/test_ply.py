"""PLY files: ours come back, those of other programs are understood, damaged ones refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from anymask import InputError, OutputError
from anymask.extras.lift import PointCloud

HEADER = (
    b"ply\nformat binary_little_endian 1.0\nelement vertex 2\nproperty float x\n"
    b"property float y\nproperty float z\nproperty uchar red\nproperty uchar green\n"
    b"property uchar blue\nproperty int label\nend_header\n"
)


def cloud() -> PointCloud:
    points = np.array([[0.25, -1.5, 3], [1, 2, -0.125]])
    return PointCloud(points, np.array([[1, 2, 3], [255, 0, 9]], np.uint8), np.array([4, -1]))


def test_the_file_is_what_the_format_says() -> None:
    file = io.BytesIO()
    cloud().save(file)
    row = np.array([0.25, -1.5, 3], "<f4").tobytes() + bytes([1, 2, 3, 4, 0, 0, 0])
    assert file.getvalue().startswith(HEADER + row)
    assert len(file.getvalue()) == len(HEADER) + 2 * 19


def test_points_come_back(tmp_path: Path) -> None:
    cloud().save(tmp_path / "a.ply")
    found = PointCloud.read(tmp_path / "a.ply")
    for name in ("points", "colors", "labels"):
        assert np.array_equal(getattr(found, name), getattr(cloud(), name))


def test_an_empty_cloud_comes_back() -> None:
    file = io.BytesIO()
    cloud()[:0].save(file)
    assert len(PointCloud.read(file.getvalue())) == 0


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_text_with_faces_and_without_colours(end: bytes) -> None:
    lines = [b"ply", b"format ascii 1.0", b"comment a mesh", b"element vertex 3"]
    lines += [b"property double x", b"property double y", b"property double z"]
    lines += [b"element face 1", b"property list uchar int vertex_indices", b"end_header"]
    lines += [b"0 0 0", b"1 0 0", b"0 1 0.5", b"3 0 1 2", b""]
    found = PointCloud.read(end.join(lines))
    assert found.points.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0.5]]
    assert set(found.labels.tolist()) == {-1}
    assert np.unique(found.colors).tolist() == [128]


def test_big_endian_with_alpha() -> None:
    kind = np.dtype([(n, ">f4") for n in "xyz"] + [(n, "u1") for n in "rgba"])
    rows = np.array([(1, 2, 3, 9, 8, 7, 255)], kind)
    names = ("red", "green", "blue", "alpha")
    head = "ply\nformat binary_big_endian 1.0\nelement vertex 1\n"
    head += "".join(f"property float {n}\n" for n in "xyz")
    head += "".join(f"property uchar {n}\n" for n in names)
    found = PointCloud.read(head.encode() + b"end_header\n" + rows.tobytes())
    assert (found.points.tolist(), found.colors.tolist()) == ([[1, 2, 3]], [[9, 8, 7]])


def test_colours_as_shares_of_one() -> None:
    head = "ply\nformat ascii 1.0\nelement vertex 1\n"
    head += "".join(f"property float {n}\n" for n in ("x", "y", "z", "red", "green", "blue"))
    assert PointCloud.read(head.encode() + b"end_header\n0 0 0 1 0.5 0\n").colors.tolist() == [
        [255, 128, 0]
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a PLY file"),
        (b"\x89PNG", "expected a PLY file"),
        (HEADER[:60], "its header has no end"),
        (HEADER + b"\0" * 37, "it ends before the last of its 2 vertices"),
        (HEADER.replace(b"vertex 2", b"vertex 99999999999999") + b"\0" * 38, "it ends before"),
        (HEADER.replace(b"vertex 2", b"vertex -2"), "does not say how vertices are written"),
        (HEADER.replace(b"little", b"middle"), "does not say how vertices are written"),
        (HEADER.replace(b"float x", b"list uchar int x"), "its vertices have 'property list"),
        (HEADER.replace(b"element vertex", b"element face"), "begins with 'face'"),
        (HEADER.replace(b"float x", b"float w") + b"\0" * 38, "with x, y and z, got w, y, z"),
        (HEADER.replace(b"binary_little_endian", b"ascii") + b"1 2 3\n4 5\n", "lines of 7 numbers"),
        (HEADER + np.full(2, np.nan, "<f4").tobytes() * 10, "expected finite points"),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PointCloud.read(data)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        cloud().save(tmp_path / "none" / "a.ply")
    assert list(tmp_path.iterdir()) == []


def test_arrays_that_do_not_fit_are_refused() -> None:
    colors, labels = np.zeros((2, 3), np.uint8), np.zeros(2, int)
    for points, others, message in (
        (np.zeros((2, 2)), (colors, labels), r"expected points of shape \(n, 3\)"),
        (np.zeros((2, 3)), (colors / 2, labels), "expected colors as uint8"),
        (np.zeros((2, 3)), (colors, labels / 2), "expected labels as integers"),
        (np.full((2, 3), np.inf), (colors, labels), "expected finite points"),
    ):
        with pytest.raises(InputError, match=message):
            PointCloud(points, *others)

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from tests.formats.conftest import SIZE_HW

import anymask
from anymask import formats
from anymask.errors import InputError, OutputError
from anymask.formats import Format, coco
from anymask.masks.masks import Masks

pytestmark = pytest.mark.filterwarnings("ignore::anymask.data.readers.notes.DataWarning")

KNOWN = {"yolo": {"size_hw": SIZE_HW}}
"""What files of a format do not say of themselves."""


@pytest.mark.parametrize("name", formats.names())
def test_every_format_is_recognised(name: str, masks: Masks, tmp_path: Path) -> None:
    path = tmp_path / "masks.anything"
    masks.save(path, format=name)
    known = KNOWN.get(name, {})
    assert formats.read(path, **known) == formats.read(path, format=name, **known)
    assert formats.find(name).suffix.startswith(".")


@pytest.mark.parametrize(("file", "name"), [("a.json", "sa1b"), ("a.PNG", "png")])
def test_the_suffix_decides_what_is_written(
    file: str, name: str, masks: Masks, tmp_path: Path
) -> None:
    masks.save(tmp_path / file)
    assert formats.find(name).read(tmp_path / file).size_hw == masks.size_hw


def test_a_byte_order_mark_does_not_hide_a_format(masks: Masks, tmp_path: Path) -> None:
    masks.save(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b"\xef\xbb\xbf\n" + (tmp_path / "a.json").read_bytes())
    assert formats.read(tmp_path / "b.json").areas.tolist() == masks.areas.tolist()


@pytest.mark.parametrize("format", [None, *formats.names()])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe\x00", b"{}", b'"x"', b"\x89PNG\r\n\x1a\n", b"[" * 9999]
)
def test_foreign_files(content: bytes, format: str | None, tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"masks\.json"):
        formats.read(path, format=format)


@pytest.mark.parametrize("format", [None, *formats.names()])
def test_missing_files_and_folders(format: str | None, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            formats.read(path, format=format)


def test_unknown_formats(masks: Masks, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="semantic, grounded-sam, cvat, labelstudio, got 'gif'"):
        masks.save(tmp_path / "masks.json", format="gif")
    with pytest.raises(
        InputError, match=r"ends in \.json or \.png or \.txt or \.xml, got 'masks\.tif'"
    ):
        masks.save(tmp_path / "masks.tif")
    with pytest.raises(InputError, match="got 'gif'"):
        formats.read(tmp_path / "masks.json", format="gif")
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- bytes and open files


@pytest.mark.parametrize("name", formats.names())
def test_bytes_and_open_files(name: str, masks: Masks, tmp_path: Path) -> None:
    masks.save(tmp_path / "masks", format=name)
    file = io.BytesIO(b"before")
    file.seek(0, io.SEEK_END)
    masks.save(file, format=name)
    content = (tmp_path / "masks").read_bytes()
    assert file.getvalue() == b"before" + content
    known = {**KNOWN.get(name, {}), **({"names": ["object"]} if name == "yolo" else {})}
    expected = formats.read(tmp_path / "masks", **known)
    file.seek(len(b"before"))
    sources = [content, bytearray(content), memoryview(content), file, str(tmp_path / "masks")]
    for format in (None, name):
        for source in sources:
            assert anymask.read(source, format=format, **known) == expected
            file.seek(len(b"before"))
    with (tmp_path / "masks").open("rb") as opened:
        assert anymask.read(opened, **known) == expected


def test_an_open_file_with_a_name_says_the_format(masks: Masks, tmp_path: Path) -> None:
    with (tmp_path / "masks.png").open("wb") as file:
        masks.save(file)
    assert (tmp_path / "masks.png").read_bytes().startswith(b"\x89PNG")


def test_an_error_leaves_an_open_file_alone(masks: Masks) -> None:
    file = io.BytesIO()
    with pytest.raises(ZeroDivisionError), coco.writer(file) as add:
        add(masks)
        _ = 1 / 0
    assert file.getvalue() == b""


@pytest.mark.parametrize(
    ("target", "format", "says"),
    [
        (
            io.BytesIO(),
            None,
            "a file without a name, got none; give one out of sa1b, coco, png",
        ),
        (io.StringIO(), "coco", 'open it with "wb"'),
        (3, "coco", "a file opened for writing bytes, got int"),
        (b"bytes", "coco", "a file opened for writing bytes, got bytes"),
    ],
)
def test_unfit_targets(target: Any, format: str | None, says: str, masks: Masks) -> None:
    with pytest.raises(InputError, match=says):
        masks.save(target, format=format)


class Full(io.RawIOBase):
    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")


def test_an_open_file_on_a_full_disk(masks: Masks) -> None:
    with pytest.raises(OutputError, match="No space left"):
        masks.save(Full(), format="png")  # type: ignore[arg-type]


@pytest.mark.parametrize("format", [None, *formats.names()])
@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"", "the bytes given"),
        (b"{", "the bytes given"),
        (io.StringIO("{}"), 'StringIO of text; open files with "rb"'),
        (3, "got int"),
        (None, "got NoneType"),
    ],
)
def test_unfit_sources(source: Any, format: str | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        anymask.read(source, format=format)


# ------------------------------------------------------------ formats of other packages


def write_numbers(path: str | os.PathLike[str], masks: Masks) -> None:
    h, w = masks.size_hw
    Path(path).write_text(f"NUMBERS {h} {w} {' '.join(map(str, masks.areas))}")


def read_numbers(path: str | os.PathLike[str]) -> Masks:
    _, h, w, *_ = Path(path).read_text().split()
    return Masks.empty((int(h), int(w)), source="numbers")


def write_shapes(path: str | os.PathLike[str], masks: Masks) -> None:
    Path(path).write_text(json.dumps({"shapes": [], "imageHeight": masks.size_hw[0]}))


def read_shapes(path: str | os.PathLike[str]) -> Masks:
    return Masks.empty((json.loads(Path(path).read_text())["imageHeight"], 1), source="shapes")


THEIRS = {
    "numbers": Format(
        ".numbers.txt",
        write_numbers,
        read_numbers,
        recognises=lambda head: head.startswith(b"NUMBERS"),
    ),
    "shapes": Format(".json", write_shapes, read_shapes, keys=frozenset({"shapes"})),
    "broken": 3,
}


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint(name, f"{__name__}:THEIRS_{name}", "anymask.formats")
        for name in ("numbers", "shapes")
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    for point in points:
        monkeypatch.setitem(globals(), f"THEIRS_{point.name}", THEIRS[point.name])


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", ["numbers", "shapes"])
def test_formats_of_others_are_like_ours(name: str, masks: Masks, tmp_path: Path) -> None:
    assert formats.names() == [
        "sa1b",
        "coco",
        "png",
        "yolo",
        "labelme",
        "voc",
        "semantic",
        "grounded-sam",
        "cvat",
        "labelstudio",
        "numbers",
        "shapes",
    ]
    path = tmp_path / "masks"
    masks.save(path, format=name)
    assert os.listdir(tmp_path) == ["masks"]
    file = io.BytesIO()
    masks.save(file, format=name)
    assert file.getvalue() == path.read_bytes()
    for format in (None, name):
        for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
            assert formats.read(source, format=format).source == name


@pytest.mark.usefixtures("plugins")
def test_suffixes_of_others(masks: Masks, tmp_path: Path) -> None:
    masks.save(tmp_path / "a.numbers.txt")
    assert (tmp_path / "a.numbers.txt").read_bytes().startswith(b"NUMBERS")
    masks.save(tmp_path / "a.json")
    assert formats.read(tmp_path / "a.json").source == masks.source
    with pytest.raises(InputError, match=r"\.txt or \.xml or \.numbers\.txt, got 'a\.dat'"):
        masks.save(tmp_path / "a.dat")


@pytest.mark.usefixtures("plugins")
def test_errors_list_formats_of_others(masks: Masks, tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match="grounded-sam, cvat, labelstudio, numbers, shapes, got 'gif'",
    ):
        masks.save(tmp_path / "masks.json", format="gif")
    with pytest.raises(InputError, match=r"cannot read .*missing"):
        formats.read(tmp_path / "missing", format="numbers")


def test_a_format_of_others_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("broken", f"{__name__}:THEIRS", "anymask.formats")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    with pytest.raises(InputError, match=r"'broken' .* as an anymask\.formats\.Format, got dict"):
        formats.find("broken")


def test_the_command_line_offers_formats_of_others() -> None:
    code = (
        "import importlib.metadata as metadata\n"
        "point = metadata.EntryPoint('numbers', 'nobody:NOTHING', 'anymask.formats')\n"
        "metadata.entry_points = lambda group: [point] if group == point.group else []\n"
        "from anymask.cli import main\n"
        "main(['segment', '--help'])\n"
    )
    source = Path(__file__).resolve().parents[2] / "src"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    text = "".join(said.stdout.replace("│", "").split())
    assert "{sa1b,coco,png,yolo,labelme,voc,semantic,grounded-sam,cvat,labelstudio,numbers}" in text


def test_names_are_listed_without_loading_anything() -> None:
    code = (
        "import sys, anymask.formats as formats\nformats.names()\n"
        "assert not {'numpy', 'PIL', 'torch'} & set(sys.modules), sys.modules.keys()"
    )
    source = Path(__file__).resolve().parents[2] / "src"
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(source)}, check=True
    )


@pytest.mark.parametrize("name", formats.names())
def test_a_full_disk_leaves_the_old_file(name: str, masks: Masks, tmp_path: Path) -> None:
    path = tmp_path / "masks"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))  # no file may grow any longer
    try:
        with pytest.raises(OutputError, match="masks"):
            masks.save(path, format=name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old"
    assert set(os.listdir(tmp_path)) - {"data.yaml"} == {"masks"}

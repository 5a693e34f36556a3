from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from anymask import formats
from anymask.errors import InputError, OutputError
from anymask.masks.masks import Masks


@pytest.mark.parametrize("name", formats.names())
def test_every_format_is_recognised(name: str, masks: Masks, tmp_path: Path) -> None:
    path = tmp_path / "masks.anything"
    masks.save(path, format=name)
    assert formats.read(path) == formats.read(path, format=name)
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
    with pytest.raises(InputError, match="sa1b, coco, png, got 'yolo'"):
        masks.save(tmp_path / "masks.json", format="yolo")
    with pytest.raises(InputError, match=r"ends in \.json or \.png, got 'masks\.tif'"):
        masks.save(tmp_path / "masks.tif")
    with pytest.raises(InputError, match="got 'yolo'"):
        formats.read(tmp_path / "masks.json", format="yolo")
    assert os.listdir(tmp_path) == []


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
    assert os.listdir(tmp_path) == ["masks"]

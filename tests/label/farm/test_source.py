from __future__ import annotations

import os
import pickle
import stat
import sys
from pathlib import Path

import pytest
from tests.label.farm.conftest import contents, documents, index
from tests.label.farm.squares import Squares

from anymask import InputError, MissingExtraError
from anymask.label.farm.local import Local
from anymask.label.farm.run import farm
from anymask.label.farm.source import Folder, ObjectStore, find_source


def test_a_folder_and_the_same_in_an_object_store_give_the_same(
    photos: Path, tmp_path: Path
) -> None:
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.put(str(photos), "/bucket/photos", recursive=True)
    files.pipe("/bucket/photos/notes.txt", b"no image")
    files.pipe("/bucket/photos/.hidden.jpg", b"no image")
    near, far, filed = tmp_path / "near", tmp_path / "far", tmp_path / "file"
    farm(photos, near, Squares(), engine=Local(1, shared=True))
    farm("memory://bucket/photos/", far, Squares(), engine=Local(2))
    farm(f"file://{photos}", filed, Squares(), engine=Local(1, shared=True))
    assert contents(near) == contents(far) == contents(filed)
    assert len(documents(near)) == 6
    files.pipe("/bucket/photos/a.jpg", files.cat("/bucket/photos/z.jpg"))
    found = farm("memory://bucket/photos", far, Squares(), engine=Local(1, shared=True))
    assert (found.duplicates, found.done) == (2, 1)  # the broken one is tried again
    assert index(far)["a.jpg"]["image_id"] == index(near)["z.jpg"]["image_id"] == 8


def test_a_source_is_listed_entry_by_entry_and_its_reader_travels(photos: Path) -> None:
    source = find_source(photos, photos / "out")
    assert isinstance(source, Folder)
    entries = source.entries()
    first = next(entries)
    read = pickle.loads(pickle.dumps(source.reader))
    assert read(first.name) == (photos / first.name).read_bytes()
    assert len(list(entries)) == 7


def test_the_results_are_no_source(photos: Path) -> None:
    out = photos / "out"
    for _ in range(2):
        assert farm(photos, out, Squares(), engine=Local(1, shared=True)).names == 8


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_permission_is_an_error_of_its_own(photos: Path, tmp_path: Path) -> None:
    (photos / "sub").chmod(0)
    try:
        found = farm(photos, tmp_path / "out", Squares(), engine=Local(1, shared=True))
    finally:
        (photos / "sub").chmod(stat.S_IRWXU)
    assert found.images == 3 and "cannot read" in index(tmp_path / "out")["sub"]["error"]


def test_what_is_missing_is_told_with_the_line_that_installs_it(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setitem(sys.modules, "s3fs", None)
    pytest.importorskip("fsspec")
    with pytest.raises(MissingExtraError, match=r"package 's3fs' for .*; run: pip install s3fs"):
        farm("s3://bucket/photos", out, Squares())
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[farm\]'"):
        farm(photos, out, Squares(), engine="ray")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[farm\]'"):
        farm(photos, out, Squares(), format="parquet")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[farm\]'"):
        farm("memory://x", out, Squares())
    assert not out.exists()
    farm(photos, out, Squares(), engine=Local(1, shared=True))  # which needs none of them


def test_a_store_that_fails_while_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/flaky/a.jpg", b"x")
    store = ObjectStore("memory://flaky")

    def fail(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    kind = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(kind, "walk", fail)
    with pytest.raises(InputError, match="got PermissionError: Access Denied; check the address"):
        list(store.entries())

from __future__ import annotations

from pathlib import Path

import pytest

from anymask import InputError
from anymask.folder import ResumableFolder
from anymask.label.farm.outputs import SINKS, make_sink
from anymask.label.farm.source import Folder


def test_formats_are_known_by_name(tmp_path: Path) -> None:
    folder, source = ResumableFolder(tmp_path), Folder(tmp_path, tmp_path)
    sinks = [make_sink(format, folder, source) for format in SINKS if format != "store"]
    names = [name for sink in sinks for name in sink.files(7)]
    assert len(set(names)) == len(names) == 3 and all("000007" in name for name in names)
    with pytest.raises(InputError, match="expected a format out of sa1b, parquet, store, got"):
        make_sink("tar", folder, source)
    pytest.importorskip("sqlalchemy")
    with pytest.raises(InputError, match="expected a project for the format 'store'"):
        make_sink("store", folder, source)

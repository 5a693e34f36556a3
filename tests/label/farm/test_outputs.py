from __future__ import annotations

import pytest

from anymask import InputError
from anymask.folder import ResumableFolder
from anymask.label.farm.outputs import SINKS, make_sink


def test_formats_are_known_by_name(tmp_path) -> None:
    folder = ResumableFolder(tmp_path)
    names = [name for format in SINKS for name in make_sink(format, folder).files(7)]
    assert len(set(names)) == len(names) and all("000007" in name for name in names)
    with pytest.raises(InputError, match="expected a format out of sa1b, parquet, got 'tar'"):
        make_sink("tar", folder)

"""The recipe of the trunk, as far as that goes without the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipes.fetch_trunk import check_hash, keys, read_package

from anymask.models.detector import Detector


def test_it_names_exactly_the_convolutions_of_the_detector() -> None:
    wanted = {key.rpartition(".")[0] for key in Detector().state_dict()}
    named = list(keys())
    assert len(named) == len(set(named))
    assert set(named) == wanted


def test_the_first_head_reads_before_the_block_goes_on() -> None:
    order = list(keys())
    assert order.index("heads.0.box") == order.index("trunk.blocks.13.expand") + 1
    assert order.index("trunk.blocks.13.depthwise") == order.index("heads.0.score") + 1
    assert order[-2:] == ["heads.5.box", "heads.5.score"]


def test_another_package_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.tgz"
    other.write_bytes(b"something else")
    with pytest.raises(SystemExit, match=r"expected SHA-256 fc3e37b3.* got .*fetch the version"):
        read_package(other)
    check_hash(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "nothing")

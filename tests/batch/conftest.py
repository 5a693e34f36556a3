"""A model that answers at once, and a folder of small images."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import FakeModel, make_photo


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "c.png"):
        make_photo(tmp_path / "in" / name)
    return tmp_path / "in"

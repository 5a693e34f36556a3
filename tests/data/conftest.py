"""Tiny data sets, written where a test may write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

SIZE = (6, 8)


class Folder:
    """A folder to fill."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _place(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def photo(self, *names: str, size: tuple[int, int] = SIZE) -> Folder:
        for name in names:
            PillowImage.new("RGB", size[::-1], (200, 10, 10)).save(self._place(name))
        return self

    def labels(self, name: str, numbers: Any) -> Folder:
        PillowImage.fromarray(np.asarray(numbers)).save(self._place(name))
        return self

    def json(self, name: str, content: object) -> Path:
        path = self._place(name)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "set")


@pytest.fixture
def stripes() -> Callable[..., np.ndarray]:
    """Make a label map whose rows have the numbers given; the last row repeats the last number."""

    def make(*numbers: int, dtype: type = np.uint8) -> np.ndarray:
        rows = [*numbers, *[numbers[-1]] * SIZE[0]][: SIZE[0]]
        return np.repeat(np.array(rows, dtype)[:, None], SIZE[1], axis=1)

    return make

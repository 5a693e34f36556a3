"""A small data set on disk, and the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest

from anymask.cli import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Run ``anymask evaluate``; gives code, out and err."""

    def call(*words: Any) -> SimpleNamespace:
        capsys.readouterr()
        try:
            code = main(["evaluate", *map(str, words)])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return call


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Three pictures of 64 x 48 with two squares each."""
    folder = tmp_path / "squares"
    for i in range(3):
        labels = np.zeros((48, 64), np.uint8)
        labels[4:24, 4 : 24 + i], labels[30:40, 40:50] = 1, 2
        colours = np.array([[30, 90, 40], [220, 60, 50], [240, 230, 90]], np.uint8)
        for kind, pixels, name in (("images", colours[labels], "png"), ("masks", labels, "0.png")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels).save(folder / kind / f"p{i}.{name}")
    return folder

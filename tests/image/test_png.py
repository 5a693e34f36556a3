from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from anymask.errors import OutputError
from anymask.image import png
from anymask.image.png import encode_png, write_png


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("opencv", [False, True])
def test_there_and_back(tmp_path: Path, mode: str, large: bool, opencv: bool, monkeypatch) -> None:
    if opencv:
        pytest.importorskip("cv2")
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(png, "_LARGE", 100 if large else 10_000)
    random = np.random.default_rng(0)
    shape = (20, 30, len(mode)) if mode.startswith("RGB") else (20, 30)
    dtype = np.uint16 if mode == "I;16" else np.uint8
    pixels = random.integers(0, 255, shape).astype(dtype)
    picture = PIL.Image.fromarray(pixels)
    if mode == "P":
        picture = picture.convert("P")
    write_png(picture, tmp_path / "file")
    content = encode_png(picture)
    assert content == (tmp_path / "file").read_bytes()
    with PIL.Image.open(io.BytesIO(content)) as back:
        assert back.format == "PNG"
        assert np.array_equal(np.asarray(back), np.asarray(picture))


@pytest.mark.parametrize("large", [1, 10_000])
def test_where_nothing_can_be_written(tmp_path: Path, large: int, monkeypatch) -> None:
    monkeypatch.setattr(png, "_LARGE", large)
    with pytest.raises(OutputError, match="expected to write an image, got"):
        write_png(PIL.Image.new("RGB", (9, 9)), tmp_path / "missing" / "a.png")

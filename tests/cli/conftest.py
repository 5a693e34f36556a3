"""A model that answers at once, so that the command line is tested without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest

from anymask.cli import main
from anymask.config import GenerateConfig
from anymask.everything.tiled import TILE, generate_tiled, is_large
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.prompt import Prompt


class FakeModel:
    """Answers squares, and remembers what it was asked."""

    def __init__(self, weights_digest: str = "0" * 64) -> None:
        self.variant = SimpleNamespace(
            name="fake",
            kind="promptable",
            generate=GenerateConfig(points_per_side=3),
            capabilities=frozenset({"points", "box", "mask", "text"}),
        )
        self.weights_digest = weights_digest
        self.dtype = "float32"
        self.seen: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.prompts: list[Prompt] = []
        self.before: Callable[[Image], None] = lambda image: None

    def predict(self, image: Image, *, prompts: Prompt, multimask: bool | None) -> Masks:
        prompts.check_inside(image.size_hw)
        self.prompts.append(prompts)
        single_point = prompts.form == (1, False, False)
        return self._squares(image, [4, 2, 6] if multimask or single_point else [4])

    def subject(self, image: Image) -> Masks:
        return replace(self._squares(image, [4]), labels=("subject",))

    def generate(
        self,
        image: ImageLike,
        config: GenerateConfig | None = None,
        *,
        tile: int | None = None,
        halo: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
        **options: Any,
    ) -> Masks:
        if tile or is_large(image):
            tiles = {"tile": tile or TILE, "halo": halo, "progress": progress}
            return generate_tiled(self, image, config, **tiles, **options)
        assert isinstance(image, Image)
        self.sizes.append(image.size_hw)
        progress(0, 1)
        config = replace(config or self.variant.generate, **options)
        return self._squares(image, [2] * config.points_per_side)

    def _squares(self, image: Image, sizes: list[int]) -> Masks:
        self.before(image)
        self.seen.append(Path(image.source or "").name)
        h, w = image.size_hw
        dense = np.zeros((len(sizes), h, w), dtype=bool)
        for mask, size in zip(dense, sizes, strict=True):
            mask[:size, :size] = True
        scores = np.linspace(0.9, 0.5, len(sizes))
        return Masks.from_dense(dense, scores=scores, source=image.source, model="fake")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    monkeypatch.setattr("anymask.predict.loading.load", lambda *args, **kwargs: model)
    return model


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return make_photo(tmp_path / "photo.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of four pictures, one of them below another folder."""
    folder = tmp_path / "photos"
    for name in ["2.png", "10.jpg", "1.png", "trip/2.png"]:
        make_photo(folder / name)
    (folder / "notes.txt").write_text("not a picture", encoding="utf-8")
    return folder


def make_photo(path: Path, size: tuple[int, int] = (20, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    gradient = np.linspace(0, 255, size[0] * size[1] * 3).astype(np.uint8)
    PIL.Image.fromarray(gradient.reshape(size[1], size[0], 3)).save(path)
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Run the command line in this process; gives code, out and err."""

    def call(*words: Any) -> SimpleNamespace:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return call


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """An image to change."""
    return make_photo(tmp_path / "big.png", (120, 90))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """A mask of it, as a file."""
    painted = np.zeros((90, 120), np.uint8)
    painted[30:50, 40:70] = 255
    PIL.Image.fromarray(painted).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"

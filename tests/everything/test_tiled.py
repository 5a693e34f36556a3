"""Everything mode in tiles: a run in tiles finds what a run on the whole picture finds."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import anymask
from anymask.config import GenerateConfig
from anymask.errors import InputError
from anymask.everything.tiled import generate_tiled
from anymask.image.image import Image
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

H, W = 700, 900


class ColourModel:
    """Finds each bright value of the red channel and of the green one: wholes and parts.

    What is darker is background, or a blurred edge in the overview.
    """

    def __init__(self, **settings: Any) -> None:
        self.variant: Any = SimpleNamespace(
            name="colours", kind="promptable", generate=GenerateConfig(**settings)
        )
        self.sizes: list[tuple[int, int]] = []
        self.configs: list[GenerateConfig] = []

    def generate(self, image: Image, config: GenerateConfig, *, progress: Any = None) -> Masks:
        self.sizes.append(image.size_hw)
        self.configs.append(config)
        named = {
            f"{name} {value}": channel == value
            for name, channel in (("red", image.pixels[..., 0]), ("green", image.pixels[..., 1]))
            for value in np.unique(channel[channel >= 240])
        }
        found = list(named.values())
        if not found:
            return Masks.empty(image.size_hw)
        firsts = [np.argwhere(mask)[0][::-1] for mask in found]
        return Masks.from_dense(
            np.stack(self.blur(found, image)),
            scores=np.array([0.9 if mask.mean() < 0.1 else 0.8 for mask in found]),
            prompts=[Prompt(points_xy=[first]) for first in firsts],
            labels=list(named),
            ids=range(len(found)),
            meta=[{"name": name} for name in named],
        )

    def blur(self, found: list[np.ndarray], image: Image) -> list[np.ndarray]:
        return found


class ShakyModel(ColourModel):
    """Draws the outlines a little differently in each tile."""

    def blur(self, found: list[np.ndarray], image: Image) -> list[np.ndarray]:
        seed = int(image.pixels[::7, ::7].astype(int).sum())
        shifts = np.random.default_rng(seed).integers(-2, 3, (len(found), 2))
        return [np.roll(m, tuple(s), axis=(0, 1)) for m, s in zip(found, shifts, strict=True)]


class TimidModel(ColourModel):
    """Finds of what the edge of a tile cuts off only a strip along that edge."""

    def blur(self, found: list[np.ndarray], image: Image) -> list[np.ndarray]:
        edge, strip = (self.rim(image.size_hw, width) for width in (1, 15))
        return [mask & strip if (mask & edge).any() else mask for mask in found]

    def rim(self, size_hw: tuple[int, int], width: int) -> np.ndarray:
        inside = np.zeros(np.subtract(size_hw, 2 * width), dtype=np.bool_)
        return np.pad(inside, width, constant_values=True)


def street() -> np.ndarray:
    """Things inside one tile, on the border of two and of four, over many, and nested."""
    pixels = np.zeros((H, W, 3), dtype=np.uint8)
    y, x = np.mgrid[:H, :W]
    for number, (top, left, height, width) in enumerate(
        [
            (20, 20, 60, 70),  # inside one tile
            (30, 220, 60, 80),  # on the border of two
            (220, 200, 70, 80),  # on the corner of four
            (380, 40, 60, 820),  # over many
            (470, 500, 200, 300),  # larger than a tile
            (100, 600, 6, 5),
        ],
        start=1,
    ):
        pixels[top : top + height, left : left + width, 0] = 240 + number
    pixels[(y - 570) ** 2 + (x - 650) ** 2 < 70**2, 1] = 250  # a part, over several tiles
    pixels[(y - 410) ** 2 + (x - 400) ** 2 < 20**2, 1] = 251
    return pixels


def best_iou(masks: Masks, expected: Masks) -> np.ndarray:
    return rle.iou(expected.counts, masks.counts).max(axis=1, initial=0)


@pytest.mark.parametrize(("tile", "halo"), [(256, 32), (256, 100), (300, 20), (128, 40)])
def test_a_run_in_tiles_finds_what_a_run_on_the_whole_finds(tile: int, halo: int) -> None:
    model = ColourModel()
    whole = model.generate(Image(street()), model.variant.generate)
    masks = generate_tiled(model, street(), tile=tile, halo=halo)
    assert len(masks) == len(whole) == 8
    assert best_iou(masks, whole).min() == 1
    assert (np.diff(masks.scores) <= 0).all()
    assert masks.model == "colours"


@pytest.mark.parametrize("tile", [256, 400])
def test_tiles_that_differ_a_little_are_joined(tile: int) -> None:
    model = ShakyModel()
    masks = generate_tiled(model, street(), tile=tile, halo=64, min_area=40)
    whole = ColourModel().generate(Image(street()), model.variant.generate)
    large = whole[whole.areas > 1000]
    assert len(masks) == len(large) == 7
    assert (
        best_iou(masks, large).min() > 0.8
    )  # the smallest, moved by 2 pixels down and across: 0.83


@pytest.mark.parametrize("tile", [256, 400])
def test_what_tiles_disagree_about_is_found_in_the_whole(tile: int) -> None:
    masks = generate_tiled(TimidModel(), street(), tile=tile, halo=40)
    whole = ColourModel().generate(Image(street()), GenerateConfig())
    assert best_iou(masks, whole).min() > 0.85
    assert best_iou(whole, masks).min() > 0.8, "a piece with straight edges was left"


def test_the_same_again_and_with_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for threads in (1, 2, 3):
        monkeypatch.setattr("torch.get_num_threads", lambda threads=threads: threads)
        runs.append(generate_tiled(ShakyModel(), street(), tile=256, halo=50))
    assert runs[0] == runs[1] == runs[2]


def test_a_mask_knows_where_its_largest_part_was_found() -> None:
    masks = generate_tiled(ColourModel(), street(), tile=256, halo=32)
    assert masks.crop_boxes is not None
    for mask, points, (x0, y0, x1, y1) in zip(
        masks, masks.points_xy, masks.crop_boxes, strict=True
    ):
        assert points is not None
        x, y = points[0].astype(int)
        assert mask.dense()[0, y, x]
        assert x0 <= x < x1 and y0 <= y < y1


@pytest.mark.parametrize("model", [ColourModel(), TimidModel()])
def test_a_mask_knows_what_it_is(model: ColourModel) -> None:
    pixels = street()
    masks = generate_tiled(model, pixels, tile=300, halo=60)
    assert len(masks) > 5
    for mask in masks:
        name, value = str(mask.labels[0]).split()
        y, x = np.argwhere(mask.dense()[0])[0]
        assert pixels[y, x, ("red", "green").index(name)] == int(value)
        assert mask.meta[0]["name"] == mask.labels[0]
        assert mask.ids[0] is not None


def test_limits_of_area_are_about_the_whole_picture() -> None:
    model = ColourModel(min_area=1000)
    masks = generate_tiled(model, street(), tile=256, halo=32, max_area=0.05)
    whole = ColourModel().generate(Image(street()), model.variant.generate)
    expected = whole.filter(min_area=1000, max_area=0.05)
    assert 0 < len(expected) < len(whole)
    assert sorted(masks.areas) == sorted(expected.areas)
    assert {(c.min_area, c.max_area) for c in model.configs} == {(0, None)}


def test_tiles_that_are_searched_together_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    model = ColourModel()
    generate_tiled(model, street(), tile=400, halo=50, memory=1000)
    assert {config.memory for config in model.configs} == {250}


@pytest.mark.parametrize(("memory", "share"), [(500, 250), (300, 300), (1, 1)])
def test_where_memory_is_short_fewer_tiles_are_searched_together(
    memory: int, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    model = ColourModel()
    generate_tiled(model, street(), tile=400, halo=50, memory=memory)
    assert {config.memory for config in model.configs} == {share}


def test_memory_that_does_not_suffice_for_one_tile_is_refused_with_what_does() -> None:
    with pytest.raises(InputError, match=r"at least (\d+) MiB .* 200 x 200 .* got 100") as refusal:
        generate_tiled(anymask.load(), street(), tile=200, halo=20, memory=100)
    least = re.search(r"(\d+) MiB", str(refusal.value))
    assert least
    generate_tiled(
        anymask.load(),
        street()[:200, :300],
        tile=200,
        halo=20,
        points_per_side=1,
        memory=int(least[1]),
    )


def test_a_picture_of_one_tile_is_one_call() -> None:
    model = ColourModel()
    masks = generate_tiled(model, street()[:200, :300], tile=1024)
    assert model.sizes == [(200, 300)]
    assert masks.size_hw == (200, 300)


@pytest.mark.parametrize("size_hw", [(1, 20_000), (20_000, 1), (1, 1), (64, 65)])
def test_odd_pictures(size_hw: tuple[int, int]) -> None:
    pixels = np.zeros((*size_hw, 3), dtype=np.uint8)
    assert len(generate_tiled(ColourModel(), pixels, tile=64, halo=8)) == 0
    pixels[..., 0] = 255
    masks = generate_tiled(ColourModel(), pixels, tile=64, halo=8)
    assert masks.areas.tolist() == [size_hw[0] * size_hw[1]]


def test_progress_and_errors_come_through() -> None:
    told: list[tuple[int, int]] = []
    generate_tiled(
        ColourModel(), street(), tile=400, halo=50, progress=lambda *done: told.append(done)
    )
    assert told == [(i + 1, 6) for i in range(6)]

    class Broken(ColourModel):
        def generate(self, image: Image, config: GenerateConfig, *, progress: Any = None) -> Masks:
            raise InputError("expected more memory")

    before = threading.active_count()
    with pytest.raises(InputError, match="expected more memory"):
        generate_tiled(Broken(), street(), tile=400, halo=50)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 32}, "tiles of at least 64 pixels"),
        ({"halo": 512}, "less than half of the tile, 512, got 512"),
        ({"points": 3}, "points"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate_tiled(ColourModel(), street(), **options)


def test_a_tiff_file(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", street(), photometric="rgb", compression="zlib")
    masks = generate_tiled(ColourModel(), tmp_path / "a.tif", tile=256, halo=32)
    assert masks.source == str(tmp_path / "a.tif")
    assert [len(masks), masks.size_hw] == [8, (H, W)]


def test_the_bundled_model() -> None:
    y, x = np.mgrid[:300, :520]
    pixels = np.full((300, 520, 3), (90, 140, 90), dtype=np.uint8)
    pixels[(y - 150) ** 2 + (x - 260) ** 2 < 60**2] = (230, 40, 40)  # on the border of two tiles
    masks = generate_tiled(anymask.load(), pixels, tile=320, halo=60, points_per_side=6)
    disc = Masks.from_dense((y - 150) ** 2 + (x - 260) ** 2 < 60**2)
    assert best_iou(masks, disc)[0] > 0.9

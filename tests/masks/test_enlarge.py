"""Enlarging parts of masks gives what enlarging all of them gives."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional

from anymask import geometry
from anymask.image.transform import Transform
from anymask.masks import enlarge, rle
from anymask.masks.enlarge import Enlarger, enlarged_counts

SIZES = [(120, 180), (181, 90), (40, 17), (1, 90), (70, 1), (1, 1), (333, 251), (64, 64)]
KINDS = ["padded", "centred", "multiple of 32", "squashed", "bicubic"]


def transform(kind: str, size_hw: tuple[int, int]) -> Transform:
    if kind == "bicubic":
        return Transform(size_hw, size_hw, size_hw, enlarge="bicubic")
    if kind == "multiple of 32":
        return Transform.fit(size_hw, side=128, pad=32)
    return Transform.fit(size_hw, side=128, centre=kind == "centred", squash=kind == "squashed")


def logits(low_hw: tuple[int, int]) -> torch.Tensor:
    """Draw smooth and rough maps, large and small objects, an empty and a full one."""
    h, w = low_hw
    random = torch.Generator().manual_seed(0)
    y, x = torch.arange(h)[:, None] / h, torch.arange(w)[None] / w
    discs = [
        scale * (radius - torch.hypot(x - cx, y - cy))
        for scale, radius, cx, cy in [(90, 0.1, 0.3, 0.2), (60, 0.3, 0.5, 0.4), (30, 0.4, 0.0, 0.1)]
    ]
    coarse = torch.randn(2, 1, 6, 6, generator=random) * 3
    smooth = functional.interpolate(coarse, (h, w), mode="bicubic")[:, 0]
    rough = torch.randn(2, h, w, generator=random) * 3
    flat = torch.stack([torch.full((h, w), value) for value in (-5.0, 5.0)])
    return torch.cat([torch.stack(discs), smooth, rough, flat])


@pytest.mark.parametrize(("kind", "size_hw"), list(product(KINDS, SIZES)))
def test_a_part_is_like_the_whole(kind: str, size_hw: tuple[int, int]) -> None:
    way = transform(kind, size_hw)
    maps = logits((way.frame_hw[0] // 4 or 1, way.frame_hw[1] // 4 or 1))
    offset = 0.7
    whole = way.masks_to_image(maps)
    stability = geometry.stability_score(whole, 0.0, offset).numpy()
    boxes = geometry.mask_boxes(whole > 0).numpy()
    enlarger = Enlarger(way, (maps.shape[1], maps.shape[2]), offset)
    for i, one in enumerate(maps.numpy()):
        part = enlarger.cut(one)
        region = enlarger.measure(part)
        assert region is not None
        np.testing.assert_allclose(region.stability, stability[i], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(region.box(), boxes[i])
        found = rle.decode(region.counts((0, 0), size_hw), size_hw)
        np.testing.assert_array_equal(found, whole[i] > 0)
        check_bounds(boxes[i], *enlarger.bounds(part))


@pytest.mark.parametrize(("kind", "size_hw"), list(product(KINDS, SIZES)))
def test_run_lengths_of_enlarged_masks(kind: str, size_hw: tuple[int, int]) -> None:
    way = transform(kind, size_hw)
    maps = logits((way.frame_hw[0] // 4 or 1, way.frame_hw[1] // 4 or 1))
    wanted = rle.encode_many((way.masks_to_image(maps) > 0).numpy())
    for _ in range(2):  # the second time the way is known
        found = enlarged_counts(maps.numpy(), way)
        assert [one.tolist() for one in found] == [one.tolist() for one in wanted]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_where_it_is(bad: float) -> None:
    way = Transform.fit((90, 120), side=128)
    maps = np.full((1, 32, 32), -1, np.float32)
    maps[0, 8:16, 8:16] = 1
    (wanted,) = (rle.decode(one, (90, 120)) for one in enlarged_counts(maps, way))
    maps[0, 10, 10] = bad
    (found,) = (rle.decode(one, (90, 120)) for one in enlarged_counts(maps, way))
    rows, columns = np.nonzero(found != wanted)
    assert np.abs(rows - 39).max(initial=0) < 8 and np.abs(columns - 39).max(initial=0) < 8
    assert (found == wanted).all() == (bad == np.inf)


def test_no_maps_give_no_run_lengths() -> None:
    assert enlarged_counts(np.empty((0, 8, 8), np.float32), Transform.fit((9, 9), side=32)) == []


def check_bounds(box: np.ndarray, held: np.ndarray, holding: np.ndarray) -> None:
    if held.any():
        assert (held[:2] >= box[:2]).all() and (held[2:] <= box[2:]).all()
    if box.any():
        assert (holding[:2] <= box[:2]).all() and (holding[2:] >= box[2:]).all()


def test_bounds_are_close() -> None:
    enlarger = Enlarger(Transform.fit((300, 300), side=256), (64, 64), 1.0)
    part = enlarger.cut(logits((64, 64))[1].numpy())
    region = enlarger.measure(part)
    assert region is not None
    for bound in enlarger.bounds(part):
        assert np.abs(bound - region.box()).max() < 2.5 * 300 / 64


def test_an_identity_changes_no_bit() -> None:
    enlarger = Enlarger(Transform((30, 40), (30, 40), (30, 40)), (30, 40), 1.0)
    steps = np.random.default_rng(0).integers(-3, 4, (30, 40)).astype(np.float32)
    region = enlarger.measure(enlarger.cut(steps))
    assert region is not None
    assert region.stability == np.float32((steps > 1).sum()) / np.float32((steps > -1).sum())


def test_a_mask_is_placed_in_a_larger_picture() -> None:
    enlarger = Enlarger(Transform((9, 7), (9, 7), (9, 7)), (9, 7), 1.0)
    region = enlarger.measure(enlarger.cut(np.full((9, 7), 5, np.float32)))
    assert region is not None
    found = rle.decode(region.counts((2, 3), (12, 9)), (12, 9))
    assert found.sum() == 63
    assert found[3:, 2:].all()


def test_what_is_surely_unstable_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    enlarged = []
    original = Enlarger._enlarge

    def counted(self: Enlarger, *arguments: object) -> object:
        values = original(self, *arguments)
        enlarged.append(len(values))
        return values

    monkeypatch.setattr(Enlarger, "_enlarge", counted)
    enlarger = Enlarger(Transform.fit((900, 900), side=256), (64, 64), 1.0)
    part = enlarger.cut(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).numpy())
    assert enlarger.measure(part, least_stability=0.9) is None
    few = sum(enlarged)
    region = enlarger.measure(part, least_stability=0.01)
    assert region is not None and region.stability < 0.9
    assert few < (sum(enlarged) - few) / 2


def test_only_the_rim_is_enlarged() -> None:
    enlarger = Enlarger(Transform.fit((1000, 1000), side=256), (64, 64), 1.0)
    region = enlarger.measure(enlarger.cut(logits((64, 64))[1].numpy()))
    assert region is not None
    pixels = region.inside.size
    assert pixels < 0.35 * 1000 * 1000
    assert region.full.any()
    assert enlarge._TILES_AT_ONCE * region.inside[0].size < 2**21

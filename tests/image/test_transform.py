"""The way into a model's frame and back: recorded numbers of the references, and properties."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from anymask.errors import InputError
from anymask.image.image import Image
from anymask.image.transform import LOGIT, Transform

IMAGENET_MEAN = np.float32([0.485, 0.456, 0.406])
IMAGENET_STD = np.float32([0.229, 0.224, 0.225])

sides = st.one_of(st.integers(1, 40), st.integers(1, 2000), st.sampled_from([1, 30_000]))
sizes = st.tuples(sides, sides)
pads = st.sampled_from(["square", 32, None])


def texture(height: int, width: int, seed: int) -> Image:
    """The integer-only picture that the recorded numbers were made with."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    red = (3 * x + 5 * y + 17 * seed + ((x * y) // 97) % 64) % 256
    green = (((x // 13 + y // 7 + seed) % 2) * 150 + (x * 7 + y * 3) % 101) % 256
    blue = ((x * x + 3 * y * y) // 211 + 29 * seed) % 256
    return Image(np.stack([red, green, blue], axis=-1).astype(np.uint8))


def pseudo_logits(index: int) -> torch.Tensor:
    """The made-up logits that the recorded numbers were made with."""
    rng = np.random.default_rng(zlib.crc32(f"pseudo_embedding:logits{index}".encode()))
    coarse = rng.standard_normal((2, 32, 32)).repeat(8, axis=1).repeat(8, axis=2)
    fine = rng.standard_normal((2, 256, 256))
    return torch.from_numpy((0.8 * coarse + 0.6 * fine).astype(np.float32) * 4)


@pytest.fixture(scope="module")
def recorded(parity_dir: Path) -> dict[str, Any]:
    with np.load(parity_dir / "preprocess" / "pre_and_post.npz") as file:
        return dict(file)


@pytest.mark.parametrize("index", range(10))
def test_sam_preprocessing_equals_the_reference(recorded: dict[str, Any], index: int) -> None:
    about = json.loads(str(recorded["meta"]))["images"][index]
    image = texture(*about["size"], about["texture_seed"])
    transform = Transform.fit(image.size_hw, side=1024)
    resized = transform.resize(image)

    assert transform.resized_hw == tuple(about["resized"])
    assert transform.frame_hw == (1024, 1024)
    assert hashlib.sha256(resized.tobytes()).hexdigest() == about["resized_sha256"]
    for kind, carry in (("points", transform.points_to_frame), ("boxes", transform.boxes_to_frame)):
        original, expected = recorded[f"i{index}_{kind}"], recorded[f"i{index}_{kind}_1024"]
        np.testing.assert_array_equal(carry(original), expected)


@pytest.mark.parametrize("index", [2, 5, 6, 7, 8])
def test_sam_masks_equal_the_reference(recorded: dict[str, Any], index: int) -> None:
    about = json.loads(str(recorded["meta"]))["images"][index]
    masks = Transform.fit(tuple(about["size"]), side=1024).masks_to_image(pseudo_logits(index))

    stride = about["post_stride"]
    expected = recorded[f"i{index}_post_sub"]
    np.testing.assert_allclose(masks[:, ::stride, ::stride], expected, rtol=1e-5, atol=1e-5)
    assert (masks > 0).sum((1, 2)).tolist() == about["post_area"]


@pytest.mark.parametrize("index", range(10))
def test_efficient_sam_points_equal_the_reference(recorded: dict[str, Any], index: int) -> None:
    about = json.loads(str(recorded["meta"]))["images"][index]
    points, expected = (recorded[f"i{index}_efficient_points_{part}"] for part in ("in", "1024"))
    transform = Transform.fit(tuple(about["size"]), side=1024, squash=True)
    real = points.min(axis=1) >= 0  # the network's padding points are not its business

    assert real.any()
    np.testing.assert_allclose(transform.points_to_frame(points)[real], expected[real], rtol=1e-6)


@pytest.mark.parametrize("index", [2, 3, 4, 6, 8])
def test_efficient_sam_pictures_equal_the_reference(recorded: dict[str, Any], index: int) -> None:
    about = json.loads(str(recorded["meta"]))["images"][index]
    image = texture(*about["size"], about["texture_seed"])
    resized = Transform.fit(image.size_hw, side=1024, squash=True).resize(image, "bilinear")

    normalised = (resized / 255 - IMAGENET_MEAN) / IMAGENET_STD
    expected = recorded[f"i{index}_efficient_input_sub"].transpose(1, 2, 0)
    np.testing.assert_allclose(normalised[::61, ::61], expected, atol=1e-5)


@pytest.mark.parametrize("model", ["sam_vit_b", "mobile_sam"])
def test_photos_are_resized_as_by_the_reference(shared_dir: Path, model: str) -> None:
    cases = sorted((shared_dir / "parity" / "cases" / model).glob("*_*x*.npz"))
    assert cases
    for case in cases:
        with np.load(case) as file:
            about = json.loads(str(file["meta"]))
        image = Image.open(shared_dir / "parity" / "images" / about["image"])
        resized = Transform.fit(image.size_hw, side=1024).resize(image)
        assert hashlib.sha256(resized.tobytes()).hexdigest() == about["resized_sha256"]


@pytest.mark.parametrize(
    ("size_hw", "options", "resized_hw", "frame_hw"),
    [
        ((480, 640), {}, (48, 64), (64, 64)),
        ((640, 480), {}, (64, 48), (64, 64)),
        ((1, 1), {}, (64, 64), (64, 64)),
        ((1, 30_000), {}, (1, 64), (64, 64)),
        ((30_000, 1), {"pad": 32}, (64, 1), (64, 32)),
        ((480, 640), {"pad": 32}, (48, 64), (64, 64)),
        ((320, 640), {"pad": 32}, (32, 64), (32, 64)),
        ((480, 640), {"pad": None}, (48, 64), (48, 64)),
        ((480, 640), {"squash": True}, (64, 64), (64, 64)),
    ],
)
def test_fit(
    size_hw: tuple[int, int],
    options: dict[str, Any],
    resized_hw: tuple[int, int],
    frame_hw: tuple[int, int],
) -> None:
    assert Transform.fit(size_hw, side=64, **options) == Transform(size_hw, resized_hw, frame_hw)


@given(sizes, st.integers(1, 2048), pads, st.booleans())
def test_a_frame_holds_its_picture(
    size_hw: tuple[int, int], side: int, pad: Any, squash: bool
) -> None:
    transform = Transform.fit(size_hw, side=side, pad=pad, squash=squash)
    assert max(transform.resized_hw) == side
    assert min(transform.resized_hw) >= 1
    assert all(
        frame >= picture
        for frame, picture in zip(transform.frame_hw, transform.resized_hw, strict=True)
    )


unit = st.floats(0, 1, width=32)


@given(sizes, st.integers(8, 1500), st.lists(st.tuples(unit, unit), min_size=1), st.booleans())
@example((1, 30_000), 1024, [(1.0, 1.0), (0.0, 0.5)], False)
def test_points_and_boxes_come_back(
    size_hw: tuple[int, int], side: int, where: list[tuple[float, float]], as_tensor: bool
) -> None:
    transform = Transform.fit(size_hw, side=side)
    points = np.array(where) * (size_hw[1], size_hw[0])
    boxes = np.concatenate([points, points[::-1]], axis=1)
    limit_xy = np.array(transform.resized_hw[::-1]) + 1e-3
    for values, there, back in (
        (points, transform.points_to_frame, transform.points_to_image),
        (boxes, transform.boxes_to_frame, transform.boxes_to_image),
    ):
        framed: Any = there(torch.from_numpy(values) if as_tensor else values)
        assert isinstance(framed, torch.Tensor) == as_tensor
        inside = np.asarray(framed).reshape(-1, 2)
        assert ((inside >= 0) & (inside <= limit_xy)).all()
        np.testing.assert_allclose(np.asarray(back(framed)), values, rtol=1e-12, atol=1e-9)


def test_float32_stays_float32_and_integers_become_floating() -> None:
    transform = Transform.fit((3, 7), side=64)
    assert transform.points_to_frame(np.float32([[1, 1]])).dtype == np.float32
    assert transform.points_to_frame(torch.tensor([[1, 1]])).dtype == torch.float32
    assert transform.points_to_frame(np.array([[1, 1]]))[0, 1] == pytest.approx(27 / 3)


small = st.tuples(st.integers(1, 90), st.integers(1, 90))


@given(small, st.integers(8, 96), pads, st.booleans())
@example((1, 30_000), 64, "square", False)
@example((30_000, 1), 64, 32, False)
@example((1, 1), 64, "square", False)
def test_full_and_empty_masks_come_back(
    size_hw: tuple[int, int], side: int, pad: Any, squash: bool
) -> None:
    transform = Transform.fit(size_hw, side=side, pad=pad, squash=squash)
    low_hw = -(-transform.frame_hw[0] // 4), -(-transform.frame_hw[1] // 4)
    for full in (True, False):
        logits = transform.masks_to_frame(np.full(size_hw, full), low_hw)
        assert logits.shape == low_hw
        assert logits.dtype == np.float32
        assert np.abs(logits).max() <= LOGIT
        back = transform.masks_to_image(logits) > 0
        assert back.shape == size_hw
        # Where padding lies below and to the right, it blurs into the very corner.
        assert bool((back[0] == full).all() and (back[:, 0] == full).all())
        assert (back == full).mean() > 0.9


@given(st.tuples(st.integers(24, 90), st.integers(24, 90)), pads, st.integers(0, 2**32 - 1))
def test_rough_masks_come_back_roughly(size_hw: tuple[int, int], pad: Any, seed: int) -> None:
    transform = Transform.fit(size_hw, side=128, pad=pad)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    centre, radius = rng.uniform(0, size_hw), rng.uniform(8, 12)
    mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2

    low_hw = transform.frame_hw[0] // 4, transform.frame_hw[1] // 4
    back = transform.masks_to_image(transform.masks_to_frame(mask, low_hw)) > 0
    assert (back & mask).sum() / (back | mask).sum() > 0.8


def test_padding_counts_as_outside() -> None:
    transform = Transform.fit((32, 64), side=64)
    logits = transform.masks_to_frame(np.ones((32, 64), bool), (16, 16))
    assert (logits[:8] == LOGIT).all()
    assert (logits[8:] == -LOGIT).all()


def test_half_covered_cells_are_undecided() -> None:
    mask = np.zeros((64, 64), bool)
    mask[:, :30] = True  # cells of 4 pixels: 7 full ones and a half
    row = Transform.fit((64, 64), side=64).masks_to_frame(mask, (16, 16))[5]
    assert row.tolist() == [LOGIT] * 7 + [0.0] + [-LOGIT] * 8


@pytest.mark.parametrize("leading", [(), (0,), (3,), (2, 3)])
def test_masks_keep_their_leading_axes(leading: tuple[int, ...]) -> None:
    transform = Transform.fit((30, 40), side=64)
    assert transform.masks_to_image(torch.zeros(*leading, 16, 16)).shape == (*leading, 30, 40)


def test_equal_sizes_stay_bit_exact() -> None:
    logits = torch.randn(2, 5, 7)
    logits[0, 0, 0] = torch.inf  # 0 x infinity in an interpolation would be NaN
    assert torch.equal(Transform((5, 7), (5, 7), (5, 7)).masks_to_image(logits), logits)


def test_many_masks_equal_the_single_ones() -> None:
    transform = Transform.fit((33, 47), side=1024)
    logits = torch.randn(40, 16, 16)  # more than one chunk
    together = transform.masks_to_image(logits)
    for index in (0, 15, 16, 39):
        assert torch.equal(together[index], transform.masks_to_image(logits[index]))


@pytest.mark.parametrize("enlarge", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size_hw", [(33, 47), (1, 90), (300, 1), (700, 1100)])
def test_arrays_come_back_as_tensors_do(enlarge: Any, size_hw: tuple[int, int]) -> None:
    if enlarge == "bicubic":
        transform = Transform.fit(size_hw, side=256, squash=True, enlarge="bicubic")
    else:
        transform = Transform.fit(size_hw, side=256, pad=32, centre=True)
    logits = torch.randn(2, transform.frame_hw[0] // 4, transform.frame_hw[1] // 4)
    found = transform.masks_to_image(logits.numpy())
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    wanted = transform.masks_to_image(logits)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6 * float(logits.abs().max()))


def test_half_precision_masks_are_enlarged_in_float32() -> None:
    large = Transform.fit((30, 40), side=64).masks_to_image(torch.randn(16, 16).half())
    assert large.dtype == torch.float32


def test_resized_pictures_may_be_written_to() -> None:
    picture = Transform.fit((2, 3), side=3).resize(Image(np.zeros((2, 3, 3), np.uint8)))
    picture[:] = 1  # torch.from_numpy warns otherwise


@pytest.mark.parametrize("size_hw", [(0, 5), (5, -1), (5.0, 5), (5,), (5, 5, 3)])
def test_impossible_sizes_are_refused(size_hw: Any) -> None:
    for make in (
        lambda: Transform.fit(size_hw, side=64),
        lambda: Transform((4, 4), size_hw, (4, 4)),
    ):
        with pytest.raises(InputError, match=r"size of \(height, width\), whole numbers"):
            make()


def test_other_sizes_are_refused() -> None:
    transform = Transform.fit((2, 3), side=64)
    for how in ("antialias", "bilinear", "opencv"):
        with pytest.raises(InputError, match=r"expected an image of .*\(2, 3\), got \(3, 2\)"):
            transform.resize(Image(np.zeros((3, 2, 3), np.uint8)), how)
    with pytest.raises(InputError, match=r"expected a mask of .*\(2, 3\).*, got \(3, 2\)"):
        transform.masks_to_frame(np.zeros((3, 2), bool), (16, 16))


def test_padding_on_all_sides_moves_points_boxes_and_masks_together() -> None:
    transform = Transform.fit((30, 64), side=64, pad=32, centre=True)
    assert (transform.frame_hw, transform.offset_hw) == ((32, 64), (1, 0))
    transform = Transform.fit((20, 128), side=64, pad=32, centre=True)
    assert (transform.resized_hw, transform.offset_hw) == ((10, 64), (11, 0))

    points = np.array([[0.0, 0.0], [128.0, 20.0]])
    carried = transform.points_to_frame(points)
    np.testing.assert_array_equal(carried, [[0, 11], [64, 21]])
    np.testing.assert_array_equal(transform.points_to_image(carried), points)
    boxes = torch.tensor([[2.0, 4.0, 6.0, 8.0]])
    assert torch.equal(transform.boxes_to_image(transform.boxes_to_frame(boxes)), boxes)

    frame = torch.full((32, 64), -1.0)
    frame[11:21] = 1.0
    assert bool((transform.masks_to_image(frame) == 1).all())
    logits = transform.masks_to_frame(np.ones((20, 128), bool), (32, 64))
    assert bool((logits[11:21] == LOGIT).all())
    assert bool((logits[:11] == -LOGIT).all() and (logits[21:] == -LOGIT).all())


def test_bicubic_masks_come_back_at_once() -> None:
    transform = Transform.fit((30, 50), side=64, squash=True, enlarge="bicubic")
    logits = torch.randn(2, 16, 16)
    expected = torch.nn.functional.interpolate(logits[None], (30, 50), mode="bicubic")[0]
    assert torch.equal(transform.masks_to_image(logits), expected)


def test_opencv_resizes_as_opencv_does() -> None:
    cv2 = pytest.importorskip("cv2")
    image = texture(37, 53, 1)
    transform = Transform.fit(image.size_hw, side=32, pad=32, centre=True)
    expected = cv2.resize(image.pixels, transform.resized_hw[::-1])
    np.testing.assert_array_equal(transform.resize(image, "opencv"), expected)

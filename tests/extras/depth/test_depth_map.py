from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import PIL.Image
import pytest

from anymask.errors import InputError
from anymask.extras.depth import DepthMap
from anymask.extras.depth.exr import read_exr

METRES = np.array([[0.5, 1.25, 2.0], [4.0, 8.0, 0.75]], np.float32)


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(array).save(file, "png")
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def pack(raw: bytes, compression: int) -> bytes:
    """Compress a block as the specification says: halves, differences, then RLE or zlib."""
    if compression == 0:
        return raw
    halves = np.frombuffer(raw[0::2] + raw[1::2], np.uint8).astype(int)
    deltas = (np.diff(halves, prepend=halves[:1] - 128) + 128 + 256) % 256
    deltas[0] = halves[0]
    flat = deltas.astype(np.uint8).tobytes()
    if compression == 1:
        packed, at = b"", 0
        while at < len(flat):
            run = 1
            while run < 127 and flat[at : at + 1] * (run + 1) == flat[at : at + run + 1]:
                run += 1
            packed += struct.pack("b", run - 1) + flat[at : at + 1] if run > 1 else b""
            if run == 1:
                packed += struct.pack("b", -1) + flat[at : at + 1]
            at += run
    else:
        packed = zlib.compress(flat)
    return packed if len(packed) < len(raw) else raw


def exr(channels: dict[str, np.ndarray], compression: int, flags: int = 2) -> bytes:
    """Write a file of scan lines."""
    h, w = next(iter(channels.values())).shape
    kinds = {"uint32": 0, "float16": 1, "float32": 2}
    ordered = sorted(channels.items())
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iIii", kinds[str(a.dtype)], 0, 1, 1)
        for name, a in ordered
    )
    window = struct.pack("<4i", 3, 5, 3 + w - 1, 5 + h - 1)
    header = b""
    for name, kind, value in [
        ("channels", "chlist", listed + b"\0"),
        ("compression", "compression", bytes([compression])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
    ]:
        header += name.encode() + b"\0" + kind.encode() + b"\0"
        header += struct.pack("<i", len(value)) + value
    start = b"\x76\x2f\x31\x01" + struct.pack("<I", flags) + header + b"\0"
    lines = 16 if compression == 3 else 1
    blocks = []
    for y in range(0, h, lines):
        raw = b"".join(
            np.ascontiguousarray(a[row]).tobytes()
            for row in range(y, min(y + lines, h))
            for _, a in ordered
        )
        packed = pack(raw, compression)
        blocks.append(struct.pack("<ii", 5 + y, len(packed)) + packed)
    at = len(start) + 8 * len(blocks)
    offsets = b""
    for block in blocks:
        offsets += struct.pack("<Q", at)
        at += len(block)
    return start + offsets + b"".join(blocks)


@pytest.mark.parametrize("compression", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_exr_of_every_compression_that_is_read(compression, dtype) -> None:
    z = np.round(np.linspace(1, 9, 37 * 21).reshape(37, 21)).astype(dtype)
    colours = {name: np.zeros((37, 21), np.float16) for name in "RGB"}
    content = exr({**colours, "Z": z}, compression)
    assert np.array_equal(read_exr(content, "it"), z.astype(np.float32))
    assert DepthMap.open(content).kind == "metric"
    assert np.array_equal(read_exr(exr({"layer.depth.Y": z}, compression), "it"), z)


def test_exr_that_is_not_read_says_so() -> None:
    z = np.ones((4, 4), np.float32)
    with pytest.raises(InputError, match="compressed by PIZ; save"):
        read_exr(exr({"Z": z}, 4), "it")
    with pytest.raises(InputError, match="tiles"):
        read_exr(exr({"Z": z}, 0, flags=2 | 0x200), "it")
    with pytest.raises(InputError, match="channel Z in it, got U, W"):
        read_exr(exr({"U": z, "W": z}, 0), "it")
    whole = exr({"Z": z}, 3)
    for cut in (len(whole) - 3, 150, 60, 9, 5):
        with pytest.raises(InputError, match="damaged or cut off"):
            read_exr(whole[:cut], "it")


def test_files_of_every_kind_give_the_same_metres(tmp_path) -> None:
    millimetres = (METRES * 1000).astype(np.uint16)
    PIL.Image.fromarray(METRES).save(tmp_path / "float.tiff")
    np.savez(tmp_path / "named.npz", depth=METRES, other=METRES)
    sources = [METRES, METRES[..., None], millimetres, npy(METRES), png(millimetres)]
    sources += [exr({"Z": METRES}, 3), tmp_path / "float.tiff", tmp_path / "named.npz"]
    sources += [io.BytesIO(npy(METRES.astype(np.float64)))]
    for source in sources:
        depth = DepthMap.open(source)
        assert (depth.kind, depth.coarse) == ("metric", False)
        np.testing.assert_allclose(depth.values, METRES, rtol=1e-6)
    assert DepthMap.open(tmp_path / "float.tiff").source == str(tmp_path / "float.tiff")
    fifth = DepthMap.open(png(millimetres), scale=5000)
    np.testing.assert_allclose(fifth.values, METRES / 5, rtol=1e-6)


def test_tiff_of_16_bits_by_tifffile(tmp_path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "d.tif", (METRES * 1000).astype(np.uint16))
    np.testing.assert_allclose(DepthMap.open(tmp_path / "d.tif").values, METRES, rtol=1e-6)
    tifffile.imwrite(tmp_path / "h.tif", METRES.astype(np.float64))
    np.testing.assert_allclose(DepthMap.open(tmp_path / "h.tif").values, METRES, rtol=1e-6)


def test_zero_is_unknown_in_metres_and_a_value_in_relative_depth() -> None:
    values = np.array([[0, 1000], [2000, 3000]], np.uint16)
    assert np.isnan(DepthMap.open(values).values[0, 0])
    relative = DepthMap.open(values, kind="relative")
    assert relative.values.tolist() == [[0, 1000], [2000, 3000]]
    assert relative.inverse is relative.values
    gaps = DepthMap.open(np.array([[np.nan, np.inf], [1.0, 2.0]]))
    assert gaps.known.tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("shape", ["grey", "rgb", "rgba"])
def test_eight_bits_are_taken_and_said(shape) -> None:
    grey = np.array([[0, 128], [200, 255]], np.uint8)
    pixels = grey if shape == "grey" else np.dstack([grey] * 3)
    if shape == "rgba":
        pixels = np.dstack([pixels, np.full((2, 2), 255, np.uint8)])
    with pytest.warns(UserWarning, match="8 bits, 256 steps of depth, taken as relative"):
        depth = DepthMap.open(png(pixels))
    assert (depth.kind, depth.coarse) == ("relative", True)
    assert depth.values.tolist() == [[0, 128], [200, 255]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((2, 2), np.nan), "NaN or infinity everywhere"),
        (np.zeros((2, 2), np.uint16), "NaN or infinity everywhere"),
        (np.full((2, 2), 3.0), "got 3 everywhere"),
        (np.array([[1.0, -2.0]]), "0 or more, but .* has -2"),
        (np.zeros((2, 2, 2)), r"shape \(h, w\)"),
        (np.zeros((0, 2)), r"shape \(h, w\)"),
        (np.array([["a"]]), r"shape \(h, w\)"),
        (np.arange(12, dtype=np.uint8).reshape(2, 2, 3), "has colours"),
    ],
)
def test_bad_depth_is_one_sentence(values, words) -> None:
    with pytest.raises(InputError, match=words), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DepthMap.open(values)


def test_bad_files_and_arguments(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(png((METRES * 1000).astype(np.uint16))[:40])
    (tmp_path / "b.npy").write_bytes(npy(METRES)[:-5])
    (tmp_path / "c.txt").write_text("no depth")
    np.savez(tmp_path / "d.npz", one=METRES, two=METRES)
    for name in ("a.png", "b.npy", "c.txt", "d.npz", "none.png"):
        with pytest.raises(InputError):
            DepthMap.open(tmp_path / name)
    with pytest.raises(InputError, match="scale above 0"):
        DepthMap.open(METRES, scale=0)
    with pytest.raises(InputError, match="relative one; leave it out"):
        DepthMap.open(METRES, kind="relative", scale=10)
    with pytest.raises(InputError, match="relative or metric"):
        DepthMap(METRES, "inverse")
    with pytest.raises(InputError, match="above 0 m"):
        DepthMap(METRES - 1, "metric")
    with pytest.raises(InputError, match="within the depth"):
        DepthMap(METRES, "metric").at(3, 0)


def test_resizing_keeps_gaps_and_says_sizes() -> None:
    values = METRES.copy()
    values[0, 0] = np.nan
    large = DepthMap(values, "metric").resized((8, 12))
    assert np.isnan(large.values).sum() == 16
    assert large.size_hw == (8, 12)
    file = io.BytesIO()
    large.save(file)
    assert np.array_equal(DepthMap.open(file.getvalue()).values, large.values, equal_nan=True)
    assert DepthMap(METRES, "metric").at(1.4, 0.6) == 8

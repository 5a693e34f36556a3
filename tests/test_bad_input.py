"""Bad input of every kind: one sentence, a non-zero exit, no traceback, no half-written file."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

import anymask
from anymask.cli import main
from anymask.models.variants import find
from anymask.models.weights import build

SOURCE = Path(__file__).resolve().parents[1] / "src"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled network with random weights: what is refused does not depend on their values."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_file(build(find("bundled")).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def model(weights: Path) -> anymask.Segmenter:
    """The model of these weights, in this process; nothing that is refused changes it."""
    return anymask.load(weights, device="cpu")


@pytest.fixture
def scene(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with good and bad files, made the working folder."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save("good.png")
    PIL.Image.fromarray(noise).save("good.jpg")
    for suffix in ("webp", "tif", "gif", "bmp", "ppm", "jp2"):
        PIL.Image.fromarray(noise).save(f"good.{suffix}")
        whole = Path(f"good.{suffix}").read_bytes()
        Path(f"truncated.{suffix}").write_bytes(whole[: len(whole) // 2])
    PIL.Image.fromarray(np.full((30, 40), np.nan, np.float32)).save("nan.tif")
    Path("pointer.jpg").write_text("version https://git-lfs.github.com/spec/v1\n")
    PIL.Image.fromarray(noise[:1, :1]).save("pixel.png")
    PIL.Image.fromarray(noise[:9, :9, 0] // 200 * 255).save("small-mask.png")
    PIL.Image.new("L", (40, 30)).save("dark-mask.png")
    Path("truncated.jpg").write_bytes(Path("good.jpg").read_bytes()[:600])
    Path("truncated.png").write_bytes(Path("good.png").read_bytes()[:600])
    Path("empty.jpg").write_bytes(b"")
    Path("text.jpg").write_text("Dear diary, today I became a picture.\n" * 9)
    Path("page.jpg").write_text("<!doctype html><title>404</title>")
    Path("bomb.png").write_bytes(bomb(60_000))
    Path("folder.jpg").mkdir()
    Path("weights.safetensors").symlink_to(weights)
    Path("half.safetensors").write_bytes(weights.read_bytes()[:100_000])
    save_file({"layer": torch.zeros(3)}, "foreign.safetensors")
    torch.save({"layer": torch.zeros(3)}, "foreign.pth")
    torch.save({"call": Call()}, "hostile.pth")
    Path("pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\n")
    Path("file").write_text("in the way")
    monkeypatch.setenv("ANYMASK_CACHE", str(tmp_path / "cache"))
    return tmp_path


def bomb(side: int) -> bytes:
    """Write a PNG of a few bytes that claims to be very large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


class Call:
    """What a hostile pickle does when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("hacked"),)


CLICK = ["--point", "5,5"]
NOWHERE = "http://nowhere.invalid/weights.pth"

# name, words after "anymask segment", what the sentence must say
TABLE = [
    ("missing", ["missing.jpg", *CLICK], "'missing.jpg' does not exist"),
    ("empty file", ["empty.jpg", *CLICK], "0 bytes"),
    ("truncated JPEG", ["truncated.jpg", *CLICK], "damaged or cut off"),
    ("truncated PNG", ["truncated.png", *CLICK], "damaged or cut off"),
    ("truncated WebP", ["truncated.webp", *CLICK], "damaged or cut off"),
    ("truncated TIFF", ["truncated.tif", *CLICK], "damaged or cut off"),
    ("truncated GIF", ["truncated.gif", *CLICK], "damaged or cut off"),
    ("truncated BMP", ["truncated.bmp", *CLICK], "damaged or cut off"),
    ("truncated PPM", ["truncated.ppm", *CLICK], "damaged or cut off"),
    ("truncated JPEG 2000", ["truncated.jp2", *CLICK], "damaged or cut off"),
    ("NaN in a TIFF", ["nan.tif", *CLICK], "NaN or infinity"),
    ("a pointer", ["pointer.jpg", *CLICK], "git lfs pull"),
    ("a folder's image", ["folder.jpg/a.jpg", *CLICK], "'folder.jpg/a.jpg'"),
    ("below a file", ["file/a.jpg", *CLICK], "'file/a.jpg'"),
    ("text", ["text.jpg", *CLICK], "expected an image"),
    ("web page", ["page.jpg", *CLICK], "web page"),
    ("bomb", ["bomb.png", *CLICK], "60000 x 60000"),
    ("empty folder", ["folder.jpg", *CLICK], "leads to none"),
    ("address", ["https://example.com/a.jpg?b", *CLICK], "download it"),
    ("no picture", [*CLICK], "at least one image or folder"),
    ("all of one", ["good.png", "--all"], "expected a prompt for --all"),
    ("only beside", ["good.png", "--not", "5,5"], "expected --point, --box, --mask or --text"),
    ("NaN", ["good.png", "--point", "nan,5"], "NaN or infinity"),
    ("infinite", ["good.png", "--point", "5,inf"], "NaN or infinity"),
    ("huge", ["good.png", "--point", "5,1e999"], "NaN or infinity"),
    ("outside", ["good.png", "--point", "41,5"], "inside the 40 x 30 image"),
    ("negative", ["good.png", "--point=-1,5"], "inside the 40 x 30 image"),
    ("beside outside", ["good.png", *CLICK, "--not", "5,31"], "got point 2"),
    ("semicolon", ["good.png", "--point", "5;5"], "expected --point X,Y like 500,375, got '5;5'"),
    ("three numbers", ["good.png", "--point", "5,5,5"], "expected --point X,Y like 500,375"),
    ("words", ["good.png", "--point", "left,top"], "expected --point X,Y like 500,375"),
    ("box of two", ["good.png", "--box", "1,2"], "expected --box X0,Y0,X1,Y1 like"),
    ("box without area", ["good.png", "--box", "5,5,5,9"], "with an area"),
    ("box swapped", ["good.png", "--box", "9,9,5,5"], "swap its corners"),
    ("box outside", ["good.png", "--box", "50,0,60,9"], "touches the 40 x 30 image"),
    ("box NaN", ["good.png", "--box", "nan,0,6,9"], "NaN or infinity"),
    ("mask of another size", ["good.png", "--mask", "small-mask.png"], "(30, 40)"),
    ("dark mask", ["good.png", "--mask", "dark-mask.png"], "dark everywhere"),
    ("mask missing", ["good.png", "--mask", "missing.png"], "does not exist"),
    ("mask no picture", ["good.png", "--mask", "text.jpg"], "expected an image"),
    ("unknown model", ["good.png", *CLICK, "--model", "sam-vit-bb"], "try sam-vit-b"),
    ("weights missing", ["good.png", *CLICK, "--model", "no/model.pth"], "no/model.pth"),
    ("weights cut off", ["good.png", *CLICK, "--model", "half.safetensors"], "half.safetensors"),
    ("weights foreign", ["good.png", *CLICK, "--model", "foreign.safetensors"], "no network"),
    ("weights foreign .pth", ["good.png", *CLICK, "--model", "foreign.pth"], "no network"),
    ("weights hostile", ["good.png", *CLICK, "--model", "hostile.pth"], "could run code"),
    ("weights a picture", ["good.png", *CLICK, "--model", "good.png"], "neither"),
    ("weights a folder", ["good.png", *CLICK, "--model", "folder.jpg"], "folder.jpg"),
    ("weights a pointer", ["good.png", *CLICK, "--model", "pointer.pth"], "run: git lfs pull"),
    ("weights a page", ["good.png", *CLICK, "--model", "page.jpg"], "got a web page"),
    ("weights empty", ["good.png", *CLICK, "--model", "empty.jpg"], "got an empty one"),
    ("weights offline", ["good.png", *CLICK, "--model", "sam-vit-b", "--offline"], "switched off"),
    ("weights out of reach", ["good.png", *CLICK, "--model", NOWHERE], "no connection"),
    ("weights on no hub", ["good.png", *CLICK, "--model", "a/b", "--offline"], "nothing here"),
    ("unknown device", ["good.png", *CLICK, "--device", "gpu"], "expected a device"),
    ("output is a file", ["good.png", *CLICK, "-o", "file"], "cannot make the folder 'file'"),
    ("output below a file", ["good.png", *CLICK, "-o", "file/out"], "cannot make the folder"),
]


def files_below(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("words", "sentence"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_command_line(
    scene: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    before = files_below(scene)
    model = [] if "--model" in words else ["--model", "weights.safetensors"]
    output = [] if "-o" in words else ["-o", "out"]
    code = main(["segment", *words, *model, *output])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("anymask: error: ")
    assert captured.err.count("\n") == 1, captured.err
    assert sentence in captured.err
    after = files_below(scene)
    after.pop("out/anymask-run.json", None)  # what was asked, once that much was in order
    assert after == before


def test_one_pixel_is_a_picture(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--model", "weights.safetensors"]
    assert main(["segment", "pixel.png", "--point", "0,0", *model, "-o", "a"]) == 0
    assert main(["everything", "pixel.png", "--points-per-side", "1", *model, "-o", "b"]) == 0
    assert anymask.read("a/pixel.json").size_hw == (1, 1)
    assert anymask.read("b/pixel.json").size_hw == (1, 1)


def closed_file() -> io.BytesIO:
    file = io.BytesIO()
    file.close()
    return file


def closed_pillow_image() -> PIL.Image.Image:
    file = io.BytesIO()
    PIL.Image.new("RGB", (40, 30)).save(file, "PNG")
    with PIL.Image.open(file) as image:
        return image


PICTURE = np.zeros((30, 40, 3), dtype=np.uint8)

LIBRARY: list[tuple[str, Callable[[anymask.Segmenter], object], str]] = [
    ("label 2", lambda m: m.predict(PICTURE, points=[(5, 5)], labels=[2]), "1 .*or 0 .*got 2"),
    ("label -1", lambda m: m.predict(PICTURE, points=[(5, 5)], labels=[-1]), "got -1"),
    (
        "labels short",
        lambda m: m.predict(PICTURE, points=[(5, 5), (6, 6)], labels=[1]),
        "one label",
    ),
    ("points 3-D", lambda m: m.predict(PICTURE, points=[[[5, 5]]]), "shape"),
    ("points of 3", lambda m: m.predict(PICTURE, points=[(1, 2, 3)]), r"\(n, 2\)"),
    ("NaN", lambda m: m.predict(PICTURE, points=[(float("nan"), 1)]), "NaN"),
    ("empty", lambda m: m.predict(PICTURE), "empty prompt"),
    ("no points", lambda m: m.predict(PICTURE, points=[]), "empty prompt"),
    ("no Prompt", lambda m: m.predict(PICTURE, prompts=anymask.Prompt()), "empty prompt"),
    ("mask shape", lambda m: m.predict(PICTURE, mask=np.ones((3, 4), bool)), "expected a mask"),
    ("mask 3-D", lambda m: m.predict(PICTURE, mask=np.ones((2, 30, 40), bool)), r"\(h, w\)"),
    ("logits", lambda m: m.predict(PICTURE, mask_logits=np.ones((3, 4), "f4")), "mask_logits"),
    ("no image", lambda m: m.embed(object()), "expected an image"),  # type: ignore[call-overload]
    ("flat", lambda m: m.embed(np.zeros(9)), "shape"),
    ("NaN image", lambda m: m.embed(np.full((9, 9), np.nan)), "NaN"),
    ("no pixels", lambda m: m.embed(np.zeros((0, 9, 3), "u1")), "pixel|shape|empty"),
    ("object array", lambda m: m.embed(np.array([[None]])), "got object"),
    ("complex", lambda m: m.embed(np.ones((9, 9), complex)), "got complex128"),
    ("times", lambda m: m.embed(np.zeros((9, 9), "M8[s]")), "datetime64"),
    ("channels first", lambda m: m.embed(np.zeros((3, 30, 40))), r"transpose\(1, 2, 0\)"),
    ("many bands", lambda m: m.embed(np.zeros((30, 40, 9))), r"array\[..., :3\]"),
    ("no bytes", lambda m: m.embed(b""), "0 bytes"),
    ("closed file", lambda m: m.embed(closed_file()), "is closed"),
    ("text file", lambda m: m.embed(io.StringIO("a")), "one for text"),  # type: ignore[call-overload]
    ("closed Pillow image", lambda m: m.embed(closed_pillow_image()), "is closed"),
    ("address", lambda m: m.embed("ftp://example.com/a.jpg"), "download it"),
    ("data address", lambda m: m.embed("data:image/png;base64," + "A" * 9999), r"\.\.\.AAA.*bytes"),
    ("folder", lambda m: m.embed("."), "is a folder"),
    ("unknown setting", lambda m: m.generate(PICTURE, points=4), "points_per_side"),
    ("no grid", lambda m: m.generate(PICTURE, points_per_side=0), "point"),
]


@pytest.mark.parametrize(
    ("call", "sentence"), [r[1:] for r in LIBRARY], ids=[r[0] for r in LIBRARY]
)
def test_library(
    model: anymask.Segmenter, call: Callable[[anymask.Segmenter], object], sentence: str
) -> None:
    with pytest.raises(anymask.InputError, match=sentence) as caught:
        call(model)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def run_limited(
    scene: Path, words: list[str], largest_file: int
) -> subprocess.CompletedProcess[str]:
    """Run the command line where no file may grow beyond a size, as on a disk that is full."""
    limit = (largest_file, largest_file)
    return subprocess.run(
        [sys.executable, "-m", "anymask", *words],
        cwd=scene,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )


@pytest.mark.parametrize("largest_file", [0, 1000])
def test_full_disk(scene: Path, largest_file: int) -> None:
    words = ["segment", "good.png", *CLICK, "--model", "weights.safetensors", "-o", "out"]
    result = run_limited(scene, words, largest_file)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("anymask: error: cannot write ")
    assert result.stderr.count("\n") == 1
    kept = set(files_below(scene / "out"))
    assert kept <= {"anymask-run.json"}


def test_a_fresh_process_ends_the_same_way(scene: Path) -> None:
    words = ["segment", "empty.jpg", *CLICK, "--model", "weights.safetensors", "-o", "out"]
    result = run_limited(scene, words, resource.RLIM_INFINITY)
    assert result.returncode == 2
    assert result.stderr.startswith("anymask: error: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "view",
    [
        PICTURE[::-1, ::-1],
        PICTURE[..., ::-1],
        np.asfortranarray(PICTURE),
        np.broadcast_to(np.uint8(7), (30, 40, 3)),
        np.zeros((60, 80, 3), ">f8")[::2, ::-2],
        np.ones((30, 40), bool),
    ],
    ids=["turned", "BGR", "columns", "broadcast", "strides", "bool"],
)
def test_arrays_of_every_layout_are_images(model: anymask.Segmenter, view: np.ndarray) -> None:
    assert model.embed(view).size_hw == (30, 40)

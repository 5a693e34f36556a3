"""Measure what it costs to write what people look at: overlays and cut-outs of a large photo.

    python benchmarks/overlays.py                    # 24 megapixels, a minute or two
    python benchmarks/overlays.py --megapixels 12

The photo of the documentation is enlarged, with the noise of a camera on top, and a click on it is
drawn and cut out. Each way to write the two takes turns with the others on one thread, where
processor time counts; then `anymask segment` as a whole. Prints Markdown.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import cv2
import numpy as np
import PIL.Image
import tyro
from measure import alternate, machine, table

import anymask
import anymask.image.png
from anymask.cli import main as anymask_command
from anymask.image.png import encode_png, write_png

PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "coffee.jpg"
CLICK = (0.61, 0.68)  # on the cup, as shares of width and height
PLAIN = "Pillow, as usual"


@dataclass(frozen=True)
class Options:
    """What to run."""

    megapixels: float = 24
    """Size of the photo."""
    repeats: int = 3
    """How often to write each."""


def main(options: Options) -> None:
    """Measure and print."""
    photo = large_photo(options.megapixels)
    point = (photo.width * CLICK[0], photo.height * CLICK[1])
    masks = anymask.load("bundled", "cpu").predict(photo, points=[point]).best()
    print(f"{machine()}; {photo.width} x {photo.height} pixels; {masks}")
    drawn = {"overlay": masks.draw(photo), "cut-out": masks.cutout(photo)}
    for name, picture in drawn.items():
        print(f"\n## {name.capitalize()}\n")
        calls = ways(picture)
        timings = alternate(calls, options.repeats, threads=1, warm=0)
        print(table(timings, PLAIN))
        print("\n" + ", ".join(f"{way}: {call() / 1e6:.1f} MB" for way, call in calls.items()))
    whole(photo, point, options.repeats)


def large_photo(megapixels: float) -> PIL.Image.Image:
    """Enlarge the photo of the documentation, and add the noise of a camera."""
    photo = PIL.Image.open(PHOTO).convert("RGB")
    scale = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
    size = round(photo.width * scale), round(photo.height * scale)
    pixels = np.asarray(photo.resize(size, PIL.Image.Resampling.BICUBIC)).astype(np.float32)
    pixels += np.random.default_rng(0).normal(0, 3, pixels.shape).astype(np.float32)
    return PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def ways(picture: PIL.Image.Image) -> dict[str, Callable[[], int]]:
    """List ways to write a picture; each gives the number of bytes."""

    def save(**how: object) -> Callable[[], int]:
        def run() -> int:
            file = io.BytesIO()
            picture.save(file, **how)
            return file.tell()

        return run

    def ours() -> int:
        return len(encode_png(picture))

    def opencv() -> int:
        return len(cv2.imencode(".png", np.asarray(picture)[..., ::-1])[1])

    found = {
        PLAIN: save(format="PNG"),
        "Pillow, level 1": save(format="PNG", compress_level=1),
        "Pillow, Huffman codes only": save(format="PNG", compress_type=2),
        "Pillow, runs": save(format="PNG", compress_type=3),
        "OpenCV, as usual": opencv,
        "anymask": ours,
    }
    if picture.mode == "RGB":
        found["JPEG, quality 95"] = save(format="JPEG", quality=95, subsampling=0)
    return found


def whole(photo: PIL.Image.Image, point: tuple[float, float], repeats: int) -> None:
    """Time the command, and the same with Pillow's usual encoder."""
    print("\n## `anymask segment`, from file to files\n")
    usual, ours = "Pillow's encoder", "anymask's"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photo.jpg"
        photo.save(source, quality=95)
        words = ["segment", str(source), "--point", f"{point[0]},{point[1]}", "--quiet"]

        def run(encode: Callable[..., None]) -> None:
            anymask.image.png.write_png = encode
            assert anymask_command([*words, "-o", str(Path(folder) / "out"), "--overwrite"]) == 0

        plainly: Callable[..., None] = lambda picture, file: picture.save(file, "PNG")  # noqa: E731
        calls = {usual: lambda: run(plainly), ours: lambda: run(write_png)}
        print(table(alternate(calls, repeats, threads=2, warm=1), usual))


if __name__ == "__main__":
    main(tyro.cli(Options))

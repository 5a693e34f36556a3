"""Measure the memory that the import of a large COCO file needs: it is read image by image.

    python benchmarks/label_import.py                  # 1 GB of outlines
    python benchmarks/label_import.py --megabytes 100

Beside it, with --beside, the memory of reading the same file at once, which needs several times its
size.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from anymask import Image
from anymask.formats import coco
from anymask.label import Store, import_masks

IMAGES, SIZE_HW = 500, (480, 640)


def write(path: Path, size: int) -> int:
    """Write a file of so many bytes, and give the number of its annotations."""
    h, w = SIZE_HW
    rng = np.random.default_rng(0)
    images = [
        {"id": i, "file_name": f"{i}.png", "width": w, "height": h} for i in range(1, IMAGES + 1)
    ]
    number = 0
    with path.open("w") as file:
        file.write(f'{{"images": {json.dumps(images)}, "categories": [{{"id": 1, "name": "x"}}], ')
        file.write('"annotations": [')
        while file.tell() < size:
            number += 1
            angles = np.linspace(0, 2 * np.pi, 700, endpoint=False)
            radii = 60 + 10 * np.sin(angles * rng.integers(3, 20))
            center = rng.uniform(80, 400, 2)
            outline = center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
            entry = {
                "id": number,
                "image_id": 1 + number % IMAGES,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": [outline.ravel().tolist()],
            }
            file.write(("," if number > 1 else "") + json.dumps(entry))
        file.write("]}")
    return number


def measured(work: Callable[..., object], *values: object) -> None:
    """Do something in a process of its own, and print its time and its largest memory."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_measure, args=(answers, work, values))
    process.start()
    seconds, before, peak, said = answers.get()
    process.join()
    memory = f"{peak / 1e6:7.2f} GB ({before / 1e6:.2f} before)"
    print(f"{work.__name__:12} {seconds:7.1f} s, {memory}: {said}", flush=True)


def _measure(answers: object, work: Callable[..., object], values: tuple[object, ...]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    said = work(*values)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers.put((time.perf_counter() - begin, before, peak, str(said)))  # type: ignore[attr-defined]


def each_image(folder: Path, path: Path) -> str:
    with Store.open(folder) as store:
        done = import_masks(store, path)
    return f"{done.masks:,d} masks of {done.images:,d} images"


def at_once(folder: Path, path: Path) -> str:
    return f"{sum(map(len, coco.read_all(path))):,d} masks, read only"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--beside", action="store_true", help="read the file at once, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        for number in range(1, IMAGES + 1):
            pixels = np.zeros((*SIZE_HW, 3), np.uint8)
            pixels[0, :2] = number >> 8, number & 255, 0
            Image.open(pixels).save(folder / f"{number}.png")
        with Store.init(folder) as store:
            store.add(folder)
        path = Path(name) / "masks.json"
        number = write(path, options.megabytes * 1_000_000)
        print(
            f"{path.stat().st_size / 1e9:.2f} GB, {number:,d} annotations of {IMAGES:,d} images",
            flush=True,
        )
        measured(each_image, folder, path)
        if options.beside:
            measured(at_once, folder, path)


if __name__ == "__main__":
    main()

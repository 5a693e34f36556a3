"""Measure the memory that the import of a large file needs: it is read image by image.

    python benchmarks/label_import.py                  # 1 GB of outlines as COCO
    python benchmarks/label_import.py --megabytes 100 --format cvat
    python benchmarks/label_import.py --megabytes 100 --format labelstudio

Beside it, with --beside (COCO only), the memory of reading the same file at once, which needs
several times its size.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from anymask import Image
from anymask.formats import coco, coco_stream, cvat, labelstudio
from anymask.label import Store, import_masks

IMAGES, SIZE_HW = 500, (480, 640)


def outlines(place: int) -> Iterator[npt.NDArray[np.float64]]:
    """Give outlines without end, (700, 2)."""
    rng = np.random.default_rng(place)
    angles = np.linspace(0, 2 * np.pi, 700, endpoint=False)
    while True:
        radii = 60 + 10 * np.sin(angles * rng.integers(3, 20))
        center = rng.uniform(80, 400, 2)
        yield center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)


def write_coco(file: IO[str], size: int) -> int:
    """Write so many characters, and give the number of annotations."""
    h, w = SIZE_HW
    images = [
        {"id": i, "file_name": f"{i}.png", "width": w, "height": h} for i in range(1, IMAGES + 1)
    ]
    file.write(f'{{"images": {json.dumps(images)}, "categories": [{{"id": 1, "name": "x"}}], ')
    file.write('"annotations": [')
    some = outlines(0)
    number = 0
    while file.tell() < size:
        number += 1
        entry = {
            "id": number,
            "image_id": 1 + number % IMAGES,
            "category_id": 1,
            "iscrowd": 0,
            "segmentation": [next(some).ravel().tolist()],
        }
        file.write(("," if number > 1 else "") + json.dumps(entry))
    file.write("]}")
    return number


def write_cvat(file: IO[str], size: int) -> int:
    """Write the same as CVAT for images 1.1."""
    h, w = SIZE_HW
    file.write('<?xml version="1.0"?>\n<annotations><version>1.1</version>\n')
    number = 0
    for i in range(1, IMAGES + 1):
        file.write(f'<image id="{i}" name="{i}.png" width="{w}" height="{h}">\n')
        some = outlines(i)
        while file.tell() < size * i / IMAGES:
            number += 1
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in next(some).tolist())
            file.write(f'<polygon label="x" occluded="0" points="{points}" z_order="0"/>\n')
        file.write("</image>\n")
    file.write("</annotations>")
    return number


def write_labelstudio(file: IO[str], size: int) -> int:
    """Write the same as tasks of Label Studio."""
    h, w = SIZE_HW
    file.write("[")
    number = 0
    for i in range(1, IMAGES + 1):
        some, results, held = outlines(i), [], 0
        while file.tell() + held < size * i / IMAGES:
            number += 1
            points = (next(some) * (100 / w, 100 / h)).tolist()
            said = json.dumps(
                {
                    "id": f"r{number}",
                    "type": "polygonlabels",
                    "from_name": "label",
                    "to_name": "image",
                    "original_width": w,
                    "original_height": h,
                    "value": {"points": points, "polygonlabels": ["x"], "closed": True},
                }
            )
            results.append(said)
            held += len(said)
        task = f'{{"id": {i}, "data": {{"image": "{i}.png"}}, "annotations": [{{"result": ['
        file.write(("," if i > 1 else "") + task + ",".join(results) + "]}]}")
    file.write("]")
    return number


WRITERS = {
    "coco": (write_coco, ".json"),
    "cvat": (write_cvat, ".xml"),
    "labelstudio": (write_labelstudio, ".json"),
}


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


def reading(path: Path, format: str) -> str:
    readers = {
        "coco": coco_stream.read_each,
        "cvat": cvat.read_all,
        "labelstudio": labelstudio.read_all,
    }
    return f"{sum(map(len, readers[format](path))):,d} masks, read only"


def at_once(folder: Path, path: Path) -> str:
    return f"{sum(map(len, coco.read_all(path))):,d} masks, read only"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--format", choices=list(WRITERS), default="coco")
    parser.add_argument("--reading", action="store_true", help="read the file, import nothing")
    parser.add_argument("--beside", action="store_true", help="read the file at once, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        for number in range(1, IMAGES + 1):
            pixels = np.zeros((*SIZE_HW, 3), np.uint8)
            pixels[0, :2] = number >> 8, number & 255, 0
            Image.open(pixels).save(folder / f"{number}.png")
        if not options.reading:
            with Store.init(folder) as store:
                store.add(folder)
        write, suffix = WRITERS[options.format]
        path = Path(name) / f"masks{suffix}"
        with path.open("w") as file:
            number = write(file, options.megabytes * 1_000_000)
        print(
            f"{path.stat().st_size / 1e9:.2f} GB, {number:,d} outlines of {IMAGES:,d} images",
            flush=True,
        )
        if options.reading:
            measured(reading, path, options.format)
        else:
            measured(each_image, folder, path)
        if options.beside:
            measured(at_once, folder, path)


if __name__ == "__main__":
    main()

"""How well is the main subject of an image found, beside simpler ways, and what does it cost?

    python benchmarks/subject.py ../shared/data  # 24 images a set
    python benchmarks/subject.py ../shared/data --images 999 # all that qualify
    python benchmarks/subject.py ../shared/data --split train  # what settings were chosen on
    python benchmarks/subject.py --seconds docs/pictures/coffee.jpg

An image qualifies if one of its masks covers 3 to 80 % of it and holds all of the others (19 of 20
pixels): a thing alone, or a person beside the parts of the clothes. What else is there may not be
labelled: of the persons of COCO one each is, whoever else is in the photo; so that set says more of
the labels than of the ways, and is kept for what it says of their order. Prints for each set the
mean IoU and boundary IoU (Cheng et al., CVPR 2021, within 1 % of the diagonal).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch.nn import functional

import anymask
from anymask.data.open import open_dataset
from anymask.evaluate.peers import grabcut
from anymask.image.png import encode_png
from anymask.models.saliency import Saliency, load_saliency
from anymask.models.salient import main_subject
from anymask.predict.subject import rough_logits

BoolArray = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]

SETS = ("voc-animals", "voc-objects", "coco-person", "ccp", "drawn-things")
SMALLEST, LARGEST = 0.03, 0.8  # share of the image
HELD = 0.95  # share of all labelled pixels
BORDER = 0.1  # of the sides: what GrabCut is told to be background
EDGE = 0.01  # of the diagonal
MEGAPIXELS = 12


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--split", choices=["train", "val"], default="val")
    parser.add_argument("--seconds", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.seconds:
        print_seconds(options.seconds)
    if options.data:
        print_quality(options.data, options.images, options.split)


def print_quality(folder: Path, images: int, split: str) -> None:
    """Print a table: sets down, ways across, IoU / boundary IoU."""
    ways = make_ways()
    print("| set | images |", " | ".join(ways), "|")
    print("| --- | ---: |", " | ".join("---" for _ in ways), "|")
    means = []
    for name in [f"{name}-{split}" for name in SETS if (folder / f"{name}-{split}").is_dir()]:
        scores = []
        for pixels, truth in subjects(folder / name, images):
            found = [way(pixels) for way in ways.values()]
            scores.append([(iou(f, truth), iou(edge(f), edge(truth))) for f in found])
        means.append(np.mean(scores, axis=0))
        print(f"| {name} | {len(scores)} |", cells(means[-1]), "|", flush=True)
    print("| mean | |", cells(np.mean(means, axis=0)), "|")


def cells(pairs: npt.NDArray[np.float64]) -> str:
    """Write pairs of IoU and boundary IoU as cells of a table."""
    return " | ".join(f"{a:.3f} / {b:.3f}" for a, b in pairs)


def make_ways() -> dict[str, Callable[[Pixels], BoolArray]]:
    """Name the ways from an image to a mask."""
    model, saliency = anymask.load(), load_saliency()

    def centre(pixels: Pixels) -> BoolArray:
        h, w = pixels.shape[:2]
        return dense(model.predict(pixels, points=[((w - 1) / 2, (h - 1) / 2)]).best())

    def classic(pixels: Pixels) -> BoolArray:
        h, w = pixels.shape[:2]
        return grabcut(pixels, (BORDER * w, BORDER * h, (1 - BORDER) * w, (1 - BORDER) * h))

    return {
        "GrabCut": classic,
        "click on the centre": centre,
        "saliency network": lambda pixels: main_subject(saliency, pixels) > 0.5,
        "the same, two looks": lambda pixels: looked_twice(saliency, pixels),
        "`subject`": lambda pixels: dense(model.subject(pixels)),
    }


def looked_twice(saliency: Saliency, pixels: Pixels) -> BoolArray:
    """Do what `subject` does before it asks the model."""
    rough = rough_logits(saliency, anymask.Image.open(pixels))
    hw = pixels.shape[:2]
    large = functional.interpolate(rough[None, None], size=hw, mode="bilinear")[0, 0]
    return (large > 0).numpy()


def dense(masks: anymask.Masks) -> BoolArray:
    """Give one mask, or an empty one for none."""
    return masks.dense().any(axis=0)


def subjects(folder: Path, images: int) -> Iterator[tuple[Pixels, BoolArray]]:
    """Yield some images that show one thing, in an order of chance, and its mask."""
    samples, count = open_dataset(folder), 0
    for index in np.random.default_rng(0).permutation(len(samples)):
        sample = samples[int(index)]
        masks = list(sample.masks())
        largest = max(masks, key=lambda mask: int(mask.sum()), default=None)
        if largest is None or not SMALLEST <= largest.mean() <= LARGEST:
            continue
        if largest.sum() >= HELD * np.any(masks, axis=0).sum():
            yield sample.image, largest
            count += 1
        if count == images:
            return


def iou(a: BoolArray, b: BoolArray) -> float:
    """Measure intersection over union."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def edge(mask: BoolArray) -> BoolArray:
    """Give the pixels of a mask near its edge; the image's border is one, too."""
    width = max(1, round(EDGE * float(np.hypot(*mask.shape))))
    framed = np.pad(mask.astype(np.uint8), 1)
    inner = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask & (inner == 0)


def print_seconds(path: Path) -> None:
    """Print the processor time of the parts, for a photo as it is and made large."""
    small = PIL.Image.open(path).convert("RGB")
    scale = (MEGAPIXELS * 1e6 / (small.width * small.height)) ** 0.5
    large = small.resize((round(small.width * scale), round(small.height * scale)))
    model, saliency = anymask.load(), load_saliency()
    model.subject(small)
    for photo in (small, large):
        pixels = np.asarray(photo)
        masks = model.subject(pixels)
        cut = masks.cutout(pixels, soft=True)
        parts = {
            "saliency network, once": lambda pixels=pixels: main_subject(saliency, pixels),
            "embed": lambda pixels=pixels: model.embed(pixels),
            "subject, in all": lambda pixels=pixels: model.subject(pixels),
            "cut-out with a soft edge": lambda p=pixels, m=masks: m.cutout(p, soft=True),
            "PNG file of it": lambda cut=cut: encode_png(cut),
        }
        for name, part in parts.items():
            print(f"{photo.width} x {photo.height}: {name} {seconds(part):.2f} s")


def seconds(part: Callable[[], object]) -> float:
    """Give the least processor time of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        part()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()

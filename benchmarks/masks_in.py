"""A mask goes in as the only prompt: how much like it is what comes out?

    python benchmarks/masks_in.py ../shared/data          # the sets below it that end in -val

For every set a few images, three masks each: as they are, eroded, dilated, as a polygon of eight
corners; and the logits of the answer to the box of the mask. Prints the mean IoU of the answer with
what was given and with the truth, for the mask alone and for what the model makes of it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

import anymask
from anymask.data.open import open_dataset

BoolArray = npt.NDArray[np.bool_]

IMAGES, MASKS = 6, 3  # of each set, of each image
LEAST_AREA = 100  # pixels
KINDS = ("exact", "eroded", "dilated", "polygon", "logits")


def main(folder: str) -> None:
    """Measure and print."""
    model = anymask.load()
    alone = replace(model.variant, never_alone=model.variant.never_alone - {"mask"})
    ways = {"the mask alone": replace(model, variant=alone), "completed": model}
    scores: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for image, truth in truths(Path(folder)):
        photo = model.embed(image)
        box = model.predict(photo, box=box_of(truth), multimask=False)
        for kind, mask in versions(truth).items():
            scores["as given", kind].append((1.0, iou(mask, truth)))
        if box.areas[0] and box.logits is not None:
            scores["as given", "logits"].append((1.0, iou(box.dense()[0], truth)))
        for name, way in ways.items():
            for kind, mask in versions(truth).items():
                found = way.predict(photo, mask=mask, multimask=False).dense()[0]
                scores[name, kind].append((iou(found, mask), iou(found, truth)))
            if box.areas[0] and box.logits is not None:
                found = way.predict(photo, mask_logits=box.logits[0], multimask=False).dense()[0]
                scores[name, "logits"].append((iou(found, box.dense()[0]), iou(found, truth)))
    print(len(scores["completed", "exact"]), "masks")
    for name in ("as given", *ways):
        means = (np.mean(scores[name, kind], axis=0) for kind in KINDS)
        cells = (f"{k} {a:.3f}/{b:.3f}" for k, (a, b) in zip(KINDS, means, strict=True))
        print(f"{name:<16}", *cells)


def truths(folder: Path) -> Iterator[tuple[npt.NDArray[np.uint8], BoolArray]]:
    """Yield images and masks of the validation sets."""
    rng = np.random.default_rng(0)
    for place in sorted(folder.glob("*-val")):
        samples = open_dataset(place)
        for index in rng.permutation(len(samples))[:IMAGES]:
            sample = samples[int(index)]
            masks = [mask for mask in sample.masks() if mask.sum() >= LEAST_AREA]
            for number in rng.permutation(len(masks))[:MASKS]:
                yield sample.image, masks[number]


def versions(mask: BoolArray) -> dict[str, BoolArray]:
    """Draw a mask as people would, more and less exactly; without those that are empty."""
    ones = mask.astype(np.uint8)
    side = 2 * max(1, round(0.06 * np.sqrt(ones.sum()))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    outlines, _ = cv2.findContours(ones, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea)[:, 0]
    corners = outline[np.linspace(0, len(outline), 8, endpoint=False).astype(int)]
    drawn = {
        "exact": ones,
        "eroded": cv2.erode(ones, disc, borderValue=0),
        "dilated": cv2.dilate(ones, disc),
        "polygon": cv2.fillPoly(np.zeros_like(ones), [corners.astype(np.int32)], 1),
    }
    return {kind: pixels > 0 for kind, pixels in drawn.items() if pixels.any()}


def box_of(mask: BoolArray) -> tuple[int, int, int, int]:
    """Give the box round a mask, xyxy."""
    y, x = np.nonzero(mask)
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


def iou(a: BoolArray, b: BoolArray) -> float:
    """Measure intersection over union."""
    return float((a & b).sum() / max(1, (a | b).sum()))


if __name__ == "__main__":
    main(sys.argv[1])

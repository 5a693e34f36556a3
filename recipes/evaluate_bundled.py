"""Measure the bundled model beside two classical tools, on the same masks, in one run.

    pip install -c constraints.txt '.[image,eval]'
    python recipes/evaluate_bundled.py --data ../shared/data --out runs/evaluation --most 300

Mean IoU per mask at the image's own size, for masks of at least 100 pixels that cover less than 90
% of the image. One click: the pixel farthest from the mask's border; the model's three answers
count by the best of them and by the one it ranks first. Five clicks: each next one in the middle
of the largest error, the previous logits fed back. Box: the tight box. Beside it, on the same
prompts: Felzenszwalb's graph segmentation (the region under the click, best of three scales) and
GrabCut (five iterations from the box). Writes ``results.json`` and ``results.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from rich.progress import track

import anymask
from anymask import Embedding, Image, Masks, Prompt, Segmenter
from anymask.data.dataset import LabelMapFolder
from anymask.data.simulate import farthest_inside, next_click, tight_box

SETS = ("bsds500-val", "voc-animals-val", "ccp-val", "coco128-val", "facades-val")
SCALES = (100, 300, 1000)
COLUMNS = {
    "click": "1 click, best of 3",
    "click_first": "1 click, ranked first",
    "clicks5": "5 clicks",
    "box": "box",
    "felzenszwalb": "Felzenszwalb, best of 3",
    "grabcut": "GrabCut, box",
}


@dataclass(frozen=True)
class Config:
    """What to measure."""

    data: Path
    """Folder that holds the validation sets."""
    out: Path = Path("runs/evaluation")
    """Where the table goes."""
    model: str = "bundled"
    """Name of a model, or path of its weights."""
    sets: tuple[str, ...] = SETS
    """Names of the sets."""
    most: int = 2000
    """At most so many masks of a set, drawn at random from all of them."""
    classical: bool = True
    """Run GrabCut and Felzenszwalb too."""
    seed: int = 0
    """Start of the random draw."""


def iou(answer: np.ndarray, truth: np.ndarray) -> float:
    """Overlap of two masks, bool (h, w)."""
    return float((answer & truth).sum() / max(1, (answer | truth).sum()))


def drawn_masks(
    data: LabelMapFolder, most: int, seed: int
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yield images with those of their masks that take part: bool (h, w) each."""
    places = []
    for index in range(len(data)):
        for k, mask in enumerate(data[index].masks()):
            if mask.sum() >= 100 and mask.mean() < 0.9:
                places.append((index, k))
    if len(places) > most:
        rng = np.random.default_rng(seed)
        places = [places[i] for i in sorted(rng.choice(len(places), most, replace=False))]
    chosen: dict[int, list[int]] = {}
    for index, k in places:
        chosen.setdefault(index, []).append(k)
    for index, kept in chosen.items():
        sample = data[index]
        masks = sample.masks()
        yield sample.image, [masks[k] for k in kept]


def model_scores(
    model: Segmenter, image: np.ndarray, truths: list[np.ndarray]
) -> list[dict[str, float]]:
    """Ask the model for each mask by one click, five clicks and a box."""
    photo = model.embed(Image.open(image))
    clicks = [([farthest_inside(truth)], [1]) for truth in truths]
    boxes = [Prompt(box=tight_box(truth)) for truth in truths]
    by_box = model.predict(photo, prompts=boxes, multimask=False)
    first = [Prompt(points_xy=xy, labels=labels) for xy, labels in clicks]
    by_click = model.predict(photo, prompts=first, multimask=True)
    scores = []
    for answers, boxed, truth in zip(by_click, by_box, truths, strict=True):
        each = [iou(mask, truth) for mask in answers.dense()]
        scores.append(
            {"click": max(each), "click_first": each[0], "box": iou(boxed.dense()[0], truth)}
        )
    for score, last, truth in zip(
        scores, _correct(model, photo, clicks, by_click, truths), truths, strict=True
    ):
        score["clicks5"] = iou(last.dense()[0], truth)
    return scores


def _correct(
    model: Segmenter,
    photo: Embedding,
    clicks: list[tuple[list[tuple[float, float]], list[int]]],
    answers: list[Masks],
    truths: list[np.ndarray],
    rounds: int = 4,
) -> list[Masks]:
    """Add four corrections to every prompt, feeding the previous logits back."""
    for _ in range(rounds):
        prompts = []
        for (points, labels), answer, truth in zip(clicks, answers, truths, strict=True):
            correction = next_click(truth, answer.dense()[0])
            if correction is not None:
                points.append(correction[0])
                labels.append(correction[1])
            prompts.append(Prompt(points_xy=points, labels=labels, mask_logits=answer.logits[0]))
        answers = model.predict(photo, prompts=prompts, multimask=False)
    return answers


def felzenszwalb_scores(image: np.ndarray, truths: list[np.ndarray]) -> list[float]:
    """Best IoU, over three scales, of the region under the click."""
    from skimage.segmentation import felzenszwalb

    maps = [felzenszwalb(image, scale=scale, sigma=0.8, min_size=50) for scale in SCALES]
    scores = []
    for truth in truths:
        x, y = (int(v) for v in farthest_inside(truth))
        scores.append(max(iou(regions == regions[y, x], truth) for regions in maps))
    return scores


def grabcut_score(image: np.ndarray, truth: np.ndarray) -> float:
    """IoU of GrabCut started from the tight box; where it cannot run, of the box itself."""
    x0, y0, x1, y1 = (int(v) for v in tight_box(truth))
    marks = np.full(truth.shape, cv2.GC_BGD, np.uint8)
    marks[y0:y1, x0:x1] = cv2.GC_PR_FGD
    if (marks == cv2.GC_BGD).sum() > 5:
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        bgr = np.ascontiguousarray(image[..., ::-1])
        cv2.grabCut(bgr, marks, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    return iou(np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)), truth)


def measure(model: Segmenter, config: Config, name: str) -> dict[str, float]:
    """Average every column over the masks of one set."""
    data = LabelMapFolder(config.data / name)
    rows: list[dict[str, float]] = []
    drawn = list(drawn_masks(data, config.most, config.seed))
    for image, truths in track(drawn, description=name):
        scores = model_scores(model, image, truths)
        if config.classical:
            regions = felzenszwalb_scores(image, truths)
            for score, region, truth in zip(scores, regions, truths, strict=True):
                score["felzenszwalb"] = region
                score["grabcut"] = grabcut_score(image, truth)
        rows += scores
    means = {key: float(np.mean([row[key] for row in rows])) for key in COLUMNS if key in rows[0]}
    return means | {"masks": len(rows), "images": len(drawn)}


def table(results: dict[str, dict[str, float]]) -> str:
    """Format the results as a Markdown table."""
    columns = [key for key in COLUMNS if key in next(iter(results.values()))]
    lines = ["| set | masks | " + " | ".join(COLUMNS[key] for key in columns) + " |"]
    lines.append("| --- | ---: |" + " ---: |" * len(columns))
    for name, means in results.items():
        cells = " | ".join(f"{means[key]:.3f}" for key in columns)
        lines.append(f"| {name} | {means['masks']} | {cells} |")
    return "\n".join(lines) + "\n"


def main(config: Config) -> None:
    """Measure all sets, print and write the table."""
    model = anymask.load(config.model)
    config.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, float]] = {}
    for name in config.sets:
        results[name] = measure(model, config, name)
        (config.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (config.out / "results.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main(tyro.cli(Config))

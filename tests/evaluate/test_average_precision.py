"""Average precision, against COCO's own code and the rules of LVIS."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
import pytest

from anymask.evaluate.average_precision import average_precision
from anymask.masks import rle

pytest.importorskip("faster_coco_eval")

SIZE = (120, 200)


def segmentation(x: int, y: int, w: int, h: int) -> dict[str, Any]:
    mask = np.zeros(SIZE, bool)
    mask[y : y + h, x : x + w] = True
    return {"size": list(SIZE), "counts": rle.to_string(rle.encode(mask))}


def truth(box: Any, image: int = 1, category: int = 1, crowd: int = 0) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation(*box),
        "bbox": list(box),
        "area": int(box[2] * box[3]),
        "iscrowd": crowd,
    }


def answer(box: Any, score: float, image: int = 1, category: int = 1) -> dict[str, Any]:
    place = {"image_id": image, "category_id": category}
    return {**place, "score": score, "segmentation": segmentation(*box)}


def picture(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "height": SIZE[0], "width": SIZE[1], **more}


def test_equals_pycocotools() -> None:
    rng = np.random.default_rng(11)
    images, categories = [picture(i) for i in range(1, 9)], [{"id": i} for i in (3, 5, 8)]
    truths, found = [], []
    for image in range(1, 9):
        for _ in range(15):
            w, h = (int(v) for v in rng.choice([[9, 9], [40, 32], [100, 97]]))
            box = np.array([rng.integers(4, 196 - w), rng.integers(4, 116 - h), w, h])
            category = int(rng.choice([3, 5, 8]))
            truths.append(truth(box, image, category, crowd=int(rng.random() < 0.1)))
            for _ in range(rng.integers(0, 3)):
                moved = box + rng.integers(-3, 4, 4)
                said = category if rng.random() < 0.8 else 5
                found.append(answer(moved, rng.random(), image, said))
    ours = average_precision(images, categories, truths, found, federated=False)
    theirs = _pycocotools(images, categories, truths, found)
    assert list(ours.values()) == pytest.approx(theirs, abs=1e-9)
    assert 0.1 < theirs[0] < 0.9


def _pycocotools(images: Any, categories: Any, truths: Any, found: Any) -> list[float]:
    coco, judging = (pytest.importorskip(f"pycocotools.{name}") for name in ("coco", "cocoeval"))
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        annotations = [{**entry, "id": i} for i, entry in enumerate(truths, 1)]
        known.dataset = {"images": images, "categories": categories, "annotations": annotations}
        known.createIndex()
        judge = judging.COCOeval(known, known.loadRes(copy.deepcopy(found)), "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float(value) for value in judge.stats[:6]]


BOX, ELSEWHERE = (0, 0, 50, 50), (100, 0, 50, 50)
LVIS = [
    {"id": i, "name": name, "frequency": f} for i, name, f in ((1, "cat", "f"), (2, "bow", "r"))
]


def lvis(found: Any, negative: Any = (), incomplete: Any = ()) -> dict[str, float | None]:
    image = picture(neg_category_ids=list(negative), not_exhaustive_category_ids=list(incomplete))
    other = picture(2, neg_category_ids=[], not_exhaustive_category_ids=[])
    truths = [truth(BOX), truth(BOX, image=2, category=2)]
    return average_precision([image, other], LVIS, truths, found, federated=True)


CAT, BOW = answer(BOX, 0.5), answer(BOX, 0.5, image=2, category=2)
FALSE_CAT, FALSE_BOW = answer(ELSEWHERE, 0.9), answer(ELSEWHERE, 0.9, category=2)


@pytest.mark.parametrize(
    ("found", "rules", "frequent", "rare"),
    [
        ([CAT, BOW], {}, 1.0, 1.0),
        ([CAT], {}, 1.0, 0.0),
        ([], {}, 0.0, 0.0),
        ([CAT, BOW, FALSE_CAT], {}, 0.5, 1.0),
        ([CAT, BOW, FALSE_CAT], {"incomplete": [1]}, 1.0, 1.0),
        ([CAT, BOW, FALSE_BOW], {}, 1.0, 1.0),  # nobody looked for bows there
        ([CAT, BOW, FALSE_BOW], {"negative": [2]}, 1.0, 0.5),
        ([CAT, BOW, *[answer(ELSEWHERE, 0.8, category=2)] * 300], {}, 0.0, 1.0),  # 300 of an image
    ],
)
def test_lvis_is_federated(found: Any, rules: Any, frequent: float, rare: float) -> None:
    measured = lvis(found, **rules)
    assert measured["frequent"] == pytest.approx(frequent)
    assert measured["rare"] == pytest.approx(rare)
    assert measured["common"] is None

"""Proposals with known answers, and against COCO's own count."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anymask.config import GenerateConfig, InstanceConfig
from anymask.data.dataset import Sample
from anymask.errors import InputError
from anymask.evaluate.protocols.proposals import Proposals
from anymask.masks import rle
from anymask.masks.masks import Masks

SIZE = (120, 200)


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


SMALL, MEDIUM, LARGE = box(0, 0, 10, 10), box(20, 0, 60, 40), box(80, 0, 200, 100)


class Finder:
    """Finds the masks given, which it believes in as much as told."""

    def __init__(self, masks: Sequence[np.ndarray], usual: Any = None, **known: Any) -> None:
        self.variant = SimpleNamespace(
            kind="instances" if isinstance(usual, InstanceConfig) else "promptable",
            generate=usual or GenerateConfig(),
        )
        self.masks = Masks.from_dense(np.array(masks), **known) if len(masks) else Masks.empty(SIZE)

    def generate(self, image: object, settings: Any) -> Masks:
        self.settings = settings
        return self.masks


def sample(*masks: np.ndarray, **more: Any) -> Sample:
    layers = tuple(mask.astype(np.uint8) for mask in masks)
    return Sample(np.zeros((*SIZE, 3), np.uint8), layers, **more)


def recall(model: Any, shown: Sample, **options: Any) -> Any:
    protocol = Proposals(**options)
    return protocol.summarise({"set": {"a": protocol.measure(model, shown)}}).tables


def test_a_perfect_set_has_recall_1() -> None:
    main, by_size = recall(Finder([SMALL, MEDIUM, LARGE]), sample(LARGE, SMALL, MEDIUM))
    assert main.rows == (("set", 1, 3.0, 3, 1.0, 1.0, 1.0),)
    assert by_size.rows == tuple(
        ("set", size, 1, 1.0, 1.0, 1.0) for size in ("small", "medium", "large")
    )


def test_half_of_it_has_half() -> None:
    main, by_size = recall(Finder([MEDIUM]), sample(SMALL, MEDIUM))
    assert main.rows[0][3:] == (2, 0.5, 0.5, 0.5)
    assert [row[2:4] for row in by_size.rows] == [(1, 0.0), (1, 1.0), (0, None)]


def test_recall_is_averaged_over_thresholds() -> None:
    main, _ = recall(Finder([box(20, 0, 60, 29)]), sample(MEDIUM))  # IoU 0.725: five of ten
    assert main.rows[0][-1] == 0.5


def test_the_best_by_predicted_iou_and_stability_count() -> None:
    scores, stability = [0.9, 0.8, 0.5], [0.5, 0.8, 0.99]
    model = Finder([SMALL, MEDIUM, LARGE], scores=np.array(scores), stability=np.array(stability))
    for k, found in ((1, [0, 1, 0]), (2, [0, 1, 1]), (3, [1, 1, 1])):
        _, by_size = recall(model, sample(SMALL, MEDIUM, LARGE), counts=(k,))
        assert [row[3] for row in by_size.rows] == found


def test_without_stability_the_score_decides() -> None:
    model = Finder([SMALL, MEDIUM], InstanceConfig(), scores=np.array([0.3, 0.6]))
    _, by_size = recall(model, sample(SMALL, MEDIUM), counts=(1,))
    assert [row[3] for row in by_size.rows] == [0, 1, None]
    assert model.settings == InstanceConfig(confidence=0, box_nms_thresh=0.9, max_instances=1)


def test_nothing_is_filtered_but_duplicates() -> None:
    model = Finder([])
    recall(model, sample(SMALL))
    assert model.settings == GenerateConfig(
        points_per_side=64, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=0.9
    )


def test_nothing_found_has_recall_0_and_nothing_to_find_has_none() -> None:
    assert recall(Finder([]), sample(SMALL))[0].rows == (("set", 1, 0.0, 1, 0.0, 0.0, 0.0),)
    assert recall(Finder([SMALL]), sample())[0].rows == (("set", 0, None, 0, None, None, None),)


def test_lvis_is_told_apart_by_frequency_and_incomplete_categories_count() -> None:
    meta = {"frequency": {"cat": "f", "bow": "r"}, "negative": ["bus"], "incomplete": ["bow"]}
    shown = sample(SMALL, MEDIUM, LARGE, meta=meta, names=("cat", "bow", "cat"))
    *_, by_frequency = recall(Finder([SMALL, MEDIUM]), shown, counts=(10,))
    assert by_frequency.rows == (("set", "frequent", 2, 0.5), ("set", "rare", 1, 1.0))


def test_a_group_is_matched_by_itself() -> None:
    """One mask that fits a small and a medium one finds either where these are asked for alone."""
    small, medium = box(0, 0, 30, 30), box(0, 0, 40, 30)
    main, by_size = recall(Finder([box(0, 0, 36, 30)]), sample(small, medium), counts=(1,))
    assert main.rows[0][-1] == 0.45  # the medium one, at IoU 0.9
    assert [row[3] for row in by_size.rows[:2]] == [0.7, 0.9]


def test_draws_what_was_found_and_what_was_missed() -> None:
    model: Any = Finder([MEDIUM])
    (row,) = Proposals().measure(model, sample(SMALL, MEDIUM))
    assert row["missed"] == [0]
    assert len(row["found"]) == 1
    picture = np.asarray(Proposals().draw(model, sample(SMALL, MEDIUM), row))
    assert picture[20, 40].any() and not picture[5, 5].any()  # the found one is painted


@pytest.mark.parametrize("counts", [(), (0, 10)])
def test_limits_are_checked(counts: Any) -> None:
    with pytest.raises(InputError, match="expected numbers of masks"):
        Proposals(counts=counts)


def test_counts_as_coco_does() -> None:
    coco_module, coco_eval = (pytest.importorskip(f"pycocotools.{m}") for m in ("coco", "cocoeval"))
    rng = np.random.default_rng(5)
    rows, images, truths, found = {}, [], [], []
    protocol: Any = Proposals(counts=(3, 10, 100))
    for number in range(1, 7):
        wanted = [_any_box(rng) for _ in range(12)]
        moved = [np.roll(mask, rng.integers(-3, 4, 2), (0, 1)) for mask in wanted for _ in range(2)]
        quality = rng.permutation(len(moved)) / len(moved)
        model = Finder(moved, scores=quality, stability=quality)
        rows[str(number)] = protocol.measure(model, sample(*wanted))
        images.append({"id": number, "height": SIZE[0], "width": SIZE[1]})
        truths += [_plain(number, mask, area=int(mask.sum()), iscrowd=0) for mask in wanted]
        found += [_plain(number, m, score=q) for m, q in zip(moved, quality, strict=True)]
    for number, truth in enumerate(truths, 1):
        truth["id"] = number
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco_module.COCO()
        known.dataset = {"images": images, "annotations": truths, "categories": [{"id": 1}]}
        known.createIndex()
        judge = coco_eval.COCOeval(known, known.loadRes(found), "segm")
        judge.params.useCats, judge.params.maxDets = 0, [3, 10, 100]
        judge.evaluate()
        judge.accumulate()
    ours = protocol.summarise({"set": rows}).tables
    theirs = judge.eval["recall"][:, 0].mean(axis=0)  # (areas, counts)
    assert np.allclose(ours[0].rows[0][4:], theirs[0], atol=1e-9)
    assert np.allclose([row[3:] for row in ours[1].rows], theirs[1:], atol=1e-9)


def _any_box(rng: np.random.Generator) -> np.ndarray:
    w, h = rng.choice([[9, 9], [50, 30], [110, 95]])
    x, y = rng.integers(0, SIZE[1] - w), rng.integers(0, SIZE[0] - h)
    return box(x, y, x + w, y + h)


def _plain(image: int, mask: np.ndarray, **more: Any) -> dict[str, Any]:
    counts = rle.to_string(rle.encode(mask))
    segmentation = {"size": list(SIZE), "counts": counts}
    return {"image_id": image, "category_id": 1, "segmentation": segmentation} | more


def test_the_models_own_prompts_and_ranking() -> None:
    usual = GenerateConfig(
        thing_boxes=9, ranking="outline", ranking_thresh=0.4, mask_nms_thresh=0.7
    )
    model = Finder([LARGE, SMALL], usual, scores=[0.2, 0.9], stability=[0.5, 0.5])
    assert recall(model, sample(LARGE), counts=(1,))[0].rows[0][-1] == 0
    assert model.settings == GenerateConfig(
        points_per_side=64, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=0.9
    )
    # The model's order stands, whatever the scores; and nothing but duplicates is dropped.
    assert recall(model, sample(LARGE), counts=(1,), ranking="model")[0].rows[0][-1] == 1
    settings = model.settings
    assert (settings.thing_boxes, settings.ranking, settings.points_per_side) == (9, "outline", 64)
    assert (settings.ranking_thresh, settings.mask_nms_thresh, settings.pred_iou_thresh) == (
        0,
        1,
        0,
    )

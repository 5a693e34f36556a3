"""The protocol of covering, with a model that draws what it is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anymask.data.dataset import Sample
from anymask.errors import InputError
from anymask.evaluate.protocols.covering import Covering
from anymask.evaluate.run import Evaluation
from anymask.masks.masks import Masks

pytest.importorskip("scipy")

LABELS = np.ones((60, 80), np.uint8)
LABELS[20:40, 30:60] = 2
SQUARE = LABELS == 2
IMAGE = np.where(SQUARE[..., None], 220, 30).astype(np.uint8).repeat(3, 2)
SAMPLE = Sample(IMAGE, (LABELS, np.ones_like(LABELS)))


class Drawing:
    """Finds the masks that it was made with, and remembers what it was asked."""

    weights_digest, device = "0" * 64, "cpu"
    variant = SimpleNamespace(name="drawing")

    def __init__(self, *masks: np.ndarray) -> None:
        self.masks, self.options = masks, []

    def generate(self, image: Any, **options: Any) -> Masks:
        self.options.append(options)
        return Masks.from_dense(np.stack(self.masks)) if self.masks else Masks.empty((60, 80))


def test_annotators_are_averaged() -> None:
    model: Any = Drawing(SQUARE)
    (row,) = Covering().measure(model, SAMPLE)
    # The first sees both regions as they are, the second, who drew one, the ground: 4200 of 4800.
    assert row["score"] == pytest.approx((1 + 4200 / 4800) / 2, abs=1e-5)
    assert (row["annotators"], row["masks"], row["regions"]) == (2, 1, 2)
    assert model.options == [{}]


def test_the_grid_is_the_models_unless_told() -> None:
    model: Any = Drawing()
    (row,) = Covering(points_per_side=7).measure(model, SAMPLE)
    assert model.options == [{"points_per_side": 7}]
    assert row["regions"] == 1


def test_felzenszwalb_has_one_scale_for_the_set_and_one_for_each_image() -> None:
    def row(own: float, *at_scales: float) -> dict[str, Any]:
        regions = [10, 4]
        return {
            "score": own,
            "regions": 3,
            "felzenszwalb": list(at_scales),
            "felzenszwalb regions": regions,
        }

    protocol = Covering(peers=("felzenszwalb",), scales=(50, 700))
    rows = {"a": [row(0.7, 0.2, 0.5)], "b": [row(0.5, 0.6, 0.4)]}
    summary = protocol.summarise({"one": rows, "none": {}})
    model, peer, nothing = summary.tables[0].rows
    assert model == ("one", "model", 2, 3, pytest.approx(0.6), None, None)
    assert peer == ("one", "felzenszwalb", 2, 4, pytest.approx(0.45), pytest.approx(0.55), 700)
    assert nothing == ("none", "model", 0, None, None, None, None)
    assert summary.curves[0].lines["felzenszwalb"] == ([50, 700], [0.4, 0.45])


def test_peers_divide_the_same_image() -> None:
    pytest.importorskip("skimage")
    protocol = Covering(peers=("felzenszwalb",), scales=(100, 1e6))
    (row,) = protocol.measure(Drawing(SQUARE), SAMPLE)  # type: ignore[arg-type]
    fine, coarse = row["felzenszwalb"]
    fine_regions, coarse_regions = row["felzenszwalb regions"]
    assert fine > 0.8 and fine_regions > 1 and coarse_regions == 1
    # One region: the ground, 4200 of 4800, and the square, 600 of them; and all of it.
    assert coarse == pytest.approx(((4200**2 + 600**2) / 4800**2 + 1) / 2, abs=1e-5)


def test_void_pixels_do_not_count() -> None:
    void = np.zeros_like(SQUARE)
    void[:20] = True
    sample = Sample(IMAGE, (LABELS,), void=void)
    model: Any = Drawing(SQUARE | void)
    assert Covering().measure(model, sample)[0]["score"] == 1


def test_images_without_a_region_do_not_count() -> None:
    assert Covering().measure(None, Sample(IMAGE, (np.zeros_like(LABELS),))) == []  # type: ignore[arg-type]
    (row,) = Covering().measure(  # an annotator who drew nothing is none
        Drawing(SQUARE),  # type: ignore[arg-type]
        Sample(IMAGE, (np.zeros_like(LABELS), LABELS)),
    )
    assert (row["score"], row["annotators"]) == (1, 1)


def test_cases_are_drawn_without_asking_the_model_again() -> None:
    (row,) = Covering().measure(Drawing(SQUARE), SAMPLE)  # type: ignore[arg-type]
    picture = np.asarray(Covering().draw(None, SAMPLE, row))  # type: ignore[arg-type]
    assert picture.shape == (60, 240, 3)
    assert np.array_equal(picture[:, :80], IMAGE)
    assert set(picture[25:35, 115:135].flat) == {220} and (picture[:, 80:160] == 255).any()
    assert set(picture[5, 85:155].flat) == {30}


def test_a_run_goes_on_where_it_stopped(squares: Any, tmp_path: Path) -> None:
    model: Any = Drawing()
    model.generate = lambda image, **options: Masks.empty((48, 64))
    evaluation = Evaluation(Covering(), model, {"squares": squares}, tmp_path)
    evaluation.begin()
    next(iter(evaluation.steps()))
    assert [key for _, key in evaluation.steps()] == ["square-1", "square-2"]
    with pytest.raises(InputError, match="other"):
        Evaluation(Covering(points_per_side=3), model, {"squares": squares}, tmp_path).begin()


@pytest.mark.parametrize("options", [{"scales": ()}, {"scales": (0,)}, {"points_per_side": 0}])
def test_options_are_checked(options: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        Covering(**options)

"""The protocol of edges, with a model that draws like the people."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anymask.data.dataset import Sample
from anymask.evaluate.protocols.edges import Edges

pytest.importorskip("cv2")

EDGES = "anymask.evaluate.protocols.edges"
MODEL: Any = SimpleNamespace(embed=lambda image: image)
LABELS = np.ones((60, 80), np.uint8)
LABELS[20:40, 30:60] = 2
SAMPLE = Sample(np.where(LABELS[..., None] == 2, 220, 30).astype(np.uint8).repeat(3, 2), (LABELS,))


def test_model_and_peers_are_scored_on_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from anymask.evaluate.edges.boundaries import boundary_of

    drawn: Any = lambda *_: boundary_of(LABELS).astype(np.float32)  # noqa: E731
    monkeypatch.setattr(f"{EDGES}.from_masks", drawn)
    monkeypatch.setattr(f"{EDGES}.boundary_map", lambda *_: np.zeros((60, 80), np.float32))
    protocol = Edges(peers=("sobel",), reach=0.03)
    (row,) = protocol.measure(MODEL, SAMPLE)
    assert row["score"] == 1.0
    summary = protocol.summarise({"one": {"a": [row]}, "none": {}})
    model, own, sobel, nothing, _ = summary.tables[0].rows
    assert model[:4] == ("one", "model", 1, 1.0)
    assert own[:4] == ("one", "model, own boundary map", 1, 0.0)
    assert sobel[1] == "sobel" and sobel[3] > 0.8 and sobel[-1] == 0.539
    assert nothing[2:] == (0, None, None, None, None, None)
    assert set(summary.curves[0].lines) == {"model", "model, own boundary map", "sobel"}


def test_cases_are_drawn_without_asking_the_model_again(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = np.zeros((60, 80), np.float32)
    edge[30] = 0.5
    monkeypatch.setattr(f"{EDGES}.from_masks", lambda *_: edge)
    monkeypatch.setattr(f"{EDGES}.boundary_map", lambda *_: None)
    (row,) = Edges().measure(MODEL, SAMPLE)
    picture = np.asarray(Edges().draw(None, SAMPLE, row))  # type: ignore[arg-type]
    assert picture.shape == (60, 240, 3)
    assert np.array_equal(picture[:, :80], SAMPLE.image)
    assert set(picture[30, 80:160].flat) == {127}
    assert picture[0, 80:160].min() == 255
    assert picture[:, 160:].min() == 0


def test_images_without_a_boundary_do_not_count() -> None:
    flat = Sample(SAMPLE.image, (np.ones((60, 80), np.uint8),))
    assert Edges().measure(None, flat) == []  # type: ignore[arg-type]

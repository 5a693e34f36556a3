"""Folders by words, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.predict.test_segmenter import disc_model
from tests.text.told import Told

import anymask
from anymask.errors import CapabilityError, InputError

LEFT, RIGHT = (10.0, 40.0, 50.0, 90.0), (80.0, 40.0, 120.0, 90.0)
PHOTO = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)


def test_process_takes_words(tmp_path: Path) -> None:
    told = Told((LEFT, 0.6, "dog"), (RIGHT, 0.9, "dog"), (LEFT, 0.7, "toy"))
    words: dict[str, Any] = {"text": ["dog"], "grounder": told, "model": disc_model()}
    report = anymask.process({"a": PHOTO, "b": PHOTO[:60]}, tmp_path / "out", **words)
    assert [len(result.masks) for result in report.results] == [2, 2]
    assert report.results[0].masks.labels == ("dog", "dog")
    assert report.results[0].detections.labels == ("dog", "dog")
    assert [one["label"] for one in report.results[0].summary["answers"]] == ["dog", "dog"]
    less = anymask.process({"a": PHOTO}, tmp_path / "o", **words, negative="toy", threshold=0.5)
    assert len(less.results[0].masks) == 1


def test_what_does_not_fit_is_refused_before_there_is_a_folder(tmp_path: Path) -> None:
    model, out = disc_model(), tmp_path / "out"
    for wrong, message in (
        ({"text": "zebra"}, "got 'zebra'"),
        ({"text": ""}, "words that name things"),
        ({"points": [(3, 4)], "threshold": 0.3}, "with threshold, got no text"),
        ({"negative": "dog"}, "with negative, got no text"),
        ({"text": "dog", "points_per_side": 3}, "got points_per_side"),
        ({"text": "dog", "all": True}, r"got all \(--all\) too"),
    ):
        with pytest.raises(InputError, match=message):
            anymask.process({"a": PHOTO}, out, model=model, **wrong)  # type: ignore[arg-type]
    assert not out.exists()
    with pytest.raises(CapabilityError, match="does not know text"):
        anymask.process({"a": PHOTO}, out, model=model, text="dog", points=[(3, 4)])

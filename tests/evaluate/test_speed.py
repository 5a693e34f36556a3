"""Speed, with the bundled model on a tiny picture."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.evaluate.speed import measure, setups
from anymask.image.image import Image
from anymask.models.variants import find

PICTURE = Image.open(np.zeros((32, 48, 3), np.uint8))


def test_every_setup_gets_a_line_for_every_task() -> None:
    ways = setups(["bundled"], ["float32"], [1, 2])
    steps: list[str] = []
    speed = measure(
        ways, PICTURE, ("predict", "embed"), repeats=3, memories=False, on_step=steps.append
    )
    times, size = speed.summary().tables
    assert [row[3:6] for row in times.rows] == [
        (1, "predict", 3), (1, "embed", 3), (2, "predict", 3), (2, "embed", 3),
    ]  # fmt: skip
    p50, p90, p99 = (times.header.index(f"p{p} ms") for p in (50, 90, 99))
    assert all(0 < row[p50] <= row[p90] <= row[p99] for row in times.rows)
    assert times.rows[0][-2:] == (None, None)
    million = find("bundled").parameters / 1e6
    megabytes = pytest.approx(4 * million, rel=0.005)  # and the counts of batch normalisation
    assert size.rows == (("anymask-compact", "float32", million, megabytes),)
    assert steps == ["loading bundled", "timing predict", "timing embed"]
    assert speed.describe()["image"] == "48 x 32"
    assert [way["threads"] for way in speed.describe()["setups"]] == [1, 2]


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(InputError, match="expected models"):
        setups(["bundled"], ["float32"], [0])
    with pytest.raises(InputError, match="at least 1 run"):
        measure(setups(["bundled"], ["float32"], [1]), PICTURE, repeats=0)

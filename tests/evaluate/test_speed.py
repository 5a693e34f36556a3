"""Speed, with the bundled model on a tiny picture."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.evaluate.speed import Setup, Size, Speed, measure, setups
from anymask.evaluate.timing import Timing
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
    assert times.rows[0][-4:] == (None,) * 4  # nothing to compare with, and no memory
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


def test_times_are_compared_with_the_first_of_the_same_model_and_threads() -> None:
    ways = [
        Setup(model, threads=threads, runtime=runtime)
        for model in ("a", "b")
        for threads in (1, 2)
        for runtime in ("published", "openvino")
    ]
    times = {
        (way, "embed"): [
            Timing(user=seconds, system=seconds, wall=4 * seconds / way.threads)
            for seconds in ((4.0, 1.0, 6.0) if way.runtime == "published" else (2.0, 1.0, 9.0))
        ]
        for way in ways
    }
    sizes = {way: Size(way.model, way.runtime, way.dtype, 1, 4) for way in ways}
    table = Speed((8, 8), sizes, times, {}).summary().tables[0]
    place = table.header.index("times faster, CPU")
    ratios = [row[place : place + 2] for row in table.rows]
    assert ratios == [(None, None), (2.0, 2.0)] * 4


def test_the_published_order_is_for_weights_of_those_models() -> None:
    ways = setups(
        ["bundled", "sam-vit-b"], ["float32"], [1], runtimes=["published", "torch", "onnx"]
    )
    assert [(way.model, way.runtime) for way in ways] == [
        ("bundled", "torch"), ("bundled", "onnx"),
        ("sam-vit-b", "published"), ("sam-vit-b", "torch"),
    ]  # fmt: skip


def test_segment_and_everything_do_what_they_say() -> None:
    ways = setups(["bundled"], ["float32"], [1], runtimes=["torch", "onnx"])
    speed = measure(
        ways, PICTURE, ("segment", "everything"), 1, 1, memories=False, points_per_side=2
    )
    assert [row[1] for row in speed.summary().tables[0].rows] == ["torch"] * 2 + ["onnx"] * 2


def test_quantized_graphs_say_so(monkeypatch) -> None:
    from dataclasses import replace

    from anymask.models.runtime_network import RuntimeNetwork

    (way,) = setups(["bundled"], ["float32"], [1], runtimes=["onnx"])
    opened = RuntimeNetwork.__init__

    def small(self, folder, exported, runtime, **options) -> None:
        opened(self, folder, replace(exported, precision="fp16"), runtime, **options)

    monkeypatch.setattr(RuntimeNetwork, "__init__", small)
    speed = measure([way], PICTURE, ("embed",), repeats=1, memories=False)
    times, size = speed.summary().tables
    assert times.rows[0][2] == "fp16"
    million = find("bundled").parameters / 1e6
    assert size.rows[0][1:] == ("fp16", million, pytest.approx(2 * million, rel=0.005))

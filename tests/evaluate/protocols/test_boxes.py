"""Boxes, with a model whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.evaluate.protocols.boxes import Boxes


def test_boxes_run_round_the_pixels_and_jitter_the_same_each_time(
    squares: Any, knowing: Any
) -> None:
    model, again = knowing(), knowing()
    (row,) = Boxes().measure(model, squares[1])
    Boxes().measure(again, squares[1])
    tight, jittered = (asked[0].box for asked, _ in model.asked)
    assert tight.tolist() == [20, 8, 31, 19]
    assert not np.array_equal(tight, jittered)
    assert np.abs(tight - jittered).max() <= 20
    assert np.array_equal(jittered, again.asked[1][0][0].box)
    assert (row["tight"], row["jittered"], row["score"]) == (1.0, 1.0, 1.0)


def test_sets_are_averaged_apart(squares: Any, knowing: Any) -> None:
    boxes = Boxes()
    found = {squares.key(i): boxes.measure(knowing(), squares[i]) for i in range(3)}
    main, by_size = boxes.summarise({"squares": found, "none": {}}).tables
    assert main.rows == (("squares", 3, 1.0, 1.0), ("none", 0, None, None))
    assert by_size.rows[0] == ("squares", "small", 3, 1.0, 1.0)


def test_a_peer_gets_the_same_tight_box(squares: Any, knowing: Any) -> None:
    boxes = Boxes(peers=("grabcut",))
    (row,) = boxes.measure(knowing(), squares[0])
    assert 0 <= row["grabcut"] <= 1
    main, by_size = boxes.summarise({"a": {"k": [row]}}).tables
    assert main.header[-1] == by_size.header[-1] == "GrabCut, tight"
    assert main.rows[0][-1] == by_size.rows[0][-1] == row["grabcut"]


@pytest.mark.parametrize("options", [{"spread": -0.1}, {"max_shift": float("nan")}])
def test_the_jitter_is_checked(options: Any) -> None:
    with pytest.raises(InputError, match="expected spread and max_shift"):
        Boxes(**options)

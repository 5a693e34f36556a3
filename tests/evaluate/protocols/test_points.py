"""Clicks in rounds, with models whose answers are known."""

from __future__ import annotations

from typing import Any

import pytest

from anymask.errors import InputError
from anymask.evaluate.protocols.points import Points


def rows(points: Points, model: Any, data: Any) -> dict[str, Any]:
    return {data.key(i): points.measure(model, data[i]) for i in range(len(data))}


def test_a_model_that_needs_three_clicks_is_seen_to(squares: Any, knowing: Any) -> None:
    points = Points(counts=(1, 2, 3), max_clicks=5)
    (row,) = points.measure(knowing(needed=3), squares[0])
    assert row["first"] == pytest.approx([0.8, 0.9, 1.0])
    assert row["oracle"] == pytest.approx([1.0, 0.9, 1.0])  # three answers at the first click only
    assert (row["mask"], row["area"], row["size"]) == (0, 100, "small")

    main, by_size, efforts, ranked = points.summarise({"squares": {"square-0": [row]}}).tables
    assert main.rows[0][:5] == ("squares", 1, pytest.approx(0.8), pytest.approx(0.9), 1.0)
    assert by_size.rows[0][2] == 1
    assert by_size.rows[1][3] is None
    assert efforts.rows[0][2:] == (2.0, 0.0, 2.0, 0.0)  # 0.9 reaches both levels
    assert ranked.rows[0][:2] == ("squares", 3)


def test_three_answers_can_be_asked_for_every_time(squares: Any, knowing: Any) -> None:
    (row,) = Points(counts=(2,), multimask="always").measure(knowing(needed=2), squares[0])
    assert row["oracle"] == [1.0, 1.0]


def test_clicks_correct_where_the_error_is_and_feed_the_answer_back(
    squares: Any, knowing: Any
) -> None:
    model = knowing(needed=3)
    Points(counts=(1, 2), max_clicks=2).measure(model, squares[0])
    (first,), three = model.asked[0]
    (second,), one = model.asked[1]
    assert (three, one) == (True, False)
    assert first.mask_logits is None
    assert second.mask_logits is not None
    assert first.points_xy.tolist() == [[24, 12]]
    assert second.labels.tolist() == [1, 1]
    assert second.points_xy[1][0] in (28, 29)  # the two columns that are missing


def test_models_that_lack_something_are_not_asked_for_it(squares: Any, knowing: Any) -> None:
    model = knowing(needed=2, capabilities=())
    Points(counts=(1, 2)).measure(model, squares[0])
    assert [three for _, three in model.asked] == [False, False]
    assert all(prompt.mask_logits is None for asked, _ in model.asked for prompt in asked)


def test_nobody_clicks_when_nothing_is_wrong(squares: Any, knowing: Any) -> None:
    model = knowing(needed=1)
    (row,) = Points(counts=(1, 9)).measure(model, squares[0])
    assert row["first"] == [1.0]
    assert len(model.asked) == 1
    main = Points(counts=(1, 9)).summarise({"a": {"k": [row]}}).tables[0]
    assert main.rows[0][2:4] == (1.0, 1.0)  # who is content keeps the answer


def test_masks_that_never_arrive_count_with_the_most_clicks(squares: Any, knowing: Any) -> None:
    points = Points(counts=(1,), max_clicks=4)
    (row,) = points.measure(knowing(needed=99), squares[2])
    assert len(row["first"]) == 4
    efforts = points.summarise({"a": {"k": [row]}}).tables[2]
    assert efforts.rows[0][2:] == (4.0, 1.0, 4.0, 1.0)


def test_nothing_measured_is_no_error() -> None:
    summary = Points().summarise({"empty": {}})
    assert summary.tables[0].rows[0][1:3] == (0, None)
    assert not summary.curves[0].lines


def test_cells_beyond_the_clicks_that_a_model_takes_are_empty(squares: Any, knowing: Any) -> None:
    points = Points(counts=(1, 2, 5), max_clicks=20)
    model = knowing(needed=9, capabilities=("multimask",), max_points=3, always_three=True)
    found = rows(points, model, squares)
    assert all(len(prompt.points_xy) <= 3 for asked, _ in model.asked for prompt in asked)
    assert all(three for _, three in model.asked)  # as its authors use it
    main, by_size, efforts, _ = points.summarise({"squares": found}).tables
    first = main.rows[0][2:5]
    assert None not in first[:2]
    assert first[2] is None
    assert by_size.rows[0][-1] is None
    assert efforts.rows[0][2:] == (None,) * 4
    assert len(points.summarise({"squares": found}).curves[0].lines["squares"][1]) == 3


def test_random_starts_lie_inside_and_are_the_same_each_time(squares: Any, knowing: Any) -> None:
    models = [knowing(), knowing()]
    for model in models:
        Points(counts=(1,), max_clicks=1, start="random").measure(model, squares[1])
    (one,), (other,) = (model.asked[0][0] for model in models)
    assert one.points_xy.tolist() == other.points_xy.tolist()
    x, y = one.points_xy[0]
    assert squares[1].masks()[0][int(y), int(x)]


def test_a_peer_gets_the_same_click(squares: Any, knowing: Any) -> None:
    points = Points(counts=(1,), max_clicks=1, peers=("felzenszwalb",))
    (row,) = points.measure(knowing(), squares[0])
    assert row["felzenszwalb"] == pytest.approx(100 / (48 * 64), abs=1e-5)  # a plain grey image
    main = points.summarise({"a": {"k": [row]}, "none": {}}).tables[0]
    assert main.header[-1].startswith("Felzenszwalb")
    assert main.rows[0][-1] == row["felzenszwalb"]
    assert main.rows[1][-1] is None


@pytest.mark.parametrize("options", [{"counts": ()}, {"counts": (0, 1)}, {"max_clicks": 0}])
def test_numbers_of_clicks_are_checked(options: Any) -> None:
    with pytest.raises(InputError, match="expected numbers of clicks"):
        Points(**options)

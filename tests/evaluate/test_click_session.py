"""Clicks on one mask, and what came of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymask.data.truths import Truth
from anymask.evaluate.click_session import ClickSession
from anymask.masks.masks import Masks

TRUTH = np.zeros((20, 30), bool)
TRUTH[4:14, 6:16] = True


def asked(session: ClickSession, *answers: np.ndarray) -> ClickSession:
    for answer in answers:
        assert session.click()
        session.see(Masks.from_dense(answer, scores=[0.5], logits=np.zeros((1, 5, 8), np.float32)))
    return session


def test_clicks_say_what_is_missing_and_what_is_too_much(knowing: Any) -> None:
    too_little, too_much = TRUTH.copy(), TRUTH.copy()
    too_little[:, 11:] = False
    too_much[4:14, 16:28] = True
    session = asked(ClickSession(Truth(3, TRUTH), (10, 8), knowing()), too_little, too_much)
    assert session.click()
    assert session.labels == [1, 1, 0]
    assert session.points[0] == (10, 8)
    assert TRUTH[int(session.points[1][1]), int(session.points[1][0])]
    assert not TRUTH[int(session.points[2][1]), int(session.points[2][0])]
    assert session.row()["first"] == [0.5, round(100 / 220, 5)]
    assert session.row()["mask"] == 3
    assert session.row()["judged"] == [[0.5, 0.5]]  # of the first click alone


def test_a_model_without_negative_points_is_told_only_what_is_missing(knowing: Any) -> None:
    much = np.ones_like(TRUTH)
    session = asked(ClickSession(Truth(0, TRUTH), (10, 8), knowing(capabilities=())), much)
    assert not session.click()
    assert session.prompt().mask_logits is None


def test_a_model_gets_no_more_clicks_than_it_takes(knowing: Any) -> None:
    none = np.zeros_like(TRUTH)
    session = asked(ClickSession(Truth(0, TRUTH), (10, 8), knowing(max_points=2)), none, none)
    assert not session.click()
    assert len(session.prompt().points_xy) == 2
    assert session.row()["most_clicks"] == 2


def test_no_answer_is_an_answer_of_nothing(knowing: Any) -> None:
    session = ClickSession(Truth(0, TRUTH), (10, 8), knowing())
    session.see(Masks.empty((20, 30)))
    assert (session.first, session.oracle, session.judged) == ([0.0], [0.0], [])
    assert session.click()


def test_answers_without_a_predicted_iou_are_not_judged(knowing: Any) -> None:
    session = ClickSession(Truth(0, TRUTH), (10, 8), knowing())
    session.see(Masks.from_dense(TRUTH))
    assert session.row()["judged"] == []

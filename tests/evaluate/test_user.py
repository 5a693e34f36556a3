"""The simulated user."""

from __future__ import annotations

from typing import Any

import numpy as np

from anymask.data.truths import Truth
from anymask.evaluate.user import User
from anymask.masks.masks import Masks

TRUTH = np.zeros((20, 30), bool)
TRUTH[4:14, 6:16] = True


def asked(user: User, *answers: np.ndarray) -> User:
    for answer in answers:
        assert user.click()
        user.see(Masks.from_dense(answer, scores=[0.5], logits=np.zeros((1, 5, 8), np.float32)))
    return user


def test_clicks_say_what_is_missing_and_what_is_too_much(knowing: Any) -> None:
    too_little, too_much = TRUTH.copy(), TRUTH.copy()
    too_little[:, 11:] = False
    too_much[4:14, 16:28] = True
    user = asked(User(Truth(3, TRUTH), (10, 8), knowing()), too_little, too_much)
    assert user.click()
    assert user.labels == [1, 1, 0]
    assert user.points[0] == (10, 8)
    assert TRUTH[int(user.points[1][1]), int(user.points[1][0])]
    assert not TRUTH[int(user.points[2][1]), int(user.points[2][0])]
    assert user.row()["first"] == [0.5, round(100 / 220, 5)]
    assert user.row()["mask"] == 3
    assert user.row()["judged"] == [[0.5, 0.5]]  # of the first click alone


def test_a_model_without_negative_points_is_told_only_what_is_missing(knowing: Any) -> None:
    much = np.ones_like(TRUTH)
    user = asked(User(Truth(0, TRUTH), (10, 8), knowing(capabilities=())), much)
    assert not user.click()
    assert user.prompt().mask_logits is None


def test_a_model_gets_no_more_clicks_than_it_takes(knowing: Any) -> None:
    none = np.zeros_like(TRUTH)
    user = asked(User(Truth(0, TRUTH), (10, 8), knowing(most_points=2)), none, none)
    assert not user.click()
    assert len(user.prompt().points_xy) == 2
    assert user.row()["most_clicks"] == 2


def test_no_answer_is_an_answer_of_nothing(knowing: Any) -> None:
    user = User(Truth(0, TRUTH), (10, 8), knowing())
    user.see(Masks.empty((20, 30)))
    assert (user.first, user.oracle, user.judged) == ([0.0], [0.0], [])
    assert user.click()


def test_answers_without_a_predicted_iou_are_not_judged(knowing: Any) -> None:
    user = User(Truth(0, TRUTH), (10, 8), knowing())
    user.see(Masks.from_dense(TRUTH))
    assert user.row()["judged"] == []

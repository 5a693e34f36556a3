"""The memory of what was worked out lately."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

from anymask.predict.recent import Recent


class Subject:
    """Something that can be referred to weakly."""


class Maker:
    """Makes a result of a subject, and counts how often."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, subject: Subject) -> str:
        self.made.append(id(subject))
        return f"result {len(self.made)}"


def test_a_result_is_made_once() -> None:
    recent, make, subject = Recent[Subject, str](2), Maker(), Subject()
    assert [recent.get(subject, 0, make) for _ in range(3)] == ["result 1"] * 3


def test_another_state_makes_it_anew() -> None:
    recent, make, subject = Recent[Subject, str](2), Maker(), Subject()
    assert recent.get(subject, 0, make) == "result 1"
    assert recent.get(subject, 1, make) == "result 2"
    assert recent.get(subject, 1, make) == "result 2"
    assert recent.get(subject, 0, make) == "result 3"


def test_the_one_that_was_asked_for_longest_ago_is_forgotten() -> None:
    recent, make = Recent[Subject, str](2), Maker()
    a, b, c = Subject(), Subject(), Subject()
    for subject in (a, b, a, c, a, b):
        recent.get(subject, 0, make)
    assert make.made == [id(a), id(b), id(c), id(b)]


def test_it_keeps_nobody_alive() -> None:
    recent = Recent[Subject, Subject](2)
    subject = Subject()
    result = weakref.ref(recent.get(subject, 0, lambda _: Subject()))
    assert result() is not None
    del subject
    gc.collect()
    assert result() is None


def test_copies_begin_empty() -> None:
    recent, make, subject = Recent[Subject, str](2), Maker(), Subject()
    recent.get(subject, 0, make)
    for other in (copy.deepcopy(recent), pickle.loads(pickle.dumps(recent))):
        other.get(subject, 0, make)
    assert len(make.made) == 3


def test_threads_may_share_it() -> None:
    recent = Recent[Subject, int](3)
    subjects = [Subject() for _ in range(8)]
    numbers = [i * 5 % 8 for i in range(800)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: recent.get(subjects[i], 0, lambda s: id(s)), numbers))
    assert found == [id(subjects[i]) for i in numbers]

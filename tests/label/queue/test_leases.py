"""Two people never get the same image at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anymask import InputError, Masks
from anymask.label import LeaseConflict, Provenance, Store
from anymask.label.queue import order as queue
from anymask.label.queue.order import farthest_first
from anymask.label.review.audit import begin_audit, next_audited

Make = Callable[..., Masks]


def test_each_gets_an_image_of_his_own_and_the_same_again(store: Store) -> None:
    ada, bob, cid = (store.next(who) for who in ("Ada", "Bob", "Cid"))
    assert [one.image.id for one in (ada, bob, cid)] == [1, 2, 3]
    assert store.next("Dan") is None
    again = store.next("Ada")
    assert again.image.id == 1 and again.token == ada.token
    assert [(one.person, one.image.id) for one in store.leases()] == [
        ("Ada", 1),
        ("Bob", 2),
        ("Cid", 3),
    ]
    assert 800 < store.leases()[0].seconds <= 900
    store.release(bob)
    assert store.next("Dan").image.id == 2


def test_each_tab_has_an_image_of_its_own_on_both_databases(store: Store, mask_of: Make) -> None:
    first, second, third = (store.next("Ada", tab=tab) for tab in ("one", "two", None))
    assert [one.image.id for one in (first, second, third)] == [1, 2, 3]
    assert store.next("Ada", tab="one").token == first.token
    assert store.next("Ada").token == store.lease(3, "Ada").token == third.token
    for taken, tab in ((3, "one"), (1, None)):  # what has no tab is no page's, and the reverse
        with pytest.raises(LeaseConflict, match="'Ada' has it"):
            store.lease(taken, "Ada", tab=tab)
    with pytest.raises(LeaseConflict, match="'Ada' has it"):
        store.lease(1, "Ada", tab="two")
    store.add_masks(1, mask_of(2), Provenance("Ada"))
    begin_audit(store, "may", 1)
    assert next_audited(store, "may", "Ada", tab="two") is None
    assert next_audited(store, "may", "Ada", tab="one").token == first.token


def test_a_lease_runs_out_and_can_be_renewed(store: Store) -> None:
    ada = store.next("Ada", seconds=1)
    bob = store.next("Bob", seconds=60)
    store.finish(bob)
    cid = store.next("Cid", seconds=60)
    time.sleep(1.1)
    store.renew(ada, 60)  # it ran out, but nobody came
    assert store.next("Dan") is None
    store.renew(ada, 1)
    time.sleep(1.1)
    dan = store.next("Dan")
    assert dan.image.id == ada.image.id
    for late in (lambda: store.renew(ada), lambda: store.finish(ada)):
        with pytest.raises(InputError, match="somebody else has the image by now"):
            late()
    store.release(ada)  # no harm to who has it now
    store.finish(dan)
    store.finish(cid, seconds=3)
    assert store.next("Ada") is None and store.leases() == []
    assert [store.next("Ada", state="done", skip=skip).image.id for skip in ([], [1])] == [1, 2]
    assert store.status().by_state == {"open": 0, "done": 3, "accepted": 0}
    assert store.status().seconds == 3
    assert store.counters() == store.count_again()


def test_what_is_skipped_comes_last(store: Store) -> None:
    store.release(store.next("Ada"), skip=True)
    ids = []
    while (lease := store.next("Ada")) is not None:
        ids.append(lease.image.id)
        store.finish(lease)
    assert ids == [2, 3, 1]


def test_wrong_words_are_refused(store: Store) -> None:
    cases = [
        (lambda: store.next("Ada", order="best"), "order out of added, low-confidence"),
        (lambda: store.next("Ada", state="new"), "state out of open, done, accepted"),
        (lambda: store.next("Ada", seconds=0), "lease of 1 to"),
        (lambda: store.next(""), "name of a person"),
        (lambda: store.renew("nothing"), "lease that holds"),
        (lambda: store.finish(store.next("Ada"), seconds=float("nan")), "seconds of 0 or more"),
    ]
    for call, words in cases:
        with pytest.raises(InputError, match=words):
            call()


def test_a_clock_that_is_set_back_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a file of SQLite goes on by the machine's ticks; a server has its own time."""
    store.next("Ada", seconds=1)
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() - 3600)
    assert store.next("Bob").image.id == 2
    time.sleep(1.1)
    assert store.next("Cid").image.id == 1
    monkeypatch.setattr(time, "time", lambda: wall() + 3600)  # and forwards
    assert store.next("Dan").image.id == 3
    assert store.next("Eve") is None


def test_after_a_restart_of_the_machine_time_goes_on(
    photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.init(photos) as store:
        store.add(photos)
        store.next("Ada", seconds=1)
        wall = time.time
        monkeypatch.setattr(time, "monotonic", lambda: 0.5)
        monkeypatch.setattr(time, "time", lambda: wall() - 10)  # and the clock is behind
        assert store.next("Bob").image.id == 2
        monkeypatch.setattr(time, "monotonic", lambda: 2.5)
        assert store.next("Cid").image.id == 1


def test_orders(store: Store, mask_of: Make) -> None:
    store.set_agreement({1: 0.9, 2: 0.2})
    assert _order(store, "disagreement") == [2, 1, 3]
    vectors = {i: np.array([value, 0], np.float32) for i, value in ((1, 0), (2, 10), (3, 9))}
    store.set_embeddings(vectors)
    assert _order(store, "novelty") == [1, 2, 3]
    lease = store.next("Ada")
    store.finish(lease)
    store.set_embeddings({})
    assert _order(store, "novelty") == [2, 3]
    with pytest.raises(InputError, match="agreement of 0 to 1"):
        store.set_agreement({1: 2})


def test_others_write_while_novelty_is_worked_out(
    store: Store, photos: Path, database: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = []

    def slowly(vectors: np.ndarray, known: int) -> np.ndarray:
        with Store.open(photos, database=database, patience=0.2) as other:
            others.append(other.next("Bob"))
        return farthest_first(vectors, known)

    monkeypatch.setattr(queue, "farthest_first", slowly)
    store.set_embeddings({1: np.zeros(2, np.float32), 2: np.ones(2, np.float32)})
    assert others[0].image.id == 1


def _order(store: Store, order: str) -> list[int]:
    people = iter("abc")
    ids = []
    while (lease := store.next(next(people, "d"), order=order)) is not None:
        ids.append(lease.image.id)
        store.database.write(lambda t: t.run("UPDATE images SET lease_person_id = NULL"))
    store.database.write(lambda t: t.run("UPDATE images SET lease = NULL, lease_until = 0"))
    return ids


def test_farthest_first() -> None:
    points = np.array([[0, 0], [1, 0], [10, 0], [0, 10], [10, 10], [0, 0]], np.float32)
    assert farthest_first(points).tolist() == [4, 0, 2, 3, 1, 5]
    assert farthest_first(points, known=5).tolist() == [5]
    assert farthest_first(points[:0]).tolist() == []
    assert sorted(farthest_first(points, limit=2).tolist()) == [0, 1, 2, 3, 4, 5]


def test_eight_annotators_at_once(store: Store, database: str | None, mask_of: Make) -> None:
    """No request is lost, nobody gets what another one has, and no lock shows."""
    rng = np.random.default_rng(0)
    from anymask import Image

    for number in range(40):
        pixels = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        Image.open(pixels).save(store.root / f"more-{number:02}.png")
    store.add(store.root)
    held, twice, errors, done = Counter[int](), [], [], Counter[str]()
    lock = threading.Lock()

    def annotate(person: str, opened: Store) -> None:
        try:
            while (lease := opened.next(person)) is not None:
                with lock:
                    held[lease.image.id] += 1
                    if held[lease.image.id] > 1:
                        twice.append(lease.image.id)
                ((mask, now),) = opened.add_masks(lease.image, mask_of(), Provenance(person))
                opened.review_mask(mask, now, "accepted", Provenance(person))
                opened.renew(lease)
                opened.finish(lease, seconds=1)
                done[person] += 1
        except Exception as error:
            errors.append(error)

    # Two connections of their own, as two processes have, and threads on each, as a server has.
    stores = [store, Store.open(store.root, database=database)]
    threads = [
        threading.Thread(target=annotate, args=(f"person {i}", stores[i % 2])) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stores[1].close()
    assert errors == [] and twice == []
    assert sum(done.values()) == 43
    status = store.status()
    assert status.by_state["done"] == 43 and status.by_review["accepted"] == 43
    assert status.seconds == 43 and status.revisions == 86
    assert store.counters() == store.count_again()

"""A request whose answer was lost may be sent again, and what was written is written once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from anymask import InputError, Masks
from anymask.label import Provenance, Store
from anymask.label.records import Change, Lease

Make = Callable[..., Masks]


def test_the_end_of_a_lease_may_be_said_again(store: Store) -> None:
    lease = store.next("Ada")
    for _ in range(3):
        store.finish(lease, seconds=5)
    assert store.status().seconds == 5 and store.status().by_state["done"] == 1
    again = store.next("Bob", state="done")  # the same image, to review
    store.finish(lease, seconds=5)
    assert [(one.person, one.image.id) for one in store.leases()] == [("Bob", again.image.id)]
    with pytest.raises(InputError, match="one that ended as 'done', not as 'accepted'"):
        store.finish(lease, "accepted")
    store.finish(again, "accepted", seconds=2)
    store.finish(again, "accepted", seconds=2)
    assert store.image(again.image.id).state == "accepted"
    assert store.status().seconds == 7
    assert store.counters() == store.count_again()


def test_a_lease_that_was_given_back_has_no_end(store: Store) -> None:
    lease = store.next("Ada")
    for _ in range(2):
        store.release(lease, skip=True)
    with pytest.raises(InputError, match="lease that holds"):
        store.finish(lease)


def test_what_has_a_token_happens_once(store: Store, mask_of: Make) -> None:
    store.add_classes(["sky", "sea"])
    for _ in range(2):
        store.rename_class("sky", "air", token="a")
        store.add_version("tiny-2", "tiny.safetensors", token="b")
        store.add_masks(1, mask_of(label="sea"), Provenance("Ada", token="c"))
    assert [one.name for one in store.classes()] == ["air", "sea"]
    assert [one.name for one in store.versions()] == ["tiny-2"]
    assert store.status().masks == 1
    for again in (
        lambda: store.rename_class("sky", "air"),
        lambda: store.add_version("tiny-2", "tiny.safetensors"),
    ):
        with pytest.raises(InputError):
            again()


def test_a_token_is_of_one_request(store: Store, mask_of: Make) -> None:
    store.add_classes(["sky"])
    store.rename_class("sky", "air", token="a")
    cases = [
        lambda: store.rename_class("air", "sky", token="a"),
        lambda: store.add_version("tiny-2", "tiny.safetensors", token="a"),
        lambda: store.add_masks(1, mask_of(), Provenance("Ada", token="a")),
        lambda: store.rename_class("air", "sky", token="x" * 201),
    ]
    for case in cases:
        with pytest.raises(InputError, match="expected a token"):
            case()
    assert store.status().masks == 0 and [one.name for one in store.classes()] == ["air"]


@contextmanager
def lost_answer(store: Store, *, committed: bool) -> Iterator[list[bool]]:
    """Lose the connection once while a commit is answered: after it was done, or before."""
    import psycopg

    dialect = store.database.engine.dialect
    commit, lost = dialect.do_commit, []

    def fail(connection: Any) -> None:
        if lost:
            commit(connection)
            return
        lost.append(True)
        (commit if committed else dialect.do_rollback)(connection)
        connection.dbapi_connection.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    dialect.do_commit = fail
    try:
        yield lost
    finally:
        dialect.do_commit = commit


WRITES: dict[str, Callable[[Store, Masks, Lease], object]] = {
    "add masks": lambda store, mask, lease: store.add_masks(1, mask, Provenance("Ada", seconds=1)),
    "change": lambda store, mask, lease: store.change(
        1, [Change("add", masks=mask), Change("delete", 1, 1)], Provenance("Ada")
    ),
    "edit": lambda store, mask, lease: store.edit_mask(1, 1, mask, Provenance("Ada")),
    "finish": lambda store, mask, lease: store.finish(lease, seconds=4),
    "next": lambda store, mask, lease: store.next("Bob").image.id,
    "rename": lambda store, mask, lease: store.rename_class("sky", "air"),
    "version": lambda store, mask, lease: store.add_version("tiny-2", "tiny.safetensors"),
}


@pytest.mark.postgres
@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("what", WRITES)
def test_a_commit_whose_answer_is_lost_happens_once(
    photos: Any, postgres: Any, mask_of: Make, what: str, committed: bool
) -> None:
    def state(store: Store) -> object:
        found = store.masks(1)
        leases = [(one.person, one.image.id) for one in store.leases()]
        names = [one.name for one in store.classes()], [one.name for one in store.versions()]
        return store.counters(), found.revisions, leases, names

    states, answers = [], []
    for broken in (False, True):
        with Store.init(photos, database=postgres.new_database()) as store:
            store.add(photos)
            store.add_masks(1, mask_of(2), Provenance("Ada"))
            lease = store.next("Ada")
            if broken:
                with lost_answer(store, committed=committed) as lost:
                    answers.append(WRITES[what](store, mask_of(3), lease))
                assert lost
            else:
                answers.append(WRITES[what](store, mask_of(3), lease))
            states.append(state(store))
            assert store.counters() == store.count_again()
    assert states[0] == states[1]
    if committed:  # a number that was drawn for what did not happen is not used again
        assert answers[0] == answers[1]

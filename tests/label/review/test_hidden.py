"""An image whose masks are known, beside one like all others: whatever is asked, they say alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from anymask import Masks
from anymask.label import LeaseConflict, Provenance, Store
from anymask.label.review.honeypots import add_honeypot, score_annotators, set_honeypot_share
from anymask.label.saving import Wanted, save_masks

Make = Callable[..., Masks]
ADA, BOB, TINY = Provenance("Ada"), Provenance("Bob"), Provenance(version="tiny")


@pytest.fixture
def known(store: Store, mask_of: Make) -> Store:
    """The last of three photos has a known mask, and is handed out first; a model was in all."""
    for image in store.images():
        store.add_masks(image, mask_of(5, None, scores=[0.5]), TINY)
    add_honeypot(store, "photo-2.png", mask_of(2))
    set_honeypot_share(store, 1)
    return store


def seen(store: Store, image: int) -> dict[str, Any]:
    """What anybody can ask of an image, without what differs from image to image anyway."""
    stored = store.masks(image)
    own = {"id": 0, "sha256": "", "names": ()}
    entries = [
        [replace(one, mask=0, masks=Masks.empty((8, 12)), at=0) for one in store.history(mask)]
        for mask in stored.ids
    ]
    return {
        "image": replace(stored.image, **own),
        "masks": [stored.revisions, stored.reviews, stored.people, stored.versions],
        "pixels": stored.masks.areas.tolist(),
        "history": entries,
    }


def counted(store: Store) -> dict[str, Any]:
    status = asdict(store.status(shown=True))
    return status | {"leases": len(status["leases"])}


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What moved, and by how much."""
    moved: dict[str, Any] = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, list):
            value, old = dict(enumerate(value)), dict(enumerate(old or []))
        if isinstance(value, dict):
            found = difference(old or {}, value)
            moved |= {name: found} if found else {}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            if value != (old or 0):
                moved[name] = round(value - (old or 0), 9)
        elif value != old:
            moved[name] = value
    return moved


def work_on(store: Store, mask_of: Make) -> tuple[int, list[Any]]:
    """Ada labels the next image, goes back, undoes and is done again; give all that is told."""
    told: list[Any] = []
    before = counted(store)

    def look(image: int) -> None:
        nonlocal before
        now = counted(store)
        told.append((seen(store, image), difference(before, now)))
        before = now

    lease = store.next("Ada")
    assert lease is not None
    number = lease.image.id
    look(number)
    ((mask, revision),) = store.add_masks(number, mask_of(3), replace(ADA, seconds=4))
    revision = store.edit_mask(mask, revision, mask_of(4, "tree"), replace(ADA, seconds=40))
    store.review_mask(store.masks(number).ids[0], 1, "accepted", ADA)
    look(number)
    store.finish(lease, seconds=50)
    look(number)
    lease = store.lease(number, "Ada")  # she goes back
    look(number)
    store.restore_mask(mask, revision, ADA)  # and undoes
    look(number)
    store.finish(lease, seconds=7)
    look(number)
    lease = store.lease(number, "Ada")
    store.release(lease)
    look(number)
    bob = store.lease(number, "Bob")  # a reviewer
    look(number)
    store.finish(bob, "accepted", seconds=1)
    look(number)
    return number, told


def test_ones_own_work_is_there_and_counts_as_on_all_others(known: Store, mask_of: Make) -> None:
    number, on_known = work_on(known, mask_of)
    assert known.image(number).name == "photo-2.png"
    assert [one["image"].state for one, _ in on_known] == ["open"] * 2 + ["done"] * 6 + ["accepted"]
    set_honeypot_share(known, 0)
    number, on_another = work_on(known, mask_of)
    assert known.image(number).name == "photo-0.png"
    for first, second in zip(on_known, on_another, strict=True):
        for here, there in zip(first, second, strict=True):
            # Whoever works for the first time makes a class, and is new in the list of people.
            assert _without_first(here) == _without_first(there)
    assert known.counters() == known.count_again()
    assert [(one.person, one.seconds) for one in score_annotators(known)] == [("Ada", 57)]


def _without_first(told: dict[str, Any]) -> dict[str, Any]:
    told = {**told, "classes": None}
    people = told.get("people")
    if isinstance(people, dict):
        told["people"] = {
            i: {k: v for k, v in one.items() if k not in ("person", "seconds_per_mask")}
            for i, one in people.items()
        }
    return {k: v for k, v in told.items() if k != "seconds_per_mask"}


def test_who_comes_back_after_another_finds_what_he_left(known: Store, mask_of: Make) -> None:
    lease = known.next("Ada")
    number, (filled,) = lease.image.id, known.masks(lease.image).ids
    known.edit_mask(filled, 1, mask_of(6, "tree"), ADA)
    known.add_masks(number, mask_of(3), ADA)
    known.finish(lease, seconds=5)
    left = seen(known, number)
    lease = known.next("Bob")
    assert lease.image.id == number and lease.image.state == "open"
    stored = known.masks(number)
    assert stored.people == (None,) and stored.revisions == (1,) and filled not in stored.ids
    with pytest.raises(LeaseConflict, match="'Bob' has it"):
        known.lease(number, "Ada")
    known.delete_mask(stored.ids[0], 1, BOB)
    known.finish(lease)
    his = seen(known, number)
    for _ in range(2):
        known.release(known.lease(number, "Ada"))
        assert seen(known, number) == left
        known.release(known.lease(number, "Bob"))
        assert seen(known, number) == his
    # What Ada corrects now is hers, too.
    lease = known.lease(number, "Ada")
    (_, mask) = known.masks(number).ids
    known.delete_mask(mask, 1, ADA)
    known.finish(lease)
    known.release(known.lease(number, "Bob"))
    known.release(known.lease(number, "Ada"))
    assert known.masks(number).image.masks == 1 == len(known.masks(number).ids)
    # To one who has never been there it is fresh, unless he has looked at it.
    known.release(known.lease(number, "Dan"))
    assert seen(known, number)["image"].state == "done"
    assert known.next("Dan").image.id != number
    lease = known.next("Cid")
    assert lease.image.id == number and known.masks(number).revisions == (1,)
    assert {one.person for one in score_annotators(known)} == {"Ada", "Bob"}


def test_sums_do_not_move_when_one_is_handed_out_again(
    known: Store, mask_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.99)  # at no end is counted what waits
    set_honeypot_share(known, 1)
    for person in ("Ada", "Bob", "Cid"):
        before = counted(known)
        lease = known.next(person)
        assert lease.image.name == "photo-2.png"
        assert difference(before, counted(known)) == {"leases": 1}
        before = counted(known)
        known.finish(lease)
        moved = difference(before, counted(known))["by_state"]
        assert moved["done"] == 1 and moved.get("open", -1) == -1
    waits = counted(known)["images"]
    monkeypatch.setattr("random.random", lambda: 0.0)
    known.finish(known.next("Ada"))
    # Each time that one is handed out is an image of its own.
    assert (waits, counted(known)["images"]) == (4, 5)  # not less open than one, as long as any is
    assert known.counters() == known.count_again() and known.status().images == 2


def test_one_that_somebody_has_is_open_although_no_other_is(known: Store) -> None:
    hers = known.next("Ada")
    assert hers.image.name == "photo-2.png"
    set_honeypot_share(known, 0)
    for _ in range(2):
        known.finish(known.next("Bob"))
    before = known.status(shown=True)
    assert (before.images, before.by_state["open"], before.by_state["done"]) == (3, 1, 2)
    known.finish(hers)
    after = known.status(shown=True)
    assert (after.images, after.by_state["open"], after.by_state["done"]) == (3, 0, 3)
    assert known.status().images == 2


def test_what_is_filled_in_meanwhile_is_for_the_next_one(known: Store, mask_of: Make) -> None:
    known.finish(known.next("Ada"))
    number = known.image("photo-2.png").id
    before = seen(known, number), counted(known)
    newer = Provenance(version="newer", stage="semi-automatic")
    known.add_masks(number, mask_of(7, scores=[0.9]), newer)
    assert (seen(known, number), counted(known) | {"versions": 0, "classes": 0}) == (
        before[0],
        before[1] | {"versions": 0, "classes": 0},
    )
    lease = known.next("Bob")
    assert known.masks(lease.image).versions == ("tiny", "newer") and lease.image.masks == 2


def test_a_late_save_of_what_was_set_aside_is_counted_right(known: Store, mask_of: Make) -> None:
    lease = known.next("Ada")
    ((mask, _),) = known.add_masks(lease.image, mask_of(3), ADA)
    known.finish(lease)
    known.release(known.next("Bob"))
    image = known.image("photo-2.png")
    late = Wanted(mask_of(4), (mask,), ("pending",), (None,))
    save_masks(known, image, late, image.revision, ADA)
    assert known.image(image.id).masks == 1 == len(known.masks(image.id).ids)

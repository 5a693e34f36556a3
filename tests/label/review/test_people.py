"""Audits that people work on one image after the other, and how well people agree."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from anymask import InputError, Masks
from anymask.label import LeaseConflict, Provenance, Store
from anymask.label.review.audit import (
    begin_audit,
    confirm,
    list_audits,
    next_audited,
    read_audit,
    waiting_masks,
)
from anymask.label.review.honeypots import add_honeypot, remove_honeypot, set_honeypot_share
from anymask.label.review.people import compare_people

Make = Callable[..., Masks]
EVE = Provenance(person="Eve")


@pytest.fixture
def audited(store: Store, mask_of: Make) -> Store:
    """Two masks on each of the first two images, all in an audit."""
    for image in (1, 2):
        both = Masks.concat([mask_of(2), mask_of(6)])
        store.add_masks(image, both, Provenance(version="net"))
    store.finish(store.lease(2, "Ada"))
    assert begin_audit(store, "may", 10) == 4
    return store


def test_people_are_compared_on_the_latest_images(
    store: Store, mask_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy")
    for image in (1, 2, 3):
        for person in ("Ada", "Bob"):
            store.add_masks(image, mask_of(image), Provenance(person))
    monkeypatch.setattr("anymask.label.review.people._AT_ONCE", 1)
    assert [one.images for one in compare_people(store)] == [3]
    assert [one.images for one in compare_people(store, limit=2)] == [2]
    monkeypatch.setattr("anymask.label.review.people._LATEST", 2)
    assert [one.images for one in compare_people(store)] == [2]


def test_an_audit_gives_its_images_whatever_their_state(audited: Store) -> None:
    assert list_audits(audited) == ["may"]
    eve, dan = (next_audited(audited, "may", who) for who in ("Eve", "Dan"))
    assert [one.image.id for one in (eve, dan)] == [1, 2]
    assert next_audited(audited, "may", "Bob") is None
    for none in (None, ""):
        assert next_audited(audited, "may", "Eve", tab=none).token == eve.token
    assert waiting_masks(audited, "may", 1) == [1, 2]
    audited.edit_mask(2, 1, audited.masks(1).masks[0], EVE)
    assert waiting_masks(audited, "may", eve.image) == [1]
    assert confirm(audited, "may", eve.image, person="Eve") == 1
    assert confirm(audited, "may", eve.image, person="Eve") == 0  # said again
    audited.finish(eve, eve.image.state)
    audited.review_mask(3, 1, "rejected", Provenance("Dan"))
    audited.delete_mask(4, 1, Provenance("Dan"))
    found = read_audit(audited, "may")
    assert not found.waiting and next_audited(audited, "may", "Eve") is None
    # Right, corrected from 6 rows to 2, rejected, deleted.
    assert found.rows[0].mean_iou == pytest.approx((1 + 1 / 3 + 0 + 0) / 4)
    assert [one.action for one in audited.history(1)] == ["add", "review"]
    assert audited.image(1).state == "open" and audited.image(2).state == "done"
    for ask in (
        lambda: next_audited(audited, "june", "Eve"),
        lambda: waiting_masks(audited, "june", 1),
        lambda: confirm(audited, "june", eve.image, person=None),
    ):
        with pytest.raises(InputError, match="expected the name of an audit, got 'june'"):
            ask()


def test_what_another_has_is_not_confirmed(audited: Store) -> None:
    lease = next_audited(audited, "may", "Eve")
    with pytest.raises(LeaseConflict, match="'Eve' has it"):
        confirm(audited, "may", lease.image, person="Dan")
    assert waiting_masks(audited, "may", lease.image) == [1, 2]
    assert confirm(audited, "may", lease.image, person="Eve") == 2
    assert confirm(audited, "may", lease.image, person="Dan") == 0  # it is so already


def test_an_image_whose_masks_became_known_leaves_the_audit(audited: Store, mask_of: Make) -> None:
    pytest.importorskip("scipy")
    add_honeypot(audited, 1, mask_of(2))
    assert waiting_masks(audited, "may", 1) == []
    assert next_audited(audited, "may", "Eve").image.id == 2
    set_honeypot_share(audited, 1)
    lease = audited.next("Ada")
    assert lease.image.id == 1
    audited.review_mask(1, 1, "rejected", Provenance(person="Ada"))
    audited.finish(lease)
    assert [mask for mask, _ in read_audit(audited, "may").waiting] == [3, 4]
    remove_honeypot(audited, 1)
    # The mask that was put away is another one by now; the other one is as it was.
    found = read_audit(audited, "may")
    assert [mask for mask, _ in found.waiting] == [2, 3, 4] and found.rows[0].masks == 0


def test_known_masks_are_no_matter_of_agreement(store: Store, mask_of: Make) -> None:
    pytest.importorskip("scipy")
    add_honeypot(store, 1, mask_of(2))
    for person in ("Ada", "Bob"):
        store.add_masks(1, mask_of(4), Provenance(person=person))
    assert compare_people(store) == []


def test_many_who_audit_get_an_image_each(audited: Store) -> None:
    found: list[int | None] = []

    def ask(person: str) -> None:
        lease = next_audited(audited, "may", person)
        found.append(None if lease is None else lease.image.id)

    threads = [threading.Thread(target=ask, args=(f"P{i}",)) for i in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one or 0 for one in found) == [0, 0, 0, 1, 2]


def test_people_are_compared_where_both_made_masks(store: Store, mask_of: Make) -> None:
    pytest.importorskip("scipy")
    assert compare_people(store) == []
    ada, bob = Provenance(person="Ada"), Provenance(person="Bob")
    store.add_masks(1, mask_of(4), ada)
    store.add_masks(1, mask_of(5), bob)
    ((wrong, _),) = store.add_masks(1, mask_of(1), bob)
    store.add_masks(2, mask_of(4), ada)
    store.add_masks(2, mask_of(8), Provenance(version="net"))
    (pair,) = compare_people(store)
    assert (pair.first, pair.second, pair.images) == ("Ada", "Bob", 1)
    document = pair.document()
    assert document["mean_iou"] == pytest.approx(0.8) and document["pairs"] == 1
    assert (document["above_90"], document["above_75"]) == (0, 1)
    assert (document["only_first"], document["only_second"]) == (0, 1)
    store.review_mask(wrong, 1, "rejected", ada)
    assert compare_people(store)[0].agreement.only_second == 0
    store.add_masks(2, mask_of(1), bob)  # no pair
    assert compare_people(store)[0].images == 2

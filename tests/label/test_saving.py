"""All masks of an image at once: what differs becomes revisions, and undo is one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from anymask import InputError, Masks
from anymask.label import LeaseConflict, Provenance, RevisionConflict, Store
from anymask.label.saving import Saved, Wanted, save_masks

Make = Callable[..., Masks]
ADA = Provenance(person="Ada")


def wanted(*parts: Any, ids: Any = None, reviews: Any = None, seconds: Any = None) -> Wanted:
    masks = Masks.concat(parts) if parts else Masks.empty((8, 12))
    n = len(parts)
    return Wanted(masks, ids or (None,) * n, reviews or ("pending",) * n, seconds or (None,) * n)


def told(store: Store, mask: int) -> list[tuple[str, int | None]]:
    return [(one.action, one.restores) for one in store.history(mask)]


def test_only_what_differs_becomes_a_revision(store: Store, mask_of: Make) -> None:
    a, b, c = mask_of(2), mask_of(4, "sea"), mask_of(6, None)
    saved = save_masks(store, 1, wanted(a, b, seconds=(2.0, 6.0)), 0, ADA)
    assert saved == Saved(1, (1, 2))
    assert [store.history(one)[0].seconds for one in (1, 2)] == [2.0, 6.0]
    # The second is another one, the third is new and comes between, the first stays.
    saved = save_masks(store, 1, wanted(a, c, mask_of(5, "sea"), ids=(1, None, 2)), 1, ADA)
    assert saved == Saved(2, (1, 3, 2))
    assert [told(store, one) for one in (1, 2, 3)] == [
        [("add", None)],
        [("add", None), ("edit", None)],
        [("add", None)],
    ]
    assert save_masks(store, 1, wanted(), 2, ADA) == Saved(3, ())
    assert store.masks(1).ids == () and [told(store, one)[-1][0] for one in (1, 2, 3)] == (
        ["delete"] * 3
    )
    assert store.counters() == store.count_again()


def test_what_is_there_already_is_in_nobodys_way(store: Store, mask_of: Make) -> None:
    save_masks(store, 1, wanted(mask_of(2)), 0, ADA)
    store.lease(1, "Bob")
    same = wanted(mask_of(2), ids=(1,))
    assert save_masks(store, 1, same, 0, ADA) == Saved(1, (1,))
    assert len(store.history(1)) == 1


def test_numbers_come_in_the_order_in_which_masks_are_sent(store: Store, mask_of: Make) -> None:
    save_masks(store, 1, wanted(mask_of(2), mask_of(4, "sea")), 0, ADA)
    turned = wanted(mask_of(4, "sea"), mask_of(2), ids=(2, 1))
    assert save_masks(store, 1, turned, 1, ADA) == Saved(1, (2, 1))


def test_undo_of_an_editor_is_a_restore(store: Store, mask_of: Make) -> None:
    first, second = wanted(mask_of(2), ids=(1,)), wanted(mask_of(4), ids=(1,))
    save_masks(store, 1, wanted(mask_of(2)), 0, Provenance(version="net", stage="automatic"))
    save_masks(store, 1, second, 1, ADA)
    assert store.masks(1).versions == (None,)
    save_masks(store, 1, first, 2, ADA)
    assert told(store, 1) == [("add", None), ("edit", None), ("restore", 1)]
    stored = store.masks(1)
    assert stored.versions == ("net",) and stored.stages == ("automatic",)
    save_masks(store, 1, second, 3, ADA)  # redo
    assert told(store, 1)[-1] == ("restore", 2)
    save_masks(store, 1, wanted(), 4, ADA)
    save_masks(store, 1, first, 5, ADA)  # comes back from the deleted, as it was before
    assert told(store, 1)[-2:] == [("delete", None), ("restore", 1)]
    save_masks(store, 1, wanted(), 6, ADA)
    accepted = replace(first, reviews=("accepted",))
    save_masks(store, 1, accepted, 7, ADA)
    assert [one for one, _ in told(store, 1)[-2:]] == ["restore", "review"]
    assert store.masks(1).reviews == ("accepted",)
    assert store.counters() == store.count_again()


def test_a_deleted_mask_comes_back_changed(store: Store, mask_of: Make) -> None:
    save_masks(store, 1, wanted(mask_of(2)), 0, ADA)
    save_masks(store, 1, wanted(), 1, ADA)
    assert save_masks(store, 1, wanted(mask_of(5), ids=(1,)), 2, ADA) == Saved(3, (1,))
    assert [one for one, _ in told(store, 1)] == ["add", "delete", "restore", "edit"]
    assert store.masks(1).masks.areas.tolist() == [60]


def test_an_older_revision_is_refused_and_nothing_happens(store: Store, mask_of: Make) -> None:
    save_masks(store, 1, wanted(mask_of(2)), 0, ADA)
    bob = Provenance(person="Bob")
    with pytest.raises(RevisionConflict, match="expected the latest revision 1 of the image"):
        save_masks(store, 1, wanted(mask_of(3)), 0, bob)
    store.finish(store.lease(1, "Ada"))  # which is a change of the image, too
    with pytest.raises(RevisionConflict) as conflict:
        save_masks(store, 1, wanted(mask_of(3), ids=(1,)), 1, bob)
    assert conflict.value.current.state == "done"
    store.lease(1, "Ada")
    with pytest.raises(LeaseConflict, match="'Ada' has it"):
        save_masks(store, 1, wanted(mask_of(3), ids=(1,)), 2, bob)
    store.add_masks(2, mask_of(2), ADA)
    for number, said in ((2, "a mask of image 1"), (99, "the number of a mask")):
        with pytest.raises(InputError, match=f"expected {said}, got {number}"):
            save_masks(store, 1, wanted(mask_of(2), mask_of(3), ids=(1, number)), 2, ADA)
    with pytest.raises(InputError, match="a number twice"):
        wanted(mask_of(2), mask_of(3), ids=(1, 1))
    with pytest.raises(InputError, match="for each of 1 masks"):
        wanted(mask_of(2), ids=(1, 2))
    assert told(store, 1) == [("add", None)]


def test_a_request_happens_once(store: Store, mask_of: Make) -> None:
    by = Provenance(person="Ada", token="t")
    first = save_masks(store, 1, wanted(mask_of(2), mask_of(3)), 0, by)
    save_masks(store, 1, wanted(mask_of(4), mask_of(3), ids=(1, 2)), 1, ADA)
    assert save_masks(store, 1, wanted(mask_of(2), mask_of(3)), 0, by) == first
    assert store.masks(1).ids == (1, 2) and store.image(1).revision == 2


def test_of_two_at_once_one_is_told(store: Store, mask_of: Make) -> None:
    save_masks(store, 1, wanted(mask_of(2)), 0, ADA)
    outcomes: list[str] = []

    def save(rows: int) -> None:
        try:
            save_masks(store, 1, wanted(mask_of(rows), ids=(1,)), 1, Provenance(person=f"P{rows}"))
            outcomes.append("saved")
        except RevisionConflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=save, args=(rows,)) for rows in (3, 4, 5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(outcomes) == ["conflict", "conflict", "saved"]
    assert len(store.history(1)) == 2


def test_a_certain_image_is_leased(store: Store) -> None:
    ada = store.lease("photo-1.png", "Ada", seconds=60)
    assert store.lease(2, "Ada").token == ada.token
    with pytest.raises(LeaseConflict) as conflict:
        store.lease(2, "Bob")
    assert conflict.value.person == "Ada" and 0 < conflict.value.seconds <= 900
    assert store.next("Bob").image.id == 1
    store.finish(ada, seconds=5)
    store.finish(ada, seconds=5)  # said again, because nobody heard the answer
    assert store.status().seconds == 5
    again = store.lease(2, "Bob")
    assert again.token != ada.token and again.image.state == "done"
    with pytest.raises(InputError, match="lease that holds"):
        store.finish("nobody's")
    assert store.counters() == store.count_again()


def test_people_and_versions_are_told(store: Store, mask_of: Make) -> None:
    net = Provenance(version="net", stage="automatic")
    save_masks(store, 1, wanted(mask_of(2), mask_of(3), mask_of(4)), 0, net)
    reviews = ("accepted", "rejected", "pending")
    kept = wanted(mask_of(2), mask_of(3), mask_of(4), ids=(1, 2, 3), reviews=reviews)
    save_masks(store, 1, kept, 1, ADA)
    for revision, rows in ((2, 5), (3, 6)):
        masks = (mask_of(2), mask_of(3), mask_of(rows))
        edited = wanted(*masks, ids=(1, 2, 3), reviews=reviews, seconds=(None, None, 4.0))
        save_masks(store, 1, edited, revision, ADA)
    store.finish(store.lease(1, "Ada"), seconds=30)
    status = store.status()
    (ada,) = status.people
    assert (ada.person, ada.images, ada.seconds, ada.changes) == ("Ada", 1, 30, 4)
    assert ada.seconds_per_mask == 8  # two changes of one mask
    (version,) = status.versions
    assert version.by_review == {"pending": 0, "accepted": 1, "rejected": 1}
    assert store.counters() == store.count_again()


def test_a_class_gets_a_colour(store: Store) -> None:
    store.add_classes(["sky"])
    store.recolor_class("sky", "#a1B2c3")
    assert store.classes()[0].color == "#a1B2c3"
    for wrong in ("red", "#12345", "#1234567", "#12345g"):
        with pytest.raises(InputError, match="expected a colour"):
            store.recolor_class("sky", wrong)
    with pytest.raises(InputError, match="expected a class out of 'sky'"):
        store.recolor_class("sea", "#000000")

"""Known masks in the queue: nobody can tell them from others, and they score annotators."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from anymask import Image, InputError, Masks
from anymask.formats import coco
from anymask.label import LeaseConflict, Provenance, Store, export_masks, import_masks
from anymask.label.database.counters import add_later
from anymask.label.review.audit import begin_audit
from anymask.label.review.honeypots import (
    add_honeypot,
    import_honeypots,
    list_honeypots,
    remove_honeypot,
    score_annotators,
    set_honeypot_share,
)
from anymask.label.saving import Wanted, save_masks

Make = Callable[..., Masks]
ADA, BOB, TINY = Provenance("Ada"), Provenance("Bob"), Provenance(version="tiny")


@pytest.fixture
def hidden(store: Store, mask_of: Make) -> Store:
    """The last of three photos has two known masks, and is always handed out first."""
    known = Masks.concat([mask_of(2, "sky"), _column(4, "tree")])
    add_honeypot(store, "photo-2.png", known)
    set_honeypot_share(store, 1)
    return store


def _column(columns: int, label: str | None) -> Masks:
    dense = np.zeros((8, 12), bool)
    dense[4:, :columns] = True
    return Masks.from_dense(dense, labels=[label])


def told(store: Store, person: str) -> dict[str, Any]:
    """What `next` says, without what differs from image to image anyway."""
    lease = store.next(person)
    assert lease is not None
    stored = store.masks(lease.image)
    own = {"id": 0, "sha256": "", "names": ()}
    return {
        "lease": replace(lease, token="", image=replace(lease.image, **own)),
        "token": len(lease.token),
        "masks": [
            stored.revisions, stored.reviews, stored.stages, stored.people, stored.versions,
            stored.seconds, tuple(stored.masks.labels),
        ],
        "meta": store.image_meta(lease.image.id),
    }  # fmt: skip


@pytest.mark.parametrize("filled", [False, True])
def test_nobody_can_tell_them_from_others(store: Store, mask_of: Make, filled: bool) -> None:
    add_honeypot(store, "photo-2.png", mask_of(2))
    if filled:
        for image in store.images(honeypots=True):
            store.add_masks(image, mask_of(5, None, scores=[0.5]), TINY)
    shares = {}
    for share in (0, 1):
        set_honeypot_share(store, share)
        shares[share] = told(store, f"Eve {share}")
        shares[share]["lease"] = replace(shares[share]["lease"], person="Eve")
    assert shares[0] == shares[1]
    # Ada and Bob work on it, one after the other; to Cid it is as fresh as ever.
    store.release(store.next("Eve 1"))
    for who in (ADA, BOB):
        lease = store.next(who.person)
        assert lease.image.name == "photo-2.png"
        stored = store.masks(lease.image)
        for mask, revision in zip(stored.ids, stored.revisions, strict=True):
            store.edit_mask(mask, revision, mask_of(3), who)
        store.add_masks(lease.image, mask_of(4), who)
        store.finish(lease, seconds=5)
        store.add_masks(lease.image, mask_of(6), Provenance())  # by nobody knows whom
    again = told(store, "Cid")
    again["lease"] = replace(again["lease"], person="Eve")
    assert again == shares[0]


def test_each_person_gets_each_once_and_never_as_the_last(hidden: Store) -> None:
    lease = hidden.next("Ada")
    assert lease.image.name == "photo-2.png" and lease.image.state == "open"
    assert hidden.next("Ada").token == lease.token  # the same again
    assert hidden.next("Bob").image.name == "photo-0.png"  # one at a time
    hidden.finish(lease, seconds=3)
    seen = []
    while (lease := hidden.next("Ada")) is not None:
        seen.append(lease.image.name)
        hidden.finish(lease)
    assert seen == ["photo-1.png"]
    hidden.finish(hidden.next("Bob"))
    # Nothing else is open: Cid has not seen it, but would wonder.
    assert hidden.next("Cid") is None
    assert hidden.next("Cid", state="done").image.name != "photo-2.png"


def test_what_is_left_half_done_waits_for_the_same_person(hidden: Store, mask_of: Make) -> None:
    lease = hidden.next("Ada")
    hidden.add_masks(lease.image, mask_of(1), ADA)
    hidden.release(lease)
    lease = hidden.next("Ada")
    assert len(hidden.masks(lease.image).masks) == 1 == lease.image.masks
    hidden.release(lease)
    lease = hidden.next("Bob")
    assert len(hidden.masks(lease.image).masks) == 0 == lease.image.masks
    hidden.finish(lease, "open", seconds=1)
    assert score_annotators(hidden) == []


def test_whoever_asks_for_one_by_name_finds_it_fresh(hidden: Store, mask_of: Make) -> None:
    lease = hidden.next("Ada")
    hidden.add_masks(lease.image, mask_of(1), ADA)
    hidden.release(lease)
    lease = hidden.lease(lease.image.sha256, "Ada")
    assert hidden.masks(lease.image).people == ("Ada",)
    hidden.release(lease)
    lease = hidden.lease(lease.image.sha256, "Bob")
    assert hidden.masks(lease.image).ids == () and lease.image.revision == 0


def test_what_is_saved_late_does_not_double_what_a_model_made(hidden: Store, mask_of: Make) -> None:
    ((old, _),) = hidden.add_masks("photo-2.png", mask_of(5), TINY)
    lease = hidden.next("Ada")
    hidden.edit_mask(old, 1, mask_of(3), ADA)
    hidden.finish(lease)
    # Bob's page shows what was there before, and saves it without a lease.
    late = Wanted(mask_of(4), (old,), ("pending",), (None,))
    save_masks(hidden, lease.image, late, hidden.image(lease.image.id).revision, BOB)
    lease = hidden.next("Cid")
    assert lease.image.name == "photo-2.png" and lease.image.masks == 1
    assert hidden.masks(lease.image).versions == ("tiny",)


def test_a_lease_that_ran_out_is_in_nobodys_way(store: Store, mask_of: Make) -> None:
    set_honeypot_share(store, 1)
    run_out = "UPDATE images SET lease_until = 1 WHERE lease IS NOT NULL"
    first = store.next("Ada")
    store.database.write(lambda t: t.run(run_out))
    add_honeypot(store, first.image, mask_of(2))
    with pytest.raises(InputError, match="expected a lease that holds"):
        store.finish(first)
    lease = store.next("Bob")
    assert lease.image.id == first.image.id
    store.add_masks(lease.image, mask_of(3), BOB)
    store.database.write(lambda t: t.run(run_out))
    remove_honeypot(store, lease.image)
    # Or it would count as done without what Bob had drawn.
    with pytest.raises(InputError, match="expected a lease that holds"):
        store.finish(lease)
    add_honeypot(store, lease.image, mask_of(2))  # what Bob had drawn is gone
    assert store.counters() == store.count_again()


def test_nothing_of_a_person_is_imported_where_masks_are_known(
    hidden: Store, mask_of: Make, tmp_path: Path
) -> None:
    rows = [replace(mask_of(3), source=f"photo-{number}.png") for number in (1, 2)]
    coco.write(tmp_path / "some.json", rows)
    found = import_masks(hidden, tmp_path / "some.json", person="Eve")
    assert (found.images, found.masks) == (1, 1)
    assert [name for name, _ in found.failed] == ["photo-2.png"]
    assert "whose masks are known" in found.failed[0][1]
    # Predictions are filled in everywhere, or what has none would tell.
    found = import_masks(hidden, tmp_path / "some.json")
    assert (found.images, found.known, found.failed) == (1, 1, ())
    assert len(hidden.masks("photo-2.png").ids) == 1


def test_annotators_are_scored(hidden: Store, mask_of: Make) -> None:
    answers = {
        "Ada": [mask_of(2, "sky"), _column(4, "tree"), mask_of(8, "more")],
        "Bob": [mask_of(3, "tree")],  # 2 of 3 rows, by another name; the other is missed
        "Cid": [],
    }
    for person, made in answers.items():
        lease = hidden.next(person)
        for masks in made:
            hidden.add_masks(lease.image, masks, Provenance(person))
        hidden.finish(lease, seconds=7)
    hidden.rename_class("tree", "oak")
    ada, bob, cid = score_annotators(hidden)
    assert (ada.person, ada.images, ada.known, ada.seconds) == ("Ada", 1, 2, 7)
    assert (ada.found.value, ada.mean_iou, ada.above_90.value, ada.named.value) == (1, 1, 1, 1)
    assert bob.mean_iou == pytest.approx(2 / 3) and bob.found.value == 0.5
    assert bob.above_75.value == 0 == bob.named.value and bob.found.number == 2
    assert cid.found.value == 0 and np.isnan(cid.mean_iou) and np.isnan(cid.named.value)


def test_they_are_no_part_of_the_work(hidden: Store, mask_of: Make, tmp_path: Path) -> None:
    before = hidden.counters()
    assert before["images"] == 2 and before == hidden.count_again()
    lease = hidden.next("Ada")
    ((mask, revision),) = hidden.add_masks(
        lease.image, mask_of(), replace(ADA, seconds=99, token="once")
    )
    hidden.review_mask(mask, revision, "accepted", ADA)
    hidden.finish(lease, seconds=50)
    status = hidden.status()
    assert hidden.counters() == before == hidden.count_again()
    assert (status.masks, status.revisions, status.seconds, status.slow) == (0, 0, 0, 0)
    assert [one.name for one in hidden.images()] == ["photo-0.png", "photo-1.png"]
    assert len(list(hidden.images(honeypots=True))) == 3
    with pytest.raises(InputError, match="got none; label some first"):
        begin_audit(hidden, "of all")
    hidden.add_masks("photo-0.png", mask_of(), ADA)
    done = export_masks(hidden, tmp_path / "out.json")
    assert (done.images, done.masks) == (1, 1)
    assert [masks.source for masks in coco.read_all(tmp_path / "out.json")] == ["photo-0.png"]
    # The history is all there.
    remove_honeypot(hidden, lease.image)
    assert [one.action for one in hidden.history(mask)] == ["add", "review", "retire"]
    assert hidden.counters() == hidden.count_again()


def test_an_image_goes_in_and_out(store: Store, mask_of: Make) -> None:
    store.add_masks("photo-1.png", mask_of(3, scores=[0.5]), TINY)
    before = store.counters()
    add_honeypot(store, "photo-1.png", mask_of(2))
    assert store.status().masks == 0 and store.counters() == store.count_again()
    add_honeypot(store, "photo-1.png", Masks.concat([mask_of(2), mask_of(4)]))  # instead
    assert list_honeypots(store).images == (("photo-1.png", 2),)
    assert list_honeypots(store).share == 0.05
    set_honeypot_share(store, 1)
    lease = store.next("Ada")
    with pytest.raises(LeaseConflict, match="to be free, but 'Ada' has it"):
        remove_honeypot(store, "photo-1.png")
    store.finish(lease)
    remove_honeypot(store, "photo-1.png")
    assert store.counters() == store.count_again()
    counted = {k: v for k, v in store.counters().items() if not k.startswith("masks.class")}
    assert counted == {k: v for k, v in before.items() if not k.startswith("masks.class")}
    assert list_honeypots(store).images == () and score_annotators(store) == []
    with pytest.raises(InputError, match="whose masks are known"):
        remove_honeypot(store, "photo-1.png")


def test_with_an_image_its_sums_go_and_those_of_others_stay(store: Store, mask_of: Make) -> None:
    """It was handed out twice, and each time counted as an image of its own."""
    set_honeypot_share(store, 1)
    for name, people in (("photo-2.png", (ADA, BOB)), ("photo-1.png", (ADA,))):
        add_honeypot(store, name, mask_of(2))
        for who in people:
            lease = store.next(who.person)
            assert lease.image.name == name
            store.add_masks(lease.image, mask_of(3), replace(who, seconds=2))
            store.finish(lease, seconds=5)
    store.database.write(lambda t: add_later(t, store.project_id))
    assert store.status(shown=True).by_state == {"open": 1, "done": 3, "accepted": 0}
    remove_honeypot(store, "photo-2.png")
    shown, real = store.status(shown=True), store.status()
    assert (real.by_state["open"], real.masks) == (2, 0)
    assert shown.by_state == {"open": 2, "done": 1, "accepted": 0}
    for what, more in (("images", 1), ("masks", 1), ("seconds", 5), ("revisions", 1)):
        assert getattr(shown, what) - getattr(real, what) == more, what
    assert [(one.person, one.images) for one in shown.people] == [("Ada", 1), ("Bob", 0)]
    remove_honeypot(store, "photo-1.png")
    assert store.status(shown=True) == store.status()
    assert store.counters() == store.count_again()


def test_only_fresh_images_can_be_known(store: Store, mask_of: Make) -> None:
    store.add_masks("photo-0.png", mask_of(), ADA)
    lease = store.next("Ada", skip=[1])
    with pytest.raises(InputError, match="that nobody has worked on"):
        add_honeypot(store, "photo-0.png", mask_of())
    with pytest.raises(LeaseConflict, match="to be free, but 'Ada' has it"):
        add_honeypot(store, lease.image, mask_of())
    store.finish(lease)
    with pytest.raises(InputError, match="that nobody has worked on"):
        add_honeypot(store, lease.image, mask_of())
    empty = mask_of(0)
    for masks in (Masks.from_dense(np.ones((1, 4, 4), bool)), empty, Masks.empty((8, 12))):
        with pytest.raises(InputError, match="expected known masks of 12 x 8, none of them empty"):
            add_honeypot(store, "photo-2.png", masks)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="share from 0 to 1"):
            set_honeypot_share(store, share)
    assert store.counters() == store.count_again()


def test_known_masks_are_read_from_files(store: Store, mask_of: Make, tmp_path: Path) -> None:
    other = tmp_path / "known"
    other.mkdir()
    Image.open(np.full((8, 12, 3), 222, np.uint8)).save(other / "new.png")
    rows = [replace(mask_of(3), source="new.png"), replace(mask_of(2), source="photo-0.png")]
    rows.append(replace(mask_of(2), source="nowhere.png"))
    coco.write(other / "annotations.json", rows)
    number, failed = import_honeypots(store, other / "annotations.json")
    assert number == 2 and [name for name, _ in failed] == ["nowhere.png"]
    assert "put it beside them" in failed[0][1]
    assert len(list_honeypots(store).images) == 2 and store.status().images == 2


def test_known_masks_of_a_file_that_was_changed_are_refused(store: Store, mask_of: Make) -> None:
    store.add_masks("photo-1.png", mask_of(), TINY)
    Image.open(np.full((8, 12, 3), 222, np.uint8)).save(store.root / "photo-1.png")
    coco.write(store.root / "annotations.json", [replace(mask_of(3), source="photo-1.png")])
    number, failed = import_honeypots(store, store.root / "annotations.json")
    assert number == 0 and "got a changed file" in failed[0][1]
    assert list_honeypots(store).images == ()


def test_a_share_is_kept(store: Store, mask_of: Make, tmp_path: Path) -> None:
    """A fifth of what is handed out, give or take chance, and each at most once a person."""
    folder = store.root
    for number in range(60):
        pixels = np.full((8, 12, 3), 3 * number + 1, np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"more-{number:02d}.png")
    store.add(folder)
    for number in range(30):
        add_honeypot(store, f"more-{number:02d}.png", mask_of())
    set_honeypot_share(store, 0.3)
    random.seed(1)
    seen = []
    while (lease := store.next("Ada")) is not None:
        seen.append(lease.image.name)
        store.finish(lease)
    known = [name for name in seen if name < "more-30.png"]
    assert len(set(seen)) == len(seen) and len(seen) - len(known) == 33
    assert 6 <= len(known) <= 23  # of 14 to be expected


def test_what_another_counts_at_the_moment_goes_with_the_image(
    postgres: Any, photos: Path, mask_of: Make
) -> None:
    with Store.init(photos, database=postgres.new_database()) as store:
        store.add(photos)
        set_honeypot_share(store, 1)
        known = store.image("photo-2.png").id
        add_honeypot(store, known, mask_of(2))
        store.finish(store.next("Ada"))
        assert store.next("Bob").image.id == known
        store.database.write(lambda t: t.run("UPDATE images SET lease_until = 0"))
        add_honeypot(store, "photo-1.png", mask_of(2))  # with the last of them, all sums go
        assert _names(store, f"later.{known}.")
        remover = threading.Thread(target=remove_honeypot, args=(store, known))
        with store.database.transaction(writes=True) as transaction:
            add_later(transaction, store.project_id)
            remover.start()
            while not _waits(store):
                time.sleep(0.01)
        remover.join()
        assert not _names(store, f"known.{known}.") and not _names(store, f"later.{known}.")


def _names(store: Store, begin: str) -> list[str]:
    query = "SELECT name FROM counters WHERE name LIKE :like"
    return [one.name for one in store.database.read(lambda t: t.rows(query, like=f"{begin}%"))]


def _waits(store: Store) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return bool(store.database.read(lambda t: t.value(query)))

"""Masks are never overwritten: each change is a revision, and a stale one is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from anymask import InputError, Masks, Prompt
from anymask.label import LeaseConflict, Provenance, RevisionConflict, Store
from anymask.label.records import Change

ADA, BOB = Provenance(person="Ada"), Provenance(person="Bob", stage="semi-automatic")
Make = Callable[..., Masks]


def check_counters(store: Store) -> None:
    assert store.counters() == pytest.approx(store.count_again())


def test_nobody_changes_what_somebody_else_has(store: Store, mask_of: Make) -> None:
    """Neither a person nor a program; whoever said it before hears the answer once more."""
    lease = store.next("Ada")
    ((mask, now),) = store.add_masks(lease.image, mask_of(2), Provenance("Ada", token="t"))
    bob, model = Provenance("Bob"), Provenance(version="net", stage="automatic")
    calls = [
        lambda: store.add_masks(1, mask_of(4), bob),
        lambda: store.add_masks(1, mask_of(4), model),
        lambda: store.add_masks(1, mask_of(4), Provenance(stage="imported")),
        lambda: store.edit_mask(mask, now, mask_of(4), bob),
        lambda: store.review_mask(mask, now, "accepted", bob),
        lambda: store.delete_mask(mask, now, bob),
        lambda: store.restore_mask(mask, now, bob, to=1),
        lambda: store.change(1, [Change("delete", mask, now)], bob),
    ]
    for call in calls:
        with pytest.raises(LeaseConflict, match="'Ada' has it"):
            call()
    assert store.status().revisions == 1
    store.finish(lease)
    store.next("Bob", state="done")
    assert store.add_masks(1, mask_of(2), Provenance("Ada", token="t")) == [(mask, now)]
    with pytest.raises(LeaseConflict, match="'Bob' has it"):
        store.edit_mask(mask, now, mask_of(4), Provenance("Ada"))
    assert store.review_mask(mask, now, "accepted", bob) == 2


@pytest.mark.parametrize("state", ["done", "accepted"])
def test_a_program_adds_nothing_to_what_people_are_done_with(
    store: Store, mask_of: Make, state: str
) -> None:
    store.finish(store.next("Ada"), state)
    for stage in ("automatic", "semi-automatic"):
        with pytest.raises(InputError, match=f"got 'photo-0.png', which is {state}; let a rev"):
            store.add_masks(1, mask_of(), Provenance(version="net", stage=stage))
    assert store.status().masks == 0
    store.add_masks(1, mask_of(), Provenance("Bob"))
    store.add_masks(1, mask_of(), Provenance(stage="imported"))
    store.add_masks(2, mask_of(), Provenance(version="net", stage="automatic"))


def test_all_that_is_known_of_masks_comes_back(store: Store) -> None:
    dense = np.random.default_rng(0).random((4, 8, 12)) > 0.5
    dense[3] = False
    rough = dense[0] ^ dense[1]
    masks = Masks.from_dense(
        dense,
        labels=["sky", None, "Straße", "sky"],
        scores=[0.9, np.nan, 0.1, 1 / 3],
        stability=[np.nan, 0.5, 1, 0],
        ids=[7, None, -3, 7],
        meta=[{"iscrowd": 1}, {}, {"a": [1, {"b": None}]}, {}],
        prompts=[
            Prompt([(1.5, 2)], [0]),
            None,
            Prompt(box=(0, 0, 4, 5), text="x"),
            Prompt(mask=rough),
        ],
        crop_boxes=np.array([[0, 0, 6, 8]] * 4, np.float32),
    )
    store.add_masks("photo-1.png", masks, Provenance(version="tiny", stage="automatic", seconds=8))
    found = store.masks("photo-1.png")
    expected = Masks(
        **{
            name: getattr(masks, name)
            for name in (
                *("size_hw", "counts", "scores", "stability", "prompts", "crop_boxes", "labels"),
                *("ids", "meta"),
            )
        },
        source="photo-1.png",
        model="tiny",
    )
    assert found.masks == expected
    assert found.revisions == (1, 1, 1, 1) and found.stages == ("automatic",) * 4
    assert found.people == (None,) * 4 and found.versions == ("tiny",) * 4
    assert found.seconds == (2,) * 4
    assert found.image.masks == 4 and found.image.revision == 1
    assert [one.name for one in store.classes()] == ["Straße", "sky"]
    check_counters(store)


def test_changes_are_revisions_and_undo_is_one(store: Store, mask_of: Make) -> None:
    ((mask, one),) = store.add_masks("photo-0.png", mask_of(4, scores=[0.75]), ADA)
    two = store.edit_mask(mask, one, mask_of(5, "sea"), BOB)
    three = store.review_mask(mask, two, "accepted", ADA)
    four = store.delete_mask(mask, three, BOB)
    assert len(store.masks("photo-0.png").masks) == 0
    check_counters(store)
    five = store.restore_mask(mask, four, ADA)
    assert store.masks("photo-0.png").reviews == ("accepted",)
    six = store.restore_mask(mask, five, ADA)
    assert store.masks("photo-0.png").reviews == ("pending",)
    seven = store.restore_mask(mask, six, ADA)
    found = store.masks("photo-0.png")
    assert found.masks.areas.tolist() == [48] and found.masks.labels == ("sky",)
    with pytest.raises(InputError, match="nothing to undo before the first"):
        store.restore_mask(mask, seven, ADA)
    eight = store.restore_mask(mask, seven, ADA, to=3)
    found = store.masks("photo-0.png")
    assert found.masks.areas.tolist() == [60] and found.reviews == ("accepted",)
    assert found.people == ("Bob",)  # he drew it
    assert [one, two, three, four, five, six, seven, eight] == list(range(1, 9))
    history = store.history(mask)
    assert [step.action for step in history] == [
        *("add", "edit", "review", "delete", "restore", "restore", "restore", "restore"),
    ]
    assert [step.restores for step in history] == [None] * 4 + [3, 2, 1, 3]
    assert [step.person for step in history] == [*("Ada", "Bob") * 2, *("Ada",) * 4]
    assert [step.masks.areas[0] for step in history] == [48, 60, 60, 60, 60, 60, 48, 60]
    assert [step.masks.labels[0] for step in history[:2]] == ["sky", "sea"]
    assert history[1].stage == "semi-automatic" and history[0].masks.scores[0] == 0.75
    assert [step.deleted for step in history] == [False] * 3 + [True] + [False] * 4
    check_counters(store)


def test_undo_goes_on_after_an_edit_that_followed_an_undo(store: Store, mask_of: Make) -> None:
    ((mask, now),) = store.add_masks(1, mask_of(1), ADA)
    now = store.edit_mask(mask, now, mask_of(2), ADA)
    now = store.restore_mask(mask, now, ADA)
    now = store.edit_mask(mask, now, mask_of(3), ADA)
    now = store.restore_mask(mask, now, ADA)
    assert store.masks(1).masks.areas.tolist() == [12]
    with pytest.raises(InputError, match="nothing to undo"):
        store.restore_mask(mask, now, ADA)


def test_pixels_that_stay_are_not_stored_again(store: Store, mask_of: Make) -> None:
    ((mask, now),) = store.add_masks(1, mask_of(), ADA)
    now = store.edit_mask(mask, now, mask_of(label="sea"), BOB)
    store.review_mask(mask, now, "rejected", BOB)
    rows = store.database.read(lambda t: t.rows("SELECT counts, shape FROM revisions"))
    assert [(row.counts is None, row.shape) for row in rows] == [(False, 1), (True, 1), (True, 1)]
    assert [one.masks.areas[0] for one in store.history(mask)] == [48, 48, 48]


def test_a_stale_change_is_refused_with_the_newer_state(store: Store, mask_of: Make) -> None:
    ((mask, now),) = store.add_masks(1, mask_of(), ADA)
    store.edit_mask(mask, now, mask_of(7), BOB)
    before = store.counters()
    calls = [
        lambda: store.edit_mask(mask, now, mask_of(2), ADA),
        lambda: store.review_mask(mask, now, "accepted", ADA),
        lambda: store.delete_mask(mask, now, ADA),
        lambda: store.restore_mask(mask, now, ADA),
        lambda: store.change(
            1, [Change("add", masks=mask_of(3)), Change("delete", mask, now)], ADA
        ),
    ]
    for call in calls:
        with pytest.raises(RevisionConflict, match=r"revision 2 of mask 1, got 1: Bob") as refused:
            call()
        assert refused.value.current.masks.areas.tolist() == [84]
    assert store.counters() == before and len(store.masks(1).masks) == 1


def test_changes_of_one_image_happen_together(store: Store, mask_of: Make) -> None:
    numbers = store.add_masks(1, Masks.concat([mask_of(1), mask_of(2), mask_of(3)]), ADA)
    (a, _), (b, _), (c, _) = numbers
    made = store.change(
        1,
        [
            Change("edit", a, 1, masks=mask_of(6)),
            Change("review", a, 2, review="accepted"),
            Change("add", masks=mask_of(8, "new")),
            Change("delete", b, 1),
        ],
        BOB,
    )
    assert made == [(a, 2), (a, 3), (4, 1), (b, 2)]
    found = store.masks(1)
    assert found.ids == (a, c, 4) and found.masks.areas.tolist() == [72, 36, 96]
    assert found.reviews == ("accepted", "pending", "pending") and found.image.revision == 2
    check_counters(store)


def test_the_same_request_twice_changes_nothing(store: Store, mask_of: Make) -> None:
    asked = Provenance(person="Ada", token="tab-1/17")
    first = store.add_masks(1, mask_of(), asked)
    assert store.add_masks(1, mask_of(), asked) == first
    assert len(store.masks(1).masks) == 1
    with pytest.raises(InputError, match=r"request on image 2, got one of image 1; give each"):
        store.add_masks(2, mask_of(), asked)
    assert store.add_masks(1, Masks.empty((8, 12)), Provenance(token="none")) == []
    check_counters(store)


def test_what_is_no_change_is_refused(store: Store, mask_of: Make) -> None:
    ((mask, now),) = store.add_masks(1, mask_of(), ADA)
    wrong = Masks.empty((9, 12))
    cases = [
        (lambda: store.add_masks(1, wrong, ADA), r"12 x 8 like image 1, got 12 x 9"),
        (lambda: store.edit_mask(mask, now, wrong, ADA), "one mask in place of another, got 0"),
        (lambda: store.edit_mask(99, 1, mask_of(), ADA), "number of a mask, got 99"),
        (lambda: store.history(99), "number of a mask, got 99"),
        (lambda: store.masks("other.png"), r"image of the project.*'other.png'; add it first"),
        (lambda: store.review_mask(mask, now, "fine", ADA), "review out of pending"),
        (lambda: store.change(2, [Change("delete", mask, now)], ADA), "mask of image 2, got 1"),
        (lambda: store.change(1, [Change("paint", mask, now)], ADA), "action out of add"),
        (lambda: store.restore_mask(mask, now, ADA, to=5), "from 1 to 1"),
        (lambda: store.add_masks(1, mask_of(label=" "), ADA), "name of a class"),
        (lambda: Provenance(stage="done"), "stage out of assisted"),
        (lambda: Provenance(person=""), "name of a person"),
        (lambda: Provenance(seconds=-1), "seconds of 0 or more"),
        (lambda: Provenance(token=""), "token of 1 to 200"),
    ]
    before = store.counters()
    for call, words in cases:
        with pytest.raises(InputError, match=words):
            call()
    assert store.counters() == before


def test_a_renamed_class_keeps_its_number(store: Store, mask_of: Make) -> None:
    store.add_classes(["sea", "sky"])
    ((mask, _),) = store.add_masks(1, mask_of(label="sky"), ADA)
    before = {one.name: one.id for one in store.classes()}
    store.rename_class("sky", "heaven")
    assert {one.name: one.id for one in store.classes()} == {
        "sea": before["sea"],
        "heaven": before["sky"],
    }
    assert store.masks(1).masks.labels == ("heaven",)
    assert store.history(mask)[0].masks.labels == ("heaven",)
    with pytest.raises(InputError, match=r"got 'sea', which another class has"):
        store.rename_class("heaven", "sea")
    with pytest.raises(InputError, match=r"class out of 'sea', 'heaven', got 'sky'"):
        store.rename_class("sky", "x")


def test_confidence_is_that_of_what_is_there(store: Store, mask_of: Make) -> None:
    for image, score in ((1, 0.9), (2, 0.4)):
        store.add_masks(image, mask_of(scores=[score]), Provenance(version="tiny"))
    lease = store.next("Ada", order="low-confidence")
    assert lease is not None and lease.image.id == 2
    store.finish(lease)
    assert [store.next(who, order="low-confidence").image.id for who in ("Ada", "Bob")] == [1, 3]

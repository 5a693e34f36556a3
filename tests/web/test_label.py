"""The studio of a label project: one image after the other, for several people at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from tests.label.conftest import find_programs, serving, user_of_server
from tests.web.conftest import photo
from tests.web.label_page import FILLED_IN, LabelPage, ServedProject, things

from anymask.label import Provenance, Store

pytestmark = pytest.mark.browser


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ServedProject]:
    """A studio of a project of three images; the first has two masks that a model made."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    folder = tmp_path / "photos"
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        photo(folder / name, shift=i)
    with Store.init(folder) as store:
        store.add(folder)
        store.add_classes(["red", "green"])
        store.add_masks(1, things("red", "green"), FILLED_IN)
    served = ServedProject(folder)
    served.start()
    yield served
    served.stop()
    served.store.close()


@pytest.fixture
def ada(browser: Any, project: ServedProject) -> Iterator[LabelPage]:
    found = LabelPage(browser, project, "Ada").go()
    found.shows("a.png")
    yield found
    found.close()


def test_what_a_model_filled_in_is_accepted_by_one_key(
    ada: LabelPage, project: ServedProject
) -> None:
    ada.masks(2)
    ada.shot("label-queue")
    ada.press("o")
    ada.shows("b.png")
    store = project.store
    assert store.status().by_state == {"open": 2, "done": 1, "accepted": 0}
    assert store.masks(1).reviews == ("accepted", "accepted")
    history = store.history(store.masks(1).ids[0])
    assert [(one.action, one.person, one.version) for one in history] == [
        ("add", None, "bundled"),
        ("review", "Ada", "bundled"),
    ]
    assert [one.person for one in store.leases()] == ["Ada"]
    assert 0 < store.image(1).seconds < 600


def test_a_mask_is_made_and_another_one_fixed(ada: LabelPage, project: ServedProject) -> None:
    store = project.store
    ada.press("u")  # the first of the masks that nobody has decided on
    ada.selected(1)
    ada.press("Shift+ArrowRight", "b")
    ada.drag((100, 210), (220, 210))
    ada.press("Enter", "q")
    ada.click("blue")
    ada.masks(3)
    ada.press("o")
    ada.shows("b.png")
    stored = store.masks(1)
    assert stored.reviews == ("pending", "accepted", "pending")
    assert stored.people == ("Ada", None, "Ada")
    assert stored.stages == ("assisted", "semi-automatic", "assisted")
    edited = store.history(stored.ids[0])
    assert [one.action for one in edited] == ["add", "edit"]
    assert edited[1].masks.areas[0] > edited[0].masks.areas[0]
    assert edited[1].seconds is not None and 0 < edited[1].seconds < 600
    assert store.counters() == pytest.approx(store.count_again())


def test_rejected_masks_stay_in_the_store_and_leave_the_sight(
    ada: LabelPage, project: ServedProject
) -> None:
    ada.press("u", "n")
    ada.until(lambda: ada.reviews() == ["rejected", "pending"])
    ada.saved()
    assert project.store.masks(1).reviews == ("rejected", "pending")
    ada.press("n")  # nothing is selected: all that was filled in is wrong, the next one comes
    ada.shows("b.png")
    assert project.store.masks(1).reviews == ("rejected", "rejected")
    assert project.store.status().by_state["open"] == 3
    ada.press("d")
    ada.shows("c.png")
    ada.press("d")
    ada.shows("a.png")  # comes last


def test_undo_is_a_revision_and_goes_back_to_the_image(
    ada: LabelPage, project: ServedProject
) -> None:
    store = project.store
    ada.press("o")
    ada.shows("b.png")
    ada.press("z")  # the decision, on the image before
    ada.shows("a.png")
    ada.until(lambda: ada.reviews() == ["pending", "pending"])
    ada.saved()
    assert [one.image.name for one in store.leases()] == ["a.png"]
    assert [one.action for one in store.history(1)] == ["add", "review", "review"]
    ada.page.locator(".mask").first.click()
    ada.press("Delete")
    ada.masks(1)
    ada.saved()
    assert len(store.masks(1).ids) == 1
    ada.press("z")
    ada.masks(2)
    ada.saved()
    assert store.masks(1).ids == (1, 2)
    assert [one.action for one in store.history(1)][-2:] == ["delete", "restore"]


def test_two_people_never_have_the_same_image(
    browser: Any, ada: LabelPage, project: ServedProject
) -> None:
    bob = LabelPage(browser, project, "Bob").go()
    bob.shows("b.png")
    bob.page.locator("#others", has_text="Ada").wait_for()
    bob.shot("label-two-people")
    ada.press("o")
    ada.shows("c.png")
    bob.press("o")
    bob.nothing("Others have the images that are left")
    bob.page.locator("#nothing", has_text="Ada has c.png").wait_for()
    bob.shot("label-nothing-free")
    ada.press("o")
    ada.nothing("There is nothing left to label")
    names = {(one.image.name, one.person) for one in project.store.leases()}
    assert names == set()
    assert project.store.status().by_state == {"open": 0, "done": 3, "accepted": 0}
    bob.close()


def test_nothing_is_lost_when_the_server_dies(ada: LabelPage, project: ServedProject) -> None:
    ada.click("blue")
    ada.masks(3)
    ada.saved()
    assert len(project.store.masks(1).ids) == 3
    project.kill()
    ada.press("Enter", "b")
    ada.drag((300, 440), (500, 440))
    ada.masks(4)
    ada.page.locator(".trouble").wait_for()
    ada.press("o")
    project.start()
    ada.shows("b.png")
    stored = project.store.masks(1)
    assert len(stored.ids) == 4 and project.store.image(1).state == "done"
    assert [len(project.store.history(mask)) for mask in stored.ids] == [2, 2, 1, 1]


@pytest.mark.postgres
def test_two_people_lose_nothing_when_server_and_database_die(browser: Any, tmp_path: Path) -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("no programs of PostgreSQL (initdb); install it, such as Debian's postgresql")
    folder = tmp_path / "photos"
    for i, name in enumerate("abcd"):
        photo(folder / f"{name}.png", shift=i)
    with serving(programs, user_of_server()) as database:
        with Store.init(folder, database=database.new_database()) as store:
            store.add(folder)
            store.add_masks(1, things("red", "green"), FILLED_IN)
        project = ServedProject(folder)
        project.start()
        ada, bob = (LabelPage(browser, project, who).go() for who in ("Ada", "Bob"))
        for page, name, masks in ((ada, "a.png", 3), (bob, "b.png", 1)):
            page.shows(name)
            page.click("blue")
            page.masks(masks)
            page.saved()
        acknowledged = [revisions(project.store, image) for image in (1, 2)]
        database.stop()
        for page, masks in ((ada, 4), (bob, 2)):
            page.press("Enter", "b")
            page.drag((300, 440), (500, 440))
            page.masks(masks)
        project.kill()
        for page in (ada, bob):
            page.page.locator(".trouble").wait_for()
        database.start()
        project.start()
        for page in (ada, bob):
            page.try_now()
            page.saved()
            page.press("o")
        for page, name in ((ada, "a.png"), (bob, "b.png")):
            page.until(lambda page=page, name=name: page.name != name)  # type: ignore[misc]
            page.shows(page.name)
        store = project.store
        assert sorted((ada.name, bob.name)) == ["c.png", "d.png"]
        for image, before, masks in zip((1, 2), acknowledged, (4, 2), strict=True):
            assert revisions(store, image)[: len(before)] == before
            assert len(store.masks(image).ids) == masks and store.image(image).state == "done"
        assert store.counters() == pytest.approx(store.count_again())
        for page in (ada, bob):
            page.close()
        project.stop()
        project.store.close()


def revisions(store: Store, image: int) -> list[tuple[int, str, str | None]]:
    """What has happened to the masks of an image, mask by mask, but for the verdicts at the end."""
    return [
        (mask, one.action, one.person)
        for mask in store.masks(image).ids
        for one in store.history(mask)
        if one.action != "review"
    ]


def test_a_database_that_is_away_is_waited_for(ada: LabelPage, project: ServedProject) -> None:
    away = [True]
    project.trouble.append(
        lambda method, path: (507, 0) if away[0] and path.startswith("/v1/label/") else None
    )
    ada.click("blue")
    ada.masks(3)
    ada.page.locator(".trouble").wait_for()
    ada.press("o")
    away.clear()
    away.append(False)
    ada.shows("b.png")
    assert len(project.store.masks(1).ids) == 3 and project.store.image(1).state == "done"


def test_an_answer_that_was_lost_is_no_conflict(ada: LabelPage, project: ServedProject) -> None:
    lost: list[str] = []

    def cut(route: Any) -> None:
        if lost:
            return route.continue_()
        lost.append(route.request.url)
        route.fetch()  # the server has it, and the page never hears
        route.abort("connectionreset")

    ada.page.route("**/v1/label/images/*/masks", cut)
    ada.press("Enter")
    ada.click("blue")
    ada.masks(3)
    ada.press("Enter", "b")
    ada.drag((300, 440), (500, 440))
    ada.masks(4)
    ada.saved()
    assert lost and ada.page.locator(".trouble").is_hidden()
    assert [len(project.store.history(mask)) for mask in project.store.masks(1).ids] == [1, 1, 1, 1]


def test_a_change_from_elsewhere_is_seen_as_a_conflict(
    ada: LabelPage, project: ServedProject
) -> None:
    store = project.store
    store.review_mask(1, 1, "rejected", Provenance(person="Ada"))  # by a script of hers
    ada.click("blue")
    ada.masks(3)
    ada.page.locator(".trouble", has_text="a.png").wait_for()
    ada.page.get_by_text("Keep both", exact=True).click()
    ada.saved()
    assert len(store.masks(1).ids) == 3


def test_an_image_that_somebody_else_has_can_only_be_looked_at(
    browser: Any, ada: LabelPage, project: ServedProject
) -> None:
    ada.press("o")
    ada.shows("b.png")
    bob = project.store.lease("a.png", "Bob")
    ada.press("a")
    ada.page.locator(".queue-owner", has_text="Bob has this image").wait_for()
    ada.masks(2)
    ada.shot("label-leased")
    with ada.hears("Bob has this image"):
        ada.click("blue")
    ada.masks(2)
    assert ada.page.locator(".queue-decisions").is_hidden()
    project.store.release(bob)
    ada.press("d")
    ada.shows("b.png")


def test_a_lease_that_was_lost_is_told(ada: LabelPage, project: ServedProject) -> None:
    ada.click("blue")
    ada.masks(3)
    ada.saved()
    store = project.store
    store.database.write(lambda t: t.run("UPDATE images SET lease_until = 0"))  # it ran out
    store.lease("a.png", "Bob")
    with ada.hears("Bob has this image now"):
        ada.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    assert len(store.masks(1).ids) == 3


def test_the_image_is_given_back_when_the_page_is_closed(
    browser: Any, project: ServedProject
) -> None:
    page = LabelPage(browser, project, "Ada").go()
    page.shows("a.png")
    page.page.reload()
    page.shows("a.png")  # the same one again
    page.page.close(run_before_unload=False)
    other = LabelPage(browser, project, "Bob").go()
    other.until(lambda: {one.person for one in project.store.leases()} == {"Bob"})
    page.close()
    other.close()


def test_the_name_is_asked_for_and_remembered(browser: Any, project: ServedProject) -> None:
    page = LabelPage(browser, project, "")
    page.page.goto(project.url)
    page.page.locator("#person").fill("Cleo")
    page.shot("label-name")
    page.press("Enter")
    page.shows("a.png")
    page.page.goto("about:blank")
    page.page.goto(project.url)
    page.shows("a.png")
    assert page.page.locator("#me").inner_text() == "Cleo"
    assert [one.person for one in project.store.leases()] == ["Cleo"]
    page.page.locator("#me").click()
    page.page.locator("#person").fill("Dan")
    page.press("Enter")
    page.until(lambda: [one.person for one in project.store.leases()] == ["Dan"])
    page.close()


def test_a_mask_that_takes_long_brings_a_hint(browser: Any, project: ServedProject) -> None:
    page = LabelPage(browser, project, "Ada")
    page.page.clock.install()
    page.go().shows("a.png")
    page.click("blue")
    page.masks(3)
    hint = page.page.locator("#queue-hint")
    assert hint.is_hidden()
    for i in range(4):  # a pause of 30 s would not count
        page.page.clock.run_for(10_000)
        page.page.mouse.move(300 + i, 300)
    page.page.clock.run_for(1000)
    page.page.locator("#queue-hint", has_text="the next image may be worth more").wait_for()
    page.shot("label-hint")
    page.press("o")
    page.shows("b.png")
    page.until(hint.is_hidden)
    assert project.store.image(1).seconds > 30
    page.close()


def test_images_come_in_the_order_that_is_chosen(ada: LabelPage, project: ServedProject) -> None:
    project.store.set_agreement({2: 0.9, 3: 0.2})
    order = ada.page.locator("#order")
    order.focus()
    order.dispatch_event("pointerdown")
    order.select_option("disagreement")
    ada.press("o")  # which is the image's key, and no letter of an order
    ada.shows("c.png")


def test_an_image_that_does_not_come_can_be_asked_for_again(
    ada: LabelPage, project: ServedProject
) -> None:
    project.trouble.append(lambda method, path: (500, 0) if path.endswith("/next") else None)
    ada.press("o")
    ada.nothing("The next image did not come")
    assert project.store.image(1).state == "done"
    project.trouble.clear()
    ada.page.locator("#look-again").click()
    ada.shows("b.png")


# ------------------------------------------------------------------------ review, audits


@pytest.fixture
def labelled(project: ServedProject) -> ServedProject:
    """Ada has made the red mask larger, and is done with the first image."""
    store = project.store
    by_ada = Provenance(person="Ada", seconds=9)
    store.edit_mask(1, 1, things("red", grown=10), by_ada)
    store.finish(store.lease("a.png", "Ada"), seconds=12)
    return project


def test_a_reviewer_sees_what_happened_and_accepts(browser: Any, labelled: ServedProject) -> None:
    rev = LabelPage(browser, labelled, "Rev").go()
    rev.shows("b.png")
    rev.page.locator("#task-review").click()
    rev.shows("a.png")
    rev.page.locator(".mask").first.click()
    entries = rev.page.locator(".revision")
    rev.until(lambda: entries.count() == 2)
    assert [line.split("\n")[0] for line in entries.all_inner_texts()] == ["changed", "added"]
    assert "Ada" in entries.first.inner_text() and "9 s" in entries.first.inner_text()
    assert "bundled" in entries.nth(1).inner_text()
    before = rev.colour(74, 130)  # outside of what the model had found
    entries.nth(1).locator(".revision-look").click()
    rev.until(lambda: rev.page.locator(".revision.compared").count() == 1)
    rev.until(lambda: rev.colour(160, 130) != before)
    rev.shot("label-review")
    rev.page.locator("#stage").focus()
    rev.press("o")
    rev.nothing("There is nothing to review")
    store = labelled.store
    assert store.image(1).state == "accepted"
    assert store.masks(1).reviews == ("accepted", "accepted")
    assert [one.person for one in store.history(1)] == [None, "Ada", "Rev"]
    rev.close()


def test_a_reviewer_brings_a_revision_back_and_sends_back(
    browser: Any, labelled: ServedProject
) -> None:
    rev = LabelPage(browser, labelled, "Rev").go()
    rev.shows("b.png")
    rev.page.locator("#task-review").click()
    rev.shows("a.png")
    rev.page.locator(".mask").first.click()
    rev.until(lambda: rev.page.locator(".revision").count() == 2)
    rev.page.get_by_title("Bring this one back").click()
    rev.saved()
    rev.until(lambda: rev.page.locator(".revision").count() == 3)
    store = labelled.store
    assert [one.action for one in store.history(1)] == ["add", "edit", "restore"]
    assert store.masks(1).masks.areas[0] == things("red").areas[0]
    rev.page.locator("#stage").focus()
    rev.press("Escape", "n")
    rev.nothing("There is nothing to review")
    assert store.image(1).state == "open"
    rev.close()


def test_masks_of_an_audit_are_looked_at(browser: Any, labelled: ServedProject) -> None:
    from anymask.label.review.audit import read_audit

    store = labelled.store
    store.add_masks(2, things("red", "green", "blue"), FILLED_IN)
    page = LabelPage(browser, labelled, "Eve").go()
    page.shows("b.png")
    page.press("p")
    page.page.locator("#audit-name").fill("may")
    page.page.locator("#audit-sample").fill("5")
    page.page.locator("#audit-begin").click()
    page.page.locator(".audit", has_text="5 of 5 masks left").wait_for()
    page.shot("label-audit")
    page.page.get_by_text("Look at them").click()
    page.shows("a.png")
    page.page.locator("#task-audit", has_text="may").wait_for()
    page.press("o")  # both are right as they are
    page.shows("b.png")
    assert store.image(1).state == "done" and store.masks(1).reviews == ("accepted", "accepted")
    page.press("u")
    page.selected(1)
    page.press("n")  # the first is wrong
    page.press("u")
    page.press("b")
    page.drag((330, 265), (550, 265))  # the second is corrected
    page.press("Escape", "q", "o")
    page.nothing("All masks of this audit have been looked at")
    rows = {row.of: row for row in read_audit(store, "may").rows}
    assert not read_audit(store, "may").waiting
    assert rows["all"].masks == 5 and rows["person Ada"].mean_iou == 1
    assert rows["model bundled"].masks == 4 and rows["all"].above_90 == pytest.approx(3 / 5)
    page.press("p")
    page.page.locator(".audit", has_text="0 of 5 masks left").wait_for()
    page.page.locator(".audit td", has_text="person Ada").wait_for()
    page.close()


def test_the_dashboard_tells_of_people_and_models(browser: Any, labelled: ServedProject) -> None:
    store = labelled.store
    store.add_masks(1, things("red"), Provenance(person="Bob", seconds=3))
    store.review_mask(2, 1, "accepted", Provenance(person="Bob"))
    page = LabelPage(browser, labelled, "Eve").go()
    page.shows("b.png")
    page.page.locator("#queue-progress").click()
    people = page.page.locator("#people")
    people.get_by_text("Ada").wait_for()
    assert people.locator("tbody tr").all_inner_texts() == [
        "Ada\t1\t0:12\t1\t9.0 s\t",
        "Bob\t0\t0:00\t2\t3.0 s\t",
    ]
    models = page.page.locator("#versions tbody tr").all_inner_texts()
    assert models == ["bundled\t1\t1\t0\t0\t100.0 %"]
    pytest.importorskip("scipy")
    page.page.locator("#compare").click()
    page.page.locator("#agreement", has_text="Ada – Bob").wait_for()
    (row,) = page.page.locator("#agreement tbody tr").all_inner_texts()
    assert row.split("\t")[1:3] == ["1", "1"] and row.endswith("0 / 0")
    page.shot("label-dashboard")
    page.press("Escape")
    page.press("o")
    page.shows("c.png")
    page.close()


def test_classes_are_everybodys(browser: Any, ada: LabelPage, project: ServedProject) -> None:
    store = project.store
    bob = LabelPage(browser, project, "Bob").go()
    bob.shows("b.png")
    ada.page.locator("#new-class").fill("blue")
    ada.press("Enter")
    ada.page.locator("#stage").focus()
    ada.click("blue")
    ada.masks(3)
    ada.saved()
    assert [one.name for one in store.classes()] == ["red", "green", "blue"]
    assert store.masks(1).masks.labels == ("red", "green", "blue")
    ada.page.locator(".class-name", has_text="red").focus()
    ada.press("F2")
    ada.page.locator(".class .class-input").fill("rose")
    ada.press("Enter")
    ada.page.locator(".class-name", has_text="rose").wait_for()
    ada.saved()
    assert [one.name for one in store.classes()] == ["rose", "green", "blue"]
    ada.page.get_by_label("Colour of green").fill("#123456")
    ada.page.get_by_label("Colour of green").dispatch_event("change")
    ada.saved()
    assert store.classes()[1].color == "#123456"
    bob.press("1")  # red, as he still has it
    bob.click("red")
    bob.masks(1)
    bob.saved()
    bob.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    bob.page.locator(".class-name", has_text="rose").wait_for()
    bob.saved()
    assert store.masks(2).masks.labels == ("rose",)
    assert [one.name for one in store.classes()] == ["rose", "green", "blue"]
    assert [one.action for one in store.history(store.masks(2).ids[0])] == ["add"]
    bob.press("Enter")
    bob.click("blue")  # of the class that he has chosen, whatever it is called now
    bob.masks(2)
    bob.saved()
    assert store.masks(2).masks.labels == ("rose", "rose")
    bob.close()


def test_everything_works_with_keys_alone_and_in_chinese(
    browser: Any, project: ServedProject
) -> None:
    page = LabelPage(browser, project, "Ada", locale="zh-CN").go()
    page.shows("a.png")
    page.page.locator("#accept", has_text="接受").wait_for()
    page.press("u", "n", "u", "Delete", "o")
    page.shows("b.png")
    page.page.locator("#stage").focus()
    page.press("ArrowRight")
    page.press("Space")
    page.masks(1)
    page.press("o")
    page.shows("c.png")
    page.press("p")
    page.page.locator("#people", has_text="Ada").wait_for()
    page.shot("label-chinese")
    page.press("Escape", "z")
    page.shows("b.png")
    store = project.store
    assert store.masks(1).reviews == ("rejected",) and store.image(1).state == "done"
    page.close()


def test_a_second_tab_has_an_image_of_its_own(ada: LabelPage, project: ServedProject) -> None:
    store = project.store
    first, context = ada.page, ada.context
    name = first.evaluate("() => sessionStorage.getItem('anymask-studio-tab')")
    # A tab that is copied begins with what the first one keeps.
    copy = f"if (location.host) sessionStorage.setItem('anymask-studio-tab', {name!r})"
    context.add_init_script(copy)
    ada.page = ada.open_tab()
    ada.go().shows("b.png")
    assert ada.page.evaluate("() => sessionStorage.getItem('anymask-studio-tab')") != name
    assert {(one.person, one.image.name) for one in store.leases()} == {
        ("Ada", "a.png"),
        ("Ada", "b.png"),
    }
    ada.page.goto("about:blank")
    ada.page.goto(f"{project.url}/#person=Ada&image=a.png")
    ada.shows("b.png")
    ada.page = first
    ada.press("o")
    ada.shows("c.png")
    assert store.image("a.png").state == "done" and len(store.leases()) == 2

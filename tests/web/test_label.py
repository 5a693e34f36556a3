"""The studio of a label project: one image after the other, for several people at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

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


def test_a_change_of_somebody_else_is_seen_as_a_conflict(
    ada: LabelPage, project: ServedProject
) -> None:
    store = project.store
    store.review_mask(1, 1, "rejected", Provenance(person="Bob"))
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
    ada.click("blue")
    ada.says("Bob has this image")
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
    store.release(store.next("Ada"))  # as if it had run out
    store.lease("a.png", "Bob")
    ada.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    ada.says("Bob has this image now")
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

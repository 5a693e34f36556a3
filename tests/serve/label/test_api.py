"""The routes of a label project: leases, masks as revisions, classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from tests.serve.conftest import URL, Caller, flat_model, message, png

from anymask import Masks
from anymask.label import Provenance, Store
from anymask.masks import rle
from anymask.serve.app import create_app
from anymask.serve.config import ServeConfig
from anymask.serve.label.api import add_label

TOKEN = "0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        (folder / name).write_bytes(png(i))
    with Store.init(folder) as opened:
        opened.add(folder)
        opened.add_classes(["cup", "dog"])
        yield opened


@pytest.fixture
def api(store: Store) -> Iterator[Caller]:
    app = create_app(ServeConfig(), flat_model())
    add_label(app, store)
    with Caller(app, base_url=URL) as client:
        yield client


def rows(at: int = 10) -> np.ndarray:
    mask = np.zeros((48, 64), bool)
    mask[at : at + 10, 20:44] = True
    return mask


def thing(name: str = "new1", label: str | None = "cup", at: int = 10, **more: Any) -> Any:
    counts = rle.to_string(rle.encode(rows(at)))
    return {"thing": name, "rle": {"size": [48, 64], "counts": counts}, "label": label, **more}


def take(api: Any, person: str = "ada", **more: Any) -> Any:
    answer = api.post("/v1/label/next", json={"person": person, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["lease"]


def save(api: Any, image: str, revision: int, *things: Any, **more: Any) -> Any:
    document = {"person": "ada", "revision": revision, "things": list(things), **more}
    return api.put(f"/v1/label/images/{image}/masks", json=document)


def test_each_person_gets_an_image_and_nobody_the_same(api: Any, store: Store) -> None:
    ada, bob = take(api), take(api, "bob")
    assert [one["picture"]["name"] for one in (ada, bob)] == ["a.png", "b.png"]
    assert take(api) == ada | {"seconds": 300.0}
    status = api.post("/v1/label/status", json={"images": [ada["picture"]["id"]]}).json()
    has = [(one["person"], one["image"]) for one in status["status"]["leases"]]
    assert has == [("ada", "a.png"), ("bob", "b.png")]
    assert "token" not in str(status["status"])
    assert [one["name"] for one in status["pictures"]] == ["a.png"]
    asked = {"person": "ada", "image": "b.png"}
    refused = api.post("/v1/label/lease", json=asked)
    assert refused.status_code == 409 and refused.json()["person"] == "bob"
    assert "'bob' has it" in refused.json()["error"]["message"]
    assert api.post("/v1/label/release", json={"token": bob["token"]}).status_code == 200
    assert api.post("/v1/label/lease", json=asked).json()["lease"]["picture"]["name"] == "b.png"


def test_a_finish_that_is_said_twice_is_done_once(api: Any, store: Store) -> None:
    lease = take(api)
    document = {"token": lease["token"], "image": lease["picture"]["id"], "seconds": 7}
    for _ in range(2):
        answer = api.post("/v1/label/finish", json=document)
        assert answer.json()["picture"]["state"] == "done", answer.text
    assert store.status().seconds == 7
    other = {**document, "token": "0" * 32}
    assert "lease that holds" in message(api.post("/v1/label/finish", json=other), 422)
    renewed = api.post("/v1/label/renew", json={"token": lease["token"]})
    assert "lease that holds" in message(renewed, 422)


def test_known_masks_end_like_all_others(api: Any, store: Store) -> None:
    from anymask.label.review.honeypots import add_honeypot, set_honeypot_share

    add_honeypot(store, "c.png", Masks.from_dense(rows()[None], labels=["cup"]))
    ended = []
    for share in (0, 1):
        set_honeypot_share(store, share)
        lease = take(api)
        image = lease["picture"]["id"]
        (mask,) = save(api, image, 0, thing()).json()["ids"]
        document = {"token": lease["token"], "image": image}
        ended.append(api.post("/v1/label/finish", json=document).json()["picture"])
        told = api.get(f"/v1/label/masks/{mask[1:]}/history").json()["history"]
        assert [one["action"] for one in told] == ["add"]
    assert [one["name"] for one in ended] == ["a.png", "c.png"]
    assert [(one["state"], one["masks"]) for one in ended] == [("done", 1)] * 2


def test_an_audit_is_ended_by_who_has_the_image(api: Any, store: Store) -> None:
    from anymask.label.review.audit import begin_audit, waiting_masks

    store.add_masks(1, Masks.from_dense(rows()[None]), Provenance(version="net"))
    begin_audit(store, "may", 1)
    lease = take(api, audit="may")
    document = {"token": lease["token"], "image": lease["picture"]["id"], "audit": "may"}
    store.release(lease["token"])
    bob = store.lease("a.png", "bob")
    refused = api.post("/v1/label/finish", json={**document, "person": "ada"})
    assert refused.status_code == 409 and refused.json()["person"] == "bob"
    assert waiting_masks(store, "may", 1) == [1]  # nothing happened
    his = {**document, "person": "bob", "token": bob.token}
    assert api.post("/v1/label/finish", json=his).status_code == 200
    assert waiting_masks(store, "may", 1) == []


@pytest.mark.parametrize("number", ["0", "-1", "9" * 30])
def test_a_number_of_no_mask_is_told(api: Any, number: str) -> None:
    answer = api.get(f"/v1/label/masks/{number}/history")
    assert "expected the number of a mask" in message(answer, 422)


def test_masks_become_revisions(api: Any, store: Store) -> None:
    image = take(api)["picture"]["id"]
    first = save(api, image, 0, thing(seconds=4.0), thing("new2", "dog", 30), token="t1")
    assert first.json() == {"revision": 1, "ids": ["m1", "m2"]}
    assert save(api, image, 0, thing(seconds=4.0), thing("new2", "dog", 30), token="t1").json() == (
        first.json()
    )
    read = api.get(f"/v1/label/images/{image}/masks").json()
    assert [(one["thing"], one["label"], one["review"]) for one in read["things"]] == [
        ("m1", "cup", "pending"),
        ("m2", "dog", "pending"),
    ]
    assert read["things"][0]["known"]["person"] == "ada" and read["revision"] == 1
    assert save(api, image, 1, *map(back, read["things"])).json()["revision"] == 1  # as it was
    moved = [back(read["things"][0]) | {"rle": thing(at=12)["rle"]}]
    assert save(api, image, 1, *moved).json() == {"revision": 2, "ids": ["m1"]}
    restored = [back(one) for one in read["things"]]
    assert save(api, image, 2, *restored).json()["ids"] == ["m1", "m2"]
    told = {mask: [one.action for one in store.history(mask)] for mask in (1, 2)}
    assert told == {1: ["add", "edit", "restore"], 2: ["add", "delete", "restore"]}
    assert [one.seconds for one in store.history(1)] == [4.0, None, None]
    history = api.get("/v1/label/masks/1/history").json()["history"]
    assert [(one["revision"], one["action"], one["restores"]) for one in history] == [
        (1, "add", None),
        (2, "edit", None),
        (3, "restore", 1),
    ]
    assert history[1]["thing"]["rle"] == thing(at=12)["rle"]


def back(record: Any) -> Any:
    """A thing as the page sends back what it got."""
    return {name: value for name, value in record.items() if name != "known"}


def test_what_no_page_carries_stays(api: Any, store: Store) -> None:
    image = store.image("a.png")
    made = Masks.from_dense(
        np.stack([rows()]),
        labels=["cup"],
        scores=[0.875],
        ids=[17],
        meta=[{"occluded": True}],
        crop_boxes=np.array([[1, 2, 30, 40]], np.float32),
    )
    store.add_masks(image, made, Provenance(version="bundled", stage="automatic"))
    (read,) = api.get(f"/v1/label/images/{image.sha256}/masks").json()["things"]
    named = back(read) | {"label": "dog", "review": "accepted"}
    assert save(api, image.sha256, 1, named).status_code == 200
    stored = store.masks(image)
    assert stored.masks.labels == ("dog",) and stored.reviews == ("accepted",)
    assert stored.masks.ids == (17,) and stored.masks.meta == ({"occluded": True},)
    assert stored.masks.crop_boxes.tolist() == [[1, 2, 30, 40]]
    assert stored.masks.scores.tolist() == [0.875] and stored.versions == ("bundled",)
    assert [one.action for one in store.history(1)] == ["add", "edit", "review"]


def test_an_older_revision_and_a_lease_of_another_are_refused(api: Any, store: Store) -> None:
    image = store.image("a.png").sha256
    assert save(api, image, 0, thing()).status_code == 200
    late = save(api, image, 0, thing("new2", "dog", 30))
    assert late.status_code == 409 and late.json()["error"]["code"] == "conflict"
    assert [one["thing"] for one in late.json()["current"]["things"]] == ["m1"]
    assert late.json()["current"]["revision"] == 1
    store.lease("a.png", "bob")
    taken = save(api, image, 1, thing("m1"), thing("new2", "dog", 30))
    assert taken.status_code == 409 and taken.json()["error"]["code"] == "leased"
    assert save(api, image, 1, thing("m1")).status_code == 200  # nothing new
    assert len(store.history(1)) == 1


def test_a_class_that_was_renamed_meanwhile_keeps_its_masks(api: Any, store: Store) -> None:
    image = store.image("a.png").sha256
    answer = api.post("/v1/label/classes", json={"add": ["cat"], "color": {"cup": "#112233"}})
    assert [(one["id"], one["name"], one["color"]) for one in answer.json()["classes"]][::2] == [
        (1, "cup", "#112233"),
        (3, "cat", store.classes()[2].color),
    ]
    assert api.post("/v1/label/classes", json={"rename": ["cup", "mug"]}).status_code == 200
    save(api, image, 0, thing(label="cup", label_id=1))
    assert store.masks("a.png").masks.labels == ("mug",)
    assert [one.name for one in store.classes()] == ["mug", "dog", "cat"]
    wrong = api.post("/v1/label/classes", json={"color": {"mug": "red"}})
    assert "expected a colour" in message(wrong, 422)
    assert "another class" in message(
        api.post("/v1/label/classes", json={"rename": ["mug", "dog"]}), 422
    )


def test_two_who_change_a_class_at_once(api: Any, store: Store) -> None:
    def change(**document: Any) -> Any:
        return api.post("/v1/label/classes", json=document)

    first = {"rename": ["cup", "mug"], "token": "t1"}
    assert change(**first).status_code == 200 == change(**first).status_code  # its answer was lost
    late = change(rename=["cup", "glass"], token="t2", add=["new"])
    assert late.status_code == 409 and "renamed it meanwhile" in late.json()["error"]["message"]
    assert [one["name"] for one in late.json()["current"]["classes"]] == ["mug", "dog"]
    before = store.classes()[1].color
    assert change(color={"dog": "#111111"}, seen={"dog": before}).status_code == 200
    late = change(color={"dog": "#222222"}, seen={"dog": before}, add=["new"])
    assert late.status_code == 409 and "#111111" in late.json()["error"]["message"]
    assert change(color={"dog": "#111111"}, seen={"dog": before}).status_code == 200  # it is so
    other = change(rename=["mug", "cup"], token="t1")
    assert "a token of its own" in message(other, 422)
    # All or none.
    assert [(one.name, one.color) for one in store.classes()][1:] == [("dog", "#111111")]


def test_each_tab_of_a_person_has_an_image_of_its_own(api: Any, store: Store) -> None:
    first, second = take(api, tab="t1"), take(api, tab="t2")
    assert [one["picture"]["name"] for one in (first, second)] == ["a.png", "b.png"]
    assert take(api, tab="t1")["token"] == first["token"]  # loaded anew
    asked = {"person": "ada", "image": "a.png", "tab": "t2"}
    refused = api.post("/v1/label/lease", json=asked)
    assert refused.status_code == 409 and refused.json()["person"] == "ada"
    again = api.post("/v1/label/lease", json=asked | {"tab": "t1"}).json()["lease"]
    assert again["token"] == first["token"]
    assert take(api)["picture"]["name"] == "c.png"  # who names no tab has one of his own


def test_a_tab_takes_no_image_of_an_audit_from_another(api: Any, store: Store) -> None:
    from anymask.label.review.audit import begin_audit

    for image in (1, 2):
        store.add_masks(image, Masks.from_dense(rows()[None]), Provenance(version="net"))
    begin_audit(store, "may", 2)
    found = [take(api, audit="may", tab=tab) for tab in ("t1", "t2", "t1", "t3")]
    assert [one and one["picture"]["name"] for one in found] == ["a.png", "b.png", "a.png", None]


def test_masks_of_the_studio_say_which_model_made_them(api: Any, store: Store) -> None:
    digest = flat_model().weights_digest
    served = api.post("/v1/label/status", json={}).json()["version"]
    image = take(api)["picture"]["id"]
    clicked = {"points": [[30, 15]], "labels": [1], "score": 0.875}
    made = [thing("n1", **clicked), thing("n2", at=30), thing("n3", score=0.5, at=20, version="")]
    made.append(thing("n4", at=5, score=0.5, version="older"))
    assert save(api, image, 0, *made).status_code == 200
    stored = store.masks("a.png")
    assert stored.versions == (served, None, None, "older") and set(stored.stages) == {"assisted"}
    assert stored.masks.prompts[0].points_xy.tolist() == [[30, 15]]
    assert stored.masks.scores[0] == 0.875 and stored.people == ("ada",) * 4
    version = {one.name: one for one in store.versions()}[served]
    assert version.metrics == {"weights": digest}
    # Corrected by hand, and by another click: it says so, and what it came from.
    read = [back(one) for one in api.get(f"/v1/label/images/{image}/masks").json()["things"]]
    hand = read[0] | {"rle": thing(at=12)["rle"], "score": None, "points": [], "labels": []}
    click = read[3] | {"rle": thing(at=7)["rle"], "score": 0.75}
    assert save(api, image, 1, hand, *read[1:3], click).status_code == 200
    stored = store.masks("a.png")
    assert stored.versions == (None, None, None, served)
    assert stored.origins == (served, None, None, "older")
    known = api.get(f"/v1/label/images/{image}/masks").json()["things"][0]["known"]
    assert (known["person"], known["version"], known["origin"]) == ("ada", None, served)
    assert [one.version for one in store.history(1)] == [served, None]


def test_other_weights_of_the_same_name_are_another_version(store: Store) -> None:
    from anymask.label.names import find_served, register_served

    def do(work: Any, *values: str) -> Any:
        return store.database.write(lambda t: work(t, store.project_id, *values))

    assert do(find_served, "net", "a" * 64) == ("net", False)
    assert do(register_served, "net", "net", "a" * 64) == "net"
    assert do(register_served, "net", "net", "b" * 64) == "net@bbbbbbbbbbbb"
    assert do(register_served, "net", "net", "b" * 64) == "net@bbbbbbbbbbbb"
    assert do(find_served, "net", "a" * 64) == ("net", True)
    store.add_version("trained", "models/trained", metrics={"mean": 0.5})
    assert do(register_served, "trained", "trained", "c" * 64) == "trained"
    assert [one.name for one in store.versions()] == ["net", "net@bbbbbbbbbbbb", "trained"]


def test_the_status_says_what_is_in_use_and_what_took_long(api: Any, store: Store) -> None:
    save(api, take(api)["picture"]["id"], 0, thing(seconds=40.0), thing("n2", at=30, seconds=2.0))
    store.add_version("boxes", "boxes", kind="detector")
    store.promote("boxes")
    status = api.post("/v1/label/status", json={}).json()["status"]
    assert (status["timed"], status["slow"], status["detector"]) == (2, 1, "boxes")


def test_masks_are_exported_for_the_page(api: Any, store: Store) -> None:
    import io
    import json
    import zipfile

    image = take(api)["picture"]["id"]
    rejected = thing("n3", at=20, review="rejected")
    save(api, image, 0, thing(), thing("n2", "dog", 30), rejected)
    asked = {"formats": ["coco", "yolo", "cutout"], "pictures": [image]}
    answer = api.post("/v1/label/export", json=asked)
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        (told,) = (name for name in names if name.endswith(".json"))
        found = json.loads(archive.read(told))
    assert [one["file_name"] for one in found["images"]] == ["a.png"]
    assert len(found["annotations"]) == 2
    assert [one["name"] for one in found["categories"]] == ["cup", "dog"]
    assert {name.partition("/")[0] for name in names} == {"coco", "yolo", "cutout"}
    none = {"formats": ["coco"], "pictures": [store.image("b.png").sha256]}
    assert "expected masks to export" in message(api.post("/v1/label/export", json=none), 422)
    wrong = {"formats": ["coco"], "pictures": ["zz"]}
    assert "expected the digest" in message(api.post("/v1/label/export", json=wrong), 404)
    (store.root / "a.png").write_bytes(png(9))
    assert "another content" in message(api.post("/v1/label/export", json=asked), 422)
    (store.root / "a.png").unlink()
    assert "gone" in message(api.post("/v1/label/export", json=asked), 422)


def test_images_are_shown_by_their_content_alone(api: Any, store: Store) -> None:
    image = store.image("a.png").sha256
    root = "/v1/studio/pictures"
    assert api.get(f"{root}/{image}/image").content == png(0)
    assert api.get(f"{root}/{image}/thumbnail").headers["content-type"] == "image/jpeg"
    assert api.post(f"{root}/{image}/embed").json()["session"]
    for name in ("a.png", "..%2Fa.png", "1", "0" * 64):
        assert api.get(f"{root}/{name}/image").status_code == 404
    (store.root / "a.png").write_bytes(png(9))
    assert "another content" in message(api.get(f"{root}/{image}/image"), 422)
    (store.root / "a.png").unlink()
    assert "gone" in message(api.get(f"{root}/{image}/image"), 422)


@pytest.mark.parametrize(
    ("path", "document", "said"),
    [
        ("next", {"person": ""}, "expected person"),
        ("next", {"person": "a" * 101}, "expected person"),
        ("next", {"person": "ada", "order": "age"}, "expected order"),
        ("next", {"person": "ada", "audit": "none"}, "expected the name of an audit"),
        ("lease", {"person": "ada", "image": "z.png"}, "expected an image of the project"),
        ("status", {"images": ["zz"]}, "expected the digest"),
    ],
)
def test_what_is_wrong_is_said(api: Any, path: str, document: Any, said: str) -> None:
    answer = api.post(f"/v1/label/{path}", json=document)
    assert said in message(answer, answer.status_code) and answer.status_code in (404, 422)


@pytest.mark.parametrize(
    "wrong", [{"thing": "m99"}, {"rle": {"size": [4, 4], "counts": "0"}}, {"review": "maybe"}]
)
def test_masks_that_cannot_be_are_refused_whole(api: Any, store: Store, wrong: Any) -> None:
    image = store.image("a.png").sha256
    message(save(api, image, 0, thing(), thing("new2") | wrong), 422)
    assert store.masks("a.png").ids == ()


def test_the_page_needs_no_token_and_everything_else_does(store: Store) -> None:
    app = create_app(ServeConfig(token=TOKEN), flat_model())
    add_label(app, store)
    with Caller(app, base_url=URL) as client:
        page = client.get("/")
        assert page.status_code == 200 and 'data-page="label"' in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        paths = [path for path in app.openapi()["paths"] if "/label/" in path]
        assert len(paths) >= 8
        for path in paths:
            message(client.post(path), 401)

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import flat_model, held, message, png

import anymask

EVERYTHING = {"kind": "everything", "images": "photos", "options": {"points_per_side": 2}}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three images in an allowed folder, one in a folder below, and what nobody may see."""
    photos = tmp_path / "photos"
    (photos / "march").mkdir(parents=True)
    for i in range(2):
        (photos / f"{i}.png").write_bytes(png(i))
    (photos / "march" / "2.png").write_bytes(png(2))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.png").write_bytes(png(9))
    (tmp_path / "photos-too").mkdir()
    (tmp_path / "photos-too" / "s.png").write_bytes(png(9))
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.fixture
def jobs(serve: Callable[..., Any], place: Path) -> Any:
    return serve(images=(place / "photos",), results=place / "out", max_jobs=2, grace=20)


def ended(api: Any, job: str, patience: float = 60) -> dict[str, Any]:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        state = api.get(f"/v1/jobs/{job}").json()
        if state["status"] in ("done", "cancelled", "failed"):
            return state
        time.sleep(0.02)
    raise AssertionError(f"still {state}")


def begin(api: Any, **asked: Any) -> str:
    answer = api.post("/v1/jobs", json={**EVERYTHING, **asked})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def test_a_job_does_what_the_command_does(jobs: Any, place: Path) -> None:
    state = ended(jobs, begin(jobs, output="first"))
    assert (state["status"], state["done"], state["failed"]) == ("done", 3, 0)
    assert state["output"] == "first"
    listed = jobs.get(f"/v1/jobs/{state['id']}/results").json()
    assert listed["total"] == 3
    names = {one["image"] for one in listed["results"]}
    assert names == {"0.png", "1.png", "march/2.png"}
    for one in listed["results"]:
        for file in one["files"]:
            answer = jobs.get(f"/v1/jobs/{state['id']}/files/{file}")
            assert answer.status_code == 200
            assert answer.content == (place / "out" / "first" / file).read_bytes()
            assert answer.headers["content-disposition"].startswith("attachment")
    wanted = flat_model().generate(place / "photos" / "0.png", points_per_side=2)
    assert anymask.read(place / "out" / "first" / "0.json").rle() == wanted.rle()
    assert str(place) not in json.dumps(listed)


def test_the_same_job_again_goes_on_where_it_stopped(jobs: Any) -> None:
    ended(jobs, begin(jobs, output="again"))
    state = ended(jobs, begin(jobs, output="again"))
    assert (state["done"], state["skipped"]) == (0, 3)
    other = ended(jobs, begin(jobs, output="again", format="coco"))
    assert other["status"] == "failed"
    assert "..." in other["error"] or "settings" in other["error"]


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        ({"kind": "segment", "prompts": [{"points": [[30, 20]]}], "options": {}}, "0-cutout.png"),
        ({"kind": "segment", "text": "dog", "options": {}}, "0.json"),
        ({"kind": "subject", "options": {}}, "0-cutout.png"),
        ({"kind": "detect", "text": "dog", "options": {}}, "0.json"),
        ({"kind": "detect", "options": {}}, "0.json"),
        ({"format": "coco"}, "*.json"),
        ({"labels": ["dog"], "format": "yolo"}, "data.yaml"),
    ],
)
def test_every_kind(jobs: Any, place: Path, asked: dict[str, Any], file: str) -> None:
    state = ended(jobs, begin(jobs, **asked))
    assert (state["status"], state["done"], state["failed"]) == ("done", 3, 0), state
    assert list((place / "out" / state["output"]).rglob(file)) != []


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"kind": "segment", "options": {}}, "neither"),
        ({"kind": "segment", "prompts": [{"points": [[1, 1]]}]}, "options"),
        ({"kind": "subject", "text": "dog", "options": {}}, "text"),
        ({"kind": "segment", "prompts": [], "options": {}}, "none"),
        ({"kind": "detect", "text": "unicorn", "options": {}}, "unicorn"),
        ({"format": "html"}, "format"),
        ({"format": "semantic"}, "labels"),
        ({"options": {"points_per_side": 10**9}}, "at most"),
        ({"kind": "train"}, "kind"),
        ({"output": ""}, "name"),
    ],
)
def test_jobs_that_make_no_sense(jobs: Any, asked: dict[str, Any], part: str) -> None:
    assert part in message(jobs.post("/v1/jobs", json={**EVERYTHING, **asked}), 422)


def test_without_folders_there_are_no_jobs(serve: Callable[..., Any]) -> None:
    assert "--results" in message(serve().post("/v1/jobs", json=EVERYTHING), 501)


# ------------------------------------------------------------------------------- paths

OUT = [
    *("..", "../secret", "photos/..", "photos/../secret", "photos/../../etc", "/etc", "//etc"),
    *("~", "~root", "photos//march", "photos/./march", "./photos", "photos/", "secret", "PHOTOS"),
    *("photos-too", "photos\x00", "photos/march\x00.png", "photos\\..\\secret", "C:/"),
    *("photos/%2e%2e/secret", "photos/%2E%2E%2fsecret", "photos/%252e%252e/secret"),
    *("photos/link", "photos/link/s.png", "photos/loop/loop", "file:///etc", "photos/*"),
    *("photos/.hidden", "x" * 999, "photos/" + "a/" * 400, "\u2025/\u2025", "photos/\uff0e\uff0e"),
    *("photos/\n", "photos/..\\secret", "photos/ ", "photos/" + "x" * 300, "photos/" + "é" * 200),
]


# As outputs these are names like any other.
NAMES = ("photos-too", "PHOTOS", "secret", "~", "~root", "photos/*", "photos/loop/loop")
NAMES += ("photos/link", "photos/link/s.png")


def test_paths_that_lead_out(jobs: Any, place: Path) -> None:
    photos = place / "photos"
    (photos / "link").symlink_to(place / "secret")
    (photos / "loop").symlink_to(photos)
    (photos / ".hidden").mkdir()
    before = sorted(map(str, place.rglob("*")))
    message(jobs.post("/v1/jobs", json={**EVERYTHING, "output": "é" * 128}), 422)  # 256 bytes
    for path in OUT:
        answer = jobs.post("/v1/jobs", json={**EVERYTHING, "images": path})
        assert answer.status_code in (404, 422), path
        assert str(place) not in message(answer, answer.status_code)
        if path.isascii() and path not in NAMES:
            asked = {**EVERYTHING, "images": "photos/march", "output": path}
            message(jobs.post("/v1/jobs", json=asked), 422)
    assert sorted(map(str, place.rglob("*"))) == before


@pytest.mark.parametrize("where", ["folder", "file", "below", "inside"])
def test_links_in_a_folder_that_lead_out(jobs: Any, place: Path, where: str) -> None:
    photos = place / "photos"
    (photos / "march" / "back").symlink_to(photos)  # stays inside
    if where == "folder":
        (photos / "march" / "more").symlink_to(place / "secret")
    elif where == "file":
        (photos / "march" / "s.png").symlink_to(place / "secret" / "s.png")
    elif where == "below":
        (photos / "april").mkdir()
        (photos / "april" / "s.png").symlink_to(place / "secret" / "s.png")
    if where == "inside":
        assert ended(jobs, begin(jobs, images="photos"))["status"] == "done"
    else:
        asked = {**EVERYTHING, "images": "photos/march"}
        assert "link" in message(jobs.post("/v1/jobs", json=asked), 422)


def test_results_that_lead_out_through_a_link(jobs: Any, place: Path) -> None:
    (place / "out" / "away").symlink_to(place / "secret")
    message(jobs.post("/v1/jobs", json={**EVERYTHING, "output": "away"}), 422)
    message(jobs.post("/v1/jobs", json={**EVERYTHING, "output": "away/x"}), 422)
    (place / "out" / "mine").mkdir()
    (place / "out" / "mine" / "march").symlink_to(place / "secret")
    message(jobs.post("/v1/jobs", json={**EVERYTHING, "output": "mine"}), 422)
    assert sorted(os.listdir(place / "secret")) == ["s.png"]


@pytest.mark.parametrize(
    "path",
    [
        *("../first/0.json", "..%2f..%2fsecret/s.png", "%2e%2e/%2e%2e/secret/s.png", "0.json%00"),
        *("/etc/passwd", "//etc/passwd", "%252e%252e/x", "..\\..\\secret", ".anymask", "no.json"),
        *("link/s.png", "a/../../../secret/s.png", "", "march", "x" * 300, "%20"),
    ],
)
def test_files_of_a_job_are_its_own(jobs: Any, place: Path, path: str) -> None:
    job = ended(jobs, begin(jobs, output="own"))["id"]
    link = place / "out" / "own" / "link"
    link.symlink_to(place / "secret")
    answer = jobs.get(f"/v1/jobs/{job}/files/{path}")
    assert answer.status_code in (400, 404, 422), answer.content
    message(answer, answer.status_code)


def test_what_a_browser_would_show_is_sent_to_be_kept(jobs: Any, place: Path) -> None:
    job = ended(jobs, begin(jobs, output="kept"))["id"]
    for name in ("x.html", "x.svg", "x.xml", "x.js", "x"):
        (place / "out" / "kept" / name).write_text("<script>alert(1)</script>")
        headers = jobs.get(f"/v1/jobs/{job}/files/{name}").headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"].startswith("attachment")
        assert headers["x-content-type-options"] == "nosniff"


# -------------------------------------------------------------------- the line of jobs


def test_the_line_has_an_end_and_jobs_can_be_cancelled(
    serve: Callable[..., Any], place: Path
) -> None:
    model = flat_model()
    begun, go_on = held(model)
    api = serve(model, images=(place / "photos",), results=place / "out", max_jobs=2)
    running = begin(api, output="a")
    assert begun.wait(30)
    waiting = [begin(api, output="b"), begin(api, output="c")]
    answer = api.post("/v1/jobs", json=EVERYTHING)
    message(answer, 429)
    assert int(answer.headers["retry-after"]) > 0
    states = {one["id"]: one["status"] for one in api.get("/v1/jobs").json()["jobs"]}
    assert states == {running: "running", waiting[0]: "queued", waiting[1]: "queued"}
    assert api.delete(f"/v1/jobs/{waiting[0]}").json()["status"] == "cancelled"
    api.delete(f"/v1/jobs/{running}")
    go_on.set()
    assert ended(api, running)["status"] == "cancelled"
    assert ended(api, waiting[1])["status"] == "done"
    assert [p.name for p in (place / "out" / "a").rglob("[!.]*.json")] == ["anymask-run.json"]
    again = begin(api, output="a")
    assert ended(api, again)["done"] == 3


def test_events_tell_how_far_it_is_until_it_ends(jobs: Any) -> None:
    job = begin(jobs)
    events = []
    with jobs.stream("GET", f"/v1/jobs/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            key, _, value = line.partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                events.append((name, json.loads(value)))
    assert [name for name, _ in events[:-1]] == ["progress"] * (len(events) - 1)
    name, last = events[-1]
    assert (name, last["status"], last["done"], last["total"]) == ("end", "done", 3, 3)
    message(jobs.get("/v1/jobs/none/events"), 404)


@pytest.mark.parametrize("which", ["images", "results"])
def test_a_folder_that_vanishes(serve: Callable[..., Any], place: Path, which: str) -> None:
    model = flat_model()
    begun, go_on = held(model)
    api = serve(model, images=(place / "photos",), results=place / "out")
    job = begin(api, output="x")
    assert begun.wait(30)
    shutil.rmtree(place / ("photos" if which == "images" else "out"))
    go_on.set()
    state = ended(api, job)
    assert state["status"] in ("done", "failed")
    assert state["failed"] >= 1 or state["error"] or state["done"] == 3  # in a new folder
    said = f"{state} {api.get(f'/v1/jobs/{job}/results').json()}"
    assert str(place) not in said
    assert api.get("/readyz").status_code == 200
    if which == "images":
        message(api.post("/v1/jobs", json={**EVERYTHING, "images": "photos/march"}), 404)


def test_an_image_that_is_none_does_not_stop_the_others(jobs: Any, place: Path) -> None:
    (place / "photos" / "bad.png").write_bytes(b"no image")
    state = ended(jobs, begin(jobs))
    assert (state["status"], state["done"], state["failed"]) == ("done", 3, 1)
    found = jobs.get(f"/v1/jobs/{state['id']}/results", params={"limit": 1000}).json()["results"]
    (bad,) = [one for one in found if one["status"] == "failed"]
    assert bad["image"] == "bad.png"
    assert str(place) not in bad["error"]

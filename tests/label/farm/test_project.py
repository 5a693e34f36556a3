from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.label.farm.conftest import documents, index
from tests.label.farm.squares import Squares

from anymask.label.farm.local import Local
from anymask.label.farm.run import farm

pytest.importorskip("sqlalchemy")


def test_a_project_gives_its_images_and_takes_their_masks_once(
    photos: Path, tmp_path: Path
) -> None:
    from anymask.label.store import Store

    out = tmp_path / "out"
    (photos / "broken.jpg").unlink()
    with Store.init(photos) as store:
        store.add(photos)
        for _ in range(2):
            found = farm(
                store, out, Squares(), engine=Local(2), format=["store", "sa1b"], shard_images=4
            )
        assert (found.images, found.failed, found.missing) == (6, 0, 0)
        shards = {one["image"]["sha256"]: one for one in documents(out).values()}
        for image in store.images():
            stored = store.masks(image)
            wanted = shards[image.sha256]["annotations"]
            assert stored.masks.areas.tolist() == [one["area"] for one in wanted]
            assert set(stored.stages) <= {"automatic"} and set(stored.reviews) <= {"pending"}
            assert set(stored.versions) <= {"squares"}
        assert sum(image.masks for image in store.images()) == found.masks > 0
        # Masks with other settings are others.
        farm(store, tmp_path / "other", Squares(name="more"), engine=Local(1), format="store")
        assert sum(image.masks for image in store.images()) == 2 * found.masks
        (photos / "a.jpg").unlink()
        again = farm(
            store, tmp_path / "third", Squares(name="third"), engine=Local(1), format="store"
        )
        assert (again.images, again.failed) == (5, 1)
        assert "cannot read" in index(tmp_path / "third")["a.jpg"]["error"]


def history(store: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Give all that is known of every image, by its name."""
    return {
        image.name: [
            (image.state, image.revision),
            *(
                (one.mask, one.revision, one.action)
                for id in store.masks(image).ids
                for one in store.history(id)
            ),
        ]
        for image in store.images()
    }


def test_what_people_have_finished_or_are_at_work_on_is_left_alone(
    photos: Path, tmp_path: Path
) -> None:
    from anymask.label import Store

    out = tmp_path / "out"
    (photos / "broken.jpg").unlink()
    how = {"engine": Local(2), "format": ["store", "parquet"], "shard_images": 4}
    with Store.init(photos) as store:
        store.add(photos)
        done, accepted, leased = (store.next(name) for name in ("Ada", "Bob", "Cid"))
        for lease in (done, accepted):
            store.finish(lease, seconds=5)
        reviewed = store.next("Rita", state="done")
        store.finish(reviewed, "accepted")
        before = history(store)
        found = farm(store, out, Squares(), **how)
        assert (found.images, found.missing, found.finished, found.leased) == (6, 0, 2, 1)
        after = history(store)
        held = {done.image.name, accepted.image.name, leased.image.name}
        assert {name for name in after if after[name] == before[name]} >= held
        assert sum(image.masks for image in store.images() if image.name not in held) > 0
        lines = index(out)
        assert {name for name, line in lines.items() if "left" in line} == held
        assert "Cid" in lines[leased.image.name]["left"]
        assert "finished" in lines[done.image.name]["left"]
        assert all("error" not in line for line in lines.values())
        # Given back, it gets its masks; nothing is looked at again, and nothing is added twice.
        store.release(leased)
        log = tmp_path / "log"
        again = farm(store, out, Squares(log), **how)
        assert (again.finished, again.leased, again.done) == (2, 0, 0) and not log.exists()
        wanted = lines[leased.image.name]["masks"]
        assert store.image(leased.image.id).masks == wanted
        both = {done.image.name, accepted.image.name}
        now = history(store)
        assert all(now[name] == before[name] for name in both)
        assert all(now[name] == after[name] for name in now if name not in held)
        # What got masks before it was finished is no image that was left.
        store.finish(store.lease(leased.image, "Cid"))
        assert farm(store, out, Squares(), **how).finished == 2


def test_the_command_says_what_it_left_and_comes_back_for_it(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from anymask.cli import main
    from anymask.label import Store

    (photos / "broken.jpg").unlink()
    with Store.init(photos) as store:
        store.add(photos)
        done = store.next("Ada")
        store.finish(done)
        leased = store.next("Bob")
    few = ["--points-per-side", "2", "--crop-n-layers", "0", "--workers", "1", "--json"]
    command = ["label", "farm", str(photos), "-o", str(tmp_path / "out"), "-f", "store", *few]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "1 left as people finished them" in said.err
    assert "1 that somebody is at work on (run the same again)" in said.err
    assert json.loads(said.out)["leased"] == 1
    with Store.open(photos) as store:
        store.release(leased)
    assert main(command) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["finished"] == 1 and "at work" not in said.err

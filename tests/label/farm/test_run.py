from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from tests.label.farm.conftest import contents, documents, index
from tests.label.farm.squares import DEADLY, HEAVY, Squares, make_image

import anymask
from anymask import InputError, OutputError
from anymask.formats import sa1b
from anymask.label.farm.local import Local
from anymask.label.farm.run import farm


def test_each_content_is_looked_at_once_and_every_name_is_accounted_for(
    photos: Path, tmp_path: Path
) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    told = []
    found = farm(photos, out, Squares(log), engine=Local(1, shared=True), progress=told.append)

    assert (found.names, found.images, found.duplicates, found.failed) == (8, 6, 1, 1)
    assert log.stat().st_size == 6
    lines = index(out)
    assert list(lines) == sorted(
        path.relative_to(photos).as_posix() for path in photos.rglob("*.*")
    )
    assert lines["sub/again.jpg"]["image_id"] == lines["b.jpg"]["image_id"]
    assert lines["sub/again.jpg"]["duplicate"] and "duplicate" not in lines["b.jpg"]
    assert "convert it or get it again" in lines["broken.jpg"]["error"]
    assert sum(line.get("masks", 0) for line in lines.values() if "duplicate" not in line) == (
        found.masks
    )
    stages = list(dict.fromkeys(one.stage for one in told))
    assert stages == ["listing", "reading", "labelling", "writing"]
    last = [one for one in told if one.stage == "labelling"][-1]
    assert (last.done, last.total, last.failed, last.masks) == (7, 7, 1, found.masks)


def test_shards_are_as_those_of_sa_1b(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    farm(photos, out, Squares(), engine=Local(1, shared=True), shard_images=5)
    assert sorted(path.name for path in (out / "shards").iterdir()) == [
        "sa_000000.tar",
        "sa_000001.tar",
    ]
    with tarfile.open(out / "shards/sa_000001.tar") as tar:
        names = tar.getnames()
        assert (
            names == [f"sa_{n}.{end}" for n in (6, 7, 8) for end in ("jpg", "json")][: len(names)]
        )
        for name in names[::2]:
            picture = tar.extractfile(name).read()
            document = tar.extractfile(name.replace(".jpg", ".json")).read()
            masks = sa1b.read(document)
            assert masks.size_hw == anymask.Image.open(picture).size_hw
            first = json.loads(document)
            assert first["image"]["file_name"] == name
            original = (photos / first["image"]["source"]).read_bytes()
            assert (picture == original) == first["image"]["source"].endswith(".jpg")
    numbers = [one["id"] for document in documents(out).values() for one in document["annotations"]]
    assert len(set(numbers)) == len(numbers) > 0


def test_a_run_that_is_repeated_does_nothing_and_gives_the_same_bytes(
    photos: Path, tmp_path: Path
) -> None:
    log, out, again = tmp_path / "log", tmp_path / "out", tmp_path / "again"
    farm(photos, out, Squares(log), engine=Local(1, shared=True))
    before = contents(out)
    stamps = {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    found = farm(photos, out, Squares(log), engine=Local(1, shared=True))
    assert found.done == 1  # what failed is tried again
    assert log.stat().st_size == 6
    assert contents(out) == before
    assert {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()} == stamps
    farm(photos, again, Squares(), engine=Local(3))
    assert contents(again) == before


def test_new_and_changed_images_are_done_and_numbers_stay(photos: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    farm(photos, out, Squares(), engine=Local(1, shared=True))
    before = index(out)
    make_image(photos / "0-new.jpg", 99)
    make_image(photos / "a.jpg", 98, (30, 20))
    kept = (photos / "z.jpg").read_bytes()
    (photos / "z.jpg").unlink()  # but it is in the shard
    found = farm(photos, out, Squares(log), engine=Local(1, shared=True))
    assert log.stat().st_size == 2
    after = index(out)
    for name in before.keys() - {"a.jpg"}:
        assert after[name] == before[name]
    assert after["0-new.jpg"]["image_id"] == 9
    assert after["a.jpg"]["image_id"] == before["a.jpg"]["image_id"]
    assert documents(out)[before["a.jpg"]["image_id"]]["image"]["width"] == 30
    assert (found.images, found.missing) == (7, 0)
    with tarfile.open(out / "shards/sa_000000.tar") as tar:
        assert tar.extractfile(f"sa_{before['z.jpg']['image_id']}.jpg").read() == kept


def test_other_settings_are_refused_until_it_starts_anew(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    farm(photos, out, Squares(), engine=Local(1, shared=True))
    before = contents(out)
    for change in ({"model": Squares(name="other")}, {"shard_images": 5}):
        with pytest.raises(InputError, match=r"got others in (model|shard_images): .*--overwrite"):
            farm(photos, out, **{"model": Squares(), "engine": Local(1, shared=True), **change})
    with pytest.raises(InputError, match="got others in source"):
        farm(photos / "sub", out, Squares(), engine=Local(1, shared=True))
    assert contents(out) == before
    farm(photos, out, Squares(name="other"), engine=Local(1, shared=True), overwrite=True)
    assert {one["model"] for one in documents(out).values()} == {"other"}


def test_what_kills_a_worker_fails_alone(photos: Path, tmp_path: Path) -> None:
    make_image(photos / "deadly.jpg", 77, (DEADLY, 9))
    make_image(photos / "heavy.jpg", 78, (HEAVY, 9))
    out = tmp_path / "out"
    found = farm(photos, out, Squares(), engine=Local(2))
    assert (found.images, found.failed) == (6, 3)
    lines = index(out)
    assert "2 processes in turn were killed" in lines["deadly.jpg"]["error"]
    assert "MemoryError" in lines["heavy.jpg"]["error"]


def test_what_no_image_can_do_without_ends_the_run(photos: Path, tmp_path: Path) -> None:
    for engine in (Local(1, shared=True), Local(2)):
        with pytest.raises(InputError, match="expected weights, got none"):
            farm(photos, tmp_path / "out", Squares(broken=True), engine=engine)


def test_two_farms_do_not_work_in_one_folder(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def second(progress: object) -> None:
        with pytest.raises(InputError, match="expected nobody else at work"):
            farm(photos, out, Squares(), engine=Local(1, shared=True))

    farm(photos, out, Squares(), engine=Local(1, shared=True), progress=second)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "does not exist"),
        ("empty", "expected images in .*got none"),
        ("photos/a.jpg", "is no folder"),
        ("out", "different folders"),
        ("zz://bucket", "Protocol not known"),
        ("memory://nothing/here", "got nothing there"),
    ],
)
def test_sources_that_are_none(photos: Path, tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "out").mkdir()
    place = source if "://" in source else tmp_path / source
    with pytest.raises(InputError, match=message):
        farm(place, tmp_path / "out", Squares(), engine=Local(1, shared=True))
    assert list((tmp_path / "out").iterdir()) == []


def test_options_that_are_none(photos: Path, tmp_path: Path) -> None:
    for options in ({"engine": "cloud"}, {"workers": 0}, {"shard_images": 0}, {"format": "tar"}):
        with pytest.raises(InputError, match="expected"):
            farm(photos, tmp_path / "out", Squares(), **options)
    with pytest.raises(InputError, match="no address of a cluster"):
        farm(photos, tmp_path / "out", Squares(), address="auto")
    assert not (tmp_path / "out/run.json").exists()


def test_a_folder_that_cannot_be_made(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OutputError):
        farm(photos, tmp_path / "out", Squares(), engine=Local(1, shared=True))


def test_a_photo_that_goes_while_it_waits_leaves_its_content_to_its_other_name(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def remove(progress: anymask.label.farm.progress.FarmProgress) -> None:
        if progress.stage == "labelling" and progress.done == 0:
            (photos / "b.jpg").unlink(missing_ok=True)
            (photos / "a.jpg").unlink(missing_ok=True)

    found = farm(photos, out, Squares(), engine=Local(1, shared=True), progress=remove)
    assert (found.images, found.failed, found.duplicates) == (5, 3, 0)
    lines = index(out)
    assert "cannot read 'b.jpg'" in lines["b.jpg"]["error"]
    assert lines["sub/again.jpg"]["masks"] >= 0


def test_a_photo_that_goes_before_its_shard_is_written_is_said_to_be_missing(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    kept = (photos / "z.jpg").read_bytes()

    def remove(progress: anymask.label.farm.progress.FarmProgress) -> None:
        if progress.stage == "labelling" and progress.done == 7:
            (photos / "z.jpg").unlink(missing_ok=True)

    found = farm(photos, out, Squares(), engine=Local(1, shared=True), progress=remove)
    assert (found.missing, found.images) == (1, 6)
    assert "cannot write 'z.jpg'" in index(out)["z.jpg"]["error"]
    (photos / "z.jpg").write_bytes(kept)
    found = farm(photos, out, Squares(), engine=Local(1, shared=True))
    assert found.missing == 0
    assert index(out)["z.jpg"]["image_id"] in documents(out)

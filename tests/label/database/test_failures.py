"""What can go wrong with a database is said in one sentence, and loses nothing."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anymask import InputError, Masks, OutputError
from anymask.label import Provenance, Store
from anymask.label.database import connection, migrate
from anymask.label.database.connection import Database
from anymask.label.database.failures import copy_whole, translate
from anymask.label.database.migrate import upgrade
from anymask.label.database.place import DATABASE
from anymask.label.database.tables import tables
from anymask.label.review.honeypots import Honeypots, list_honeypots
from anymask.masks import rle
from anymask.optional import optional

ADA = Provenance(person="Ada")
Make = Callable[..., Masks]


def test_there_has_to_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got none; make it with: anymask label init"):
        Store.open(tmp_path)
    assert not (tmp_path / DATABASE).exists()
    with pytest.raises(InputError, match="got the address 's3://x'"):
        Store.init("s3://x")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="name its folder"):
        Store.open(tmp_path / "file")
    for url in ("mysql://x/y", "nonsense", "sqlite://", "postgresql+asyncpg://x"):
        with pytest.raises(InputError, match="postgresql://user@host/name"):
            Store.init(tmp_path, database=url)


def test_a_folder_remembers_its_database_and_no_password(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    Store.init(tmp_path / "photos", database=url, project="birds").close()
    with Store.open(tmp_path / "photos") as store:
        assert store.project == "birds" and store.database.path == tmp_path / "other.db"
    from anymask.label.database.place import find_place, point_to

    point_to(find_place(tmp_path, "postgresql://ada:secret@host/db"))
    assert "secret" not in (tmp_path / "anymask-label.json").read_text()
    (tmp_path / "anymask-label.json").write_text("[1]")
    with pytest.raises(InputError, match="address of a database in"):
        Store.open(tmp_path)


def test_a_folder_that_was_renamed_keeps_its_project(store: Store, tmp_path: Path) -> None:
    if store.database.path is None:
        pytest.skip("a server has its projects by name")
    store.close()
    store.root.rename(tmp_path / "renamed")
    with Store.open(tmp_path / "renamed") as again:
        assert again.status().images == 3


def test_several_projects_share_a_server(postgres: Any, photos: Path, tmp_path: Path) -> None:
    url = postgres.new_database()
    with (
        Store.init(photos, database=url) as one,
        Store.init(tmp_path / "other", database=url, project="other") as two,
    ):
        one.add(photos)
        two.add(photos)
        one.add_classes(["sky"])
        assert two.status().images == 3 and two.classes() == []
        with pytest.raises(InputError, match="an image of the project"):
            two.image(1)
    with pytest.raises(InputError, match=r"project out of 'other', 'photos', got 'third'"):
        Store.open(tmp_path / "third", database=url)


# --------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("kind", ["header", "pages", "text"])
def test_a_damaged_file_is_copied_and_said(store: Store, kind: str, mask_of: Make) -> None:
    path = store.database.path
    if path is None:
        pytest.skip("a server looks after its own files")
    for number in range(30):
        store.add_masks(1, mask_of(meta=[{"note": "x" * 2000}]), Provenance(token=f"{number}"))
    store.close()
    content = bytearray(path.read_bytes())
    if kind == "header":
        content[:16] = b"no database here"
    elif kind == "pages":
        content[4096:] = bytes(len(content) - 4096)
    else:
        content = bytearray(b"just text " * 50)
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(InputError, match=r"got a damaged file .* a copy is .*recover") as said:
            Store.open(store.root)
        assert "sqlite3" in str(said.value) and "import your last export" in str(said.value)
    copies = list(path.parent.glob("*.damaged-*"))
    assert len([one for one in copies if one.suffix == ".damaged-1"]) == 1 == len(copies)
    assert copies[0].read_bytes() == content == path.read_bytes()


def test_damage_that_shows_later_is_said_too(store: Store, mask_of: Make) -> None:
    path = store.database.path
    if path is None:
        pytest.skip("a server looks after its own files")
    for number in range(30):
        store.add_masks(1, mask_of(meta=[{"note": "x" * 2000}]), Provenance(token=f"{number}"))
    store.close()  # the log is written into the file
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(InputError, match="damaged file"):
        store.masks(1)
    assert list(path.parent.glob("*.damaged-1"))


def test_a_database_of_a_newer_version_is_refused(store: Store, database: str | None) -> None:
    store.database.write(lambda t: t.run("UPDATE alembic_version SET version_num = 'r9999'"))
    for make in (Store.open, Store.init):
        with pytest.raises(InputError, match=r"got 'r9999', which a newer anymask wrote; update"):
            make(store.root, database=database)
    assert store.status().images == 3  # nothing was touched


def test_a_database_of_something_else_is_no_store(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(InputError, match="got none; make it"):
        Store.open(tmp_path)


def test_the_migrations_make_the_tables_that_the_code_knows(
    tmp_path: Path, database: str | None
) -> None:
    opened = Database(database or f"sqlite:///{tmp_path / 'a.db'}")
    upgrade(opened)
    upgrade(opened)  # changes nothing
    compare = optional("alembic.autogenerate").compare_metadata
    context = optional("alembic.migration").MigrationContext

    def look(transaction: Any) -> list[Any]:
        return compare(context.configure(transaction.connection), tables())

    assert opened.read(look) == []
    opened.close()


def test_a_store_of_the_first_layout_is_brought_up_to_date(
    photos: Path, database: str | None, mask_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds stays, and what was not counted then is counted."""
    _, steps = migrate._steps()
    url = database or f"sqlite:///{photos / DATABASE}"
    opened = Database(url)
    with monkeypatch.context() as patched:
        patched.setattr(steps, "get_current_head", lambda: "r0001")
        upgrade(opened)
    counts, name = rle.to_string(mask_of().counts[0]), photos.name
    image = "1, 'x', 8, 12, 'open', 3, 1, 0"
    columns = "mask_id, revision, action, shape, counts, area, review, stage, seconds, at"
    rows = [
        f"projects (name, at) VALUES ('{name}', 0)",
        f"images (project_id, sha256, height, width, state, masks, revision, at) VALUES ({image})",
        "versions (project_id, name, path, metrics, promoted, at) VALUES (1, 'a', 'b', '{}', 1, 0)",
    ]
    for mask, seconds in ((1, "31"), (2, "30"), (3, "NULL")):
        rows.append("masks (image_id, revision) VALUES (1, 1)")
        rows.append(
            f"revisions ({columns}) VALUES "
            f"({mask}, 1, 'add', 1, '{counts}', 48, 'pending', 'assisted', {seconds}, 0)"
        )
    known = {"images": 1, "images.open": 1, "masks": 3, "masks.class.0": 3, "revisions": 3}
    known |= {"masks.review.pending": 3, "masks.stage.assisted": 3}
    known |= {"revisions.timed": 2, "revisions.seconds": 61}
    rows += [f"counters VALUES (1, '{what}', {number})" for what, number in known.items()]

    def fill(transaction: Any) -> None:
        for row in rows:
            transaction.connection.exec_driver_sql(f"INSERT INTO {row}")

    opened.write(fill)
    opened.close()
    with Store.open(photos, database=database) as store:
        status = store.status()
        assert (status.slow, status.timed, status.masks, status.version) == (1, 2, 3, "a")
        assert store.counters() == store.count_again()
        assert [one.kind for one in store.versions()] == ["model"]
        assert list_honeypots(store) == Honeypots((), 0.05)
        assert len(store.masks(1).masks) == 3
    if database is None:
        copy = min(photos.glob(f"{DATABASE}.before-*"), key=lambda one: len(one.name))
        with sqlite3.connect(copy) as connection:
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.close()
        assert version == "r0001"


def test_a_copy_has_what_others_have_just_written(store: Store, mask_of: Make) -> None:
    path = store.database.path
    if path is None:
        pytest.skip("a server is copied by its own tools")
    store.add_masks(1, mask_of(), ADA)  # it is in the log alone, for the file is open
    held = store.database.engine.connect()  # as a reader who keeps the log from being taken over
    held.exec_driver_sql("SELECT count(*) FROM masks").scalar()
    copy = copy_whole(path, "before-r9")
    held.close()
    assert copy.name == f"{path.name}.before-r9-1" and not list(path.parent.glob("*before*-wal"))
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM revisions").fetchone() == (1,)
    connection.close()
    assert copy_whole(path, "before-r9").name.endswith("-2")


def test_without_room_for_a_copy_nothing_is_brought_up_to_date(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store.database.path is None:
        pytest.skip("a server is copied by its own tools")
    store.database.write(lambda t: t.run("UPDATE alembic_version SET version_num = 'r0001'"))

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OutputError, match=r"before it is brought up to date.*nothing was changed"):
        upgrade(store.database)
    monkeypatch.undo()
    version = store.database.read(lambda t: t.value("SELECT version_num FROM alembic_version"))
    assert version == "r0001" and not list(store.root.glob(f"*{DATABASE}.before*"))


def test_several_processes_may_make_a_store_at_once(tmp_path: Path, database: str | None) -> None:
    code = "import sys; from anymask.label import Store; "
    code += "Store.init(sys.argv[1], database=sys.argv[2] or None)"
    words = [sys.executable, "-c", code, str(tmp_path / "new"), database or ""]
    processes = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    with Store.open(tmp_path / "new") as store:
        assert store.status().images == 0


# ---------------------------------------------------------------------------- in the way


def test_a_full_disk_is_said(store: Store, mask_of: Make) -> None:
    if store.database.path is None:
        pytest.skip("the disk of a server is its own")
    ((mask, now),) = store.add_masks(1, mask_of(), ADA)
    event = optional("sqlalchemy").event
    pages = store.database.read(lambda t: t.value("PRAGMA page_count"))
    event.listen(
        store.database.engine,
        "connect",
        lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages + 2}"),
    )
    store.close()
    added = 0
    with pytest.raises(OutputError, match="the disk is full; make room and try again"):
        for added in range(1000):  # noqa: B007
            store.add_masks(1, mask_of(meta=[{"note": "x" * 3000}]), ADA)
    with Store.open(store.root) as again:
        assert len(again.masks(1).masks) == 1 + added
        assert again.edit_mask(mask, now, mask_of(2), ADA) == 2
        assert again.counters() == again.count_again()


@pytest.mark.parametrize("free", [0, 1 << 30])
def test_a_disk_without_room_for_the_log_is_full_and_nothing_is_damaged(
    photos: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """SQLite says "disk I/O error" of both."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    error = SimpleNamespace(orig=sqlite3.OperationalError("disk I/O error"))
    with Store.init(photos) as store:
        path = store.database.path
        assert path is not None
        said = str(translate(error, str(path), path, 30))
    assert ("the disk is full" in said) == (not free) != ("damaged file" in said)
    assert len(list(photos.glob("*.damaged-1"))) == (1 if free else 0)


def test_who_keeps_a_file_busy_is_waited_for(store: Store, mask_of: Make) -> None:
    path = store.database.path
    if path is None:
        pytest.skip("rows are locked on a server, not the file")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(2.5, lambda: other.execute("ROLLBACK")).start()
    store.add_masks(1, mask_of(), ADA)
    assert store.masks(1).image.masks == 1
    other.execute("BEGIN IMMEDIATE")
    store.database.patience = 0.1
    with pytest.raises(OutputError, match=r"others have kept it busy for 0.1 s; try again"):
        store.add_masks(1, mask_of(), ADA)
    assert store.masks(1).image.masks == 1  # who reads is not in the way
    other.close()


def test_a_server_that_is_away_is_waited_for(postgres: Any, photos: Path, mask_of: Make) -> None:
    with Store.init(photos, database=postgres.new_database(), patience=60) as store:
        store.add(photos)
        made = store.add_masks(1, mask_of(), ADA)
        postgres.stop()
        thread = threading.Timer(1.0, postgres.start)
        thread.start()
        made += store.add_masks(1, mask_of(5), ADA)
        thread.join()
        assert store.masks(1).ids == tuple(mask for mask, _ in made)
        assert store.counters() == store.count_again()
        postgres.stop()
        try:
            store.database.patience = 0.5
            begin = time.monotonic()
            with pytest.raises(OutputError, match=r"cannot reach the database .* start the server"):
                store.status()
            assert time.monotonic() - begin >= 0.5
        finally:
            postgres.start()
        assert store.status().masks == 2


def test_a_server_that_lets_nobody_in_is_not_asked_again(
    postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database().replace("@/postgres?", "@/nowhere?")
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: pytest.fail("asked again"))
    monkeypatch.setattr(connection, "time", clock)
    with pytest.raises(OutputError, match=r'cannot use the store .*"nowhere" does not exist'):
        Store.init(tmp_path, database=url)


def test_only_one_may_retrain(store: Store, database: str | None) -> None:
    with Store.open(store.root, database=database) as other:
        with store.exclusive("retrain"):
            refused = pytest.raises(InputError, match="the only one at retrain, but somebody else")
            with refused, other.exclusive("retrain"):
                raise AssertionError
            with other.exclusive("audit"):
                assert other.status().images == 3
        with other.exclusive("retrain"):
            pass


def test_what_takes_hours_keeps_no_transaction_and_outlives_the_server(
    postgres: Any, photos: Path
) -> None:
    with Store.init(photos, database=postgres.new_database()) as store:
        with store.exclusive("retrain"):
            query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            assert postgres.ask(query).stdout.strip() == b"0"
            postgres.stop()
            postgres.start()
            store.add_classes(["sky"])  # what was worked out is kept
        with store.exclusive("retrain"):
            assert [one.name for one in store.classes()] == ["sky"]


def test_a_lock_is_held_though_the_server_has_closed_a_kept_connection(
    postgres: Any, photos: Path
) -> None:
    with Store.init(photos, database=postgres.new_database()) as store:
        store.status()
        engine = store.database.engine
        first, second = engine.connect(), engine.connect()
        with second.begin():
            closed = second.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        first.close()  # in this order they are taken again
        second.close()
        store.database.read(lambda t: t.value(f"SELECT pg_terminate_backend({closed})"))
        with engine.connect(), engine.connect():
            pass  # which brings them back into that order
        with store.exclusive("retrain"):
            assert store.classes() == []


def test_who_people_are_is_asked_again_after_the_server_was_away(
    postgres: Any, photos: Path, mask_of: Make
) -> None:
    """A copy that was put back meanwhile may number them otherwise."""
    with Store.init(photos, database=postgres.new_database()) as store:
        store.add(photos)
        for image in (1, 2):
            store.add_masks(image, mask_of(), ADA)
        with Store.open(photos) as other:
            other.database.write(lambda t: t.run("UPDATE people SET name = 'Ann'"))
        postgres.stop()
        postgres.start()
        store.add_masks(3, mask_of(), ADA)
        assert [store.masks(image).people for image in (1, 3)] == [("Ann",), ("Ada",)]


def test_statements_with_numbers_in_them_are_not_kept_for_good(store: Store) -> None:
    store.database.read(lambda t: [t.value(f"SELECT {number}") for number in range(600)])
    assert connection._text.cache_info().currsize <= 500

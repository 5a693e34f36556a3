"""What people wait for does not get slower with the size of a store: no table is gone through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anymask import Masks
from anymask.label import Provenance, Store
from anymask.optional import optional

LARGE = ("images", "image_names", "masks", "revisions", "work", "requests", "embeddings")


def statements(store: Store, calls: list[Callable[[], object]]) -> list[tuple[str, Any]]:
    """List what the database is asked, with its values."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, cursor: Any, statement: str, values: Any, *more: Any) -> None:
        seen.append((statement, values))

    event = optional("sqlalchemy").event
    event.listen(store.database.engine, "before_cursor_execute", note)
    for call in calls:
        call()
    event.remove(store.database.engine, "before_cursor_execute", note)
    return [one for one in seen if one[0].lstrip().startswith(("SELECT", "UPDATE"))]


def test_the_next_image_takes_few_questions(store: Store, mask_of: Callable[..., Masks]) -> None:
    """Each is a way to the server and back, while others wait."""
    for _ in range(2):  # Ada is known by then
        store.release(store.next("Ada"))
    calls = [lambda: store.next("Ada"), lambda: store.next("Ada")]
    seen = [statement for statement, _ in statements(store, calls)]
    # Time, own image, next image, lease, names; the same without the next image. SQLite asks who
    # Ada is, and notes the time.
    assert len(seen) == (5 + 4 if store.database.path is None else 7 + 6), seen


def plan(store: Store, statement: str, values: Any) -> str:
    """Ask the database how it would do it."""
    prefix = "EXPLAIN QUERY PLAN " if store.database.path is not None else "EXPLAIN "

    def look(transaction: Any) -> str:
        connection = transaction.connection
        if store.database.path is None:
            # A small table is gone through because that is faster: rule it out where there is
            # another way.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = connection.exec_driver_sql(prefix + statement, values).all()
        return "\n".join(str(row[-1]) for row in rows)

    return store.database.read(look)


def scans(lines: str) -> list[str]:
    """List the tables that a plan goes through from begin to end."""
    found = []
    for line in lines.lower().splitlines():
        words = line.replace("->", " ").split()
        if words[:1] == ["scan"] and "using index" not in line and "virtual" not in line:
            found.append(line)
        if words[:2] == ["seq", "scan"]:
            found.append(line)
    return found


@pytest.fixture
def filled(store: Store, mask_of: Callable[..., Masks]) -> Store:
    for image in (1, 2, 3):
        store.add_masks(image, mask_of(scores=[0.5]), Provenance("Ada", "tiny", token=f"{image}"))
    store.finish(store.next("Ada"), seconds=3)
    return store


def test_nothing_large_is_gone_through(filled: Store, mask_of: Callable[..., Masks]) -> None:
    store, person = filled, Provenance("Bob", token="again")
    calls = [
        lambda: store.next("Bob"),
        lambda: store.next("Cid", order="low-confidence", state="done"),
        lambda: store.next("Dan", order="disagreement"),
        lambda: store.next("Eve", order="novelty", skip=[99]),
        store.status,
        store.classes,
        store.counters,
        store.problems,
        lambda: store.masks("photo-1.png"),
        lambda: store.history(1),
        lambda: store.add_masks(2, mask_of(3), person),
        lambda: store.edit_mask(1, 1, mask_of(4), Provenance("Cid", token="more")),
        lambda: store.image("photo-1.png"),
        lambda: store.image(store.image(1).sha256),
        lambda: store.find_image("photo-1.png"),
        lambda: next(iter(store.images())),
        lambda: store.renew(store.next("Bob")),
        lambda: store.finish(store.next("Bob")),
    ]
    seen = statements(store, calls)
    assert len(seen) > 40
    for statement, values in seen:
        for line in scans(plan(store, statement, values)):
            assert not any(f" {table} " in f" {line} " for table in LARGE), (statement, line)


def test_the_test_sees_a_scan(filled: Store) -> None:
    seen = statements(
        filled,
        [lambda: filled.database.read(lambda t: t.rows("SELECT id FROM images WHERE width > 3"))],
    )
    assert scans(plan(filled, *seen[0]))


def test_the_next_image_is_found_in_the_order_of_an_index(filled: Store) -> None:
    """Nothing is sorted, either: the first row of an index is the answer."""
    orders = ("added", "low-confidence", "disagreement", "novelty")
    calls = [lambda order=order: filled.next("Bob", order=order, skip=[7]) for order in orders]
    calls += [filled.leases]
    fill(filled)
    asked = [one for one in statements(filled, calls) if "lease_until" in one[0]]
    assert len(asked) > len(calls)
    for statement, values in asked:
        lines = plan(filled, statement, values).lower()
        if "<=" in statement:
            assert "images_by_" in lines, lines
            assert "sort" not in lines and "temp b-tree" not in lines, lines
        elif "lease_person_id" in statement and statement.startswith(("SELECT", " ", "\n")):
            assert "images_held" in lines, lines


def fill(store: Store) -> None:
    """Add 20,000 images, and let the database look at them: with three, every way is as good."""
    rows = "generate_series(1, 20000) AS s(i)"
    if store.database.path is not None:
        rows = (
            "(WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < 20000) "
            "SELECT i FROM up) AS s"
        )
    many = f"""
        INSERT INTO images (project_id, sha256, height, width, state, at, confidence, novelty)
        SELECT 1, 'x' || s.i, 8, 12, CASE s.i % 3 WHEN 0 THEN 'done' ELSE 'open' END, 0,
            (s.i % 1000) / 1000.0, (s.i % 999) / 1000.0
        FROM {rows}"""
    store.database.write(lambda t: t.run(many))
    store.database.write(lambda t: t.run("ANALYZE"))


def test_a_status_asks_for_the_same_however_many_masks_there_are(
    filled: Store, mask_of: Callable[..., Masks]
) -> None:
    before = len(statements(filled, [filled.status]))
    dense = np.ones((50, 8, 12), bool)
    filled.add_masks(1, Masks.from_dense(dense, labels=["sky"] * 50), Provenance("Ada"))
    assert len(statements(filled, [filled.status])) == before
    assert filled.status().masks == 53

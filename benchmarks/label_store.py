"""Time a store with 100,000 images and 5 million masks: what people wait for, alone and together.

    python benchmarks/label_store.py                                   # a file of SQLite
    python benchmarks/label_store.py --database postgresql://me@host/empty
    python benchmarks/label_store.py --images 10000 --masks 500000 --seconds 10
    python benchmarks/label_store.py --folder built/           # build it once, and use it again

The rows are made in the database itself, so that building it takes minutes. Then each call is timed
on its own, and eight people in processes of their own take an image, add a mask, change it, review
it and go on, for a minute; whatever fails or is given to two people at once ends the benchmark.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import argparse
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from anymask import Masks
from anymask.label import Provenance, Store
from anymask.masks import rle

SIZE_HW = (480, 640)
POOL = 97  # different masks


def blobs() -> list[Masks]:
    """Give masks whose outlines are as long as usual ones."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    found = []
    for _ in range(POOL):
        (cy, cx), (ry, rx) = rng.uniform(0, SIZE_HW), rng.uniform(10, 120, 2)
        angle = np.arctan2(y - cy, x - cx)
        edge = 1 + 0.2 * np.sin(angle * rng.integers(2, 9))
        inside = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < edge
        found.append(Masks.from_dense(inside))
    return found


def fill(store: Store, images: int, masks: int) -> None:
    """Make rows in the database, with the counters that belong to them."""
    pool = [
        {"place": i, "counts": rle.to_string(one.counts[0]), "area": int(one.areas[0])}
        for i, one in enumerate(blobs())
    ]
    store.add_classes([f"class {i}" for i in range(10)])
    store.add_version("model", "model")
    series = "generate_series(1, {n})"
    if store.database.is_sqlite:
        series = (
            "(WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < {n}) "
            "SELECT i FROM up)"
        )
    steps = [
        (
            "INSERT INTO images (project_id, sha256, height, width, state, at, masks, confidence, "
            "agreement, novelty) SELECT 1, 'digest ' || s.i, 480, 640, "
            "CASE s.i % 4 WHEN 0 THEN 'done' ELSE 'open' END, 0, {each}, (s.i * 919 % 1000) / "
            "1000.0, (s.i * 729 % 1000) / 1000.0, (s.i * 9709 % 100000) / 100000.0 "
            f"FROM {series.format(n=images)} AS s{'' if store.database.is_sqlite else '(i)'}"
        ).format(each=masks // images),
        "INSERT INTO image_names (project_id, name, image_id, stamp, state) "
        "SELECT 1, 'photos/' || id || '.jpg', id, '1 1', 'present' FROM images",
        "INSERT INTO masks (image_id, revision) SELECT 1 + (s.i - 1) % "
        f"{images}, 1 FROM {series.format(n=masks)} AS s"
        f"{'' if store.database.is_sqlite else '(i)'}",
        "INSERT INTO revisions (mask_id, revision, action, shape, counts, area, class_id, score, "
        "stability, review, stage, version_id, at) SELECT m.id, 1, 'add', 1, p.counts, p.area, "
        "1 + m.id % 10, 0.9, 0.95, CASE m.id % 3 WHEN 0 THEN 'accepted' ELSE 'pending' END, "
        f"'automatic', 1, 0 FROM masks m JOIN pool p ON p.place = m.id % {POOL}",
        "INSERT INTO counters SELECT 1, 'images.' || state, count(*) FROM images GROUP BY state",
        f"INSERT INTO counters VALUES (1, 'images', {images}), (1, 'masks', {masks}), "
        f"(1, 'revisions', {masks}), (1, 'masks.stage.automatic', {masks}), "
        f"(1, 'names.present', {images})",
        "INSERT INTO counters SELECT 1, 'masks.review.' || review, count(*) FROM revisions "
        "GROUP BY review",
        "INSERT INTO counters SELECT 1, 'masks.class.' || class_id, count(*) FROM revisions "
        "GROUP BY class_id",
    ]
    store.database.write(
        lambda t: t.run("CREATE TABLE pool (place INTEGER PRIMARY KEY, counts TEXT, area INTEGER)")
    )
    store.database.write(lambda t: t.run("INSERT INTO pool VALUES (:place, :counts, :area)", pool))
    for step in steps:
        begin = time.perf_counter()
        store.database.write(lambda t, step=step: t.run(step))
        print(f"  {time.perf_counter() - begin:6.1f} s  {step[:60]}", flush=True)
    store.database.write(lambda t: t.run("DROP TABLE pool"))
    store.database.write(lambda t: t.run("ANALYZE"))


def timed(name: str, call: Callable[[], object], times: int = 20) -> None:
    """Time a call; the first one apart, for nothing of it is in memory yet."""
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    first, rest = seconds[0], sorted(seconds[1:])
    middle, slow = rest[len(rest) // 2], rest[-1]
    print(
        f"{name:28} first {1e3 * first:7.1f} ms, "
        f"then {1e3 * middle:7.1f}, at most {1e3 * slow:7.1f}"
    )


def annotate(
    folder: str, database: str | None, number: int, seconds: float, answers: Any, begin_all: Any
) -> None:
    """Work as one person does."""
    try:
        with Store.open(folder, database=database, project="load") as store:
            person, mask = Provenance(f"person {number}", seconds=1), blobs()[number]
            store.status()
            begin_all.wait()  # to start a process takes longer than any request
            end, waits, images = time.monotonic() + seconds, [], []
            while time.monotonic() < end:
                begin = time.perf_counter()
                lease = store.next(f"person {number}", order="low-confidence")
                assert lease is not None
                waits.append(time.perf_counter() - begin)
                images.append(lease.image.id)
                ((one, now),) = store.add_masks(lease.image, mask, person)
                now = store.edit_mask(one, now, mask, person)
                store.review_mask(one, now, "accepted", person)
                store.finish(lease, seconds=1)
            answers.put((images, waits, None))
    except Exception as error:
        answers.put(([], [], repr(error)))


def together(folder: Path, database: str | None, people: int, seconds: float) -> None:
    """Let people work at once, and check that each image went to one of them."""
    context = multiprocessing.get_context("spawn")
    answers, begin_all = context.Queue(), context.Barrier(people)
    workers = [
        context.Process(
            target=annotate, args=(str(folder), database, i, seconds, answers, begin_all)
        )
        for i in range(people)
    ]
    for worker in workers:
        worker.start()
    found = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    errors = [error for _, _, error in found if error]
    assert not errors, errors
    given = Counter(image for images, _, _ in found for image in images)
    assert max(given.values()) == 1, "an image was given to two people"
    waits = np.concatenate([waits for _, waits, _ in found])
    print(
        f"{people} people for {seconds:g} s: {sum(given.values())} images, each five requests, "
        f"none lost; next took {1e3 * np.median(waits):.0f} ms (median), "
        f"{1e3 * np.quantile(waits, 0.99):.0f} ms (99 %), {1e3 * waits.max():.0f} ms at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--masks", type=int, default=5_000_000)
    parser.add_argument("--database", help="an empty database of PostgreSQL")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--folder", help="where the store is, or is to be made and stay")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        folder = options.folder or empty
        with Store.init(folder, database=options.database, project="load") as store:
            print(f"{options.images:,d} images, {options.masks:,d} masks in {store.database.shown}")
            if not store.status().images:
                fill(store, options.images, options.masks)
            if store.database.path is not None:
                print(f"{store.database.path.stat().st_size / 1e9:.1f} GB")
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        with Store.open(folder, database=options.database, project="load") as store:
            timed("status", store.status)
            for order in ("added", "low-confidence", "disagreement", "novelty"):
                people = iter(range(1000))
                timed(
                    f"next, {order}",
                    lambda order=order, people=people: store.next(
                        f"{order} {next(people)}", order=order
                    ),
                )
            timed("classes", store.classes)
            timed("counters (for stats)", store.counters)
            image = iter(range(501, 1000))  # which nobody has by now
            timed("masks of an image", lambda: store.masks(next(image)))
            mask = blobs()[0]
            timed("add a mask", lambda: store.add_masks(next(image), mask, Provenance("Ada")))
            held = store.masks(1000)  # of an image that has 50
            known = iter(zip(held.ids, held.revisions, strict=True))
            timed("change a mask", lambda: store.edit_mask(*next(known), mask, Provenance("Ada")))
        together(Path(folder), options.database, options.people, options.seconds)


if __name__ == "__main__":
    main()

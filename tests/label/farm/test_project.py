from __future__ import annotations

from pathlib import Path

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

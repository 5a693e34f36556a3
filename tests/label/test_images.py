"""Images are known by their content: under two names, changed after labelling, gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from anymask import Image, InputError, Masks
from anymask.label import Provenance, Store
from anymask.label.records import Added

ADA = Provenance(person="Ada")


def save(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(np.full((8, 12, 3), value, np.uint8)).save(path)


def test_added_images_are_known_again(store: Store, photos: Path) -> None:
    names = tuple(f"photo-{i}.png" for i in range(3))
    assert store.add(photos) == Added(known=names)
    assert [one.names for one in store.images()] == [(name,) for name in names]
    assert [one.size_hw for one in store.images()] == [(8, 12)] * 3
    assert store.image("photo-1.png") == store.image(2) == store.image(store.image(2).sha256)
    assert store.counters() == store.count_again()


def test_the_same_photo_under_two_names_is_one_image(store: Store, photos: Path) -> None:
    shutil.copy(photos / "photo-0.png", photos / "copy.png")
    (photos / "below").mkdir()
    shutil.copy(photos / "photo-0.png", photos / "below/again.png")
    found = store.add(photos)
    assert found.again == ("below/again.png", "copy.png") and found.added == ()
    assert store.image(1).names == ("below/again.png", "copy.png", "photo-0.png")
    assert len(list(store.images())) == 3
    save(photos / "new-1.png", 200)
    save(photos / "new-2.png", 200)
    assert store.add(photos).added == ("new-1.png",)
    assert store.image("new-2.png").id == store.image("new-1.png").id == 4
    assert store.counters() == store.count_again()


def test_a_photo_that_was_changed_before_labelling_is_replaced(store: Store, photos: Path) -> None:
    save(photos / "photo-0.png", 99)
    assert store.check().replaced == ("photo-0.png",)
    assert store.image("photo-0.png").id == 4
    assert store.image(1).gone and store.image(1).names == ()
    assert store.next("Ada").image.id == 2
    assert store.counters() == store.count_again()


def test_a_photo_that_was_changed_after_labelling_is_told(
    store: Store, photos: Path, mask_of: Callable[..., Masks]
) -> None:
    before = store.image(1)
    store.add_masks(1, mask_of(), ADA)
    save(photos / "photo-0.png", 99)
    assert store.check() == Added(known=("photo-1.png", "photo-2.png"), changed=("photo-0.png",))
    assert store.check().changed == ("photo-0.png",)  # and not forgotten
    assert store.problems() == [("photo-0.png", "changed")]
    assert store.status().changed == 1 and len(list(store.images())) == 3
    assert store.image("photo-0.png").sha256 == before.sha256 and store.image(1).gone
    assert store.next("Ada").image.id == 2
    assert store.add(photos, accept_changes=True).replaced == ("photo-0.png",)
    assert store.image("photo-0.png").id == 4 and not len(store.masks(4).masks)
    assert len(store.masks(1).masks) == 1 and store.problems() == []
    assert store.counters() == store.count_again()


def test_a_changed_photo_that_is_put_back_is_as_before(
    store: Store, photos: Path, tmp_path: Path, mask_of: Callable[..., Masks]
) -> None:
    store.add_masks(1, mask_of(), ADA)
    shutil.copy(photos / "photo-0.png", tmp_path / "kept.png")
    save(photos / "photo-0.png", 99)
    store.check()
    shutil.copy(tmp_path / "kept.png", photos / "photo-0.png")
    assert sorted(store.check().known) == [f"photo-{i}.png" for i in range(3)]
    assert store.problems() == [] and not store.image(1).gone
    assert store.counters() == store.count_again()


def test_a_photo_that_is_gone_is_told_and_not_given_to_anybody(store: Store, photos: Path) -> None:
    (photos / "photo-0.png").rename(photos / "elsewhere.png")
    assert store.check().gone == ("photo-0.png",)
    assert store.problems() == [("photo-0.png", "gone")] and store.status().gone == 1
    assert store.image(1).gone and store.next("Ada").image.id == 2
    with pytest.raises(InputError, match=r"'photo-0.png' in .*, but it is gone; put it back"):
        store.open_image(store.image(1))
    assert store.add(photos).again == ("elsewhere.png",)
    assert not store.image(1).gone and store.open_image(store.image(1)) == photos / "elsewhere.png"
    assert store.next("Bob").image.id == 1
    assert store.counters() == store.count_again()


def test_what_cannot_be_read_is_named_and_the_rest_added(store: Store, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    (photos / "empty.png").write_bytes(b"")
    save(photos / "odd.png", 6)
    (photos / "odd.png").rename(os.fsdecode(bytes(photos) + b"/odd-\xff.png"))
    save(photos / "good.png", 5)
    found = store.add(photos)
    assert [name for name, _ in found.failed] == ["broken.jpg", "empty.png", r"'odd-\udcff.png'"]
    assert all("broken" in why or "empty" in why or "rename it" in why for _, why in found.failed)
    assert found.added == ("good.png",)
    with pytest.raises(InputError, match="nowhere"):
        store.add(photos / "nowhere")


def test_images_outside_of_the_folder_have_whole_paths(store: Store, tmp_path: Path) -> None:
    save(tmp_path / "other/a.png", 77)
    assert store.add(tmp_path / "other").added == ((tmp_path / "other/a.png").as_posix(),)
    assert store.open_image(store.image(4)) == tmp_path / "other/a.png"


@pytest.fixture
def bucket() -> Iterator[str]:
    """Images in an object store that lies in memory."""
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for name, value in (("b/2.png", 10), ("b/10.png", 20), ("b/deep/1.png", 10), ("b/x.txt", 1)):
        with system.open(f"/{name}", "wb") as file:
            Image.open(np.full((8, 12, 3), value, np.uint8)).save(file, format="png")
    yield "memory://b"
    system.rm("/b", recursive=True)


def test_images_at_addresses(photos: Path, bucket: str) -> None:
    import fsspec

    with Store.init(photos) as store:
        names = ("memory:///b/2.png", "memory:///b/10.png", "memory:///b/deep/1.png")
        found = store.add(bucket)
        assert found.added == names[:2] and found.again == names[2:]
        assert store.image(1).names == (names[0], names[2]) and store.image(2).size_hw == (8, 12)
        assert store.add(bucket).known == names
        data = store.open_image(store.image(2))
        assert isinstance(data, bytes) and Image.open(data).pixels[0, 0, 0] == 20
        assert store.add("memory://b/*.png").known == (names[0], names[1])
        fsspec.filesystem("memory").rm("/b/10.png")
        assert store.check().gone == (names[1],)
        with pytest.raises(InputError, match="nothing is there"):
            store.add("memory://nowhere")
        with pytest.raises(InputError, match="expected images at"):
            store.add("memory://b/*.gif")
        with pytest.raises(InputError, match="cannot open the address 'nosuch://x'"):
            store.add("nosuch://x")

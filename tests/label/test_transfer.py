"""Masks go out and come in in every format, and the database does not show in the files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask import Image, InputError, Masks, read
from anymask.data.readers.notes import DataWarning
from anymask.formats import coco, write
from anymask.label import Provenance, Store, export_masks, import_masks

ADA = Provenance("Ada", "tiny", "semi-automatic", seconds=2)
Make = Callable[..., Masks]


def files_below(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def label(store: Store) -> None:
    """Do what leaves numbers of every kind behind."""
    rng = np.random.default_rng(1)
    for number in (2, 0, 1):
        dense = rng.random((3, 8, 12)) > 0.6
        masks = Masks.from_dense(
            dense,
            labels=["sky", "a b", "Fuß"],
            scores=rng.random(3),
            stability=[0.5, np.nan, 1 / 3],
            ids=[1, None, 3],
        )
        made = store.add_masks(f"photo-{number}.png", masks, ADA)
        store.delete_mask(*made[0], ADA)
        store.review_mask(*made[1], ("accepted", "rejected", "pending")[number], ADA)
        store.edit_mask(*made[2], masks[1], Provenance("Bob"))
    store.finish(store.next("Ada"))


FORMATS = (
    "coco",
    "sa1b",
    "yolo",
    "labelme",
    "png",
    "voc",
    "semantic",
    "grounded-sam",
    "cvat",
    "labelstudio",
)


@pytest.mark.parametrize("format", FORMATS)
def test_both_databases_give_the_same_bytes(
    postgres: Any, photos: Path, tmp_path: Path, format: str
) -> None:
    found = []
    for name, url in (("sqlite", None), ("postgresql", postgres.new_database())):
        with Store.init(photos, database=url, project="same") as store:
            store.add(photos)
            with pytest.raises(InputError):  # leaves a gap in the numbers of a server
                store.add_masks(1, Masks.empty((1, 1)), ADA)
            label(store)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                export_masks(store, tmp_path / "out", format, provenance=True, val_fraction=0.3)
        (tmp_path / "out").rename(tmp_path / name)  # for some files name the folder
        found.append(files_below(tmp_path / name))
    assert found[0] == found[1] and len(found[0]) >= 1
    assert sum(map(len, found[0].values())) > 200


def test_what_is_written(store: Store, tmp_path: Path) -> None:
    label(store)
    done = export_masks(store, tmp_path / "a.json")
    assert (done.images, done.masks, done.unnamed) == (3, 5, 0)
    found = {masks.source: masks for masks in coco.read_all(tmp_path / "a.json")}
    assert list(found) == ["photo-0.png", "photo-1.png", "photo-2.png"]
    assert [len(masks) for masks in found.values()] == [2, 1, 2]
    assert found["photo-0.png"].labels == ("a b", "a b") and not found["photo-0.png"].meta[0].get(
        "annotator"
    )
    done = export_masks(store, tmp_path / "b.json", reviews=["accepted"], provenance=True)
    assert done.masks == 1
    (meta,) = coco.read(tmp_path / "b.json", "photo-0.png").meta
    said = {key: meta[key] for key in ("review", "stage", "annotator", "model_version", "seconds")}
    assert said == {
        "review": "accepted",
        "stage": "semi-automatic",
        "annotator": "Ada",
        "model_version": "tiny",
        "seconds": 2,
    }
    for wrong in ({"reviews": []}, {"reviews": ["good"]}, {"val_fraction": 1}):
        with pytest.raises(InputError, match="expected"):
            export_masks(store, tmp_path / "c.json", **wrong)
    with pytest.raises(InputError, match="exists"):
        export_masks(store, tmp_path / "a.json")


def test_a_zip_for_cvat_has_the_images(store: Store, photos: Path, tmp_path: Path) -> None:
    label(store)
    with pytest.warns(DataWarning, match="CVAT cannot hold all"):
        export_masks(store, tmp_path / "a.zip", "cvat")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found.pop("annotations.xml")
    assert found == {f"images/{path.name}": path.read_bytes() for path in photos.glob("*.png")}


def test_images_that_nobody_has_seen_are_left_out(
    store: Store, tmp_path: Path, mask_of: Make
) -> None:
    store.add_masks(2, mask_of(), ADA)
    lease = store.next("Ada")
    store.finish(lease)  # without a mask: an image that shows none
    assert export_masks(store, tmp_path / "a.json").images == 2
    assert [len(one) for one in coco.read_all(tmp_path / "a.json")] == [0, 1]


def test_masks_without_a_name_are_told(store: Store, tmp_path: Path, mask_of: Make) -> None:
    store.add_masks(1, Masks.concat([mask_of(label=None), mask_of(3)]), ADA)
    with pytest.warns(DataWarning, match="1 of 2 masks have no class"):
        assert export_masks(store, tmp_path / "a.json").unnamed == 1
    assert coco.read(tmp_path / "a.json").labels[0] in ("object", None)


def test_a_renamed_class_has_its_new_name_in_files(
    store: Store, tmp_path: Path, mask_of: Make
) -> None:
    store.add_masks(1, mask_of(label="sky"), ADA)
    store.rename_class("sky", "heaven")
    export_masks(store, tmp_path / "a.json")
    assert coco.read(tmp_path / "a.json").labels == ("heaven",)


@pytest.mark.parametrize("format", ["coco", "sa1b", "yolo", "labelme"])
def test_a_round_trip(photos: Path, tmp_path: Path, format: str) -> None:
    with Store.init(photos) as store, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store.add(photos)
        label(store)
        export_masks(store, tmp_path / "out", format)
        before = {one.name: store.masks(one.id).masks for one in store.images()}
    with Store.init(tmp_path / "new") as again, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again.add(photos)
        found = import_masks(again, tmp_path / "out", images=photos, person="Ada")
        assert (found.images, found.unmatched, found.failed) == (3, (), ())
        assert again.status().by_stage["imported"] == found.masks == 5
        assert import_masks(again, tmp_path / "out", images=photos, person="Ada").known == 3
        assert again.status().masks == 5 and again.status().images == 3
        for name, masks in before.items():
            kept = masks[[i for i in range(len(masks)) if name != "photo-1.png" or i]]
            after = again.masks((photos / name).as_posix())
            assert set(after.people) == {"Ada"}
            if format != "yolo":  # whose outlines are rounded
                assert [c.tolist() for c in after.masks.counts] == [c.tolist() for c in kept.counts]
            assert after.masks.labels == kept.labels


def test_masks_find_their_images(store: Store, photos: Path, tmp_path: Path, mask_of: Make) -> None:
    other = tmp_path / "masks"
    other.mkdir()
    sized = Masks.empty((3, 3), source="photo-2.png")
    each = [
        Masks.from_dense(mask_of().dense(), source="photo-0.png"),
        Masks.from_dense(mask_of().dense(), source="elsewhere/photo-1.jpg"),  # by its stem
        Masks.from_dense(mask_of().dense(), source="unknown.png"),
        sized,
    ]
    coco.write(other / "a.json", each)
    found = import_masks(store, other / "a.json", review="accepted")
    assert (found.images, found.masks) == (2, 2) and found.unmatched == ("unknown.png",)
    assert found.failed[0][0] == "photo-2.png" and "12 x 8" in found.failed[0][1]
    assert store.status().by_review["accepted"] == 2
    Image.open(np.full((8, 12, 3), 222, np.uint8)).save(other / "new.png")
    write(other / "new.json", mask_of(), format="sa1b")
    found = import_masks(store, other / "new.json")
    assert found.images == 1 and store.status().images == 4
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="got none"):
        import_masks(store, tmp_path / "empty")
    with (
        pytest.raises(InputError, match="got none"),
        pytest.warns(DataWarning, match="files that hold no masks"),
    ):
        import_masks(store, photos)  # images alone, and what the store itself keeps there


def test_what_a_file_says_of_an_image_stays(store: Store, tmp_path: Path, mask_of: Make) -> None:
    masks = Masks.from_dense(
        mask_of().dense(),
        labels=["sky"],
        source="photo-0.png",
        meta=[{"id": 17, "iscrowd": 1}],
        image_meta={"id": 42, "license": 3},
    )
    coco.write(tmp_path / "a.json", masks)
    import_masks(store, tmp_path / "a.json")
    export_masks(store, tmp_path / "b.json")
    again = read(tmp_path / "b.json")
    assert again.image_meta["id"] == 42 and again.image_meta["license"] == 3
    assert again.meta[0]["id"] == 17 and again.meta[0]["iscrowd"] == 1


def test_masks_of_a_changed_photo_are_not_put_on_the_old_one(
    store: Store, photos: Path, tmp_path: Path, mask_of: Make
) -> None:
    store.add_masks("photo-0.png", mask_of(), ADA)
    Image.open(np.full((8, 12, 3), 9, np.uint8)).save(photos / "photo-0.png")
    write(tmp_path / "photo-0.json", mask_of(2), "labelme")
    done = import_masks(store, tmp_path / "photo-0.json", images=photos)
    ((name, why),) = done.failed
    assert name == "photo-0" and "changed file; take it in with anymask label add" in why
    assert len(store.masks("photo-0.png").masks) == 1
    store.add(photos, accept_changes=True)
    assert import_masks(store, tmp_path / "photo-0.json", images=photos).masks == 1


def test_a_file_of_labelme_in_a_folder_says_where_its_image_is_from_there(
    store: Store, photos: Path, tmp_path: Path, mask_of: Make
) -> None:
    (photos / "sub").mkdir()
    pixels = np.full((8, 12, 3), 200, np.uint8)
    Image.open(pixels).save(photos / "sub/photo-0.png")  # another one of this name
    store.add(photos)
    store.add_masks("sub/photo-0.png", mask_of(3), ADA)
    store.add_masks("photo-0.png", mask_of(5), ADA)
    export_masks(store, tmp_path / "out", "labelme")
    said = {
        path.relative_to(tmp_path / "out").as_posix(): json.loads(path.read_text())["imagePath"]
        for path in (tmp_path / "out").rglob("*.json")
    }
    said.pop("anymask-run.json", None)
    assert said == {"photo-0.json": "photo-0.png", "sub/photo-0.json": "photo-0.png"}
    for name in ("photo-0.png", "sub/photo-0.png"):  # LabelMe opens the image beside the file
        assert (tmp_path / "out" / name).read_bytes() == (photos / name).read_bytes()
    found = import_masks(store, tmp_path / "out", person="Eve")
    assert (found.masks, found.unmatched, found.failed) == (2, (), ())
    assert store.masks("sub/photo-0.png").masks.areas.tolist() == [36, 36]
    assert store.masks("photo-0.png").masks.areas.tolist() == [60, 60]
    assert store.image("photo-0.png").names == ("photo-0.png",)  # copies are no new names

    before = files_below(photos)
    export_masks(store, photos, "labelme")  # beside the images themselves, as LabelMe works
    after = files_below(photos)
    assert {name for name in after if name.endswith(".png")} < before.keys()
    other = tmp_path / "other"
    other.mkdir()
    (other / "photo-0.png").write_bytes(b"something else")
    with pytest.raises(InputError, match="is another image; replace it"):
        export_masks(store, other, "labelme")
    assert (other / "photo-0.png").read_bytes() == b"something else"
    export_masks(store, other, "labelme", overwrite=True)
    assert (other / "photo-0.png").read_bytes() == (photos / "photo-0.png").read_bytes()


def test_an_export_to_the_photos_replaces_none_of_them(
    store: Store, photos: Path, tmp_path: Path, mask_of: Make
) -> None:
    """Not even by an image from elsewhere that is called the same."""
    before = files_below(photos)
    Image.open(np.full((8, 12, 3), 99, np.uint8)).save(tmp_path / "photo-0.png")
    store.add([tmp_path / "photo-0.png"])
    store.add_masks(store.find_image((tmp_path / "photo-0.png").as_posix()), mask_of(), ADA)
    with pytest.raises(InputError, match="is another image of the project; choose another place"):
        export_masks(store, photos, "labelme", overwrite=True)
    after = files_below(photos)
    assert {name: after[name] for name in before if name.endswith(".png")} == {
        name: content for name, content in before.items() if name.endswith(".png")
    }


KILLED = """
import os, signal, sys
from anymask.label import Store, import_masks

def killed(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)

with Store.open(sys.argv[1]) as store:
    import_masks(store, sys.argv[2], person="Ada", progress=killed)
"""


def test_an_import_that_is_killed_leaves_whole_images_and_goes_on(
    store: Store, photos: Path, tmp_path: Path, mask_of: Make
) -> None:
    both = Masks.concat([mask_of(2), mask_of(4)])
    names = sorted(path.name for path in photos.glob("*.png"))
    coco.write(tmp_path / "a.json", [replace(both, source=name) for name in names])
    words = [sys.executable, "-c", KILLED, str(photos), str(tmp_path / "a.json")]
    done = subprocess.run(words, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [len(store.masks(name).ids) for name in names] == [2, 2, 0]
    assert store.counters() == store.count_again()
    again = import_masks(store, tmp_path / "a.json", person="Ada")
    assert (again.images, again.masks, again.known, again.failed) == (1, 2, 2, ())
    assert [len(store.masks(name).ids) for name in names] == [2, 2, 2]


def test_images_that_are_gone_are_told_where_they_would_be_copied(
    store: Store, photos: Path, tmp_path: Path, mask_of: Make
) -> None:
    for name in ("photo-0.png", "photo-1.png"):
        store.add_masks(name, mask_of(), ADA)
    (photos / "photo-1.png").unlink()
    with pytest.warns(DataWarning, match=r"1 of 2 images are gone, such as 'photo-1.png'"):
        export_masks(store, tmp_path / "yolo", "yolo")
    assert (tmp_path / "yolo/labels/train/photo-1.txt").is_file()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_masks(store, tmp_path / "all.json")  # it holds no images anyway

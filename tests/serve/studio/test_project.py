"""The studio's files: every change whole or not, and none over another's without a word."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anymask import InputError, Masks, OutputError, Prompt, formats
from anymask.formats.conversion import read_place
from anymask.masks import rle
from anymask.serve.studio.project import FOLDER, THING, Class, Project, RevisionConflict


def masks_of(*names: str, size_hw: tuple[int, int] = (6, 8)) -> Masks:
    dense = np.zeros((len(names), *size_hw), bool)
    for i in range(len(names)):
        dense[i, i : i + 2, 1:4] = True
    metas = [{THING: name} for name in names]
    counts = tuple(rle.encode_many(dense))
    return Masks(size_hw, counts, labels=tuple(names), meta=tuple(metas))


def test_what_is_saved_comes_back_in_another_process(tmp_path: Path) -> None:
    masks = replace(masks_of("cup", "dog"), prompts=(Prompt((1, 2), box=(0, 0, 3, 4)), None))
    assert Project(tmp_path).save_masks("below/a.jpg", masks, revision=0) == 1
    found = Project(tmp_path).masks("below/a.jpg", (6, 8))
    assert found.revision == 1
    assert found.part.labels == ("cup", "dog")
    assert [meta[THING] for meta in found.part.meta] == ["cup", "dog"]
    prompt = found.part.prompts[0]
    assert prompt is not None and prompt.box is not None
    assert prompt.points_xy.tolist() == [[1, 2]] and prompt.box.tolist() == [0, 0, 3, 4]
    assert (found.part.dense() == masks.dense()).all()


def test_the_library_reads_its_files(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save_masks("a.jpg", masks_of("cup"), 0)
    project.save_classes([Class("cup", "#112233")], 0)
    assert formats.read(project.path_of("a.jpg")).labels == ("cup",)
    assert [found.masks.labels for found in read_place(tmp_path / FOLDER)] == [("cup",)]


def test_nothing_is_written_before_something_is_saved(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert len(project.masks("a.jpg", (6, 8)).part) == 0
    assert project.classes().revision == 0 and project.counted("a.jpg") == (0, 0)
    assert os.listdir(tmp_path) == []


def test_an_older_revision_does_not_go_over_a_newer_one(tmp_path: Path) -> None:
    one, other = Project(tmp_path), Project(tmp_path)  # two servers on one folder
    assert one.save_masks("a.jpg", masks_of("cup"), 0) == 1
    with pytest.raises(RevisionConflict) as found:
        other.save_masks("a.jpg", masks_of("dog"), 0)
    assert found.value.current.revision == 1
    assert found.value.current.part.labels == ("cup",)
    assert other.save_masks("a.jpg", masks_of("dog"), 1) == 2
    with pytest.raises(RevisionConflict):
        one.save_masks("a.jpg", masks_of("bird"), 1)
    assert one.masks("a.jpg", (6, 8)).part.labels == ("dog",)


def test_a_file_that_another_program_changed_has_another_revision(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save_masks("a.jpg", masks_of("cup"), 0)
    masks_of("dog", "bird").save(project.path_of("a.jpg"))
    found = project.masks("a.jpg", (6, 8))
    assert found.revision == 2 and found.part.labels == ("dog", "bird")
    with pytest.raises(RevisionConflict):
        project.save_masks("a.jpg", masks_of("cup"), 1)


def test_masks_of_other_programs_get_ids_that_stay(tmp_path: Path) -> None:
    project = Project(tmp_path)
    masks = masks_of("cup", "cup", "cup")
    plain = replace(masks, meta=({}, {THING: "x"}, {THING: "x"}))
    project.folder.mkdir()
    plain.save(project.path_of("a.jpg"))
    names = [meta[THING] for meta in project.masks("a.jpg", (6, 8)).part.meta]
    assert len(set(names)) == 3 and names[1] == "x"
    assert [m[THING] for m in Project(tmp_path).masks("a.jpg", (6, 8)).part.meta] == names


def test_masks_of_another_size_are_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save_masks("a.jpg", masks_of("cup"), 0)
    with pytest.raises(InputError, match=r"expected masks of 9 x 6 like the image .a\.jpg., got 8"):
        project.masks("a.jpg", (6, 9))


def test_a_damaged_file_is_told_and_kept(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.folder.mkdir()
    for name in ("a.jpg.json", "anymask-studio.json"):
        (project.folder / name).write_text('{"image": ')
    with pytest.raises(InputError):
        project.save_masks("a.jpg", masks_of("cup"), 0)
    with pytest.raises(InputError, match="expected the classes of a studio"):
        project.save_classes([], 0)
    assert project.counted("a.jpg") == (0, 0)
    assert project.path_of("a.jpg").read_text() == '{"image": '


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    project.save_masks("a.jpg", masks_of("cup"), 0)

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        project.save_masks("a.jpg", masks_of("dog"), 1)
    monkeypatch.undo()
    assert Project(tmp_path).masks("a.jpg", (6, 8)).part.labels == ("cup",)
    assert os.listdir(project.folder) == ["a.jpg.json"]
    assert project.save_masks("a.jpg", masks_of("dog"), 1) == 2


def test_classes_are_saved_with_a_revision(tmp_path: Path) -> None:
    project = Project(tmp_path)
    classes = [Class("cup", "#4da3ff"), Class("猫", "#000000")]
    assert project.save_classes(classes, 0) == 1
    assert Project(tmp_path).classes().part == tuple(classes)
    with pytest.raises(RevisionConflict):
        project.save_classes([], 0)
    with pytest.raises(InputError, match="different names, got 'a' twice"):
        project.save_classes([Class("a", "#000000"), Class("a", "#111111")], 1)
    document = json.loads((project.folder / "anymask-studio.json").read_text("utf-8"))
    assert document["revision"] == 1


@pytest.mark.parametrize(
    ("name", "color"), [("", "#000000"), (" ", "#000000"), ("x" * 101, "#000000"), ("a", "red"),
                        ("a", "#00000g"), ("a", "url(x)1")],
)  # fmt: skip
def test_strange_classes_are_refused(name: str, color: str) -> None:
    with pytest.raises(InputError):
        Class(name, color)


@pytest.mark.parametrize("link", ["folder", "file", "dangling"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, link: str) -> None:
    images, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    images.mkdir()
    elsewhere.mkdir()
    Project(elsewhere).save_masks("a.jpg", masks_of("cup"), 0)
    Project(elsewhere).save_classes([Class("cup", "#112233")], 0)
    names = ("a.jpg.json", f"{FOLDER}.json")
    if link == "folder":
        (images / FOLDER).symlink_to(elsewhere / FOLDER)
    else:
        (images / FOLDER).mkdir()
        target = FOLDER if link == "file" else "nothing"
        for name in names:
            (images / FOLDER / name).symlink_to(elsewhere / target / name)
    before = {path: path.read_bytes() for path in elsewhere.rglob("*.json")}
    project = Project(images)
    with pytest.raises(InputError, match="a link that leads out"):
        project.masks("a.jpg", (6, 8))
    for revision in (0, 1):
        with pytest.raises(InputError, match="a link that leads out"):
            project.save_masks("a.jpg", masks_of("dog"), revision)
        with pytest.raises(InputError, match="a link that leads out"):
            project.save_classes([], revision)
    with pytest.raises(InputError, match="a link that leads out"):
        project.classes()
    assert project.counted("a.jpg") == (0, 0)
    assert {path: path.read_bytes() for path in elsewhere.rglob("*.json")} == before


def test_only_what_is_in_use_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    some = masks_of("a", "b")
    for i in range(20):
        assert project.save_masks(f"{i}.jpg", some[: i % 3], 0) == 1
    fresh = Project(tmp_path)
    read: list[Path] = []
    whole = formats.read
    monkeypatch.setattr(formats, "read", lambda path: read.append(path) or whole(path))
    counts = [fresh.counted(f"{i}.jpg") for i in range(20)]
    assert counts == [(i % 3, 1) for i in range(20)]
    assert len(read) == 20  # each once
    assert [fresh.counted(f"{i}.jpg") for i in range(20)] == counts and len(read) == 20
    assert len(fresh._parts) < 10
    # A file whose content was let go still has the revision that was seen.
    assert fresh.masks("0.jpg", some.size_hw).revision == 1
    assert fresh.save_masks("1.jpg", some, 1) == 2

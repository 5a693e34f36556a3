"""Folders: names, failures, resuming, and one COCO file for all."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from pycocotools.coco import COCO

import anymask
from anymask.errors import CapabilityError

ORDER = ["1.png", "2.png", "10.jpg", "2.png"]


def tree(folder: Path) -> dict[str, bytes]:
    """Read all visible results, apart from the note of when and with which words."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".anymask" not in path.parts and path.name != "anymask-run.json"
    }


def test_a_folder_in_natural_order_mirrored(fake, photos, tmp_path, run) -> None:
    result = run("everything", photos, "-o", tmp_path / "out")
    assert result.code == 0
    assert sorted(fake.seen) == sorted(ORDER)
    assert result.out == f"4 images: 4 done; results in {tmp_path / 'out'}/\n"
    assert result.err == ""  # no progress bar where nobody sees it
    expected = ["1", "2", "10", "trip/2"]
    assert set(tree(tmp_path / "out")) == {
        name + end for name in expected for end in (".json", "-overlay.png")
    }


def test_json_lines_one_for_each_picture(fake, photos, tmp_path, run) -> None:
    (photos / "3.png").write_bytes(b"")
    result = run("everything", photos, "-o", tmp_path / "out", "--json")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [Path(line["image"]).name for line in lines] == ["1.png", "2.png", "3.png", *ORDER[2:]]
    assert [line["status"] for line in lines].count("done") == 4
    assert "0 bytes" in lines[2]["error"]
    again = run("everything", photos, "-o", tmp_path / "out", "--json")
    statuses = [json.loads(line)["status"] for line in again.out.splitlines()]
    assert statuses == ["skipped", "skipped", "failed", "skipped", "skipped"]
    assert json.loads(again.out.splitlines()[0])["masks"] == 3


def test_a_broken_file_does_not_stop_the_rest(fake, photos, tmp_path, run) -> None:
    (photos / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    result = run("everything", photos, "-o", tmp_path / "out")
    assert result.code == 1
    assert sorted(fake.seen) == sorted(ORDER)
    assert "5 images: 4 done, 1 failed" in result.out
    assert "1 of 5 images failed" in result.err
    assert "0.png" in result.err
    assert "Traceback" not in result.err


def test_nothing_but_broken_files_is_bad_input(fake, tmp_path, run) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.png").write_bytes(b"no picture")
    assert run("everything", tmp_path / "in", "-o", tmp_path / "out").code == 2


def test_unexpected_errors_are_reported_like_broken_files(fake, photos, tmp_path, run) -> None:
    def fail(image: anymask.Image) -> None:
        if image.source and image.source.endswith("10.jpg"):
            raise RuntimeError("out of memory\nwith details")

    fake.before = fail
    result = run("everything", photos, "-o", tmp_path / "out")
    assert result.code == 1
    assert "unexpected RuntimeError: out of memory (--debug shows where)" in result.err
    assert "Traceback" not in result.err
    result = run("everything", photos, "-o", tmp_path / "out", "--debug")
    assert result.code == 1
    assert "Traceback" in result.err


def test_what_would_fail_for_every_picture_stops_at_once(fake, photos, tmp_path, run) -> None:
    def fail(image: anymask.Image) -> None:
        raise CapabilityError("this model does not do that; load another")

    fake.before = fail
    result = run("everything", photos, "-o", tmp_path / "out")
    assert result.code == 2
    assert result.err == "anymask: error: this model does not do that; load another\n"


@pytest.mark.parametrize("format", ["sa1b", "coco", "png"])
def test_an_interrupted_run_goes_on(fake, photos, tmp_path, run, format: str) -> None:
    words = ["everything", photos, "--format", format, "--workers", "1"]
    assert run(*words, "-o", tmp_path / "whole").code == 0

    def interrupt(image: anymask.Image) -> None:
        if len(fake.seen) == 2:
            raise KeyboardInterrupt

    fake.seen.clear()
    fake.before = interrupt
    result = run(*words, "-o", tmp_path / "parts")
    assert result.code == 130
    assert result.err == "anymask: interrupted; the same command goes on where it stopped\n"
    fake.before = lambda image: None
    result = run(*words, "-o", tmp_path / "parts")
    assert result.code == 0
    assert "2 done, 2 already there" in result.out
    assert sorted(fake.seen) == sorted(ORDER)  # none twice
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")


@pytest.mark.parametrize("format", ["sa1b", "coco", "png"])
def test_workers_do_not_make_other_results(fake, photos, tmp_path, run, format: str) -> None:
    for workers in (1, 2, 9):
        fake.seen.clear()
        words = ["everything", photos, "--format", format, "--workers", workers]
        assert run(*words, "-o", tmp_path / f"{workers}").code == 0
        assert sorted(fake.seen) == sorted(ORDER)
    assert tree(tmp_path / "1") == tree(tmp_path / "2") == tree(tmp_path / "9")


def test_two_pictures_are_worked_on_at_a_time(fake, photos, tmp_path, run) -> None:
    together = threading.Barrier(2, timeout=30)
    fake.before = lambda image: together.wait()
    assert run("everything", photos, "-o", tmp_path / "out").code == 0


def test_no_workers_are_refused(fake, photos, tmp_path, run) -> None:
    result = run("everything", photos, "-o", tmp_path / "out", "--workers", "0")
    assert result.code == 2
    assert "expected at least 1 worker, got 0" in result.err


def test_a_picture_that_vanishes_or_appears_meanwhile(fake, photos, tmp_path, run) -> None:
    def change(image: anymask.Image) -> None:
        if image.source and image.source.endswith("1.png"):
            (photos / "10.jpg").unlink()
            shutil.copy(photos / "2.png", photos / "3.png")

    fake.before = change
    words = ["everything", photos, "-o", tmp_path / "out"]
    result = run(*words, "--workers", "1")
    assert result.code == 1
    assert "4 images: 3 done, 1 failed" in result.out
    assert "10.jpg' does not exist" in result.err
    fake.before = lambda image: None
    assert "4 images: 1 done, 3 already there" in run(*words).out


def test_a_picture_that_changes_while_it_is_read_is_done_again(fake, photo, tmp_path, run) -> None:
    fake.before = lambda image: os.utime(photo, (1, 1))
    words = ["everything", photo, "-o", tmp_path / "out"]
    assert run(*words).code == 0
    fake.before = lambda image: None
    assert "already there" not in run(*words).out
    assert "already there" in run(*words).out


def test_only_what_is_missing_or_changed_is_done_again(fake, photos, tmp_path, run) -> None:
    words = ["everything", photos, "-o", tmp_path / "out"]
    assert run(*words).code == 0
    (tmp_path / "out" / "2-overlay.png").unlink()
    os.utime(photos / "10.jpg", (1, 1))
    fake.seen.clear()
    assert run(*words).code == 0
    assert sorted(fake.seen) == ["10.jpg", "2.png"]
    fake.seen.clear()
    assert run(*words, "--overwrite").code == 0
    assert sorted(fake.seen) == sorted(ORDER)


def test_a_damaged_record_is_done_again(fake, photo, tmp_path, run) -> None:
    words = ["everything", photo, "-o", tmp_path / "out"]
    assert run(*words).code == 0
    (tmp_path / "out" / ".anymask" / "done" / "photo.json").write_text("{")
    assert run(*words).code == 0
    assert len(fake.seen) == 2


def test_other_settings_or_weights_are_refused(fake, photos, tmp_path, run) -> None:
    words = ["everything", photos, "-o", tmp_path / "out"]
    assert run(*words).code == 0
    before = tree(tmp_path / "out")
    result = run(*words, "--points-per-side", "7")
    assert result.code == 2
    assert "points_per_side: 3, now 7" in result.err
    fake.weights_digest = "1" * 64
    assert "weights: " in run(*words).err
    assert tree(tmp_path / "out") == before
    assert run(*words, "--overwrite").code == 0


def test_another_picture_of_the_same_name_is_refused(fake, photos, tmp_path, run) -> None:
    assert run("everything", photos / "2.png", "-o", tmp_path / "out").code == 0
    other = photos / "trip" / "2.png"
    os.utime(other, (1, 1))
    result = run("everything", other, "-o", tmp_path / "out")
    assert result.code == 2
    assert "another '2.png'" in result.err


def test_a_moved_folder_still_counts(fake, photos, tmp_path, run) -> None:
    assert run("everything", photos, "-o", tmp_path / "out").code == 0
    photos.rename(tmp_path / "moved")
    assert "4 already there" in run("everything", tmp_path / "moved", "-o", tmp_path / "out").out


def test_foreign_files_are_not_replaced(fake, photo, tmp_path, run) -> None:
    precious = tmp_path / "out" / "photo.json"
    precious.parent.mkdir()
    precious.write_text("precious")
    result = run("everything", photo, "-o", tmp_path / "out")
    assert result.code == 2
    assert "is not of an earlier run" in result.err
    assert precious.read_text() == "precious"
    assert run("everything", photo, "-o", tmp_path / "out", "--overwrite").code == 0


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools'
def test_coco_is_one_valid_file_that_grows(fake, photos, tmp_path, run, capsys) -> None:
    words = ["everything", "-o", tmp_path / "out", "--format", "coco"]
    assert run(*words, photos / "2.png").code == 0
    assert run(*words, photos).code == 0
    assert sorted(fake.seen) == ["1.png", "10.jpg", "2.png", "2.png"]
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    capsys.readouterr()
    files = [image["file_name"] for image in coco.loadImgs(coco.getImgIds())]
    assert files == ["1.png", "2.png", "10.jpg", "trip/2.png"]
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == 4 * 3
    assert all(coco.annToMask(entry).sum() == 4 for entry in annotations)


def test_what_a_killed_run_left_unfinished_does_not_count(fake, photos, tmp_path, run) -> None:
    words = ["everything", photos, "-o", tmp_path / "out", "--format", "coco"]
    assert run(*words).code == 0
    before = tree(tmp_path / "out")
    records = tmp_path / "out" / ".anymask" / "done"
    shutil.copy(records / "1.json", records / ".anymask-0123456789ab.json")
    assert run(*words).code == 0
    assert tree(tmp_path / "out") == before


def test_a_lost_part_of_the_coco_file_is_done_again(fake, photo, tmp_path, run) -> None:
    words = ["everything", photo, "-o", tmp_path / "out", "--format", "coco"]
    assert f"  {tmp_path / 'out' / 'annotations.json'}\n" in run(*words).out
    (tmp_path / "out" / ".anymask" / "masks" / "photo.json").unlink()
    assert "already there" not in run(*words).out
    assert "already there" in run(*words).out


def test_quiet_prints_nothing_but_errors(fake, photos, tmp_path, run) -> None:
    (photos / "0.png").write_bytes(b"")
    result = run("everything", photos, "-o", tmp_path / "out", "--quiet")
    assert (result.code, result.out) == (1, "")
    assert "0 bytes" in result.err


def test_results_beside_the_pictures_are_not_segmented(fake, photos, tmp_path, run) -> None:
    for _ in range(2):
        assert run("everything", photos, "-o", photos / "out").code == 0
    assert sorted(fake.seen) == sorted(ORDER)


def test_no_half_written_files_stay(fake, photos, tmp_path, run, monkeypatch) -> None:
    def fail(source: Path, target: Path) -> None:
        if str(target).endswith("10.json"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    rename = os.replace
    monkeypatch.setattr(os, "replace", fail)
    result = run("everything", photos, "-o", tmp_path / "out")
    assert result.code == 2
    assert "No space left on device" in result.err
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(name.startswith(".anymask-") or name == "10.json" for name in left)
    monkeypatch.undo()
    monkeypatch.setattr("anymask.predict.loading.load", lambda *args, **kwargs: fake)
    assert run("everything", photos, "-o", tmp_path / "out").code == 0

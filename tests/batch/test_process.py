"""``anymask.process``: the same as the command, from Python."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.conftest import FakeModel, make_photo

import anymask
from anymask.batch.run import Progress
from anymask.errors import CapabilityError, InputError, OutputError
from anymask.formats import yolo
from anymask.image.image import Image
from anymask.parallel import LostThreadsError

SOURCE = Path(__file__).resolve().parents[2] / "src"
CLICK = {"points": [(5, 5)]}


def tree(folder: Path) -> dict[str, bytes]:
    """Read all files but the records, which hold times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "done" not in path.parts and path.name != "anymask-run.json"
    }


def names(folder: Path) -> list[str]:
    content = json.loads((folder / "annotations.json").read_text())
    assert {a["image_id"] for a in content["annotations"]} == {i["id"] for i in content["images"]}
    return [image["file_name"] for image in content["images"]]


def test_the_main_subject_of_a_folder(model: FakeModel, images: Path, tmp_path: Path) -> None:
    report = anymask.process(images, tmp_path / "out", model=model, subject=True)
    assert [result.masks.labels for result in report.results] == [("subject",)] * 3
    assert {result.summary["prompt"] for result in report.results} == {"main subject"}
    assert {"a-cutout.png", "a-overlay.png", "a.json"} <= set(os.listdir(tmp_path / "out"))
    again = anymask.process(images, tmp_path / "out", model=model, subject=True)
    assert again.count("skipped") == 3
    bare = {"overlay": False, "cutout": False}
    anymask.process(images, tmp_path / "bare", model=model, subject=True, **bare)
    assert not list((tmp_path / "bare").glob("*.png"))


@pytest.mark.parametrize("more", [CLICK, {"all": True}, {"points_per_side": 4}, {"text": "dog"}])
def test_a_subject_is_asked_for_alone(
    model: FakeModel, images: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="expected subject alone"):
        anymask.process(images, tmp_path / "out", model=model, subject=True, **more)


def test_a_folder_by_a_click_and_again(model: FakeModel, images: Path, tmp_path: Path) -> None:
    seen, told = [], []
    report = anymask.process(
        images, tmp_path / "out", model=model, **CLICK, on_result=seen.append, progress=told.append
    )
    assert [result.status for result in report.results] == ["done"] * 3
    assert seen == report.results and report.failed == [] and not report.cancelled
    assert [result.image.name for result in seen] == ["a.jpg", "b.jpg", "c.png"]
    assert all(len(result.masks) == 1 for result in seen)
    assert all(isinstance(one, Progress) and one.total == 3 for one in told)
    assert max(one.done for one in told) == 3
    assert {"a-cutout.png", "a-overlay.png", "a.json"} <= set(os.listdir(tmp_path / "out"))
    again = anymask.process(str(images), str(tmp_path / "out"), model=model, **CLICK)
    assert again.count("skipped") == 3 and len(model.seen) == 3
    assert str(again).startswith("3 images: 0 done, 3 already there, 0 failed; results in")


def test_the_command_goes_on_where_python_stopped(
    model: FakeModel, images: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    from anymask.cli import main

    monkeypatch.setattr("anymask.predict.loading.load", lambda *args, **kwargs: model)
    anymask.process([images / "a.jpg"], tmp_path / "out", **CLICK)
    assert main(["segment", str(images), "--point", "5,5", "-o", str(tmp_path / "out")]) == 0
    assert "2 done, 1 already there" in capsys.readouterr().out


def test_everything_with_settings(model: FakeModel, images: Path, tmp_path: Path) -> None:
    report = anymask.process(
        str(images / "*.jpg"), tmp_path / "out", model=model, points_per_side=5, overlay=False
    )
    assert [len(result.masks) for result in report.results] == [5, 5]
    assert not list((tmp_path / "out").glob("*.png"))


def test_several_prompts_are_one_object_each(
    images: Path, tmp_path: Path, model: FakeModel, monkeypatch
) -> None:
    one = FakeModel.predict

    def each(self, image, *, prompts, multimask):
        return [one(self, image, prompts=prompt, multimask=multimask) for prompt in prompts]

    monkeypatch.setattr(FakeModel, "predict", each)
    prompts = [anymask.Prompt([(1, 1)]), anymask.Prompt(box=(0, 0, 5, 5))]
    report = anymask.process(images / "a.jpg", tmp_path / "out", model=model, prompts=prompts)
    assert len(report.results[0].masks) == 2
    assert (tmp_path / "out" / "a-2-cutout.png").is_file()


def test_images_in_memory_have_names(model: FakeModel, images: Path, tmp_path: Path) -> None:
    data = {
        "array": np.zeros((10, 20, 3), np.uint8),
        "day/bytes": (images / "a.jpg").read_bytes(),
        "file": io.BytesIO((images / "b.jpg").read_bytes()),
        "path": images / "c.png",
        "broken": b"no image",
    }
    report = anymask.process(data, tmp_path / "out", model=model, **CLICK, format="coco")
    assert [result.status for result in report.results] == ["done"] * 4 + ["failed"]
    assert names(tmp_path / "out") == ["array", "day/bytes", "file", "path.png"]
    data["array"] = data["array"] + 1
    data["file"] = io.BytesIO((images / "b.jpg").read_bytes())
    again = anymask.process(data, tmp_path / "out", model=model, **CLICK, format="coco")
    statuses = [result.status for result in again.results]
    assert statuses == ["done", "skipped", "skipped", "skipped", "failed"]
    with pytest.raises(InputError, match="got none"):
        _ = again.results[-1].masks
    for name in ("../x", "/x", ""):
        with pytest.raises(InputError, match="a name for the results"):
            anymask.process({name: b""}, tmp_path / "out", model=model)
    with pytest.raises(InputError, match="give images in memory a name each"):
        anymask.process([b"bytes"], tmp_path / "out", model=model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [(1, 1)], "prompts": []}, "points or prompts, got both"),
        ({"prompts": []}, "a Prompt or a list of them"),
        ({"prompts": ["a dog"]}, "a Prompt or a list of them"),
        ({"points": [(1, 1)], "points_per_side": 3}, "no settings of everything mode"),
        ({"no_such": 3}, "no_such"),
        ({"format": "gif"}, "a format out of"),
        ({"workers": 0}, "at least 1 worker"),
        ({"text": "dog", "labels": "cat"}, "expected text or labels"),
    ],
)
def test_bad_arguments(model, images: Path, tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        anymask.process(images, tmp_path / "out", model=model, **arguments)
    assert model.seen == []


def test_failures_are_told_not_raised(model: FakeModel, images: Path, tmp_path: Path) -> None:
    (images / "0.png").write_bytes(b"broken")
    (images / ("n" * 246 + ".jpg")).write_bytes((images / "a.jpg").read_bytes())
    (images / ("é" * 122 + ".jpg")).write_bytes((images / "a.jpg").read_bytes())
    (images / "gone.jpg").symlink_to("nowhere")
    (images / "album").symlink_to("nowhere")
    (images / "loop").symlink_to(images)
    (images / "self.png").symlink_to("self.png")
    report = anymask.process(images, tmp_path / "out", model=model, **CLICK)
    assert report.count("done") == 3
    errors = {one.image.name[:5]: one.error or "" for one in report.failed}
    assert set(errors) == {"0.png", "nnnnn", "ééééé", "gone.", "album", "loop", "self."}
    assert "File name too long; rename the image" in errors["nnnnn"]
    assert "File name too long; rename the image" in errors["ééééé"]
    assert "a link back to a folder above it" in errors["loop"]
    assert "No such file" in errors["album"] and "does not exist" in errors["gone."]
    assert all("\n" not in error for error in errors.values())
    assert all(one.exception is not None for one in report.failed if one.image.name[0] in "0n")


def test_over_long_paths_of_results_cost_one_image(
    model: FakeModel, images: Path, tmp_path: Path, monkeypatch
) -> None:
    """The output folder is so deep that only short names fit."""
    deep = tmp_path / "out"
    while (left := 4030 - len(os.fsencode(deep))) > 1:
        deep /= "d" * min(100, left - 1)
    long = "n" * 60 + ".jpg"
    (images / long).write_bytes((images / "a.jpg").read_bytes())
    report = anymask.process(images, deep, model=model, **CLICK)
    assert [result.image.name for result in report.failed] == [long]


def test_what_the_next_image_would_meet_too_is_raised(
    model: FakeModel, images: Path, tmp_path: Path, monkeypatch
) -> None:
    for kind in (CapabilityError, LostThreadsError):

        def refuse(image: Image, kind: type[Exception] = kind) -> None:
            raise kind("neither this one nor the next; do something else")

        model.before = refuse
        with pytest.raises(kind):
            anymask.process(images, tmp_path / "out", model=model, **CLICK)
    model.before = lambda image: None
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "b.json":  # not a record, whose name may end like this
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        anymask.process(images, tmp_path / "out", model=model, **CLICK, workers=1)
    monkeypatch.undo()
    assert not (tmp_path / "out" / ".anymask" / "drafts").exists()
    assert anymask.process(images, tmp_path / "out", model=model, **CLICK).count("done") == 2


def test_an_image_that_is_a_result_and_one_that_would_be_replaced(
    model: FakeModel, tmp_path: Path
) -> None:
    for name in ("a.png", "a-overlay.png", "anymask-run.png"):
        make_photo(tmp_path / name)
    before = (tmp_path / "a-overlay.png").read_bytes()
    report = anymask.process(
        str(tmp_path / "*.png"), tmp_path, model=model, points_per_side=2, overwrite=True
    )
    errors = {one.image.name: one.error for one in report.failed}
    assert "would replace another image" in errors["a.png"]
    assert "would replace a file of the run" in errors["anymask-run.png"]
    assert (tmp_path / "a-overlay.png").read_bytes() == before
    again = anymask.process(str(tmp_path / "*.png"), tmp_path, model=model, points_per_side=2)
    made = [one for one in again.failed if one.image.name == "a-overlay-overlay.png"]
    assert "is a result of an earlier run" in (made[0].error or "")


# --------------------------------------------------------------------------- changes


def test_coco_lists_each_image_once_whatever_happens_to_the_folder(
    model: FakeModel, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def run() -> list[str]:
        report = anymask.process(images, out, model=model, **CLICK, format="coco")
        assert report.failed == []
        return names(out)

    assert run() == ["a.jpg", "b.jpg", "c.png"]
    make_photo(images / "a.png", (30, 20))  # beside a.jpg, which keeps its results
    assert run() == ["a.jpg", "a.png", "b.jpg", "c.png"]
    assert len(model.seen) == 4
    (images / "b.jpg").unlink()
    (images / "a.png").rename(images / "d.png")
    assert run() == ["a.jpg", "c.png", "d.png"]
    make_photo(images / "c.png", (40, 30))  # edited
    (images / "a.jpg").rename(images / "a.jpeg")  # the same name for its results
    assert run() == ["a.jpeg", "c.png", "d.png"]
    images.rename(tmp_path / "moved")
    report = anymask.process(tmp_path / "moved", out, model=model, **CLICK, format="coco")
    assert report.count("skipped") == 3 and names(out) == ["a.jpeg", "c.png", "d.png"]


def test_coco_names_files_that_differ_in_case_alone(model: FakeModel, tmp_path: Path) -> None:
    photos = ["A.jpg", "a.jpg", "b~2.jpg", "deep/A.jpg", "deep/a.jpg"]
    for name in photos:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        make_photo(tmp_path / "in" / name, (30, 20))
    if len(list((tmp_path / "in").iterdir())) < 4:
        pytest.skip("this file system takes them for one")
    anymask.process(tmp_path / "in", tmp_path / "out", model=model, **CLICK, format="coco")
    assert sorted(names(tmp_path / "out")) == photos


def test_coco_says_what_it_leaves_out(model: FakeModel, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    anymask.process(images, out, model=model, **CLICK, format="coco")
    os.utime(images / "a.jpg", (1, 1))
    report = anymask.process(images / "b.jpg", out, model=model, **CLICK, format="coco")
    assert names(out) == ["b.jpg", "c.png"]
    assert "1 images changed since; name them again" in report.notes[0]


@pytest.mark.parametrize("damage", [b"", b"{", b"half"])
@pytest.mark.parametrize("name", ["a.json", "a-overlay.png", "a-cutout.png"])
def test_emptied_and_truncated_results_are_done_again(
    model: FakeModel, images: Path, tmp_path: Path, name: str, damage: bytes
) -> None:
    path = tmp_path / "out" / name
    anymask.process(images, tmp_path / "out", model=model, **CLICK)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage == b"half" else damage)
    report = anymask.process(images, tmp_path / "out", model=model, **CLICK)
    assert [result.status for result in report.results] == ["done", "skipped", "skipped"]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", [{"files": ["a.json"]}, {"stamp": 7}, {"summary": None}])
def test_an_image_whose_record_is_damaged_is_done_again(
    model: FakeModel, images: Path, tmp_path: Path, damage: dict[str, object]
) -> None:
    anymask.process(images, tmp_path / "out", model=model, **CLICK)
    record = tmp_path / "out" / ".anymask" / "done" / "a.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | damage))
    report = anymask.process(images, tmp_path / "out", model=model, **CLICK)
    assert [result.status for result in report.results] == ["done", "skipped", "skipped"]


def test_results_that_somebody_edited_stay(model: FakeModel, images: Path, tmp_path: Path) -> None:
    anymask.process(images, tmp_path / "out", model=model, **CLICK)
    path = tmp_path / "out" / "a.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "annotations": []}))
    report = anymask.process(images, tmp_path / "out", model=model, **CLICK)
    assert report.count("skipped") == 3 and len(anymask.read(path)) == 0


def test_what_other_settings_made_goes_with_them(
    model: FakeModel, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    anymask.process(images, out, model=model, **CLICK, all=True)
    assert (out / "a-3-overlay.png").is_file()
    anymask.process(images, out, model=model, **CLICK, overwrite=True)
    assert sorted(p.name for p in out.glob("a*")) == [
        "a-cutout.png", "a-overlay.png", "a.json", "anymask-run.json",
    ]  # fmt: skip


# -------------------------------------------------------------------- ends and company


def test_cancel_ends_soon_and_the_same_call_goes_on(
    model: FakeModel, images: Path, tmp_path: Path
) -> None:
    stop = threading.Event()
    report = anymask.process(
        images,
        tmp_path / "out",
        model=model,
        **CLICK,
        workers=1,
        cancel=stop.is_set,
        on_result=lambda result: stop.set(),
    )
    assert report.cancelled and [r.status for r in report.results] == ["done"]
    assert anymask.process(images, tmp_path / "out", model=model, **CLICK).count("done") == 2


def test_cancel_reaches_into_everything_mode(images: Path, tmp_path: Path) -> None:
    """Between two batches of points: not one point more is asked than when it was cancelled."""
    model = anymask.load()
    asked: list[int] = []
    stop = threading.Event()

    def progress(told: Progress) -> None:
        if "points" in told.step:
            asked.append(int(told.step.split()[1]))
            stop.set() if asked[-1] >= 4 else None

    report = anymask.process(
        images / "a.jpg",
        tmp_path / "out",
        model=model,
        points_per_side=8,
        points_per_batch=4,
        progress=progress,
        cancel=stop.is_set,
    )
    assert report.cancelled and max(asked) == 4
    assert tree(tmp_path / "out") == {}


def test_an_error_of_a_callback_ends_the_batch(model, images: Path, tmp_path: Path) -> None:
    def fail(told: Progress) -> None:
        raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        anymask.process(
            images, tmp_path / "out", model=model, **CLICK, on_result=lambda result: 1 / 0
        )
    report = anymask.process(images, tmp_path / "out2", model=model, **CLICK, workers=1)
    assert report.count("done") == 3 and threading.active_count() == before


WORK = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.cli.conftest import FakeModel
import anymask
model = FakeModel()
model.before = lambda image: time.sleep(0.05)
print("ready", flush=True)
report = anymask.process(
    sys.argv[2], sys.argv[3], model=model, points=[(float(sys.argv[4]), 1)], format=sys.argv[5]
)
print(report)
assert not report.failed
"""


def start(images: Path, out: Path, x: int = 5, format: str = "coco") -> subprocess.Popen[str]:
    root = SOURCE.parent
    return subprocess.Popen(
        [sys.executable, "-c", WORK, root, images, out, str(x), format],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for i in range(12):
        make_photo(tmp_path / "many" / f"{i}.png", (60, 40))
    return tmp_path / "many"


@pytest.mark.parametrize("format", ["sa1b", "coco"])
def test_killed_at_any_moment_and_resumed(many: Path, tmp_path: Path, format: str) -> None:
    with start(many, tmp_path / "whole", format=format) as whole:
        out, err = whole.communicate(timeout=120)
        assert whole.returncode == 0, err
    rng = random.Random(0)
    for _ in range(4):
        with start(many, tmp_path / "parts", format=format) as part:
            assert part.stdout is not None and part.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0, 0.5))
            part.kill()
    with start(many, tmp_path / "parts", format=format) as rest:
        out, err = rest.communicate(timeout=120)
        assert rest.returncode == 0, err
    assert "12 images" in out
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")


def test_two_processes_share_a_folder(many: Path, tmp_path: Path) -> None:
    with start(many, tmp_path / "one") as one:
        assert one.wait(timeout=120) == 0
    workers = [start(many, tmp_path / "two") for _ in range(2)]
    ends = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], ends
    done = [int(out.split("images: ")[1].split()[0]) for out, _ in ends]
    assert sum(done) == 12, "each image is done by one of them"
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


def test_two_processes_with_other_prompts_do_not_mix(many: Path, tmp_path: Path) -> None:
    """Whichever comes second is refused, before or after it finds results of the first."""
    workers = [start(many, tmp_path / "out", x=x) for x in (5, 6)]
    ends = [worker.communicate(timeout=120) for worker in workers]
    codes = [worker.returncode for worker in workers]
    assert sorted(codes) == [0, 1], ends
    refusal = ends[codes.index(1)][1]
    assert "InputError" in refusal and "other settings" in refusal
    records = (tmp_path / "out" / ".anymask" / "done").glob("*.json")
    points = {str(json.loads(path.read_text())["settings"]["points"]) for path in records}
    assert len(points) == 1 and len(names(tmp_path / "out")) == 12


# ---------------------------------------------------------------------- data sets of YOLO


def test_a_data_set_for_training(model: FakeModel, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = anymask.process(images, out, model=model, **CLICK, format="yolo", overlay=False)
    assert [len(result.masks) for result in report.results] == [1, 1, 1]
    assert report.results[0].files[-1] == out / "data.yaml"
    assert any("YOLO cannot hold" in note for note in report.notes)
    found = {masks.source: masks for masks, _ in yolo.read_all(out)}
    assert sorted(found) == ["a.jpg", "b.jpg", "c.png"]
    (dense,) = found["a.jpg"].dense()
    np.testing.assert_array_equal(dense, report.results[0].masks.dense()[0])


def test_more_images_keep_the_numbers(model: FakeModel, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = {**CLICK, "format": "yolo", "model": model}
    anymask.process(images / "a.jpg", out, **arguments)
    text = (out / "data.yaml").read_text()
    (out / "data.yaml").write_text(text.replace("0: object", "0: object\n  1: mine"))
    anymask.process(images, out, **arguments)
    assert "1: mine" in (out / "data.yaml").read_text()
    assert len(list((out / "labels/train").iterdir())) == 3
    (out / "labels/train/b.txt").unlink()
    assert anymask.process(images, out, **arguments).count("skipped") == 3
    assert (out / "labels/train/b.txt").is_file()


def test_a_data_set_of_somebody_else_is_not_written_into(
    model: FakeModel, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/data.yaml").write_text("names: [dog]\n")
    arguments = {**CLICK, "format": "yolo", "model": model}
    with pytest.raises(InputError, match=r"data\.yaml' exists and is not of an earlier run"):
        anymask.process(images, tmp_path / "out", **arguments)
    anymask.process(images, tmp_path / "out", **arguments, overwrite=True)
    assert "0: dog\n  1: object" in (tmp_path / "out/data.yaml").read_text()


def test_images_in_memory_have_no_file(model: FakeModel, tmp_path: Path) -> None:
    photo = np.zeros((12, 16, 3), np.uint8)
    report = anymask.process({"x": photo}, tmp_path, model=model, **CLICK, format="yolo")
    assert any("1 images have no file" in note for note in report.notes)

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import PIL.Image
from tests.cli.conftest import make_photo

import anymask
from anymask.cli.report import explain_nothing


def test_a_setting_that_the_model_does_not_know_is_one_sentence(fake, photo, tmp_path, run) -> None:
    result = run("everything", photo, "-o", tmp_path / "out", "--confidence", "0.5")
    assert result.code == 2
    assert "points_per_side" in result.err and "got 'confidence'; leave it out" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert fake.seen == []


def test_settings_that_are_not_given_are_the_models(fake, photo, tmp_path, run) -> None:
    assert run("everything", photo, "-o", tmp_path / "a").code == 0
    assert len(anymask.read(tmp_path / "a" / "photo.json")) == 3
    assert run("everything", photo, "-o", tmp_path / "b", "--points-per-side", "5").code == 0
    assert len(anymask.read(tmp_path / "b" / "photo.json")) == 5

    saved = json.loads((tmp_path / "b" / "anymask-run.json").read_text())
    assert saved["anymask"] == anymask.__version__
    assert saved["images"] == [str(photo)]
    assert saved["settings"]["points_per_side"] == 5
    assert saved["settings"]["pred_iou_thresh"] == 0.88
    assert saved["settings"]["model"] == "fake"


def test_overlay_and_label_map(fake, photo, tmp_path, run) -> None:
    assert run("everything", photo, "-o", tmp_path / "out", "--format", "png").code == 0
    with PIL.Image.open(tmp_path / "out" / "photo-labels.png") as labels:
        assert np.asarray(labels).max() > 0
    assert (tmp_path / "out" / "photo-overlay.png").is_file()
    assert run("everything", photo, "-o", tmp_path / "bare", "--no-overlay").code == 0
    assert not list((tmp_path / "bare").glob("*.png"))


def test_batch_size_does_not_make_other_results(fake, photo, tmp_path, run) -> None:
    words = ["everything", photo, "-o", tmp_path / "out"]
    assert run(*words).code == 0
    assert "already there" in run(*words, "--points-per-batch", "8", "--memory", "900").out


def test_a_picture_without_masks_is_a_result(fake, photo, tmp_path, run) -> None:
    result = run("everything", photo, "-o", tmp_path / "out", "--points-per-side", "0")
    # the real configuration refuses 0, so ask the fake for none in another way
    assert result.code == 2
    fake.generate = lambda image, **options: anymask.Masks.empty(image.size_hw)
    result = run("everything", photo, "-o", tmp_path / "out")
    assert result.code == 0
    assert f"{photo}: 0 masks" in result.out
    assert len(anymask.read(tmp_path / "out" / "photo.json")) == 0


def test_tiles(fake, tmp_path, run) -> None:
    big = make_photo(tmp_path / "big.png", (300, 200))
    words = ["everything", big, "--tile", "128", "--halo", "16"]
    assert run(*words, "-o", tmp_path / "out").code == 0
    assert fake.sizes == [(128, 128)] * 6 + [(67, 100)], "the tiles, and all of it made small"
    masks = anymask.read(tmp_path / "out" / "big.json")
    assert masks.size_hw == (200, 300) and masks.crop_boxes is not None
    with PIL.Image.open(tmp_path / "out" / "big-overlay.png") as overlay:
        assert overlay.size == (300, 200)
    assert "tile: 128, now None" in run("everything", big, "-o", tmp_path / "out").err


def test_pictures_too_large_to_decode_are_done_in_tiles(fake, tmp_path, run, monkeypatch) -> None:
    monkeypatch.setattr("anymask.image.pixels.MAX_PIXELS", 2_000_000)
    big = make_photo(tmp_path / "big.png", (1800, 1200))
    result = run("everything", big, "-o", tmp_path / "out")
    assert result.code == 0
    assert f"{big}: 1800 x 1200 pixels, so in tiles of 1024" in result.err
    assert fake.sizes == [(1024, 1024)] * 6 + [(600, 900)]
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if path.name[0] != ".")
    assert names == ["anymask-run.json", "big.json"]  # no overlay, for which it is too large


def test_bad_tiles(fake, photo, tmp_path, run) -> None:
    result = run("everything", photo, "-o", tmp_path / "out", "--tile", "10")
    assert result.code == 2
    assert "expected tiles of at least 64 pixels along each side, got 10" in result.err


def test_a_run_that_finds_nothing_says_why(fake, photos, tmp_path, run) -> None:
    def nothing(image: anymask.Image, **_: object) -> anymask.Masks:
        dropped = Counter(box_nms_thresh=2, pred_iou_thresh=1000)
        return replace(anymask.Masks.empty(image.size_hw), dropped=dropped)

    fake.generate = nothing
    words = ["everything", photos / "1.png", "-o", tmp_path / "out"]
    why = "nothing found; of 1,002 answers, --pred-iou-thresh dropped 1,000, --box-nms-thresh 2"
    result = run(*words)
    assert result.code == 0
    assert result.err == f"anymask: {photos / '1.png'}: {why}\n"
    again = run(*words, "--json")  # finished, and still known
    assert json.loads(again.out)["dropped"] == {"box_nms_thresh": 2, "pred_iou_thresh": 1000}
    assert why in again.err
    assert run(*words, "--quiet").err == ""
    many = run("everything", photos, "-o", tmp_path / "many")
    assert many.err.count("nothing found") == 4


def test_nothing_found_without_numbers() -> None:
    assert explain_nothing({}) == explain_nothing({"min_area": 0}) == "nothing found"
    assert explain_nothing({"min_area": 1}) == "nothing found; of 1 answers, --min-area dropped 1"

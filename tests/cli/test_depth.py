from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import anymask
from anymask.extras import depth
from anymask.image import image as image_module
from anymask.masks.masks import Masks


@pytest.fixture
def metres(tmp_path: Path) -> Path:
    """The depth of the photo: 20 x 10, nearer to the right."""
    np.save(tmp_path / "metres.npy", np.linspace(4, 2, 200).reshape(10, 20).astype(np.float32))
    return tmp_path / "metres.npy"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that were decoded as images."""
    seen: list[str] = []
    real = image_module.read_file

    def counted(source, *args):
        seen.append(Path(source).name)
        return real(source, *args)

    monkeypatch.setattr(image_module, "read_file", counted)
    return seen


def test_a_click_is_measured_with_one_decode(fake, photo, metres, tmp_path, run, decoded) -> None:
    out = tmp_path / "out"
    result = run("depth", photo, "--point", "1,1", "--depth", metres, "-o", out)
    assert result.code == 0, result.err
    expected = ["anymask-run.json", "photo-depth.npy", "photo-depth.png", "photo.json"]
    assert names(out) == expected
    shown = f"{np.median(np.load(metres)[:4, :4]):.3g}"
    assert f"1. mask 1: {shown}, 10 to 90 %: " in result.out
    meta = anymask.read(out / "photo.json").meta[0]["depth"]
    values = np.load(metres)[:4, :4]
    assert meta["median"] == pytest.approx(float(np.median(values)), rel=1e-5)
    assert (meta["rank"], meta["known"]) == (1, 1)
    assert np.array_equal(np.load(out / "photo-depth.npy"), np.load(metres))
    assert decoded == ["photo.png"]
    again = run("depth", photo, "--point", "1,1", "--depth", metres, "-o", out)
    assert "already there" in again.out
    np.save(metres, np.load(metres) + 1)
    other = run("depth", photo, "--point", "1,1", "--depth", metres, "-o", out)
    assert other.code == 2


def test_words_and_depth_share_one_decode(fake, photo, metres, tmp_path, run, decoded) -> None:
    result = run("depth", photo, "--text", "cup", "--depth", metres, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert fake.prompts[0].text == "cup"
    assert decoded == ["photo.png"]


def test_the_map_alone_loads_no_model(photo, metres, tmp_path, run, monkeypatch) -> None:
    monkeypatch.setattr("anymask.predict.loading.load", lambda *a, **k: pytest.fail("loaded"))
    result = run("depth", photo, "--depth", metres, "-o", tmp_path / "out", "--no-overlay")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{photo}: metric depth")
    assert names(tmp_path / "out") == ["anymask-run.json", "photo-depth.npy", "photo.json"]


def test_masks_of_a_file_by_label_and_a_mask_image(photo, metres, tmp_path, run) -> None:
    dense = np.zeros((3, 10, 20), bool)
    dense[0, :, :6] = dense[1, :, 6:14] = dense[2, :, 14:] = True
    Masks.from_dense(dense, labels=["a", "b", "a"]).save(tmp_path / "masks.json")
    words = ["--masks", tmp_path / "masks.json", "--label", "a", "--depth", metres, "--json"]
    result = run("depth", photo, *words, "-o", tmp_path / "out", "--no-map")
    assert result.code == 0
    said = json.loads(result.out)
    assert [answer["label"] for answer in said["answers"]] == ["a", "a"]
    assert said["depth"]["order"] == [1, 0]
    PIL.Image.fromarray(dense[2].astype(np.uint8) * 255).save(tmp_path / "mask.png")
    piped = run(
        "depth",
        photo,
        "--mask",
        tmp_path / "mask.png",
        "--depth",
        metres,
        "--json",
        "-o",
        tmp_path / "2",
    )
    assert json.loads(piped.out)["answers"][0]["area"] == 60


def test_words_and_a_folder_of_depth(fake, photos, tmp_path, run, decoded) -> None:
    (tmp_path / "depth").mkdir()
    for name in ("1", "2", "10"):
        np.save(tmp_path / "depth" / f"{name}.npy", np.linspace(1, 2, 200).reshape(10, 20))
    words = ["--box", "0,0,9,9", "--depth", tmp_path / "depth", "-f", "coco"]
    result = run("depth", photos, *words, "-o", tmp_path / "out", "--no-overlay")
    assert result.code == 0, result.err
    document = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert len(document["annotations"]) == 4
    assert all(one["depth"]["median"] > 0 for one in document["annotations"])
    assert sorted(decoded) == ["1.png", "10.jpg", "2.png", "2.png"]


def test_one_result_goes_out_by_the_pipe(fake, photo, metres, tmp_path, capfdbinary) -> None:
    from anymask.cli import main

    words = ["depth", str(photo), "--depth", str(metres), "-o", "-"]
    assert main([*words, "--box", "0,0,9,9"]) == 0
    document = json.loads(capfdbinary.readouterr().out)
    assert document["annotations"][0]["depth"]["rank"] == 1
    assert main(words) == 2
    assert b"say what to measure" in capfdbinary.readouterr().err


def test_everything_writes_depth_into_every_record(
    fake, photo, metres, tmp_path, run, decoded
) -> None:
    result = run("everything", photo, "--depth", metres, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert decoded == ["photo.png"]
    masks = anymask.read(tmp_path / "out" / "photo.json")
    assert len(masks) == 3
    assert {one["depth"]["known"] for one in masks.meta} == {1}
    assert masks.image_meta["depth"]["kind"] == "metric"
    assert run("everything", photo, "-o", tmp_path / "out").code == 2  # other settings


def test_everything_draws_its_depth(fake, photo, metres, tmp_path, run) -> None:
    words = ["everything", photo, "--depth", metres, "--depth-scale", "0.5"]
    assert run(*words, "-o", tmp_path / "out").code == 0
    expected = ["anymask-run.json", "photo-depth.png", "photo-overlay.png", "photo.json"]
    assert names(tmp_path / "out") == expected
    with PIL.Image.open(tmp_path / "out" / "photo-depth.png") as drawn:
        three = depth.draw(photo, depth.everything(photo, metres, depth_scale=0.5))
        assert drawn.size == three.size and drawn.width > 3 * 200
    medians = [one["depth"]["median"] for one in anymask.read(tmp_path / "out/photo.json").meta]
    assert min(medians) > 4  # metres twice as long
    assert run(*words, "-o", tmp_path / "bare", "--no-overlay").code == 0
    assert names(tmp_path / "bare") == ["anymask-run.json", "photo.json"]
    alone = run("everything", photo, "--depth-scale", "2", "-o", tmp_path / "none")
    assert alone.code == 2 and "expected --depth along with" in alone.err


def test_depth_alone_means_the_usual_model(fake, photo, tmp_path, run, monkeypatch) -> None:
    monkeypatch.setenv("ANYMASK_CACHE", str(tmp_path / "cache"))
    for words in (["--depth"], ["--depth", "--offline"]):
        result = run("everything", photo, *words, "-o", tmp_path / "out", "--offline")
        assert result.code == 2
        assert "Depth-Anything-V2-Small" in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--point", "1,1", "--masks", "m.json"], "got --point and --masks"),
        (["--text", "cup", "--box", "0,0,5,5"], "got --box and --text"),
        (["--label", "cup"], "--masks along with --label"),
        (["--grounder", "owlv2"], "--text alone"),
        (["--depth", "lost.exr"], "'lost.exr', which does not exist"),
        (["--depth-scale", "0"], "scale above 0"),
        (["--depth-kind", "relative", "--depth-scale", "10"], "leave it out"),
        (["--point", "30,1"], "30"),
    ],
)
def test_wrong_usage_is_one_sentence(fake, photo, metres, tmp_path, run, words, said) -> None:
    words = ["--depth", metres, *words] if "lost.exr" not in words else words
    result = run("depth", photo, *words, "-o", tmp_path / "out")
    assert result.code == 2
    assert said in result.err
    assert "unexpected" not in result.err


@pytest.mark.filterwarnings("always")
def test_depth_of_other_proportions_fails_the_image_alone(fake, photo, tmp_path, run) -> None:
    np.save(tmp_path / "d.npy", np.arange(1.0, 101).reshape(10, 10))
    result = run("depth", photo, "--depth", tmp_path / "d.npy", "-o", tmp_path / "out")
    assert result.code == 2
    assert "expected a depth of the image's size, 20 x 10" in result.err
    np.save(tmp_path / "d.npy", np.arange(1.0, 51).reshape(5, 10))
    result = run("depth", photo, "--depth", tmp_path / "d.npy", "-o", tmp_path / "out")
    assert result.code == 0
    assert "10 x 5 pixels and the image 20 x 10" in result.err

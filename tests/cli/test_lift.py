"""`anymask lift`: files, what is printed, and what is refused before any work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.cli.conftest import FakeModel

from anymask.cli import main
from anymask.extras.lift import PointCloud
from anymask.masks.masks import Masks

INTRINSICS = "10,10,5.5,3.5"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image of 12 x 8 pixels, its depth and its masks."""
    PIL.Image.new("RGB", (12, 8), (200, 100, 50)).save(tmp_path / "rgb.png")
    depth = 1000 + np.arange(96, dtype=np.uint16).reshape(8, 12)
    PIL.Image.fromarray(depth).save(tmp_path / "depth.png")
    left = np.arange(12)[None].repeat(8, 0) < 6
    Masks.from_dense(np.stack([left, ~left]), labels=["cup", "wall"]).save(tmp_path / "masks.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str) -> int:
    return main(["lift", "rgb.png", "--depth", "depth.png", *words])


def test_points_and_statistics_are_written(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--intrinsics", INTRINSICS, "--masks", "masks.json", "-o", "cup.ply")
    assert call(*words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "rgb.png: 96 points, 2 objects (1 cup, 1 wall)",
        "  cup.ply",
        "  cup.json",
    ]
    cloud = PointCloud.read("cup.ply")
    assert (len(cloud), cloud.colors[0].tolist()) == (96, [200, 100, 50])
    np.testing.assert_allclose(cloud.points[0], [-0.55, -0.35, 1.0], rtol=1e-6)
    objects = json.loads(Path("cup.json").read_text())["objects"]
    assert [one["points"] for one in objects] == [48, 48]


def test_without_masks_the_model_finds_everything(fake: FakeModel, workplace: Path) -> None:
    assert call("--intrinsics", INTRINSICS, "--quiet", "--depth-scale", "500") == 0
    assert fake.seen == ["rgb.png"]
    assert PointCloud.read("scene.ply").points[0, 2] == 2


def test_json_and_a_picture(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    words = ("--intrinsics", INTRINSICS, "--masks", "masks.json", "--json", "--picture")
    assert call(*words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == ["scene.ply", "scene.json", "scene.png"]
    with PIL.Image.open("scene.png") as picture:
        assert picture.size == (1600, 1200)


def test_a_scan_gets_the_labels(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("scipy")
    words = ("--intrinsics", INTRINSICS, "--masks", "masks.json")
    assert call(*words) == 0
    PointCloud.read("scene.ply").save("mesh.ply")
    Path("mesh.segs.json").write_text(json.dumps({"segIndices": [900] * 48 + [7] * 48}))
    rest = ("--scan", "mesh.ply", "--segments", "mesh.segs.json", "--json")
    capsys.readouterr()
    assert call(*words, *rest) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == ["scene.ply", "scene.json", "scene-scan.ply"]
    assert said["scan"]["points"] == 96
    labels = PointCloud.read("scene-scan.ply").labels
    assert set(labels[:48]) == set(labels[48:]) == {0}  # both halves are a tie, which 0 wins
    for words_, message in (
        (("--segments", "mesh.segs.json"), "expected a scan along with its segments"),
        (("--scan", "mesh.ply", "--segments", "masks.json"), "expected segments in 'masks.json'"),
        (("--scan", "no.ply"), "no.ply"),
        (("--scan", "mesh.ply", "--max-distance", "0"), "expected a distance above 0"),
    ):
        assert call(*words, *words_) == 2
        assert message in capsys.readouterr().err


def test_for_sam_3d_objects_no_depth_is_needed(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lift", "rgb.png", "--masks", "masks.json", "--sam3d-objects", "for-sam"]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("rgb.png: 2 masks for SAM 3D Objects\n")
    names = sorted(path.name for path in Path("for-sam").iterdir())
    assert names == ["0.png", "1.png", "image.png"]
    assert not Path("scene.ply").exists()
    assert main(words) == 2  # it is there
    assert "it is no empty folder" in capsys.readouterr().err
    assert main([*words[:-1], "other", "--picture"]) == 2
    assert "expected --depth along with --picture" in capsys.readouterr().err
    both = [*words[:-1], "other", "--depth", "depth.png", "--intrinsics", INTRINSICS, "--json"]
    assert main(both) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert files[:2] == ["scene.ply", "scene.json"] and files[-1] == str(Path("other/1.png"))


@pytest.mark.parametrize("flag", ["--view", "--rrd"])
def test_the_viewer_is_an_extra(
    workplace: Path,
    flag: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert call("--intrinsics", INTRINSICS, "--masks", "masks.json", flag) == 2
    assert "pip install 'anymask[viewer]'" in capsys.readouterr().err
    assert not Path("scene.ply").exists()


def test_the_viewer_is_told_the_scene(workplace: Path) -> None:
    rerun = pytest.importorskip("rerun")
    assert call("--intrinsics", INTRINSICS, "--masks", "masks.json", "--rrd") == 0
    assert Path("scene.rrd").read_bytes()[:4] in (b"RRF2", b"RRIO", b"RRF0"), rerun.__version__


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected intrinsics of the image, got none"),
        (("--intrinsics", "10,10,5"), "expected --intrinsics FX,FY,CX,CY like"),
        (("--intrinsics", "10", "10", "5", "3"), "did you mean --intrinsics 10,10,5,3?"),
        (("--intrinsics", "0,10,5,3"), "with fx and fy above 0"),
        (("--intrinsics", INTRINSICS, "-o", "a.obj"), "a file name that ends in .ply"),
        (("--intrinsics", INTRINSICS, "-o", "no/a.ply"), "its folder does not exist"),
        (("--intrinsics", INTRINSICS, "--depth-scale", "0"), "a depth scale above 0"),
        (("--intrinsics", INTRINSICS, "--masks", "no.json"), "expected masks at 'no.json'"),
        (("--intrinsics", INTRINSICS, "--masks", "rgb.png"), "expected"),
    ],
)
def test_what_makes_no_sense_is_refused(
    workplace: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = () if "--masks" in words else ("--masks", "masks.json")
    before = sorted(workplace.iterdir())
    assert call(*words, *masks) == 2
    assert message in capsys.readouterr().err
    assert sorted(workplace.iterdir()) == before

"""``anymask export``, and the other commands with what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.models.tiny import tiny

from anymask.cli import main
from anymask.models.build import build
from anymask.models.variants import find
from anymask.models.weights.folder import write_folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Weights of a tiny MobileSAM, and what the command made of them."""
    root = tmp_path_factory.mktemp("export")
    variant = tiny(find("mobile-sam"))
    torch.manual_seed(0)
    write_folder(root / "weights", variant, build(variant).eval().state_dict())
    assert main(["export", "--model", str(root / "weights"), "-o", str(root / "out"), "-q"]) == 0
    return root / "weights", root / "out"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    PIL.Image.fromarray(image).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_it_says_what_it_wrote(
    folders: tuple[Path, Path], tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "--model", str(folders[0]), "-o", str(tmp_path / "small")]
    words += ["--quantize", "fp16", "--calibrate", str(photo.parent)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "mobile-sam: encoder, decoder" in said
    assert (
        "largest difference to PyTorch" in said
        and "agreement with float32 by onnx: mean IoU" in said
    )


@pytest.mark.parametrize("runtime", ["auto", "onnx", "openvino"])
def test_segment_takes_the_folder(
    folders: tuple[Path, Path], tmp_path: Path, photo: Path, runtime: str
) -> None:
    answers = []
    for model, how in ((folders[0], "torch"), (folders[1], runtime)):
        out = tmp_path / how
        words = ["segment", str(photo), "--box", "5,5,40,40", "--model", str(model), "-q"]
        assert main([*words, "--runtime", how, "-o", str(out), "--no-overlay"]) == 0
        answers.append(json.loads((out / "photo.json").read_text())["annotations"][0])
    assert abs(answers[0]["area"] - answers[1]["area"]) <= 3
    assert answers[0]["predicted_iou"] == pytest.approx(answers[1]["predicted_iou"], abs=1e-4)


def test_speed_compares_runtimes(folders: tuple[Path, Path], tmp_path: Path, photo: Path) -> None:
    words = ["evaluate", "speed", "--model", *map(str, folders), "--image", str(photo), "-q"]
    words += ["--runtime", "torch", "onnx", "openvino", "--tasks", "embed", "predict"]
    assert main([*words, "--repeats", "1", "--no-memory", "-o", str(tmp_path / "out")]) == 0
    rows = (tmp_path / "out" / "speed.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["torch"] * 2 + ["onnx"] * 2 + [
        "openvino"
    ] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--opset", "9"], "expected an opset of 17 to 20"),
        (["--quantize", "int8"], "expected a folder of images (calibrate) for int8"),
        (["--to", "openvino", "--raw-image"], "expected preprocessed frames for OpenVINO"),
    ],
)
def test_wrong_usage(
    folders: tuple[Path, Path],
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = str(tmp_path / "out")
    assert main(["export", "--model", str(folders[0]), "-o", out, *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path(out).exists()


def test_weights_by_a_runtime_of_graphs(
    folders: tuple[Path, Path], photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(photo), "--point", "9,9", "--model", str(folders[0])]
    assert main([*words, "--runtime", "onnx", "-o", str(photo.parent / "out")]) == 2
    assert "run anymask export on it first" in capsys.readouterr().err

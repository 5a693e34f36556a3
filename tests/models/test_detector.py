"""The detector: anchors, boxes and answers against recorded ones of the TFLite interpreter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from anymask.detections import Detections
from anymask.errors import InputError, WeightsError
from anymask.image.image import Image
from anymask.models import detector as module
from anymask.models.detector import LABELS, Detector, load_detector
from anymask.models.ssd import PREPROCESSING, anchors, decode, detect

COFFEE = Path(__file__).parents[2] / "docs/pictures/coffee.jpg"


@pytest.fixture(scope="module")
def packaged() -> Detector:
    return load_detector()


def test_its_parts_have_the_sizes_of_the_original() -> None:
    network = Detector()
    heads = sum(p.numel() for n, p in network.named_parameters() if not n.startswith("trunk."))
    assert heads == 2_745_180
    codes, logits = network(torch.zeros(2, 3, 300, 300))
    assert codes.shape == (2, 1917, 4)
    assert logits.shape == (2, 1917, 1 + len(LABELS))


def test_anchors_lie_as_in_ssd() -> None:
    every = anchors()
    assert every.shape == (1917, 4)
    first, last = every[:3], every[-6:]
    assert np.allclose(first[:, :2], 0.5 / 19)
    root = 2**0.5
    sizes = np.array([[0.1, 0.1], [0.2 / root, 0.2 * root], [0.2 * root, 0.2 / root]])
    assert np.allclose(first[:, 2:], sizes)
    assert np.allclose(last[:, :2], 0.5)
    assert np.allclose(last[0, 2:], 0.95)
    assert np.allclose(last[5, 2:], 0.95**0.5)
    # The second map has ten rows: its last cell is the one before the third map's first.
    assert np.allclose(every[19 * 19 * 3 + 600 - 1, :2], 9.5 / 10)


def test_a_code_moves_and_stretches_its_anchor() -> None:
    codes = np.zeros((1917, 4), np.float32)
    codes[0] = [10, 0, 0, 5 * np.log(2)]  # a height down, twice as wide
    box = decode(codes)[0]
    middle_x, middle_y = 0.5 / 19, 0.5 / 19 + 0.1
    expected = [middle_x - 0.1, middle_y - 0.05, middle_x + 0.1, middle_y + 0.05]
    assert np.allclose(box, expected)


def test_it_agrees_with_the_interpreter(packaged: Detector, parity_dir: Path) -> None:
    recorded = json.loads((parity_dir / "detector/coffee.json").read_text())
    photo = Image.open(COFFEE)
    transform = PREPROCESSING.fit(photo.size_hw)
    resized = transform.resize(photo, PREPROCESSING.resize)
    with torch.inference_mode():
        codes, logits = packaged(
            PREPROCESSING.frames(resized[None], transform, torch.device("cpu"))
        )
    scores = torch.sigmoid(logits[0])
    h, w = recorded["size_hw"]
    boxes = decode(codes[0].numpy()) * [w, h, w, h]
    assert scores.sum().item() == pytest.approx(recorded["scores_sum"], rel=1e-5)
    for said in recorded["anchors"]:
        one = said["anchor"]
        assert scores[one, 1 + said["label"]].item() == pytest.approx(said["score"], abs=1e-3)
        assert scores[one, 0].item() == pytest.approx(said["background"], abs=1e-3)
        assert np.abs(boxes[one] - said["box"]).max() < 0.5
    assert len({said["label"] for said in recorded["anchors"]}) > 3


def test_it_finds_the_cup(packaged: Detector) -> None:
    found = detect(packaged, COFFEE)
    assert found.labels == ("Coffee cup",)
    assert found.scores[0] == pytest.approx(0.537, abs=1e-3)
    assert np.allclose(found.boxes[0], [171.6, 20.2, 419.3, 319.0], atol=0.5)
    assert len(detect(packaged, COFFEE, labels=["Dog"])) == 0
    everything = detect(packaged, COFFEE, min_score=0.01, max_detections=5)
    assert len(everything) == 5
    assert list(everything.scores) == sorted(everything.scores, reverse=True)


class Fixed(Detector):
    """Says three things about every photo, whatever it shows."""

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert pixels.shape == (1, 3, 300, 300)
        codes, logits = torch.zeros(1, 1917, 4), torch.full((1, 1917, 24), -9.0)
        logits[0, 1911, 20] = 2.0  # a dog, as large as the anchor
        logits[0, 1916, 20] = 1.0  # the same dog, nearly as large
        logits[0, 1916, 8] = 1.5  # and a cat there
        return codes, logits


def test_duplicates_go_within_a_label_only_and_boxes_are_in_pixels() -> None:
    found = detect(Fixed(), np.zeros((40, 80, 3), np.uint8))
    assert isinstance(found, Detections)
    assert found.labels == ("Dog", "Cat")
    assert np.allclose(found.boxes[0], [2, 1, 78, 39], atol=1e-4)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert detect(Fixed(), np.zeros((40, 80, 3), np.uint8), labels=("Cat",)).labels == ("Cat",)
    both = detect(Fixed(), np.zeros((40, 80, 3), np.uint8), nms_thresh=1.0)
    assert both.labels == ("Dog", "Cat", "Dog")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_score": 1.5}, "from 0 to 1"),
        ({"nms_thresh": -0.1}, "from 0 to 1"),
        ({"max_detections": 0}, "at least 1"),
        ({"labels": ["Zebra"]}, "got Zebra"),
        ({"labels": []}, "got none"),
    ],
)
def test_bad_input_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        detect(Fixed(), np.zeros((4, 4, 3), np.uint8), **wrong)


@pytest.mark.parametrize("size_hw", [(1, 1), (8, 8), (40, 3000)])
def test_any_size_will_do(size_hw: tuple[int, int]) -> None:
    found = detect(Fixed(), np.zeros((*size_hw, 3), np.uint8))
    assert (found.boxes <= [size_hw[1], size_hw[0]] * 2).all()


def test_weights_without_a_trunk_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    monkeypatch.setattr(module, "locate", lambda *_, **__: (tmp_path / "other.safetensors", None))
    with pytest.raises(WeightsError, match="without one"):
        load_detector()

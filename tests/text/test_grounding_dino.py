"""GroundingDINO, end to end on a tiny one with random weights, beside transformers' own answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.text.tiny_grounders import LETTERS, image, make_old

from anymask.detections import Detections
from anymask.errors import InputError, WeightsError
from anymask.text.ground import Grounder, find_grounder, ground
from anymask.text.grounding_dino import GroundingDino

transformers = pytest.importorskip("transformers")

PHRASES = ["dog", "red car", "dog house", "cat"]


@pytest.fixture(scope="module")
def grounder(dino_folder: Path) -> GroundingDino:
    return GroundingDino.load(dino_folder)


def clipped(boxes: np.ndarray, w: int, h: int) -> np.ndarray:
    return boxes.clip(0, [w, h, w, h])


def test_it_is_a_grounder(grounder: GroundingDino, dino_folder: Path) -> None:
    assert isinstance(grounder, Grounder)
    assert grounder.unknown(["zebra", "...", "dog"]) == ("...",)
    assert not grounder.network.training
    found = find_grounder(dino_folder, "cpu")
    assert isinstance(found, GroundingDino)
    assert find_grounder(dino_folder, "cpu") is found


def test_boxes_and_scores_are_those_of_transformers(
    grounder: GroundingDino, dino_folder: Path
) -> None:
    photo = image()
    processor = transformers.GroundingDinoProcessor.from_pretrained(dino_folder)
    inputs = processor(images=photo.pixels, text=[PHRASES], return_tensors="pt")
    with torch.inference_mode():
        outputs = grounder.network(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        outputs, threshold=0.0, text_threshold=0.0, target_sizes=[photo.size_hw]
    )
    (found,) = grounder.detect([photo], PHRASES, 0.0)
    h, w = photo.size_hw
    expected = clipped(theirs["boxes"].numpy(), w, h)
    whole = (expected[:, 2:] > expected[:, :2]).all(axis=1)
    np.testing.assert_allclose(found.boxes, expected[whole], atol=1e-2)

    # Of each phrase the best token, by the places that the caption of transformers gives them.
    probabilities = outputs.logits.sigmoid()[0]
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    spans, start = [], 1
    for place, token in enumerate(tokens):
        if token == ".":
            spans.append((start, place))
            start = place + 1
    each = torch.stack([probabilities[:, a:b].amax(dim=1) for a, b in spans], dim=1)
    best, number = each.max(dim=1)
    np.testing.assert_allclose(found.scores, best.numpy()[whole], atol=1e-4)
    assert found.labels == tuple(PHRASES[i] for i in number[torch.from_numpy(whole)].tolist())
    assert len(set(found.labels)) > 1


def test_an_image_answers_alike_alone_and_in_company(grounder: GroundingDino) -> None:
    photos = [image(48, 70, 0), image(70, 48, 1), image(48, 70, 2), image(96, 140, 3), image(9, 20)]
    together = grounder.detect(photos, PHRASES, 0.0)
    for photo, found in zip(photos, together, strict=True):
        (alone,) = grounder.detect([photo], PHRASES, 0.0)
        assert alone.size_hw == found.size_hw == photo.size_hw
        assert alone.labels == found.labels
        np.testing.assert_allclose(alone.boxes, found.boxes, atol=1e-2)
        np.testing.assert_allclose(alone.scores, found.scores, atol=1e-4)


def test_many_phrases_are_read_in_captions_and_the_image_is_seen_once(
    grounder: GroundingDino,
) -> None:
    phrases = [f"car {a}{b}" for a in "abcdefghijklmnop" for b in "qrstuvwxyz"]
    assert len(phrases) * 4 > 2 * 256
    seen: list[int] = []
    encoder = grounder.network.model.backbone.conv_encoder
    hook = encoder.register_forward_hook(lambda *_: seen.append(1))
    try:
        (found,) = grounder.detect([image()], phrases, 0.0)
    finally:
        hook.remove()
    assert len(seen) == 1
    some, others = phrases[:63], phrases[63:126]  # 4 tokens each: as many as fit
    parts = [grounder.detect([image()], part, 0.0)[0] for part in (some, others)]
    expected = Detections.concat(parts)
    assert found.labels[: len(expected)] == expected.labels
    np.testing.assert_allclose(found.boxes[: len(expected)], expected.boxes, atol=1e-2)
    np.testing.assert_allclose(found.scores[: len(expected)], expected.scores, atol=1e-4)
    assert set(found.labels) <= set(phrases)


def test_labels_are_the_phrases_as_they_are_written(grounder: GroundingDino) -> None:
    phrases = ["St. Bernard", "a CAFÉ", "[SEP]", "dog? cat", "Dog", "dog"]
    (found,) = grounder.detect([image()], phrases, 0.0)
    assert set(found.labels) <= set(phrases[:-1])  # the last is the one before it
    assert len(found) > 10


def test_nothing_found_is_an_answer(grounder: GroundingDino) -> None:
    (found,) = grounder.detect([image()], ["dog"], 1.0)
    assert len(found) == 0
    assert found.size_hw == (48, 70)
    assert grounder.detect([], ["dog"], 0.1) == []


def test_phrases_that_cannot_be_read_are_refused(grounder: GroundingDino) -> None:
    with pytest.raises(InputError, match="words that can be read"):
        grounder.detect([image()], ["dog", "..."], 0.1)
    with pytest.raises(InputError, match="at most 253 tokens"):
        grounder.detect([image()], ["dog " * 254], 0.1)
    (longest,) = grounder.detect([image()], ["dog " * 253], 0.0)
    assert set(longest.labels) == {"dog " * 253}


def test_it_grounds(dino_folder: Path) -> None:
    """Through the seam: parsing, thresholds, duplicates."""
    found = ground(image().pixels, "dog. red car.", grounder=dino_folder, threshold=0.0)
    assert set(found.labels) <= {"dog", "red car"}
    assert len(found)
    assert (np.diff(found.scores) <= 0).all()


def test_thousands_of_phrases(grounder: GroundingDino) -> None:
    """Read in as many captions as they need: 4 tokens each, so 63 phrases in a caption."""
    phrases = [f"{a}{b}{c}" for a in LETTERS for b in LETTERS for c in LETTERS][:5000]
    read: list[int] = []
    hook = grounder.network.register_forward_hook(lambda *_: read.append(1))
    encoder = grounder.network.model.backbone.conv_encoder
    seen: list[int] = []
    other = encoder.register_forward_hook(lambda *_: seen.append(1))
    try:
        (found,) = grounder.detect([image()], phrases, 0.2)
    finally:
        hook.remove()
        other.remove()
    assert len(read) == -(-5000 // 63)
    assert len(seen) == 1
    assert len(set(found.labels)) > 3
    assert set(found.labels) <= set(phrases)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_dtypes(dino_folder: Path, grounder: GroundingDino, dtype: str) -> None:
    (found,) = GroundingDino.load(dino_folder, dtype=dtype).detect([image()], PHRASES, 0.0)
    (expected,) = grounder.detect([image()], PHRASES, 0.0)
    assert found.boxes.dtype == np.float32
    assert abs(len(found) - len(expected)) <= 2


def test_weights_that_are_not_finite_are_told(dino_folder: Path) -> None:
    broken = GroundingDino.load(dino_folder)
    broken.network.model.level_embed[0] = torch.nan
    with pytest.raises(WeightsError, match="expected finite scores"):
        broken.detect([image()], PHRASES, 0.1)


def test_older_folders_load(dino_folder: Path, tmp_path: Path, grounder: GroundingDino) -> None:
    import shutil

    old = shutil.copytree(dino_folder, tmp_path / "old")
    make_old(old)
    (old / "tokenizer.json").unlink()
    (old / "tokenizer_config.json").unlink()
    (found,) = GroundingDino.load(old).detect([image()], PHRASES, 0.0)
    (expected,) = grounder.detect([image()], PHRASES, 0.0)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-4)
    assert found.labels == expected.labels


def test_another_tokenizer_is_refused(dino_folder: Path, tmp_path: Path) -> None:
    import shutil

    other = shutil.copytree(dino_folder, tmp_path / "other")
    vocabulary: dict[str, Any] = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    transformers.BertTokenizer(vocab=vocabulary).save_pretrained(other)
    with pytest.raises(WeightsError, match="expected the tokenizer of an uncased BERT"):
        GroundingDino.load(other)


@pytest.mark.parametrize("size_hw", [(1, 90), (300, 2), (1, 2)])
def test_thin_images(grounder: GroundingDino, size_hw: tuple[int, int]) -> None:
    (found,) = grounder.detect([image(*size_hw)], ["dog"], 0.0)
    assert found.size_hw == size_hw

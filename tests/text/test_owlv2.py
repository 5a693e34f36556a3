"""OWLv2, end to end on a tiny one with random weights, beside transformers' own answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.text.tiny_grounders import image, make_old

from anymask.errors import InputError, WeightsError
from anymask.text.ground import Grounder, find_grounder, ground
from anymask.text.owlv2 import Example, Owlv2, best_patch

transformers = pytest.importorskip("transformers")

PHRASES = ["dog", "red car", "dog house", "cat"]


@pytest.fixture(scope="module")
def grounder(owl_folder: Path) -> Owlv2:
    return Owlv2.load(owl_folder)


def whole(boxes: np.ndarray, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Cut boxes off at the border, and say which have an area left."""
    h, w = size_hw
    boxes = boxes.clip(0, [w, h, w, h])
    return boxes, (boxes[:, 2:] > boxes[:, :2]).all(axis=1)


def test_it_is_a_grounder(grounder: Owlv2, owl_folder: Path) -> None:
    assert isinstance(grounder, Grounder)
    assert grounder.unknown(["zebra", "", "   ", "dog"]) == ("", "   ")
    assert isinstance(find_grounder(owl_folder, "cpu"), Owlv2)


@pytest.mark.parametrize("size_hw", [(48, 70), (70, 48), (64, 64)])
def test_boxes_and_scores_are_those_of_transformers(
    grounder: Owlv2, owl_folder: Path, size_hw: tuple[int, int]
) -> None:
    pytest.importorskip("scipy")
    photo = image(*size_hw)
    processor = transformers.Owlv2Processor.from_pretrained(owl_folder)
    names = ["dog", "car 1", "it"]
    texts = [f"a photo of a {name}" for name in names]
    inputs = processor(images=photo.pixels, text=[texts], return_tensors="pt")
    with torch.inference_mode():
        outputs = grounder.network(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        outputs, threshold=0.0, target_sizes=[size_hw], text_labels=[names]
    )
    (found,) = grounder.detect([photo], names, 0.0)
    expected, kept = whole(theirs["boxes"].numpy(), size_hw)
    np.testing.assert_allclose(found.boxes, expected[kept], atol=2e-3)
    np.testing.assert_allclose(found.scores, theirs["scores"].numpy()[kept], atol=1e-4)
    assert found.labels == tuple(
        label for label, keep in zip(theirs["text_labels"], kept, strict=True) if keep
    )


def test_short_phrases_are_put_into_the_template(grounder: Owlv2, owl_folder: Path) -> None:
    """Of its 16 tokens, "a photo of a" takes 9 (each letter is one here), and the ends take 2."""
    tokenizer = transformers.CLIPTokenizer.from_pretrained(owl_folder)
    spelled = grounder._spell(["dog", "houses", "cat 1", "it"])
    (read,) = list(grounder._captions(spelled))
    texts = [tokenizer.decode(list(ids)).split() for ids in read]
    assert ["".join(text) for text in texts] == [
        "aphotoofadog",
        "houses",
        "aphotoofacat1",
        "aphotoofait",
    ]
    ids = tokenizer("a photo of a dog", add_special_tokens=False)["input_ids"]
    assert list(read[0]) == ids


def test_an_image_answers_alike_alone_and_in_company(grounder: Owlv2) -> None:
    photos = [image(48, 70, i) for i in range(3)] + [image(90, 30, 3), image(9, 9, 4)]
    together = grounder.detect(photos, PHRASES, 0.0)
    for photo, found in zip(photos, together, strict=True):
        (alone,) = grounder.detect([photo], PHRASES, 0.0)
        assert alone.labels == found.labels
        np.testing.assert_allclose(alone.boxes, found.boxes, atol=1e-3)
        np.testing.assert_allclose(alone.scores, found.scores, atol=1e-5)


def test_thousands_of_phrases_are_compared_with_an_image_that_is_seen_once(
    grounder: Owlv2,
) -> None:
    phrases = [f"car {i}" for i in range(5000)]
    seen: list[int] = []
    hook = grounder.network.owlv2.vision_model.register_forward_hook(lambda *_: seen.append(1))
    read: list[int] = []
    words = grounder.network.owlv2.text_model.register_forward_hook(lambda *_: read.append(1))
    try:
        (found,) = grounder.detect([image()], phrases, 0.0)
        once = len(read)
        grounder.detect([image(seed=1)], phrases, 0.0)
    finally:
        hook.remove()
        words.remove()
    assert len(seen) == 2
    assert len(read) == once == -(-5000 // 64)  # what phrases mean is remembered
    best = np.zeros(len(found))
    for start in range(0, 5000, 700):  # groups of another size give the same
        (part,) = grounder.detect([image()], phrases[start : start + 700], 0.0)
        best = np.maximum(best, part.scores)
    np.testing.assert_allclose(found.scores, best, atol=1e-5)
    for label, box, score in zip(found.labels, found.boxes, found.scores, strict=True):
        (alone,) = grounder.detect([image()], [label], 0.0)
        row = int(np.abs(alone.boxes - box).sum(axis=1).argmin())
        assert alone.scores[row] == pytest.approx(score, abs=1e-5)


def test_special_tokens_and_case_in_phrases(grounder: Owlv2) -> None:
    phrases = ["<|endoftext|>", "Dog", "dog", "st. x"]
    (found,) = grounder.detect([image()], phrases, 0.0)
    assert set(found.labels) <= {"<|endoftext|>", "Dog", "st. x"}
    spelled = grounder._spell(phrases)
    end = grounder._tokenizer.eos_token_id
    assert all(end not in ids for ids in spelled.ids)


def test_phrases_that_cannot_be_read_are_refused(grounder: Owlv2) -> None:
    with pytest.raises(InputError, match="words that can be read"):
        grounder.detect([image()], ["dog", ""], 0.1)
    with pytest.raises(InputError, match="at most 14 tokens"):
        grounder.detect([image()], ["the dog that is red"], 0.1)


# ------------------------------------------------------------------------ examples


def test_without_a_box_it_is_image_guided_detection_of_transformers(
    grounder: Owlv2, owl_folder: Path
) -> None:
    pytest.importorskip("scipy")
    photo, reference = image(48, 70, 0), image(50, 60, 5)
    processor = transformers.Owlv2Processor.from_pretrained(owl_folder)
    inputs = processor(images=photo.pixels, query_images=reference.pixels, return_tensors="pt")
    with torch.inference_mode():
        outputs = grounder.network.image_guided_detection(**inputs)
    (theirs,) = processor.post_process_image_guided_detection(
        outputs, threshold=0.0, nms_threshold=1.0, target_sizes=torch.tensor([photo.size_hw])
    )
    (found,) = grounder.like(Example(reference, label="it")).detect([photo], ["it"], 0.0)
    assert set(found.labels) == {"it"}
    # Theirs are stretched until the best is 1, and what has less than a tenth of it is left out.
    best = outputs.logits.sigmoid().max().item()
    boxes, kept = whole(theirs["boxes"].numpy(), photo.size_hw)
    raw = (theirs["scores"].numpy() * 0.9 + 0.1) * best
    order = np.argsort(-raw[kept], kind="stable")
    some = found[found.scores > 0.101 * best].sort()
    assert len(some) == len(order) > 5
    np.testing.assert_allclose(some.scores, raw[kept][order], atol=1e-4)
    np.testing.assert_allclose(some.boxes, boxes[kept][order], atol=2e-3)


def test_scores_stay_low_where_the_thing_is_not(grounder: Owlv2) -> None:
    """No stretching: what one image scores does not depend on what else is in it."""
    example = Example(image(50, 60, 5), (5, 5, 40, 40))
    like = grounder.like(example)
    a, b = like.detect([image(seed=1), image(seed=2)], ["example"], 0.0)
    (again,) = like.detect([image(seed=1)], ["example"], 0.0)
    assert a.scores.max() == pytest.approx(again.scores.max(), abs=1e-5)
    assert a.scores.max() != b.scores.max()
    assert max(a.scores.max(), b.scores.max()) < 1
    least = float(a.scores.max()) + 1e-3
    assert len(like.detect([image(seed=1)], ["example"], least)[0]) == 0


def test_a_mask_stands_for_its_box(grounder: Owlv2) -> None:
    reference = image(50, 60, 5)
    mask = np.zeros((50, 60), bool)
    mask[8:30, 10:41] = True
    by_mask = grounder.like(Example(reference, mask=mask))
    by_box = grounder.like(Example(reference, (10, 8, 41, 30)))
    elsewhere = grounder.like(Example(reference, (0, 0, 8, 8)))
    answers = [one.detect([image()], ["example"], 0.0) for one in (by_mask, by_box, elsewhere)]
    assert answers[0] == answers[1] != answers[2]


def test_several_examples_each_with_its_name(grounder: Owlv2) -> None:
    reference = image(50, 60, 5)
    examples = [
        Example(reference, (0, 0, 20, 20), label="a"),
        Example(reference, (30, 20, 60, 50), label="b"),
        Example(image(40, 40, 9), label="a"),
    ]
    like = grounder.like(examples)
    assert like.words == ("a", "b")
    assert like.unknown(["A", "c"]) == ("c",)
    (found,) = like.detect([image()], ["A", "b"], 0.0)
    assert set(found.labels) <= {"A", "b"}
    (first,) = like.detect([image()], ["a"], 0.0)
    each = [grounder.like(one).detect([image()], [one.label], 0.0)[0] for one in examples]
    expected = np.max([each[0].scores, each[2].scores], axis=0)  # views of one thing
    np.testing.assert_allclose(first.scores, expected, atol=1e-5)
    np.testing.assert_allclose(found.scores, np.maximum(expected, each[1].scores), atol=1e-5)
    with pytest.raises(InputError, match=r"of examples, .a., .b., got .dog."):
        like.detect([image()], ["a", "dog"], 0.5)


def test_examples_ground(grounder: Owlv2) -> None:
    """Through the seam, as any words: an example is seen once for all images."""
    like = grounder.like(Example(image(50, 60, 5), (5, 5, 40, 40), label="Red mug"))
    assert isinstance(like, Grounder)
    seen: list[int] = []
    hook = grounder.network.owlv2.vision_model.register_forward_hook(lambda *_: seen.append(1))
    try:
        first, second = ground(
            [image().pixels, image(seed=1).pixels], "red mug", grounder=like, threshold=0.0
        )
    finally:
        hook.remove()
    assert len(seen) == 1  # both images at once
    assert set(first.labels) == set(second.labels) == {"red mug"}


def test_bad_examples_are_one_sentence(grounder: Owlv2) -> None:
    reference = image(50, 60)
    nothing, small = np.zeros((50, 60), bool), np.ones((5, 6), bool)
    for example, match in [
        (Example(reference, (0, 0, 5, 5), nothing), "a box or a mask"),
        (Example(reference, mask=nothing), "got an empty one"),
        (Example(reference, mask=small), "as large as its image"),
        (Example(reference, (70, 0, 90, 5)), "inside its image of 60 x 50"),
        (Example(reference, (1, 2, 3)), "four numbers"),
        (Example(reference, (0, 0, np.nan, 3)), "four numbers"),
    ]:
        with pytest.raises(InputError, match=match):
            grounder.like(example)
    with pytest.raises(InputError, match="at least one example"):
        grounder.like([])


def test_the_patch_that_stands_for_a_box() -> None:
    """Of those that overlap about as well as the best, the one least like the average."""
    boxes = torch.tensor(
        [[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.38, 0.4], [0.5, 0.5, 0.2, 0.2], [0.9, 0.9, 0.1, 0.1]]
    )
    embeddings = torch.tensor([[1.0, 0.0], [0.2, 0.5], [-5.0, 0.0], [9.0, 0.0]])
    box = torch.tensor([0.3, 0.3, 0.7, 0.7])
    assert best_patch(boxes, embeddings, box) == 1  # the third is least alike, but too small
    away = torch.tensor([0.0, 0.0, 0.05, 0.05])
    assert best_patch(boxes, embeddings, away) in (0, 1)  # nothing overlaps: the nearest


# -------------------------------------------------------------------------- loading


def test_older_folders_load(owl_folder: Path, tmp_path: Path, grounder: Owlv2) -> None:
    old = shutil.copytree(owl_folder, tmp_path / "old")
    make_old(old)
    (found,) = Owlv2.load(old).detect([image()], PHRASES, 0.0)
    (expected,) = grounder.detect([image()], PHRASES, 0.0)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-4)


def test_images_of_another_size_are_refused(owl_folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(owl_folder, tmp_path / "other")
    settings = other / "processor_config.json"
    settings.write_text(settings.read_text().replace("64", "32"))
    with pytest.raises(WeightsError, match="expected images of 64 pixels"):
        Owlv2.load(other)


def test_bfloat16(owl_folder: Path) -> None:
    (found,) = Owlv2.load(owl_folder, dtype="bfloat16").detect([image()], PHRASES, 0.0)
    assert len(found) > 3
    like = Owlv2.load(owl_folder, dtype="bfloat16").like(Example(image(), (5, 5, 30, 30)))
    assert len(like.detect([image()], ["example"], 0.0)[0])


def test_it_grounds(owl_folder: Path) -> None:
    found = ground(image().pixels, "dog. red car.", grounder=owl_folder, threshold=0.0)
    assert set(found.labels) <= {"dog", "red car"}
    assert len(found)

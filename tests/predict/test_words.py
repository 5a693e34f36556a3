"""From words to masks, with every model that takes boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.predict.test_prompts_of_every_model import MODELS
from tests.predict.test_segmenter import DiscNet, disc_model
from tests.text.told import Told

from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError
from anymask.image.image import Image
from anymask.masks.masks import Masks
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter
from anymask.predict.words import PREDICTED_IOU, _without_duplicates

COFFEE = Path(__file__).parents[2] / "docs/pictures/coffee.jpg"
PHOTO = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
LEFT, RIGHT = (10.0, 40.0, 50.0, 90.0), (80.0, 40.0, 120.0, 90.0)


def count_encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many images each call of an encoder has."""
    counts: list[int] = []
    real = Segmenter._encode

    def encode(self: Segmenter, resized: Any, transform: Any) -> Any:
        counts.append(len(resized))
        return real(self, resized, transform)

    monkeypatch.setattr(Segmenter, "_encode", encode)
    return counts


@pytest.mark.parametrize("name", MODELS)
def test_every_model_that_takes_boxes_takes_words(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, counts = MODELS[name], count_encodings(monkeypatch)
    told = Told((LEFT, 0.6, "dog"), (RIGHT, 0.9, "dog"), (LEFT, 0.4, "cat"), (RIGHT, 0.8, "toy"))
    masks = model.predict(PHOTO, text="dog. cat", negative="toy", grounder=told)
    assert masks.model == model.variant.name
    assert masks.size_hw == (128, 128)
    assert sum(counts) == 1
    for mask in masks:  # a network without training may leave some of them empty
        by_hand = model.predict(PHOTO, box=mask.prompts[0].box).best()
        assert mask.counts[0].tolist() == by_hand.counts[0].tolist()
        assert mask.meta[0][PREDICTED_IOU] == pytest.approx(by_hand.scores[0], abs=1e-4)
        assert (mask.labels[0], round(float(mask.scores[0]), 2)) in {("dog", 0.9), ("dog", 0.6)}


def test_all_instances_come_with_word_score_and_box() -> None:
    told = Told((LEFT, 0.6, "red car"), (RIGHT, 0.9, "dog"), (RIGHT, 0.2, "dog"))
    model = disc_model()
    masks = model.predict(PHOTO, text=["dog", "red car"], grounder=told)
    assert masks.labels == ("dog", "red car")
    assert masks.scores.tolist() == pytest.approx([0.9, 0.6])
    assert [prompt.box.tolist() for prompt in masks.prompts] == [list(RIGHT), list(LEFT)]
    assert all(0.9 < entry[PREDICTED_IOU] < 1 for entry in masks.meta)
    assert masks.logits is not None
    some = model.predict(PHOTO, text="dog. red car", threshold={"dog": 0.95}, grounder=told)
    assert some.labels == ("red car",)
    assert len(model.predict(PHOTO, text="dog", threshold=0.1, grounder=told)) == 1  # same mask


def test_duplicates_go_by_masks() -> None:
    # Boxes that overlap by a quarter, but whose masks are the same: discs round one middle.
    small = (20.0, 55.0, 40.0, 75.0)
    told = Told((LEFT, 0.6, "dog"), (small, 0.7, "dog"), (small, 0.5, "cat"), (RIGHT, 0.5, "cat"))
    masks = disc_model().predict(PHOTO, text="dog. cat", grounder=told)
    assert masks.labels == ("dog", "cat")
    assert masks.scores.tolist() == pytest.approx([0.7, 0.5])


def test_where_nothing_is_found_the_answer_is_empty_and_nothing_is_embedded() -> None:
    model = disc_model()
    masks = model.predict(PHOTO, text="dog", grounder=Told())
    assert len(masks) == 0
    assert masks.size_hw == (128, 128)
    assert model.predict([PHOTO] * 2, text="dog", grounder=Told())[1] == masks
    assert isinstance(model.network, DiscNet)
    assert model.network.seen == []


def test_each_image_of_a_list_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_encodings(monkeypatch)
    told = Told((LEFT, 0.6, "dog"), (RIGHT, 0.9, "cat"))
    photos = [PHOTO, PHOTO[:100], PHOTO, PHOTO[:, :125], *[PHOTO] * 6]
    answers = disc_model().predict(photos, text="dog. cat", grounder=told)
    assert [masks.size_hw for masks in answers[:4]] == [p.shape[:2] for p in photos[:4]]
    assert [len(masks) for masks in answers] == [2] * 10
    assert sum(counts) == 10
    assert [n for n, *_ in told.asked] == [8, 2]
    assert disc_model().predict([], text="dog", grounder=told) == []


def test_an_embedding_needs_its_image(tmp_path: Path) -> None:
    model, told = disc_model(), Told((LEFT, 0.6, "dog"))
    path = tmp_path / "photo.png"
    Image.open(PHOTO).save(path)
    photo = model.embed(path)
    assert isinstance(model.network, DiscNet)
    assert model.predict(photo, text="dog", grounder=told).labels == ("dog",)
    assert model.predict([photo, PHOTO], text="dog", grounder=told)[0].labels == ("dog",)
    assert len(model.network.seen) == 2  # when it was embedded, and the other image
    foreign = Embedding(photo.features, photo.transform, "other", photo.source)
    with pytest.raises(InputError, match="got one of another model"):
        model.predict(foreign, text="dog", grounder=told)
    Image.open(PHOTO[:50]).save(path)
    with pytest.raises(InputError, match=r"as it was embedded, 128 x 128 .* 128 x 50"):
        model.predict(photo, text="dog", grounder=told)
    path.unlink()
    with pytest.raises(InputError, match="which is not there; give the image itself"):
        model.predict(photo, text="dog", grounder=told)
    with pytest.raises(InputError, match="without its image; give the image itself"):
        model.predict(model.embed(PHOTO), text="dog", grounder=told)


def test_words_are_said_alone_and_to_a_model_that_takes_boxes() -> None:
    model = disc_model()
    for other in (
        {"points": [(5, 5)]},
        {"box": LEFT},
        {"mask": PHOTO[..., 0] > 9},
        {"labels": [1]},
    ):
        with pytest.raises(InputError, match="expected text alone"):
            model.predict(PHOTO, text="dog", **other)  # type: ignore[call-overload]
    for said in ({"negative": "cat"}, {"threshold": 0.3}, {"grounder": "bundled"}):
        with pytest.raises(InputError, match=f"with {next(iter(said))}, got no text"):
            model.predict(PHOTO, points=[(5, 5)], **said)  # type: ignore[call-overload]
    fast = next(one for one in MODELS.values() if one.variant.kind == "instances")
    adapted = replace(model, variant=model.variant.unprompted())
    with pytest.raises(CapabilityError, match="discs does not know words"):
        adapted.predict(PHOTO, text="dog")
    with pytest.raises(InputError, match=r"with threshold, got none; add grounder='bundled'"):
        fast.predict(PHOTO, text="dog", threshold=0.4)


@pytest.mark.parametrize("text", ["", [], "zebra", "\N{DOG FACE}", "word " * 300, "собака", 3])
def test_bad_words_are_refused_before_anything_is_embedded(text: Any) -> None:
    model = disc_model()
    with pytest.raises(InputError, match=r"expected (English )?words"):
        model.predict(PHOTO, text=text)
    assert isinstance(model.network, DiscNet)
    assert model.network.seen == []


@pytest.mark.parametrize("size_hw", [(1, 1), (8, 8), (40, 3000), (3000, 40)])
def test_images_of_any_shape_will_do(size_hw: tuple[int, int]) -> None:
    h, w = size_hw
    grey = np.random.default_rng(1).integers(0, 256, size_hw, dtype=np.uint8)
    told = Told(((0, 0, w, h), 0.6, "dog"))
    model = load()
    assert model.predict(grey, text="dog", grounder=told).size_hw == size_hw
    assert model.predict(grey, text="dog").size_hw == size_hw
    assert model.detect(grey).size_hw == size_hw


def test_the_bundled_model_cuts_out_the_cup() -> None:
    model = load()
    masks = model.predict(COFFEE, text="cups. dog")
    assert masks.labels == ("cups",)
    assert masks.scores[0] == pytest.approx(0.537, abs=2e-3)
    assert masks.areas[0] > 20_000
    assert model.detect(COFFEE, "cups").labels == ("cups",)
    assert model.detect([COFFEE])[0].labels == ("coffee cup",)


def test_a_part_of_a_better_one_of_its_name_goes_and_parts_of_others_stay() -> None:
    dense = np.zeros((4, 60, 60), np.bool_)
    dense[0, 5:55, 5:40] = True  # a person,
    dense[1, 8:25, 10:35] = True  # its upper part,
    dense[2, 40:55, 8:20] = True  # a shoe,
    dense[3, 5:55, 42:58] = True  # and the next person
    masks = Masks.from_dense(
        dense, scores=[0.6, 0.5, 0.9, 0.4], labels=["person", "person", "shoe", "person"]
    )
    kept = _without_duplicates(masks)
    assert kept.labels == ("shoe", "person", "person")
    assert kept.areas.tolist() == [180, 1750, 800]

"""From words to boxes: which grounder is asked, thresholds, duplicates, what is not meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.text.told import Told

from anymask.detections import Detections
from anymask.errors import InputError, WeightsError
from anymask.text import ground as module
from anymask.text.ground import Grounder, detect, find_grounder, ground

COFFEE = Path(__file__).parents[2] / "docs/pictures/coffee.jpg"
PHOTO = np.zeros((40, 60, 3), np.uint8)

LEFT, NEAR_LEFT, RIGHT = (2.0, 2, 22, 22), (2.0, 2, 22, 28), (30.0, 2, 50, 22)  # IoU .77, 0


def labelled(found: Detections) -> list[tuple[str | None, float]]:
    return [
        (label, round(float(s), 2)) for label, s in zip(found.labels, found.scores, strict=True)
    ]


def test_duplicates_of_a_phrase_go_and_twins_of_another_too() -> None:
    told = Told(
        (LEFT, 0.5, "dog"), (NEAR_LEFT, 0.6, "dog"), (LEFT, 0.4, "cat"), (RIGHT, 0.35, "cat"),
        (RIGHT, 0.45, "animal"),
    )  # fmt: skip
    found = ground(PHOTO, "dog. cat. animal", grounder=told)
    # The cat on the left overlaps the better dog by .77, which is allowed to other names.
    assert labelled(found) == [("dog", 0.6), ("animal", 0.45), ("cat", 0.4)]


def test_each_phrase_has_its_threshold() -> None:
    told = Told((LEFT, 0.5, "dog"), (RIGHT, 0.5, "cat"))
    assert labelled(ground(PHOTO, "dog. cat", threshold=0.6, grounder=told)) == []
    some = ground(PHOTO, "dog. cat", threshold={"the dog": 0.55}, grounder=told)
    assert labelled(some) == [("cat", 0.5)]
    assert told.asked[-1][2] == 0.3
    assert len(ground(PHOTO, "dog. cat", threshold={"dog": 0.5}, grounder=told)) == 2


def test_what_a_negative_word_explains_better_goes() -> None:
    told = Told(
        (LEFT, 0.5, "dog"), (NEAR_LEFT, 0.6, "toy"), (RIGHT, 0.5, "dog"), (RIGHT, 0.4, "toy")
    )
    found = ground(PHOTO, "dog", negative="toy", grounder=told)
    assert labelled(found) == [("dog", 0.5)]
    assert found.boxes[0].tolist() == list(RIGHT)
    assert len(ground(PHOTO, "dog", grounder=told)) == 2


def test_boxes_are_clipped_to_the_image() -> None:
    found = ground(
        PHOTO, "dog", grounder=Told(((-5, 3, 80, 90), 0.9, "dog"), ((70, 1, 80, 9), 0.8, "dog"))
    )
    assert found.boxes.tolist() == [[0, 3, 60, 40]]


def test_of_many_images_a_few_are_read_at_a_time() -> None:
    told = Told((LEFT, 0.5, "dog"))
    found = ground([PHOTO] * 19, ["dog"], grounder=told)
    assert [len(one) for one in found] == [1] * 19
    assert [n for n, *_ in told.asked] == [8, 8, 3]
    assert ground([], "dog", grounder=told) == []


def test_the_bundled_grounder_finds_the_cup() -> None:
    found = ground(COFFEE, "People. cup")
    assert found.labels == ("cup",)
    assert ground(COFFEE, "mug").scores.tolist() == found.scores.tolist()  # people say either
    assert found.scores[0] == pytest.approx(0.537, abs=2e-3)
    assert found.boxes[0] == pytest.approx([171.6, 20.2, 419.3, 319.0], abs=0.7)
    assert found.source == str(COFFEE)
    assert found.model == "bundled"
    assert len(ground(COFFEE, "zebra. cup", grounder=Told())) == 0


@pytest.mark.parametrize(
    ("text", "advice"),
    [("dog cat", "write full stops between words, as in 'dog. cat.'"), ("red car", "say 'car'")],
)
def test_known_words_within_unknown_phrases_are_named(text: str, advice: str) -> None:
    with pytest.raises(InputError, match=f"got '{text}'; {advice}"):
        ground(COFFEE, text)


@pytest.mark.parametrize(
    "text", ["zebra", "Hund. собака", "\N{DOG FACE}", ["dog and cat"], " ".join(["dog"] * 300)]
)
def test_unknown_words_are_listed_with_what_is_known(text: Any) -> None:
    with pytest.raises(InputError, match=r"English .*bicycle, boot, .*car\), got ") as told:
        ground(COFFEE, text)
    assert "pip install 'anymask[text]'" in str(told.value)
    assert len(str(told.value)) < 700
    with pytest.raises(InputError, match="got 'zebra';"):
        ground(COFFEE, "dog", negative="zebra")


def test_a_grounder_of_open_words_takes_over_if_it_is_at_hand(monkeypatch: Any) -> None:
    open_words = Told((LEFT, 0.5, "zebra"))
    real = module.find_grounder
    monkeypatch.setattr(module, "_at_hand", lambda: "open")
    monkeypatch.setattr(
        module, "find_grounder", lambda n, d: open_words if n == "open" else real(n, d)
    )
    assert ground(PHOTO, "zebra").labels == ("zebra",)
    assert ground(COFFEE, "cup").model == "bundled"
    with pytest.raises(InputError, match="got 'zebra'"):
        ground(PHOTO, "zebra", grounder="bundled")  # named, so nobody else


def test_weights_are_at_hand_only_if_they_are_in_the_cache(
    monkeypatch: Any, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    import huggingface_hub

    kinds = {"bundled": module._KINDS["bundled"], "open": module._Kind("nowhere", "org/open")}
    monkeypatch.setattr(module, "_KINDS", kinds)
    assert module._at_hand() is None
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda repo, file: f"/cache/{repo}/{file}"
    )
    assert module._at_hand() == "open"


def test_a_grounder_is_loaded_once() -> None:
    assert find_grounder("bundled", "cpu") is find_grounder("bundled", "cpu")
    assert isinstance(find_grounder("bundled", "cpu"), Grounder)


@pytest.mark.parametrize("name", ["nobody", "", "Bundled", "a/b/c"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected a grounder out of bundled"):
        find_grounder(name, "cpu")


def test_a_folder_says_its_kind(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no config\.json"):
        find_grounder(tmp_path, "cpu")
    for content in ("{", "[]", "\xff"):
        (tmp_path / "config.json").write_text(content, encoding="latin-1")
        with pytest.raises(WeightsError, match=r"no config\.json that can be read"):
            find_grounder(tmp_path, "cpu")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="of the kind 'bert'"):
        find_grounder(tmp_path, "cpu")


def test_what_is_no_grounder_is_refused() -> None:
    with pytest.raises(InputError, match="name or folder of a grounder, got int"):
        ground(PHOTO, "dog", grounder=3)  # type: ignore[call-overload]


def test_without_words_all_that_is_known_is_looked_for() -> None:
    found = detect(COFFEE)
    assert found.labels == ("coffee cup",)
    assert [len(one) for one in detect([COFFEE, COFFEE], threshold=0.6)] == [0, 0]
    told = Told((LEFT, 0.5, "dog"), words=("dog", "cat"))
    assert detect(PHOTO, grounder=told).labels == ("dog",)
    assert told.asked[-1][1] == ("dog", "cat")
    assert detect(PHOTO, "cat", grounder=told).labels == ()
    with pytest.raises(InputError, match="got none for 'told', which takes any"):
        detect(PHOTO, grounder=Told())

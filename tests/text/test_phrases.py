"""What is asked for by name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from anymask.errors import InputError
from anymask.text.phrases import Phrases, parse, shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dog. person.", ("dog", "person")),
        ("A  dog and the\ncat; Dog", ("dog", "cat")),
        ("coffee   cup, an ox", ("coffee cup", "ox")),
        ("ＤＯＧ", ("dog",)),
        ("hand", ("hand",)),
        ("'dogs'!", ("dogs",)),
        ("\N{DOG FACE}", ("\N{DOG FACE}",)),
        ("dog \N{DOG FACE}", ("dog",)),
        ("dog or cat/cow & my two mugs | books", ("dog", "cat", "cow", "two mugs", "books")),
        ("corridor floor", ("corridor floor",)),
    ],
)
def test_texts_are_split(text: str, words: tuple[str, ...]) -> None:
    assert parse(text) == words


def test_a_list_keeps_its_phrases_whole_and_once() -> None:
    listed = ["A black and white  cat.", "Dog", "the dog", "dog."]
    assert parse(listed) == ("A black and white cat", "Dog")


@pytest.mark.parametrize(
    "text", ["", " . , ", "and", "!", [], ["dog", " "], ["."], [3], 3, None, b"dog"]
)
def test_what_names_nothing_is_refused(text: Any) -> None:
    with pytest.raises(InputError, match=r"expected (words|phrases)"):
        parse(text)


@pytest.mark.parametrize("threshold", [float("nan"), -0.1, 1.1, float("inf"), "0.3", True, [0.3]])
def test_a_threshold_is_a_number_from_0_to_1(threshold: Any) -> None:
    with pytest.raises(InputError, match="expected a threshold from 0 to 1"):
        Phrases.of("dog", threshold=threshold)
    with pytest.raises(InputError, match="expected a threshold of 'dog' from 0 to 1"):
        Phrases.of("dog", threshold={"dog": threshold})


def test_thresholds_of_single_phrases() -> None:
    phrases = Phrases.of(["The dog", "cat"], threshold={"dog": 0.6})
    assert [phrases.least(phrase, 0.3) for phrase in phrases.wanted] == [0.6, 0.3]
    assert Phrases.of("dog", threshold=0).least("dog", 0.3) == 0
    with pytest.raises(InputError, match="looked for, 'dog', got one for 'cat'"):
        Phrases.of("dog", threshold={"cat": 0.3})


def test_a_word_is_not_both_looked_for_and_not_meant() -> None:
    assert Phrases.of("dog", "cat. toy").all == ("dog", "cat", "toy")
    with pytest.raises(InputError, match="got 'dog' as both"):
        Phrases.of("dog. cat", ["The Dog"])
    with pytest.raises(InputError, match="words that name things, got ''"):
        Phrases.of("dog", "")


def test_a_flood_of_words_is_cut_short_and_steers_no_terminal() -> None:
    assert shown([f"thing{i}" for i in range(300)]).endswith("'thing2' and 297 more")
    said = shown(["\x1b[31m" + "x" * 10_000])
    assert "\x1b" not in said
    assert len(said) < 60


def test_it_needs_no_torch() -> None:
    code = "import sys, anymask.text.phrases; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

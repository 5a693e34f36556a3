"""Words for what the detector knows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from anymask.errors import InputError
from anymask.models.vocabulary import LABELS, labels_of, parse_words


def test_each_label_means_itself_and_its_plural() -> None:
    for label in LABELS:
        word = label.lower()
        assert label in labels_of(word)[word]
        assert label in labels_of(f"{word}s")[f"{word}s"]
        assert label in labels_of(label.upper())[word]


@pytest.mark.parametrize(
    ("word", "labels"),
    [
        ("people", ("Person",)),
        ("women", ("Person",)),
        ("puppies", ("Dog",)),
        ("cow", ("Cattle",)),
        ("calves", ("Cattle",)),
        ("tv", ("Computer monitor",)),
        ("bikes", ("Bicycle",)),
        ("cups", ("Coffee cup", "Mug")),
        ("shoes", ("Footwear", "Boot", "High heels")),
        ("boxes", ("Box",)),
        ("computer mice", ("Computer mouse",)),
        ("high heels", ("High heels",)),
        ("car", ("Car",)),
        ("vehicles", ("Vehicle", "Car")),
    ],
)
def test_plurals_and_synonyms(word: str, labels: tuple[str, ...]) -> None:
    assert labels_of(word) == {word: labels}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dog. person.", ("dog", "person")),
        ("A  dog and the\ncat; Dog", ("dog", "cat")),
        ("coffee   cup, an ox", ("coffee cup", "ox")),
        ("ＤＯＧ", ("dog",)),
        ("hand", ("hand",)),
    ],
)
def test_texts_are_split(text: str, words: tuple[str, ...]) -> None:
    assert parse_words(text) == words


@pytest.mark.parametrize("text", ["", " . , ", "and"])
def test_a_text_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"write e\.g\. 'dog'"):
        labels_of(text)


@pytest.mark.parametrize("word", ["zebra", "Hund", "\N{DOG FACE}", "собака", "dogged"])
def test_unknown_words_are_listed_with_what_is_known(word: str) -> None:
    with pytest.raises(InputError, match=r"English words for bicycle, boot, .*, car, got ") as told:
        labels_of(f"dog. {word}")
    assert repr(word.lower()) in str(told.value)
    assert "'dog'" not in str(told.value)


def test_a_flood_of_words_is_cut_short_and_steers_no_terminal() -> None:
    with pytest.raises(InputError) as told:
        labels_of(". ".join(f"thing{i}" for i in range(300)))
    assert "and 297 more" in str(told.value)
    with pytest.raises(InputError) as told:
        labels_of("\x1b[31m" + "x" * 10_000)
    assert "\x1b" not in str(told.value)
    assert len(str(told.value)) < 600


def test_it_needs_no_torch() -> None:
    code = "import sys, anymask.models.vocabulary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Words for what the detector knows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from anymask.models.vocabulary import LABELS, labels_of


def test_each_label_means_itself_and_its_plural() -> None:
    for label in LABELS:
        for word in (label, label.lower(), f"{label}s", label.upper(), f"the  {label}"):
            assert label in labels_of(word)


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
    assert labels_of(word) == labels


@pytest.mark.parametrize(
    "word", ["zebra", "Hund", "\N{DOG FACE}", "собака", "dogged", "", " ", "the", "s"]
)
def test_of_an_unknown_word_it_says_nothing(word: str) -> None:
    assert labels_of(word) == ()


def test_it_needs_no_torch() -> None:
    code = "import sys, anymask.models.vocabulary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Phrases and tokens: which phrase each token is of, however the phrases are written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.text.tiny_grounders import bert_vocabulary

from anymask.errors import InputError
from anymask.text.grounding_dino import captions, fits
from anymask.text.tokens import spell

transformers = pytest.importorskip("transformers")
DELIMITERS = {101, 102, 1012, 1029}


@pytest.fixture(scope="module")
def bert() -> Any:
    return transformers.BertTokenizer(vocab=bert_vocabulary())


def test_dots_and_special_tokens_in_a_phrase_are_no_delimiters(bert: Any) -> None:
    phrases = ["st. bernard", "[SEP] dog", "dog? cat.", "[CLS]", "red\ncar"]
    spelled = spell(bert, phrases, DELIMITERS)
    assert spelled.names == tuple(phrases)
    assert all(not DELIMITERS & {*ids} for ids in spelled.ids)
    words = [bert.convert_ids_to_tokens(list(ids)) for ids in spelled.ids]
    assert words[0] == ["st", "bernard"]
    assert words[2] == ["dog", "cat"]
    assert words[1][-1] == "dog"
    assert words[4] == ["red", "car"]


def test_phrases_that_are_spelled_alike_are_one(bert: Any) -> None:
    spelled = spell(bert, ["Dog", "dog", " DOG.", "café", "cafe", "dogs"], DELIMITERS)
    assert spelled.names == ("Dog", "café", "dogs")
    assert spelled.unreadable == ()


def test_what_cannot_be_read_is_named(bert: Any) -> None:
    phrases = ["dog", "", "...", "🐕", "\u200b", "漢字", "dog 🐕"]
    spelled = spell(bert, phrases, DELIMITERS)
    assert spelled.unreadable == ("", "...", "🐕", "\u200b", "漢字")
    assert spelled.names == ("dog", "dog 🐕")
    with pytest.raises(InputError, match="expected phrases with words that can be read, got ''"):
        spelled.checked(10)


def test_empty_and_endless_phrases_are_refused(bert: Any) -> None:
    with pytest.raises(InputError, match="expected at least one phrase, got none"):
        spell(bert, []).checked(10)
    with pytest.raises(InputError, match="at most 253 tokens, got 300 in 'dog dog"):
        spell(bert, ["dog " * 300]).checked(253)
    with pytest.raises(InputError, match="expected a list of phrases, got str"):
        spell(bert, "dog")


token = st.sampled_from([7, 8, 9, 10])
phrase_lists = st.lists(st.lists(token, min_size=1, max_size=6), min_size=1, max_size=30)


@given(phrases=phrase_lists, most=st.integers(9, 40))
def test_captions_hold_every_phrase_once_in_order(phrases: list[list[int]], most: int) -> None:
    read = captions(phrases, most)
    assert [place for caption in read for place in caption.phrases] == list(range(len(phrases)))
    for caption in read:
        assert len(caption.ids) == len(caption.owners) <= most
        assert caption.ids[0] == 101
        assert caption.ids[-2:] == (1012, 102)
        for number, place in enumerate(caption.phrases):
            ids = [
                i for i, owner in zip(caption.ids, caption.owners, strict=True) if owner == number
            ]
            assert ids == phrases[place]
        assert {i for i, o in zip(caption.ids, caption.owners, strict=True) if o < 0} <= DELIMITERS
    for one, other in pairwise(read):  # no caption more than is needed
        assert len(one.ids) + len(phrases[other.phrases[0]]) + 1 > most


@given(phrases=phrase_lists, seed=st.integers(0, 99))
@settings(deadline=None)
def test_a_box_gets_the_phrase_of_its_best_token(phrases: list[list[int]], seed: int) -> None:
    """Recorded logits, 256 columns wide, of which those that no token has are minus infinity."""
    generator = torch.Generator().manual_seed(seed)
    for caption in captions(phrases, 256):
        logits = torch.full((5, 256), -torch.inf)
        logits[:, : len(caption.ids)] = torch.randn(5, len(caption.ids), generator=generator)
        logits[:, 0] = 9  # the ends and full stops count for nothing, however well they fit
        logits[:, len(caption.ids) - 2 : len(caption.ids)] = 9
        scores, numbers = fits(logits, caption)
        for row, score, number in zip(logits, scores, numbers.tolist(), strict=True):
            each = {}
            for column, owner in enumerate(caption.owners):
                if owner >= 0:
                    place = caption.phrases[owner]
                    each[place] = max(each.get(place, -9.0), row[column].item())
            best = max(each, key=lambda place: each[place])
            assert number == best
            assert score.item() == pytest.approx(torch.tensor(each[best]).sigmoid().item())


def test_one_phrase_that_is_part_of_another(bert: Any) -> None:
    """ "dog" is a token of both: the place in the caption says of which."""
    spelled = spell(bert, ["dog", "dog house", "red dog house"], DELIMITERS)
    (caption,) = captions(spelled.ids, 256)
    logits = torch.full((3, 256), -torch.inf)
    logits[:, : len(caption.ids)] = -4.0
    house = [i for i, token in enumerate(caption.ids) if token == spelled.ids[1][1]]
    dog = [i for i, token in enumerate(caption.ids) if token == spelled.ids[0][0]]
    logits[0, dog] = torch.tensor([2.0, 1.0, 0.0])
    logits[1, dog[1]], logits[1, house[0]] = 0.5, 3.0
    logits[2, house[1]], logits[2, dog[0]] = 2.0, 1.9
    scores, numbers = fits(logits, caption)
    assert [spelled.names[i] for i in numbers] == ["dog", "dog house", "red dog house"]
    torch.testing.assert_close(scores, torch.tensor([2.0, 3.0, 2.0]).sigmoid())

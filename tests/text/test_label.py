from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.text.test_rank import count_calls
from tests.text.tiny_rankers import save_ranker

from anymask.config import LabelConfig
from anymask.detections import Detections
from anymask.errors import InputError
from anymask.image.image import Image
from anymask.masks.masks import Masks
from anymask.text.label import Labeller, label, load_labeller, match, rank, read_labels
from anymask.text.rank import Ranker, load_ranker

SIZE = (40, 60)
PHOTO = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def squares(*boxes: tuple[int, int, int, int], **known: Any) -> Masks:
    dense = np.zeros((len(boxes), *SIZE), bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense, **known)


class Found:
    """A grounder that finds what it is told to."""

    name, threshold, words = "found", 0.3, ("dog", "cat")

    def __init__(self, boxes: Any = (), scores: Any = (), labels: Any = ()) -> None:
        self.found = Detections(SIZE, list(boxes), list(scores), tuple(labels))

    def unknown(self, phrases: Any) -> tuple[str, ...]:
        return tuple(phrase for phrase in phrases if phrase not in self.words)

    def detect(self, images: Any, phrases: Any, threshold: float) -> list[Detections]:
        return [self.found.filter(labels=phrases, min_score=threshold) for _ in images]


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    pytest.importorskip("transformers")
    return load_ranker(str(save_ranker("siglip", tmp_path_factory.mktemp("siglip"))))


# -------------------------------------------------------------------------------- words


def test_words_come_with_commas_as_a_list_or_in_a_file(tmp_path: Path) -> None:
    expected = ("Cat", "black and white dog", "the-sky")
    assert read_labels("Cat,black and white  dog, the-sky,") == expected
    assert read_labels(list(expected)) == expected
    words = tmp_path / "words.txt"
    words.write_bytes(b"\xef\xbb\xbfCat\r\n\r\n  black and white dog\n # a comment\nthe-sky\n")
    assert read_labels(str(words)) == expected == read_labels(words)
    other = words.rename(tmp_path / "words.list")
    assert read_labels(str(other)) == expected


def test_a_word_that_is_named_twice_counts_once() -> None:
    assert read_labels("cat,dog,Cat,a dog,cat") == ("cat", "dog")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "expected words that name things, got ''"),
        (" , ,", "expected words that name things"),
        ([], "expected words that name things, got an empty list"),
        (["dog", " "], "expected phrases that name things, got ' '"),
        (["dog", 3], "expected phrases that name things, got 3"),
        (7, "expected words or a list of phrases, got int"),
        ("nowhere/words.txt", "cannot read the words in 'nowhere/words.txt': No such file"),
    ],
)
def test_no_words_are_one_sentence(given: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_labels(given)
    assert said in str(error.value)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00", b"cat\x00dog", b"\xff\xfec\x00"])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(InputError, match="which is no text; write the words themselves"):
        read_labels(tmp_path / "words.txt")


@pytest.mark.parametrize("content", [b"", b"\n \n\t\n"])
def test_a_file_without_words_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(InputError, match="expected a word on each line"):
        read_labels(tmp_path / "words.txt")


# ---------------------------------------------------------------------------- who names


def test_words_that_the_detector_knows_need_nothing_else() -> None:
    labeller = load_labeller("People, cup", device="cpu")
    assert (labeller.namer.name, labeller.classes) == ("bundled", ("People", "cup"))
    assert len(load_labeller("bundled", device="cpu").classes) == 23


def test_other_words_ask_for_a_ranker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anymask.text.label.is_at_hand", lambda name: False)
    with pytest.raises(InputError) as error:
        load_labeller(["cat", *(f"thing {i}" for i in range(5000))])
    said = str(error.value)
    assert "'thing 0', 'thing 1', 'thing 2' and 4997 more" in said
    assert "pip install 'anymask[text]'" in said and "cattle" in said


def test_a_ranker_whose_weights_are_here_takes_over(
    monkeypatch: pytest.MonkeyPatch, siglip: Ranker
) -> None:
    asked = []

    def load(name: str, device: str, *, offline: bool) -> Ranker:
        asked.append((name, device, offline))
        return siglip

    monkeypatch.setattr("anymask.text.label.is_at_hand", lambda name: name != "siglip2")
    monkeypatch.setattr("anymask.text.label.load_ranker", load)
    assert load_labeller("cat,sky", device="cpu", offline=True).namer is siglip
    assert asked == [("siglip2-naflex", "cpu", True)]
    assert load_labeller("cat", device="cpu").namer.name == "bundled"


def test_the_detector_by_name_knows_no_other_words() -> None:
    with pytest.raises(InputError, match=r"got 'sky'; use these, or for any words run pip"):
        load_labeller("cat,sky", ranker="bundled")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label_thresh": 2}, "label_thresh"),
        ({"label_outside": "white"}, "expected label_outside out of keep, dim, blank"),
        ({"label_keep": "some"}, "expected label_keep out of"),
        ({"label_template": "a photo"}, "expected a label_template with {} once"),
        ({"label_context": -1}, "label_context"),
        ({"thresh": 1}, "got 'thresh'; leave it out"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        load_labeller("cat", **options)
    assert said in str(error.value)


# ---------------------------------------------------------------- by recorded similarity


def test_the_most_alike_word_is_the_name_unless_the_background_is() -> None:
    cosines = [
        [0.28, 0.21, 0.15, 0.20],  # the first
        [0.20, 0.24, 0.15, 0.23],  # the second, by a margin of 0.01
        [0.20, 0.21, 0.15, 0.26],  # the background
        [0.25, 0.25, 0.10, 0.10],  # both: the earlier one
    ]
    probabilities = np.array(cosines)
    numbers, scores = rank(cosines, probabilities, 2)
    assert numbers.tolist() == [0, 1, -1, 0]
    np.testing.assert_allclose(scores, [0.28, 0.24, 0.21, 0.25], atol=1e-6)
    assert rank(cosines, probabilities, 2, margin=0.02)[0].tolist() == [0, -1, -1, 0]
    assert rank(cosines, probabilities, 2, threshold=0.26)[0].tolist() == [0, -1, -1, -1]


def test_without_background_phrases_something_is_always_named() -> None:
    numbers, _ = rank([[-0.9, -0.8]], [[0.1, 0.2]], 2, margin=0.5)
    assert numbers.tolist() == [1]


def test_no_masks_have_no_names() -> None:
    numbers, scores = rank(np.zeros((0, 3)), np.zeros((0, 3)), 2)
    assert numbers.shape == scores.shape == (0,)


# ---------------------------------------------------------------------------- by boxes


def test_each_box_names_the_mask_that_fits_best() -> None:
    masks = squares((10, 10, 30, 30), (10, 10, 20, 20), (0, 0, 60, 40), (12, 10, 30, 30))
    found = Detections(SIZE, [(9, 9, 30, 31), (11, 9, 21, 20), (31, 0, 59, 20)], [0.6, 0.9, 0.8])
    assert match(masks, found).tolist() == [0, 1, -1, -1]


def test_a_backdrop_is_no_thing() -> None:
    """What lies around a thing may have the very box of the detection."""
    dense = np.zeros((2, *SIZE), bool)
    dense[0, 4:38, 12:48] = True
    dense[1] = ~dense[0]
    found = Detections(SIZE, [(0, 0, 60, 40)], [0.9])
    assert match(Masks.from_dense(dense), found).tolist() == [0, -1]


def test_a_mask_is_not_named_twice() -> None:
    masks = squares((10, 10, 30, 30))
    found = Detections(SIZE, [(9, 9, 30, 31), (10, 10, 30, 30)], [0.9, 0.8])
    assert match(masks, found).tolist() == [0]
    assert match(masks[:0], found).tolist() == []
    assert match(masks, found[:0]).tolist() == [-1]


def test_names_and_their_scores_come_beside_what_was_known() -> None:
    masks = squares(
        (10, 10, 30, 30),
        (40, 5, 60, 25),
        (0, 0, 0, 0),
        scores=[0.9, 0.8, 0.7],
        labels=["old", "old", "old"],
        meta=[{"a": 1}, {"label_score": 0.5}, {}],
    )
    found = Found([(10, 10, 30, 30), (0, 0, 20, 20)], [0.75, 0.6], ["dog", "cat"])
    named = Labeller(("cat", "dog"), found, LabelConfig())(masks, PHOTO)
    assert named.labels == ("dog", None, None)
    assert [dict(meta) for meta in named.meta] == [{"a": 1, "label_score": 0.75}, {}, {}]
    assert named.scores.tolist() == masks.scores.tolist()
    assert named.counts == masks.counts


def test_the_image_must_be_that_of_the_masks() -> None:
    labeller = Labeller(("dog",), Found(), LabelConfig())
    with pytest.raises(InputError, match="expected the image of the masks, 60 x 40, got one of 40"):
        labeller(squares((1, 1, 9, 9)), PHOTO.transpose(1, 0, 2))


# ----------------------------------------------------------------------------- by looks


def test_a_hundred_masks_go_through_in_batches(
    siglip: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = count_calls(monkeypatch, siglip)
    boxes = [(x, y, x + 5, y + 3) for x in range(0, 50, 5) for y in range(0, 30, 3)]
    labeller = Labeller(("cat", "sky"), siglip, LabelConfig())
    for _ in range(2):
        assert len(labeller(squares(*boxes), PHOTO)) == 100
    assert sizes == {"images": [32, 32, 32, 4] * 2, "texts": [5]}


def test_a_ranker_names_as_its_similarities_say(siglip: Ranker) -> None:
    masks = squares((0, 0, 30, 20), (35, 5, 60, 40), (59, 39, 60, 40))
    words, config = ("sky", "grass", "dog"), LabelConfig(label_thresh=0.0, label_margin=-2)
    named = Labeller(words, siglip, config)(masks, PHOTO)
    assert set(named.labels) <= set(words)
    pieces = [Image.open(PHOTO).pixels[0:23, 0:33]]
    keep = replace(config, label_outside="keep")
    (first,) = Labeller(words, siglip, keep)(masks[:1], PHOTO)
    alike = siglip(pieces, words)
    assert first.labels == (words[int(alike.argmax())],)
    assert first.meta[0]["label_score"] == pytest.approx(
        float(siglip.probabilities(alike).max()), abs=1e-5
    )


def test_what_nothing_fits_has_no_name(siglip: Ranker) -> None:
    labeller = Labeller(("sky",), siglip, LabelConfig(label_thresh=1.0, label_margin=-2))
    assert labeller(squares((0, 0, 30, 20)), PHOTO).labels == (None,)


def test_a_word_is_no_background_of_its_own(
    siglip: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        Ranker,
        "__call__",
        lambda self, images, phrases, template: (
            asked.append((phrases, template)) or np.zeros((1, len(phrases)), np.float32)
        ),
    )
    config = LabelConfig(label_background="Sky, , ground", label_template="see {}!")
    Labeller(("sky",), siglip, config)(squares((0, 0, 30, 20)), PHOTO)
    assert asked == [(["sky", "ground"], "see {}!")]


def test_an_image_without_masks_has_no_names(siglip: Ranker) -> None:
    for namer in (siglip, Found([(1, 1, 9, 9)], [0.9], ["dog"])):
        assert len(Labeller(("dog",), namer, LabelConfig())(Masks.empty(SIZE), PHOTO)) == 0


# -------------------------------------------------------------------------- what is kept


def test_what_is_kept() -> None:
    boxes = [(10, 10, 30, 30), (40, 5, 60, 25), (0, 0, 5, 5)]
    found = Found(boxes[:2], [0.5, 0.7], ["dog", "cat"])

    def kept(keep: Any) -> tuple[tuple[str | None, ...], dict[str, int]]:
        named = Labeller(("dog", "cat"), found, LabelConfig(label_keep=keep))(
            squares(*boxes), PHOTO
        )
        return named.labels, dict(named.dropped)

    assert kept("all") == kept(None) == (("dog", "cat", None), {})
    assert kept("labelled") == kept("things") == (("dog", "cat"), {"label_keep": 1})


def test_of_one_thing_the_surest_mask_stays(siglip: Ranker, monkeypatch: Any) -> None:
    """Parts of a thing that have its name are not further things; other names are."""
    said = np.array([[0.5, 0.1], [0.9, 0.1], [0.1, 0.6], [0.7, 0.2], [0.0, 0.0]], np.float32)
    monkeypatch.setattr(Ranker, "__call__", lambda self, images, phrases, template: said)
    monkeypatch.setattr(Ranker, "probabilities", lambda self, cosines: cosines)
    masks = squares(
        (10, 10, 30, 30), (12, 12, 30, 30), (14, 14, 20, 20), (40, 5, 60, 25), (0, 0, 5, 5)
    )
    config = LabelConfig(label_background="", label_keep="things", label_thresh=0.3)
    named = Labeller(("dog", "cat"), siglip, config)(masks, PHOTO)
    assert named.labels == ("dog", "cat", "dog")
    assert named.areas.tolist() == [18 * 18, 36, 400]
    assert named.dropped == {"label_keep": 2}


def test_masks_of_a_photo_are_named_by_the_bundled_detector(coffee: Path) -> None:
    dense = np.zeros((2, 400, 600), bool)
    dense[0, 20:319, 172:419] = dense[1, :15, :15] = True
    named = label(Masks.from_dense(dense), coffee, ["dog", "cup"], device="cpu")
    assert named.labels == ("cup", None)
    assert named.meta[0]["label_score"] > 0.3
    few = label(Masks.from_dense(dense), coffee, "bundled", device="cpu", label_keep="labelled")
    assert len(few) == 1 and few.labels[0] in ("coffee cup", "mug")


@pytest.fixture
def coffee() -> Path:
    return Path(__file__).parents[2] / "docs" / "pictures" / "coffee.jpg"

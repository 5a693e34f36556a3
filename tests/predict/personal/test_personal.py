"""Things known from examples: all instances, none, several things, several views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.models.tiny import tiny
from tests.predict.personal.toy import BLUE, GREEN, RED, YELLOW, photo, square, toy

from anymask.config import PersonalConfig
from anymask.errors import CapabilityError, InputError
from anymask.image.image import Image
from anymask.models.build import build
from anymask.models.variants import VARIANTS, find
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter

PICTURES = Path(__file__).resolve().parents[3] / "docs/pictures"
REFERENCE = photo((RED, 40, 60), (GREEN, 160, 100))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.fixture
def model() -> Segmenter:
    return toy()


def test_a_thing_is_found_where_it_is(model: Segmenter) -> None:
    personal = model.personalize(REFERENCE, square(40, 60), names="brick")
    (masks,) = [personal.find(photo((BLUE, 10, 10), (RED, 150, 90)))]
    assert masks.labels == ("brick",)
    assert iou(masks.dense()[0], square(150, 90)) > 0.85
    assert 0.5 <= masks.scores[0] <= 1
    assert masks.meta[0]["predicted_iou"] == pytest.approx(0.9)
    assert masks.prompts[0] is not None
    assert square(150, 90)[tuple(masks.prompts[0].points_xy[0, ::-1].astype(int))]


def test_what_is_not_here_is_not_found(model: Segmenter) -> None:
    personal = model.personalize(REFERENCE, square(40, 60))
    for other in (photo((BLUE, 10, 10), (YELLOW, 150, 90)), photo(), photo((GREEN, 60, 60))):
        masks = personal.find(other)
        assert len(masks) == 0
        assert masks.size_hw == (192, 256)
        assert masks.dropped["threshold"] > 0
    assert len(model.personalize(REFERENCE, square(40, 60), threshold=0).find(photo())) > 0


def test_all_instances_are_found_and_no_more_than_wanted(model: Segmenter) -> None:
    places = [(10, 10), (180, 20), (20, 120), (120, 110)]
    image = photo(*((RED, x, y) for x, y in places))
    personal = model.personalize(REFERENCE, square(40, 60), clicks=3)  # two rounds and more
    masks = personal.find(image)
    assert len(masks) == 4
    for x, y in places:
        assert max(iou(mask, square(x, y)) for mask in masks.dense()) > 0.85
    assert len(model.personalize(REFERENCE, square(40, 60), max_instances=2).find(image)) == 2


def test_several_things_have_their_names(model: Segmenter) -> None:
    labels = 1 * square(40, 60) + 2 * square(160, 100)
    personal = model.personalize(REFERENCE, labels, names=["brick", "leaf"])
    assert personal.names == ("brick", "leaf")
    masks = personal.find(photo((GREEN, 20, 20), (RED, 150, 100), (BLUE, 20, 110)))
    found = dict(zip(masks.labels, masks.dense(), strict=True))
    assert found.keys() == {"brick", "leaf"}
    assert iou(found["leaf"], square(20, 20)) > 0.85
    assert iou(found["brick"], square(150, 100)) > 0.85


def test_one_place_is_one_thing(model: Segmenter) -> None:
    """Two names for what looks the same: the place goes to one of them."""
    personal = model.personalize(
        [REFERENCE, REFERENCE], [square(40, 60)] * 2, names=["brick", "tile"]
    )
    assert len(personal.find(photo((RED, 150, 90)))) == 1


def test_a_second_view_makes_another_look_known(model: Segmenter) -> None:
    """A thing that is red from one side and blue from the other."""
    other = photo((BLUE, 100, 50))
    image = photo((BLUE, 20, 90))
    assert len(model.personalize(REFERENCE, square(40, 60)).find(image)) == 0
    both = model.personalize([REFERENCE, other], [square(40, 60), square(100, 50)])
    assert len(both.things) == 1
    assert iou(both.find(image).dense()[0], square(20, 90)) > 0.85
    assert iou(both.find(photo((RED, 150, 90))).dense()[0], square(150, 90)) > 0.85
    assert len(both.find(photo((YELLOW, 150, 90)))) == 0


def test_the_reference_itself_is_found(model: Segmenter) -> None:
    masks = model.personalize(REFERENCE, square(40, 60)).find(REFERENCE)
    assert len(masks) == 1
    assert iou(masks.dense()[0], square(40, 60)) > 0.85


def test_a_cup_is_one_cup() -> None:
    """With the bundled model: what the first answer leaves of the cup is no second one."""
    model, path = load(), PICTURES / "coffee.jpg"
    cup = model.predict(path, box=(170, 15, 412, 310)).best()
    personal = model.personalize(path, cup, names="cup")
    masks = personal.find(path)
    assert masks.labels == ("cup",)
    assert iou(masks.dense()[0], cup.dense()[0]) > 0.85
    assert len(personal.find(PICTURES / "photos/astronaut.jpg")) == 0


def test_a_reference_is_encoded_once_and_an_image_once(model: Segmenter) -> None:
    network = model.network
    personal = model.personalize(REFERENCE, square(40, 60), clicks=4)
    assert network.encoded == 1 + 3  # with three views of it
    network.encoded, network.decoded = 0, []
    images = [photo((BLUE, 10, 10)), photo((YELLOW, 80, 20))]
    assert [len(masks) for masks in personal.find(images)] == [0, 0]
    assert network.encoded == 2
    assert network.decoded == [4, 4]  # one answer to each click, all in one go


def test_what_was_embedded_is_taken_as_it_is(model: Segmenter) -> None:
    personal = model.personalize(REFERENCE, square(40, 60))
    image = photo((RED, 150, 90))
    assert personal.find(model.embed(image)) == personal.find(image)


def test_published_methods_always_answer_once(model: Segmenter) -> None:
    for method in ("persam", "persam-f"):
        personal = model.personalize(REFERENCE, square(40, 60), names="brick", method=method)
        assert model.network.encoded == 1
        model.network.encoded = 0
        for image in (photo((RED, 150, 90)), photo((BLUE, 150, 90))):
            assert personal.find(image).labels == ("brick",)
        assert iou(personal.find(photo((RED, 150, 90))).dense()[0], square(150, 90)) > 0.85
        model.network.encoded = 0


@pytest.mark.parametrize("kind", ["three pixels", "grey", "large", "narrow"])
def test_unusual_references(kind: str, model: Segmenter) -> None:
    image, mask = REFERENCE, square(40, 60)
    if kind == "three pixels":
        mask = np.zeros_like(mask)
        mask[80, 60:63] = True
    elif kind == "grey":
        image = image[..., 0]
    elif kind == "large":
        image, mask = image.repeat(4, axis=0).repeat(4, axis=1), mask.repeat(4, 0).repeat(4, 1)
    else:
        image, mask = image[60:61], mask[60:61]
    for method in ("match", "persam"):
        masks = model.personalize(image, mask, method=method).find(photo((RED, 150, 90)))
        assert masks.size_hw == (192, 256)


@pytest.mark.parametrize("name", [v.name for v in VARIANTS])
def test_every_variant_finds_things_or_says_why_not(name: str) -> None:
    variant = tiny(find(name))
    network = build(variant).eval()
    model = Segmenter(variant, network, "0" * 64)
    image, mask = REFERENCE[::3, ::3].copy(), square(40, 60)[::3, ::3]
    if variant.kind == "instances" or "points" not in variant.capabilities:
        with pytest.raises(CapabilityError, match=f"got {name}, whose features cannot be compared"):
            model.personalize(image, mask)
        return
    for method, options in (("match", {"threshold": 0.0, "max_instances": 2}), ("persam", {})):
        personal = model.personalize(image, mask, method=method, **options)
        masks = personal.find(image[::-1].copy())
        assert set(masks.labels) <= {"thing"}
        assert len(masks) <= 2
        assert repr(personal) == f"Personal(thing; {name}, {method})"


def test_a_model_that_answers_no_click_is_refused() -> None:
    variant = tiny(find("sam-vit-b")).unprompted()
    model = Segmenter(variant, build(tiny(find("sam-vit-b"))).eval(), "0" * 64)
    with pytest.raises(CapabilityError, match="features cannot be compared"):
        model.personalize(REFERENCE, square(40, 60))


def test_settings_are_checked(model: Segmenter) -> None:
    with pytest.raises(InputError, match="threshold"):
        model.personalize(REFERENCE, square(40, 60), threshold=2)
    with pytest.raises(InputError, match="'tresh'"):
        model.personalize(REFERENCE, square(40, 60), tresh=0.3)
    with pytest.raises(InputError, match="PersonalConfig"):
        model.personalize(REFERENCE, square(40, 60), config={"threshold": 0.3})  # type: ignore[arg-type]
    config = PersonalConfig(max_instances=3)
    assert model.personalize(Image.open(REFERENCE), square(40, 60), config=config).config == config

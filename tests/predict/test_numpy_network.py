"""A model whose network is no ``nn.Module`` does everything that any model does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.models.numpy_network import VARIANT, FlatColours

from anymask.data.open import open_dataset
from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.evaluate.protocols.boxes import Boxes
from anymask.evaluate.protocols.points import Points
from anymask.models.network import MEMBERS
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

IMAGE = np.zeros((40, 60, 3), np.uint8)
IMAGE[10:30, 6:26] = (255, 0, 0)
IMAGE[4:24, 36:56] = (0, 0, 255)
RED, BLUE = (IMAGE[..., 0] > 0), (IMAGE[..., 2] > 0)
ON_RED, ON_BLUE = (15, 20), (45, 15)


@pytest.fixture
def model() -> Segmenter:
    return Segmenter(VARIANT, FlatColours(), "flat colours, version 1")


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_it_answers_every_kind_of_prompt(model: Segmenter) -> None:
    photo = model.embed(IMAGE)
    prompts = [
        Prompt([ON_RED]),
        Prompt([ON_BLUE, (2, 2)], labels=[1, 0]),
        Prompt(box=(36, 4, 56, 24)),
        Prompt(mask=RED),
    ]
    prompts.append(Prompt(mask_logits=model.predict(photo, points=[ON_RED]).logits[0]))
    answers = model.predict(photo, prompts=prompts)
    assert [len(masks) for masks in answers] == [3, 1, 1, 1, 1]
    for masks, wanted in zip(answers, [RED, BLUE, BLUE, RED, RED], strict=True):
        assert iou(masks.dense()[0], wanted) > 0.8
    assert answers[0].scores.tolist() == pytest.approx([0.9, 0.8, 0.7])  # best first
    assert model.network.prepared == 1


def test_it_takes_lists_of_images(model: Segmenter) -> None:
    photos = model.embed([IMAGE, IMAGE[:, ::-1]])
    (red,), (blue,) = model.predict(photos, prompts=[[Prompt([ON_RED])], [Prompt([(14, 15)])]])
    assert iou(red.dense()[0], RED) > 0.8
    assert iou(blue.dense()[0], BLUE[:, ::-1]) > 0.8


def test_it_finds_everything(model: Segmenter) -> None:
    masks = model.generate(IMAGE)
    assert max(iou(mask, RED) for mask in masks.dense()) > 0.8
    assert max(iou(mask, BLUE) for mask in masks.dense()) > 0.8


def test_its_embeddings_are_kept(model: Segmenter, tmp_path: Path) -> None:
    photo = model.embed(IMAGE)
    photo.save(tmp_path / "photo.embedding")
    again = Embedding.load(tmp_path / "photo.embedding")
    assert model.predict(again, points=[ON_RED]) == model.predict(photo, points=[ON_RED])
    with pytest.raises(InputError, match="another model"):
        replace(model, weights_digest="version 2").predict(again, points=[ON_RED])


def test_it_is_evaluated(model: Segmenter, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    PIL.Image.fromarray(IMAGE).save(tmp_path / "images/one.png")
    labels = RED + 2 * BLUE.astype(np.uint8)
    PIL.Image.fromarray(labels).save(tmp_path / "masks/one.0.png")
    (sample,) = open_dataset(tmp_path)
    for protocol, measure in ((Boxes(), "tight"), (Points(counts=(1, 2)), "first")):
        rows = protocol.measure(model, sample)
        assert len(rows) == 2
        assert np.ravel([row[measure] for row in rows]).min() > 0.7


def test_it_says_that_it_cannot_be_moved(model: Segmenter) -> None:
    assert model.to("cpu").network is model.network
    with pytest.raises(InputError, match="float32 on the CPU"):
        model.to(dtype="bfloat16")
    with pytest.raises(InputError, match="float32 on the CPU"):
        model.to("meta")


def test_new_weights_count(model: Segmenter) -> None:
    photo = model.embed(IMAGE)
    for version, times in ((0, 1), (0, 1), (1, 2), (1, 2)):
        model.network.version = version
        model.predict(photo, points=[ON_RED])
        assert model.network.prepared == times


@pytest.mark.parametrize("name", ["mask_hw", "encode", "prepare", "decode", "moved", "version"])
def test_what_is_no_network_is_refused(name: str) -> None:
    members = {known: None for known in MEMBERS if known != name}
    other = type("Other", (), members)()
    with pytest.raises(InputError, match=rf"got Other without {name};"):
        Segmenter(VARIANT, other, "")


@pytest.mark.parametrize(
    "answers",
    [
        (np.zeros((1, 32, 32)), np.zeros((1, 1))),
        (np.zeros((1, 1, 64, 64)), np.zeros((1, 1))),
        (np.zeros((1, 3, 32, 32)), np.zeros((1, 3))),
        (np.zeros((1, 1, 32, 32)), np.zeros(1)),
    ],
)
def test_answers_of_another_shape_are_refused(model: Segmenter, answers: tuple) -> None:
    model.network.decode = lambda features, prompts, multimask: answers
    with pytest.raises(InputError, match=r"expected logits \(1, 1, 32, 32\).*correct its decode"):
        model.predict(IMAGE, points=[ON_RED], multimask=False)


def test_nothing_of_it_is_a_module(model: Segmenter) -> None:
    assert not isinstance(model.network, torch.nn.Module)


@pytest.mark.parametrize(("tile", "got"), [(0, "0"), (-3, "-3"), ("64", "'64'"), (True, "True")])
def test_a_tile_that_cannot_be_is_refused(model: Segmenter, tile: int, got: str) -> None:
    with pytest.raises(InputError, match=rf"expected tiles of at least 64 pixels.*got {got};"):
        model.generate(IMAGE, tile=tile)


def test_a_halo_that_cannot_be_is_refused_even_where_nothing_is_tiled(model: Segmenter) -> None:
    with pytest.raises(InputError, match=r"expected a halo of at least 1 pixel.*got -3;"):
        model.generate(IMAGE, halo=-3)

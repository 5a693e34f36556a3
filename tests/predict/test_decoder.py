"""What `Segmenter.decode` hands on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anymask import Prompt, load
from anymask.image.image import Image

CLICKS = [Prompt([(10, 12)]), Prompt([(30, 20)])]


@pytest.fixture(scope="module")
def asked():
    """The bundled model and what it made of an image."""
    model = load("bundled", "cpu", runtime="torch")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    return model, model.embed(Image.open(pixels))


def test_prompts_of_one_form_are_answered_by_the_networks_own_tensors(asked, monkeypatch) -> None:
    model, embedding = asked
    given = []
    decode = type(model.network).decode

    def spy(network, features, prompts, multimask):
        given.append(decode(network, features, prompts, multimask))
        return given[-1]

    monkeypatch.setattr(type(model.network), "decode", spy)
    logits, iou = model.decode(embedding, CLICKS, True)
    assert logits.data_ptr() == given[0][0].data_ptr()
    assert iou.data_ptr() == given[0][1].data_ptr()


def test_several_forms_are_answered_in_order(asked) -> None:
    model, embedding = asked
    box = Prompt(box=(4, 4, 30, 28))
    mixed, _ = model.decode(embedding, [CLICKS[0], box, CLICKS[1]], True)
    alike, _ = model.decode(embedding, CLICKS, True)
    torch.testing.assert_close(mixed[[0, 2]], alike, rtol=0, atol=1e-4)
    alone, _ = model.decode(embedding, [box], True)
    torch.testing.assert_close(mixed[1:2], alone, rtol=0, atol=1e-4)


def test_answers_may_be_written_to_and_learned_from(asked) -> None:
    model, embedding = asked
    for prompts in (CLICKS, [CLICKS[0], Prompt(box=(4, 4, 30, 28))]):
        logits, _ = model.decode(embedding, prompts, True)
        logits -= 1.0
        logits.requires_grad_().sigmoid().sum().backward()
        assert logits.grad is not None


def test_no_prompt_gets_no_answer(asked) -> None:
    model, embedding = asked
    logits, iou = model.decode(embedding, [], True)
    assert logits.shape[:2] == iou.shape == (0, 3)

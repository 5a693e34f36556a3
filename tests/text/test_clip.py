from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from anymask.errors import MissingExtraError, WeightsError
from anymask.masks.masks import Masks
from anymask.text.rank import crops

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """A CLIP of a few thousand random weights that spells every word."""
    transformers = pytest.importorskip("transformers")
    folder = str(tmp_path_factory.mktemp("clip"))
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{one}</w>" for one in LETTERS)]
    tokenizer = transformers.CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=[])
    tokenizer.save_pretrained(folder)
    blocks = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = {"vocab_size": len(words), "hidden_size": 16, "eos_token_id": 1, **blocks}
    vision = {"image_size": 16, "patch_size": 8, "hidden_size": 16, **blocks}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    transformers.CLIPModel(config).save_pretrained(folder)
    return Clip.load(folder)


def pictures(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (5 + i, 9, 3), dtype=np.uint8) for i in range(n)]


def test_every_picture_is_compared_with_the_text(clip: Clip) -> None:
    alike = clip(pictures(40), "dog")  # more than go through at once
    assert alike.shape == (40,)
    assert alike.dtype == np.float32
    assert (np.abs(alike) <= 1).all()
    assert len(np.unique(alike)) == 40
    np.testing.assert_allclose(clip(pictures(3), "dog"), alike[:3], atol=1e-5)
    assert not np.allclose(clip(pictures(3), "zebra"), alike[:3], atol=1e-4)


def test_no_pictures_are_no_answers(clip: Clip) -> None:
    assert clip([], "dog").shape == (0,)


def test_a_model_is_read_once(clip: Clip) -> None:
    assert Clip.load(clip.model.name_or_path) is clip


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(WeightsError, match=r"cannot load the CLIP .*; give text_model") as error:
        Clip.load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_transformers_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[text\]'"):
        Clip.load("nothing")


@pytest.mark.parametrize("scale", [1, 2, 0.5])
def test_what_is_not_the_mask_is_grey(scale: float) -> None:
    """The picture may be larger or smaller than the image that the mask is of."""
    dense = np.zeros((2, 12, 16), dtype=bool)
    dense[0, 2:10, 4:12] = True
    dense[0, 2:6, 4:8] = False
    dense[1, 11, 15] = True
    picture = np.full((int(12 * scale), int(16 * scale), 3), 7, dtype=np.uint8)
    object_, corner = cut(Masks.from_dense(dense), picture)
    side = int(8 * scale)
    assert object_.shape == (side, side, 3)
    assert (object_[: side // 2, : side // 2] == (123, 117, 104)).all()
    assert (object_[side // 2 :] == 7).all()
    assert min(corner.shape) > 0

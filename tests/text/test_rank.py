from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.text.tiny_rankers import FAMILIES, save_ranker

from anymask.errors import MissingExtraError, WeightsError
from anymask.masks.masks import Masks
from anymask.text import rank
from anymask.text.rank import Ranker, crops, load_ranker

GREY = [123, 117, 104]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("transformers")
    return {name: save_ranker(name, tmp_path_factory.mktemp(name)) for name in FAMILIES}


@pytest.fixture(scope="module", params=FAMILIES)
def ranker(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Ranker:
    return load_ranker(str(folders[request.param]))


def images(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (5 + i, 9, 3), dtype=np.uint8) for i in range(n)]


def count_calls(monkeypatch: pytest.MonkeyPatch, ranker: Ranker) -> dict[str, list[int]]:
    """Note how many images and sentences go through the network each time."""
    sizes: dict[str, list[int]] = {"images": [], "texts": []}
    see, say = ranker.network.get_image_features, ranker.network.get_text_features

    def seen(**inputs):
        sizes["images"].append(len(inputs["pixel_values"]))
        return see(**inputs)

    def said(**inputs):
        sizes["texts"].append(len(inputs["input_ids"]))
        return say(**inputs)

    monkeypatch.setattr(ranker.network, "get_image_features", seen)
    monkeypatch.setattr(ranker.network, "get_text_features", said)
    return sizes


# ---------------------------------------------------------------------------- comparing


def test_every_image_is_compared_with_every_phrase(ranker: Ranker) -> None:
    alike = ranker(images(40), ["dog", "zebra"])  # more than go through at once
    assert alike.shape == (40, 2)
    assert alike.dtype == np.float32
    assert (np.abs(alike) <= 1).all()
    assert len(np.unique(alike)) == 80
    np.testing.assert_allclose(ranker(images(3), ["dog"])[:, 0], alike[:3, 0], atol=1e-5)
    np.testing.assert_allclose(ranker(images(3), ["zebra"])[:, 0], alike[:3, 1], atol=1e-5)


def test_crops_go_through_the_network_in_batches(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = count_calls(monkeypatch, ranker)
    phrases = [f"thing {i}" for i in range(300)]
    ranker(images(100), phrases)
    assert sizes == {"images": [32, 32, 32, 4], "texts": [256, 44]}
    ranker(images(1), phrases)  # of the next image
    assert sizes["texts"] == [256, 44]


def test_no_images_are_no_answers(ranker: Ranker) -> None:
    assert ranker([], ["dog", "cat"]).shape == (0, 2)
    assert ranker.probabilities(np.zeros((0, 2), np.float32)).shape == (0, 2)


def test_images_of_any_shape(ranker: Ranker) -> None:
    shapes = [(1, 1), (1, 700), (9000, 2), (40, 50)]
    alike = ranker([np.full((*shape, 3), 90, np.uint8) for shape in shapes], ["dog"])
    assert np.isfinite(alike).all()


def test_the_template_is_put_around_each_phrase(ranker: Ranker) -> None:
    usual = "this is a photo of {}." if ranker.sigmoid else "a photo of {}"
    (photo,) = images(1)
    plain = ranker([photo], [usual.format("dog")], template="{}")
    np.testing.assert_allclose(ranker([photo], ["dog"]), plain, atol=1e-5)
    other = ranker([photo], ["dog"], template="a drawing of {}")
    assert abs(float(other[0, 0] - plain[0, 0])) > 1e-5


def test_numbers_are_those_of_the_network_itself(ranker: Ranker) -> None:
    """Against the whole model on inputs made with its own processor."""
    photo = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    sentences = [ranker.template.format(word) for word in ("dog", "cat")]
    if ranker.sigmoid:
        words = ranker.tokenizer(
            sentences, padding="max_length", padding_side="right", max_length=64,
            return_tensors="pt",
        )  # fmt: skip
        words = {"input_ids": words["input_ids"]}
    else:
        words = ranker.tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.inference_mode():
        pixels = ranker.processor(images=[photo], return_tensors="pt")
        logits = ranker.network(**words, **pixels).logits_per_image
    said = torch.sigmoid(logits) if ranker.sigmoid else logits.softmax(dim=1)
    alike = ranker([photo], ["dog", "cat"])
    np.testing.assert_allclose(ranker.probabilities(alike), said.numpy(), rtol=1e-4, atol=1e-7)


def test_siglip_reads_as_it_was_trained(folders: dict[str, Path]) -> None:
    """Lower case, filled up at the right to 64 tokens, and without a mask of attention."""
    ranker = load_ranker(str(folders["siglip"]))
    (photo,) = images(1)
    np.testing.assert_allclose(ranker([photo], ["DOG"]), ranker([photo], ["dog"]), atol=1e-6)
    asked = []
    ranker.network.get_text_features, say = (
        lambda **inputs: asked.append(inputs) or say(**inputs),
        ranker.network.get_text_features,
    )
    try:
        ranker([photo], ["a cow"])
    finally:
        ranker.network.get_text_features = say
    (inputs,) = asked
    assert list(inputs) == ["input_ids"]
    assert inputs["input_ids"].shape == (1, 64)
    assert inputs["input_ids"][0, 0] != 0 and inputs["input_ids"][0, -1] == 0


def test_probabilities_of_siglip_say_that_nothing_fits(folders: dict[str, Path]) -> None:
    siglip, clip = (load_ranker(str(folders[name])) for name in ("siglip", "clip"))
    nothing = np.full((1, 3), -0.1, np.float32)
    assert siglip.probabilities(nothing).max() < 1e-4
    assert clip.probabilities(nothing).sum() == pytest.approx(1, abs=1e-5)


# ------------------------------------------------------------------------------ loading


def test_a_model_is_read_once(ranker: Ranker) -> None:
    assert load_ranker(ranker.name) is load_ranker(ranker.name)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("config.json", "Unrecognized model"),
        ("model.safetensors", "no file named model.safetensors"),
        ("tokenizer.json", "tokenizer"),
        ("preprocessor_config.json", "image processor"),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_without_the_right_files_is_one_sentence(
    folders: dict[str, Path], tmp_path: Path, family: str, missing: str, said: str
) -> None:
    shutil.copytree(folders[family], tmp_path / "model")
    (tmp_path / "model" / missing).unlink()
    with pytest.raises(WeightsError, match="cannot load the CLIP or SigLIP") as error:
        load_ranker(str(tmp_path / "model"))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_weights_that_lack_a_part_are_not_left_to_chance(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders["clip"], tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if "visual" not in name}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="lack 1 tensors, 'visual_projection"):
        load_ranker(str(tmp_path / "model"))


def test_a_model_of_another_kind_is_named(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.BertConfig(hidden_size=16).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="it is of the kind 'bert'; name a hub id"):
        load_ranker(str(tmp_path))


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./model", "nothing", "a/b/c"])
def test_what_is_not_there_is_not_looked_for_on_the_hub(name: str) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(WeightsError, match="there is no such folder"):
        load_ranker(name)


def test_offline_downloads_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="cannot load the CLIP or SigLIP 'some/model'"):
        load_ranker("some/model", offline=True)


def test_transformers_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    with monkeypatch.context() as patch:
        patch.setattr("importlib.import_module", missing)
        with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[text\]'"):
            load_ranker("nothing")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not rank.is_at_hand("siglip2")


# -------------------------------------------------------------------------------- crops


@pytest.mark.parametrize("scale", [1, 2, 0.5])
def test_what_is_not_the_mask_is_grey(scale: float) -> None:
    """The picture may be larger or smaller than the image that the mask is of."""
    dense = np.zeros((2, 12, 16), dtype=bool)
    dense[0, 2:10, 4:12] = True
    dense[0, 2:6, 4:8] = False
    dense[1, 11, 15] = True
    picture = np.full((int(12 * scale), int(16 * scale), 3), 7, dtype=np.uint8)
    object_, corner = crops(Masks.from_dense(dense), picture)
    side = int(8 * scale)
    assert object_.shape == (side, side, 3)
    assert (object_[: side // 2, : side // 2] == GREY).all()
    assert (object_[side // 2 :] == 7).all()
    assert min(corner.shape) > 0


@pytest.mark.parametrize(
    ("outside", "value"), [("keep", [7] * 3), ("dim", [65, 62, 55]), ("blank", GREY)]
)
def test_what_is_around_the_mask_is_kept_dimmed_or_blanked(outside, value) -> None:
    dense = np.zeros((20, 30), dtype=bool)
    dense[8:12, 10:20] = True
    picture = np.full((20, 30, 3), 7, dtype=np.uint8)
    (crop,) = crops(Masks.from_dense(dense), picture, context=0.2, outside=outside)
    assert crop.shape == (8, 14, 3)  # two pixels more on each side
    assert crop[0, 0].tolist() == value
    assert (crop[2:6, 2:12] == 7).all()


def test_a_widened_crop_ends_with_the_image() -> None:
    dense = np.zeros((20, 30), dtype=bool)
    dense[0:4, 25:30] = True
    (crop,) = crops(Masks.from_dense(dense), np.zeros((20, 30, 3), np.uint8), context=2)
    assert crop.shape == (14, 15, 3)
    (whole,) = crops(Masks.from_dense(dense), np.zeros((20, 30, 3), np.uint8), context=10)
    assert whole.shape == (20, 30, 3)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny
from tests.text.tiny_rankers import save_ranker
from torch import Tensor, nn

from anymask.config import GenerateConfig, InstanceConfig
from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError
from anymask.masks.masks import Masks
from anymask.models.build import build
from anymask.models.torch_network import TorchNetwork
from anymask.models.variants import find
from anymask.predict.instances import InstanceSegmenter
from anymask.predict.loading import load
from anymask.prompt import Prompt
from anymask.text.rank import crops, load_ranker

# Boxes in a picture of 128 x 64, which is also the frame, with a score for each.
WHOLE, PART, ELSEWHERE = (24, 24, 44, 44), (28, 28, 40, 40), (72, 24, 104, 40)
SCORES = {WHOLE: 0.9, PART: 0.8, ELSEWHERE: 0.5}
PICTURE = np.full((64, 128, 3), 200, np.uint8)


class Seen(TorchNetwork):
    """Stands for a network that finds three rectangles in every picture."""

    def __init__(self) -> None:
        super().__init__()
        self.any = nn.Parameter(torch.zeros(1))

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        return frame_hw[0] // 4, frame_hw[1] // 4

    def prepare(self, features):
        raise AssertionError("instances are not decoded")

    def decode(self, features, prompts, multimask):
        raise AssertionError("instances are not decoded")

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        b, _, h, w = pixels.shape
        features = {f"stride{s}": torch.zeros(b, 8, h // s, w // s) for s in (8, 16, 32)}
        prototypes = torch.full((b, 3, h // 4, w // 4), -0.5)  # the box cuts corners sharp
        for i, (box, score) in enumerate(SCORES.items()):
            x0, y0, x1, y1 = box
            prototypes[:, i, y0 // 4 : y1 // 4, x0 // 4 : x1 // 4] = 1
            column, row = (x0 + x1) // 16, (y0 + y1) // 16
            x, y = 8 * column + 4, 8 * row + 4
            edges = torch.tensor([x - x0, y - y0, x1 - x, y1 - y]) / 8
            cell = torch.cat([edges, torch.tensor([score]), torch.eye(3)[i]])
            features["stride8"][:, :, row, column + (box == PART)] = cell
            if box == PART:  # the cell of the whole is taken: a neighbour speaks for it
                features["stride8"][:, [0, 2], row, column + 1] += torch.tensor([1.0, -1.0])
        return {**features, "prototypes": prototypes, "picture": pixels.half()}


def model_of(**changes) -> InstanceSegmenter:
    variant = find("fastsam-s")
    variant = replace(variant, preprocessing=replace(variant.preprocessing, side=128))
    return InstanceSegmenter(variant, Seen(), "0" * 64, **changes)


@pytest.fixture(scope="module")
def model() -> InstanceSegmenter:
    return model_of()


@pytest.fixture(scope="module")
def photo(model: InstanceSegmenter) -> Embedding:
    return model.embed(PICTURE)


def boxes(masks: Masks) -> list[tuple[int, ...]]:
    """Boxes round the pixels."""
    return [tuple(int(v) for v in box + np.array([0, 0, 1, 1])) for box in masks.boxes]


def test_everything_is_found_best_first(model: InstanceSegmenter) -> None:
    masks = model.generate(PICTURE)
    assert boxes(masks) == [WHOLE, PART, ELSEWHERE]
    np.testing.assert_allclose(masks.scores, [0.9, 0.8, 0.5], rtol=1e-6)
    assert masks.areas.tolist() == [20 * 20, 12 * 12, 32 * 16]
    assert masks.model == "fastsam-s"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"confidence": 0.6}, [WHOLE, PART]),
        ({"max_instances": 1}, [WHOLE]),
        ({"box_nms_thresh": 0.3}, [WHOLE, ELSEWHERE]),
        ({"confidence": 0.95}, []),
    ],
)
def test_settings_of_everything_mode(model: InstanceSegmenter, options, wanted) -> None:
    assert boxes(model.generate(PICTURE, **options)) == wanted
    assert boxes(model.generate(PICTURE, InstanceConfig(**options))) == wanted
    assert boxes(model_of(settings=InstanceConfig(**options)).generate(PICTURE)) == wanted


def test_settings_of_other_models_are_refused(model: InstanceSegmenter) -> None:
    with pytest.raises(InputError, match="'points_per_side'; leave it out"):
        model.generate(PICTURE, points_per_side=8)
    with pytest.raises(InputError, match="as InstanceConfig, got GenerateConfig"):
        model.generate(PICTURE, GenerateConfig())


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ({"points": [(34, 34)]}, [PART]),
        ({"points": [(34, 34), (26, 26)]}, [WHOLE]),
        ({"points": [(34, 34)], "multimask": True}, [PART, WHOLE]),
        ({"points": [(26, 34), (34, 34)], "labels": [1, 0]}, [WHOLE]),
        ({"box": (20, 20, 48, 48)}, [WHOLE]),
        ({"box": (28, 28, 40, 40)}, [PART]),
        ({"box": (60, 10, 120, 60)}, [ELSEWHERE]),
        ({"points": [(2, 2)]}, []),
        ({"box": (0, 0, 10, 10)}, []),
    ],
)
def test_prompts_select(model: InstanceSegmenter, photo: Embedding, prompt, wanted) -> None:
    masks = model.predict(photo, **prompt)
    assert boxes(masks) == wanted
    assert len(masks.prompts) == len(wanted)
    assert boxes(model.predict(PICTURE, **prompt)) == wanted


def test_prompts_of_all_kinds_are_answered_in_order(
    model: InstanceSegmenter, photo: Embedding
) -> None:
    prompts = [Prompt([(80, 30)]), Prompt(box=(28, 28, 40, 40)), Prompt([(2, 2)])]
    answers = model.predict([photo, PICTURE], prompts=[prompts, prompts[:1]])
    found = [[boxes(masks) for masks in group] for group in answers]
    assert found == [[[ELSEWHERE], [PART], []], [[ELSEWHERE]]]
    assert answers[0][1].prompts == (prompts[1],)


def test_points_can_be_answered_by_merging(photo: Embedding) -> None:
    merging = model_of(settings=InstanceConfig(merge_points=True))
    masks = merging.predict(photo, points=[(34, 34), (80, 30)])
    assert masks.areas.tolist() == [20 * 20 + 32 * 16]
    ring = merging.predict(photo, points=[(34, 34), (26, 26)], labels=[0, 1])
    assert ring.areas.tolist() == [20 * 20 - 12 * 12]
    assert boxes(merging.predict(photo, box=(28, 28, 40, 40))) == [PART]


def test_text_asks_the_scorer(photo: Embedding) -> None:
    asked = []

    def score(images, phrases):
        pictures = list(images)
        asked.append((phrases, [picture.shape for picture in pictures], pictures[0][0, 0].tolist()))
        return [[0.1], [0.3], [0.25]]

    assert boxes(model_of(scorer=score).predict(photo, text="dog", multimask=True)) == [
        PART,
        ELSEWHERE,
    ]
    assert asked == [(["dog"], [(20, 20, 3), (12, 12, 3), (16, 32, 3)], [200, 200, 200])]
    careful = model_of(scorer=score, settings=InstanceConfig(text_thresh=0.5))
    assert len(careful.predict(photo, text="dog")) == 0


def test_a_scorer_must_give_a_number_for_each_image(photo: Embedding) -> None:
    with pytest.raises(InputError, match=r"expected a scorer that gives \(3, 1\) numbers"):
        model_of(scorer=lambda images, phrases: [0.1, 0.3, 0.25]).predict(photo, text="dog")


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_text_asks_a_model_of_words(photo: Embedding, tmp_path: Path, family: str) -> None:
    """CLIP's cosine has to be enough, or the probability that SigLIP gives by itself."""
    pytest.importorskip("transformers")
    folder = str(save_ranker(family, tmp_path))

    def found(text_thresh: float | None) -> Masks:
        settings = InstanceConfig(text_model=folder, text_thresh=text_thresh)
        return model_of(settings=settings).predict(photo, text="dog", multimask=True)

    everything = found(-1 if family == "clip" else 0)
    assert len(everything) == 3
    assert len(found(1)) == 0
    ranker = load_ranker(folder)
    alike = ranker(crops(everything, PICTURE), ["dog"])
    assert (np.diff(alike[:, 0]) <= 1e-3).all()
    sure = alike >= 0.23 if family == "clip" else ranker.probabilities(alike) >= 0.05
    assert len(found(None)) == sure.sum()


def test_what_it_does_not_know_is_said(model: InstanceSegmenter, photo: Embedding) -> None:
    with pytest.raises(CapabilityError, match="masks as prompts"):
        model.predict(photo, mask=np.ones((64, 128), bool))
    with pytest.raises(CapabilityError, match="call predict"):
        tiny_model().decode(tiny_model().embed(PICTURE), [Prompt([(3, 3)])], multimask=False)
    with pytest.raises(InputError, match="inside the 128 x 64 image"):
        model.predict(photo, points=[(200, 3)])
    with pytest.raises(InputError, match="made with these weights"):
        tiny_model().predict(photo, points=[(3, 3)])


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_embeddings_survive_a_file(
    model: InstanceSegmenter, photo: Embedding, tmp_path: Path, dtype: str
) -> None:
    photo.save(tmp_path / "photo.safetensors", dtype)
    again = Embedding.load(tmp_path / "photo.safetensors")
    for point, wanted in (((34, 34), PART), ((26, 26), WHOLE), ((80, 30), ELSEWHERE)):
        found = boxes(model.predict(again, points=[point]))
        np.testing.assert_allclose(found, [wanted], atol=1)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 200), (200, 1), (37, 90)])
def test_coarse_and_fine_masks_cover_any_picture(size_hw: tuple[int, int]) -> None:
    model = tiny_model()
    for retina in (True, False):
        masks = model.generate(np.zeros((*size_hw, 3), np.uint8), confidence=0, retina=retina)
        assert masks.size_hw == size_hw


def test_a_list_of_pictures_goes_through_at_once(model: InstanceSegmenter) -> None:
    one, two = model.embed([PICTURE, PICTURE])
    assert one.signature == two.signature == model.embed(PICTURE).signature


def tiny_model() -> InstanceSegmenter:
    variant = tiny(find("fastsam-x"))
    torch.manual_seed(0)
    return InstanceSegmenter(variant, build(variant).eval(), "1" * 64)


# ---- from files -----------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [16, 20])
def test_a_file_of_weights_is_recognised_with_its_bins(tmp_path: Path, bins: int) -> None:
    variant = find("fastsam-s")
    network = build(replace(variant, network=replace(variant.network, bins=bins))).half()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    model = load(tmp_path / "weights.pt", device="cpu")
    assert isinstance(model, InstanceSegmenter)
    assert model.variant.name == "fastsam-s"
    assert model.variant.network.bins == bins
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert model.generate(PICTURE).size_hw == (64, 128)

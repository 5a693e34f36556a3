"""Embedding and prediction, on a network that draws discs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError, WeightsError
from anymask.image.image import Image
from anymask.masks.masks import Masks
from anymask.models.prompt_batch import PromptBatch
from anymask.models.torch_network import TorchNetwork
from anymask.models.variants import Preprocessing, Variant, find
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

RADII = (8.0, 32.0, 16.0)  # frame pixels; the answers of a prompt are not in order of quality
QUALITY = (0.5, 0.9, 0.7)


class DiscNet(TorchNetwork):
    """Draws discs round the middle of a prompt's points, or of its box."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.seen: list[tuple[Tensor, tuple[int, int]]] = []
        self.batches: list[tuple[PromptBatch, bool]] = []
        self.prepared = 0

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        return frame_hw[0] // 4, frame_hw[1] // 4

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        self.seen.append((pixels, resized_hw))
        return {"mean": pixels.mean(dim=(2, 3), keepdim=True) * self.gain}

    def prepare(self, features: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        self.prepared += 1
        return {name: value + 0 for name, value in features.items()}

    def decode(
        self, features: Mapping[str, Tensor], prompts: PromptBatch, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        self.batches.append((prompts, multimask))
        h, w = self.mask_hw(prompts.frame_hw)
        middle = prompts.points_xy.mean(dim=1)
        if prompts.boxes is not None:
            middle = prompts.boxes.reshape(-1, 2, 2).mean(dim=1)
        y, x = torch.meshgrid(4 * torch.arange(h) + 2, 4 * torch.arange(w) + 2, indexing="ij")
        distance = (torch.stack([x, y], dim=-1) - middle[:, None, None]).norm(dim=-1)
        slots = slice(3) if multimask else slice(1, 2)
        logits = 4 * (torch.tensor(RADII[slots])[:, None, None] - distance[:, None])
        iou = torch.tensor(QUALITY[slots]) + 0.01 * features["mean"].mean()
        return logits, iou.expand(len(prompts), -1)


VARIANT = replace(
    find("sam-vit-b"), name="discs", preprocessing=Preprocessing(side=128), aliases=()
)


def disc_model(variant: Variant = VARIANT, digest: str = "0") -> Segmenter:
    return Segmenter(variant, DiscNet().eval(), digest)


def picture(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def middle_xy(mask: np.ndarray) -> list[float]:
    y, x = np.nonzero(mask)
    return [x.mean() + 0.5, y.mean() + 0.5]


# ---------------------------------------------------------------------- embed


def test_the_network_sees_a_normalised_picture_with_zeros_around() -> None:
    model = disc_model()
    grey = np.full((50, 100, 3), 200, dtype=np.uint8)
    embedding = model.embed(grey)
    ((pixels, resized_hw),) = model.network.seen  # type: ignore[attr-defined]
    wanted = VARIANT.preprocessing
    assert pixels.shape == (1, 3, 128, 128)
    assert pixels.dtype == torch.float32
    assert resized_hw == embedding.transform.resized_hw == (64, 128)
    for channel, mean, std in zip(pixels[0], wanted.mean, wanted.std, strict=True):
        torch.testing.assert_close(channel[:64], torch.full((64, 128), (200 - mean) / std))
        assert not channel[64:].any()


def test_embed_takes_every_kind_of_image(tmp_path: Path) -> None:
    model = disc_model()
    pixels = picture(20, 30)
    path = tmp_path / "photo.png"
    PIL.Image.fromarray(pixels).save(path)
    kinds = [pixels, path, str(path), path.read_bytes(), PIL.Image.open(path), Image.open(pixels)]
    one_by_one = [model.embed(kind) for kind in kinds]
    assert len({embedding.signature for embedding in one_by_one}) == 1
    together = model.embed(kinds)
    assert [e.signature for e in together] == [e.signature for e in one_by_one]
    assert model.embed([]) == []


def test_images_of_one_size_go_through_the_network_together() -> None:
    model = disc_model()
    sizes = [(40, 60), (60, 40), (40, 60), (80, 120)] + [(40, 60)] * 7
    images = [picture(h, w, seed) for seed, (h, w) in enumerate(sizes)]
    together = model.embed(images)
    seen = [len(pixels) for pixels, _ in model.network.seen]  # type: ignore[attr-defined]
    assert seen == [7, 1, 3]  # the first eight: all that fill the same frame, and the upright one
    for image, size_hw, embedding in zip(images, sizes, together, strict=True):
        alone = model.embed(image)
        assert embedding.size_hw == size_hw
        assert (embedding.signature, embedding.transform) == (alone.signature, alone.transform)
        torch.testing.assert_close(embedding.features, alone.features)


def test_embeddings_do_not_share_memory() -> None:
    model = disc_model()
    first, second = model.embed([picture(8, 8), picture(8, 8, seed=1)])
    storages = [e.features["mean"].untyped_storage() for e in (first, second)]
    assert storages[0].data_ptr() != storages[1].data_ptr()
    assert storages[0].nbytes() == 3 * 4


def test_the_signature_tells_images_preprocessing_and_weights_apart() -> None:
    image = picture(20, 30)
    other_steps = replace(VARIANT, preprocessing=Preprocessing(side=64))
    signatures = [
        disc_model().embed(image).signature,
        disc_model().embed(picture(20, 30, seed=1)).signature,
        disc_model().embed(image[:, :-1]).signature,
        disc_model(digest="1").embed(image).signature,
        disc_model(other_steps).embed(image).signature,
    ]
    assert len(set(signatures)) == 5
    assert disc_model().embed(image).signature == signatures[0]


# -------------------------------------------------------------------- predict


def test_answers_come_best_first_with_all_that_is_known() -> None:
    model = disc_model()
    photo = model.embed(picture(128, 96))
    masks = model.predict(photo, points=[(40, 60)])
    assert isinstance(masks, Masks)
    assert masks.size_hw == (128, 96)
    assert len(masks) == 3
    assert (np.diff(masks.scores) < 0).all()
    assert masks.areas.tolist() == sorted(masks.areas.tolist(), reverse=True)  # as their radii
    assert masks.areas[0] == pytest.approx(np.pi * 32**2, rel=0.1)
    assert masks.model == "discs"
    assert masks.logits is not None and masks.logits.shape == (3, 32, 32)
    assert [p.points_xy.tolist() for p in masks.prompts if p] == [[[40, 60]]] * 3


def test_logits_stay_with_their_masks() -> None:
    model = disc_model()
    masks = model.predict(picture(128, 128), points=[(64, 64)])
    assert masks.logits is not None
    for mask, logits in zip(masks.dense(), masks.logits, strict=True):
        assert (logits > 0).sum() * 16 == pytest.approx(mask.sum(), rel=0.1)


@pytest.mark.parametrize("size_hw", [(128, 128), (64, 200), (300, 40), (777, 1000)])
@pytest.mark.parametrize("place", [(0.25, 0.5), (0.6, 0.7)])
def test_masks_lie_where_the_click_was(
    size_hw: tuple[int, int], place: tuple[float, float]
) -> None:
    h, w = size_hw
    click = [place[0] * w, place[1] * h]
    masks = disc_model().predict(picture(h, w), points=[click], multimask=True)
    smallest = masks.sort("area")[-1].dense()[0]
    tolerance = max(h, w) / 128 + 0.5
    assert middle_xy(smallest) == pytest.approx(click, abs=tolerance)
    box = [click[0] - w / 8, click[1] - h / 8, click[0] + w / 8, click[1] + h / 8]
    masks = disc_model().predict(picture(h, w), box=box, multimask=True)
    assert middle_xy(masks.sort("area")[-1].dense()[0]) == pytest.approx(click, abs=tolerance)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_tiny_pictures(size_hw: tuple[int, int]) -> None:
    masks = disc_model().predict(picture(*size_hw), points=[(0, 0)])
    assert masks.size_hw == size_hw
    assert len(masks) == 3


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        ({"points": [(5, 5)]}, 3),
        ({"points": (5, 5)}, 3),
        ({"points": [(5, 5)], "labels": [1]}, 3),
        ({"points": [(5, 5), (6, 6)]}, 1),
        ({"points": [(5, 5), (6, 6)], "labels": [1, 0]}, 1),
        ({"box": (2, 2, 9, 9)}, 1),
        ({"points": [(5, 5)], "box": (2, 2, 9, 9)}, 1),
        ({"points": [(5, 5)], "mask": np.ones((20, 30), dtype=bool)}, 1),
        ({"points": [(5, 5)], "mask_logits": np.zeros((32, 32), dtype=np.float32)}, 1),
        ({"points": [(5, 5)], "multimask": False}, 1),
        ({"box": (2, 2, 9, 9), "multimask": True}, 3),
    ],
)
def test_a_lone_click_gets_three_answers(said: dict[str, Any], answers: int) -> None:
    assert len(disc_model().predict(picture(20, 30), **said)) == answers


def test_what_is_said_reaches_the_network() -> None:
    model = disc_model()
    rough = np.zeros((64, 32), dtype=bool)
    rough[10:30, 5:20] = True
    model.predict(
        picture(64, 32), points=[(8, 20), (30, 60)], labels=[1, 0], box=(4, 8, 24, 40), mask=rough
    )
    ((batch, multimask),) = model.network.batches  # type: ignore[attr-defined]
    assert not multimask
    assert batch.points_xy.tolist() == [[[16, 40], [60, 120]]]
    assert batch.labels.tolist() == [[1, 0]]
    assert batch.boxes.tolist() == [[8, 16, 48, 80]]
    assert batch.mask_logits.shape == (1, 1, 32, 32)
    assert batch.mask_logits[0, 0, 10, 5] > 0 > batch.mask_logits[0, 0, 25, 30]


def test_answers_can_be_fed_back() -> None:
    model = disc_model()
    photo = model.embed(picture(100, 80))
    first = model.predict(photo, points=[(40, 50)])
    assert first.logits is not None
    for chosen in (first[0], first.best(), first.sort("area")[-1], first[first.scores < 0.6]):
        assert chosen.logits is not None
        model.predict(photo, points=[(40, 50), (60, 50)], mask_logits=chosen.logits)
        batch, _ = model.network.batches[-1]  # type: ignore[attr-defined]
        assert np.array_equal(batch.mask_logits[0].numpy(), chosen.logits)
        in_frame = batch.mask_logits[0, 0] > 0  # the mask that was meant, at a quarter of the size
        assert in_frame.sum() * 16 == pytest.approx(chosen.areas[0] * (128 / 100) ** 2, rel=0.15)


MIXTURE = [
    Prompt([(30, 40)]),
    Prompt([(30, 40), (35, 45), (10, 10)], labels=[1, 1, 0]),
    Prompt(box=(20, 20, 60, 50)),
    Prompt([(50, 50)]),
    Prompt([(50, 50)], box=(20, 20, 60, 60)),
    Prompt([(10, 40), (12, 45), (80, 80)], labels=[1, 1, 0]),
    Prompt(box=(40, 10, 70, 90)),
]


def test_a_mixture_of_prompts_is_answered_in_order() -> None:
    model = disc_model()
    photo = model.embed(picture(100, 90))
    together = model.predict(photo, prompts=MIXTURE)
    forms = {(prompt.form, prompt.form == (1, False, False)) for prompt in MIXTURE}
    assert len(model.network.batches) == len(forms) == 4  # type: ignore[attr-defined]
    assert together == [model.predict(photo, prompts=prompt) for prompt in MIXTURE]
    assert [masks.prompts[0] for masks in together] == MIXTURE
    assert model.predict(photo, prompts=[]) == []


def test_a_long_list_goes_in_pieces() -> None:
    model = disc_model()
    photo = model.embed(picture(50, 50))
    prompts = [Prompt([(i % 50, i // 50)]) for i in range(150)]
    answers = model.predict(photo, prompts=prompts)
    sizes = [len(batch) for batch, _ in model.network.batches]  # type: ignore[attr-defined]
    assert sizes == [64, 64, 22]
    assert [masks.prompts[0] for masks in answers] == prompts


def test_several_images_with_their_own_prompts() -> None:
    model = disc_model()
    images = [picture(48, 60, seed) for seed in range(3)]
    prompts = [MIXTURE[:1], [], [Prompt(box=(1, 1, 30, 30)), Prompt([(3, 3)])]]
    photos = model.embed(images)
    answers = model.predict(photos, prompts=prompts)
    pairs = zip(photos, prompts, strict=True)
    assert answers == [[model.predict(photo, prompts=p) for p in some] for photo, some in pairs]
    model.network.seen.clear()  # type: ignore[attr-defined]
    assert answers == model.predict(images, prompts=prompts)
    assert [len(pixels) for pixels, _ in model.network.seen] == [3]  # type: ignore[attr-defined]
    assert answers == model.predict([photos[0], *images[1:]], prompts=prompts)
    assert answers[2][1].scores[0] != answers[0][0].scores[0]  # it was another image


def test_an_image_is_embedded_on_the_fly(tmp_path: Path) -> None:
    model = disc_model()
    path = tmp_path / "photo.png"
    PIL.Image.fromarray(picture(30, 40)).save(path)
    masks = model.predict(path, points=[(5, 5)])
    assert masks.source == str(path)
    assert masks == model.predict(model.embed(path), points=[(5, 5)])


def test_decode_keeps_the_networks_order() -> None:
    model = disc_model()
    photo = model.embed(picture(128, 128))
    logits, iou = model.decode(photo, MIXTURE, multimask=True)
    assert logits.shape == (len(MIXTURE), 3, 32, 32)
    assert iou.shape == (len(MIXTURE), 3)
    assert iou.argmax(dim=1).tolist() == [1] * len(MIXTURE)
    for i, prompt in enumerate(MIXTURE):
        assert torch.equal(model.decode(photo, [prompt], multimask=True)[0][0], logits[i])
    logits, iou = model.decode(photo, [], multimask=False)
    assert (tuple(logits.shape), tuple(iou.shape)) == ((0, 1, 32, 32), (0, 1))


def test_what_prompts_share_is_worked_out_once_per_image_and_weights() -> None:
    model = disc_model()
    network: Any = model.network
    photo, other = model.embed(picture(128, 128)), model.embed(picture(128, 128, 1))
    for _ in range(3):
        model.predict(photo, points=[(9, 9)])
    model.decode(photo, MIXTURE, multimask=True)
    assert network.prepared == 1
    model.predict([other, photo], prompts=[MIXTURE, MIXTURE])
    assert network.prepared == 2
    with torch.no_grad():
        network.gain.mul_(2.0)
    model.predict([photo, photo], prompts=[MIXTURE, MIXTURE])
    assert network.prepared == 3


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_saved_embedding_answers_too(tmp_path: Path, dtype: Any) -> None:
    model = disc_model()
    photo = model.embed(picture(40, 60))
    photo.save(tmp_path / "photo.embedding", dtype)
    again = model.predict(Embedding.load(tmp_path / "photo.embedding"), points=[(9, 9)])
    fresh = model.predict(photo, points=[(9, 9)])
    assert again.counts[0].tolist() == fresh.counts[0].tolist()
    assert again.scores == pytest.approx(fresh.scores, abs=1e-3)


def test_half_precision_weights() -> None:
    network = DiscNet().to(torch.bfloat16).eval()
    model = Segmenter(VARIANT, network, "0")
    masks = model.predict(picture(40, 60), points=[(9, 9)])
    assert network.seen[0][0].dtype == torch.bfloat16
    assert masks.scores.dtype == np.float32


# ------------------------------------------------------------------ bad input

PHOTO = disc_model().embed(picture(20, 30))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "empty prompt"),
        ({"labels": [1]}, "expected one label for each of the 0 points"),
        ({"points": [(5, 5)], "labels": [1, 1]}, "expected one label for each of the 1 points"),
        ({"points": [(5, 5)], "labels": [2]}, "labels of 1"),
        ({"points": [(np.nan, 5)]}, "finite"),
        ({"points": [(31, 5)]}, "inside the 30 x 20 image"),
        ({"box": (9, 9, 2, 2)}, "swap"),
        ({"box": (40, 40, 50, 50)}, "box that touches the 30 x 20 image"),
        ({"mask": np.ones((30, 20), dtype=bool)}, "like the image"),
        ({"mask_logits": np.zeros((9, 9), dtype=np.float32)}, "mask_logits"),
        ({"points": [(5, 5)], "prompts": MIXTURE[0]}, "points or prompts, got both"),
        ({"box": (2, 2, 9, 9), "labels": [1], "prompts": []}, "labels and box or prompts"),
        ({"prompts": [[MIXTURE[0]]]}, "holds a list; lists of lists are for lists of embeddings"),
        ({"prompts": 5}, "expected a Prompt or a list of them, got int"),
        ({"prompts": "truck"}, "expected a Prompt or a list of them, got str"),
    ],
)
def test_wrong_prompts_are_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        disc_model().predict(PHOTO, **said)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (None, "2 lists, one for each embedding, got NoneType"),
        ([[]], "2 lists, one for each embedding, got 1"),
        (MIXTURE[:2], "expected a Prompt or a list of them, got Prompt"),
    ],
)
def test_wrong_lists_of_prompts_are_refused(prompts: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        disc_model().predict([PHOTO, PHOTO], prompts=prompts)


def test_several_images_want_prompts() -> None:
    with pytest.raises(InputError, match="one list for each of the 2 images, got points and box"):
        disc_model().predict([PHOTO, PHOTO], points=[(1, 1)], box=(0, 0, 5, 5))  # type: ignore[call-overload]


def test_an_embedding_of_another_model_is_refused() -> None:
    with pytest.raises(InputError, match="of another model; embed the image with this one"):
        disc_model(digest="1").predict(PHOTO, points=[(5, 5)])
    with pytest.raises(InputError, match="expected an Embedding, got ndarray"):
        disc_model().decode(picture(3, 3), MIXTURE, multimask=True)  # type: ignore[arg-type]


def test_prompts_are_checked_before_the_slow_part() -> None:
    model = disc_model()
    with pytest.raises(InputError, match="inside"):
        model.predict(picture(20, 30), points=[(99, 5)])
    assert model.network.seen == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("missing", "said", "words"),
    [
        ("points", {"points": [(5, 5)], "multimask": False}, "does not know points, only"),
        ("negative_points", {"points": [(5, 5)], "labels": [0]}, "background points"),
        ("box", {"box": (2, 2, 9, 9)}, "boxes"),
        ("mask", {"mask": np.ones((20, 30), dtype=bool)}, "masks as prompts"),
        ("mask", {"mask_logits": np.ones((32, 32), dtype=np.float32)}, "masks as prompts"),
        ("multimask", {"points": [(5, 5)], "multimask": True}, "three answers"),
        (None, {"prompts": Prompt(text="a truck")}, "text"),
    ],
)
def test_what_a_model_cannot_do_it_says(missing: Any, said: dict[str, Any], words: str) -> None:
    less = replace(VARIANT, capabilities=VARIANT.capabilities - {missing})
    with pytest.raises(CapabilityError, match=f"discs does not know .*{words}|{words}"):
        disc_model(less).predict(picture(20, 30), **said)


def test_without_three_answers_a_click_gets_one() -> None:
    less = replace(VARIANT, capabilities=VARIANT.capabilities - {"multimask"})
    assert len(disc_model(less).predict(picture(20, 30), points=[(5, 5)])) == 1


# ----------------------------------------------------------- generate and load


def test_generate_asks_a_grid() -> None:
    model = disc_model()
    masks = model.generate(
        Image(picture(128, 128), "photo.png"), points_per_side=4, pred_iou_thresh=0.8
    )
    assert len(masks) == 16  # the discs of radius 32 do not overlap enough to be duplicates
    assert (masks.source, masks.model) == ("photo.png", "discs")
    assert masks.scores.min() > 0.8
    assert {p.points_xy[0, 0] for p in masks.prompts if p} == {16, 48, 80, 112}


def test_generate_takes_lists_of_images() -> None:
    model = disc_model()
    images = [picture(128, 128), picture(60, 200), picture(1, 1), picture(128, 128)]
    found = model.generate(images, points_per_side=4, pred_iou_thresh=0.8)
    assert found == [model.generate(one, points_per_side=4, pred_iou_thresh=0.8) for one in images]
    assert model.generate([]) == []


def test_generate_starts_from_what_suits_the_model() -> None:
    suited = replace(VARIANT, generate=GenerateConfig(points_per_side=2, pred_iou_thresh=0.8))
    image = picture(128, 128)
    assert len(disc_model(suited).generate(image)) == 4
    assert len(disc_model(suited).generate(image, points_per_side=1)) == 1
    config = GenerateConfig(points_per_side=4, pred_iou_thresh=0.8)
    assert len(disc_model(suited).generate(image, config)) == 16
    assert len(disc_model(suited).generate(image, config, points_per_side=2)) == 4


def test_generate_names_the_settings_it_knows() -> None:
    with pytest.raises(InputError, match=r"points_per_side, .*, got 'points'"):
        disc_model().generate(picture(8, 8), points=3)
    with pytest.raises(InputError, match="points_per_batch"):
        disc_model().generate(picture(8, 8), points_per_batch=0)


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        disc_model().variant = VARIANT  # type: ignore[misc]


def test_load_gives_a_segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fake(*arguments: Any) -> tuple[DiscNet, Variant, str]:
        asked.append(arguments)
        return DiscNet(), VARIANT, "digest"

    monkeypatch.setattr("anymask.models.weights.load_network", fake)
    model = load("weights.pth", device="cpu", dtype=torch.bfloat16)
    assert asked == [("weights.pth", torch.device("cpu"), torch.bfloat16, False, None)]
    assert repr(model) == "Segmenter('discs', device='cpu')"
    assert (model.variant, model.weights_digest) == (VARIANT, "digest")
    load()
    assert asked[1][0] == "bundled"
    assert asked[1][1].type in ("cpu", "cuda", "mps", "xpu")


def test_load_refuses_what_is_not_there() -> None:
    with pytest.raises(WeightsError, match="sam-vit-b"):
        load("sam-vit-bb")
    for device in ("gpu9", "cuda:99"):
        with pytest.raises(InputError, match=f"got '{device}'; 'cpu' always works"):
            load("bundled", device=device)
    for dtype in ("float8", torch.int8):
        with pytest.raises(InputError, match="floating-point type out of float32"):
            load("bundled", device="cpu", dtype=dtype)


# ------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("prompt", "warned"),
    [
        ({"points": [(0.5, 0.25)]}, True),
        ({"points": [(0.5, 0.25), (1, 1)], "labels": [1, 0]}, True),
        ({"box": (0.1, 0.2, 0.8, 0.9)}, True),
        ({"box": (0, 0, 1, 1)}, True),
        ({"box": (0, 0, 1, 1), "points": [(0.5, 0.5)]}, True),
        ({"points": [(0, 0)]}, False),  # the first pixel
        ({"points": [(1, 1)]}, False),
        ({"points": [(0.5, 0.5), (3, 1)]}, False),
        ({"box": (0, 0, 1, 2)}, False),
        ({"box": (0, 0, 1, 1), "points": [(9, 9)]}, False),
    ],
)
def test_coordinates_that_look_like_shares(prompt: dict[str, Any], warned: bool) -> None:
    model, photo = disc_model(), picture(40, 60)
    for subject in (photo, model.embed(photo)):
        with pytest.warns(UserWarning, match="of a 60 x 40 image") if warned else nullcontext():
            assert len(model.predict(subject, **prompt))

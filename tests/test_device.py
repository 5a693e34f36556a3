"""Models on other devices and with other types of numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.tiny import tiny
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from anymask.config import GenerateConfig
from anymask.device import find_device, find_dtype, moved
from anymask.errors import InputError
from anymask.models.build import build
from anymask.models.variants import find
from anymask.predict.instances import InstanceSegmenter
from anymask.predict.loading import load
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

HALF = ["bfloat16", "float16"]
CPU = torch.device("cpu")
every_kind = pytest.mark.parametrize(
    "name", ["sam-vit-b", "mobile-sam", "efficient-sam-ti", "sam2.1-tiny", "fastsam-s", "bundled"]
)
PHOTO = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
PROMPTS = [Prompt([(20, 20)]), Prompt([(9, 9), (30, 30)], box=(1, 2, 60, 40))]


def tiny_model(name: str) -> Segmenter:
    torch.manual_seed(0)
    variant = tiny(find(name))
    network = build(variant).eval()
    if variant.kind == "instances":
        return InstanceSegmenter(variant, network, "tiny")
    # Without training, hardly anything passes the usual thresholds.
    low = GenerateConfig(4, pred_iou_thresh=0, stability_score_thresh=0)
    return Segmenter(replace(variant, generate=low), network, "tiny")


def error(got: Tensor, wanted: Tensor) -> float:
    return float((got.float() - wanted).norm() / wanted.norm())


class Watch(TorchDispatchMode):
    """Collects the types of all tensors that are made or used."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, made)) if isinstance(x, torch.Tensor)]
        self.dtypes |= {x.dtype for x in tensors}
        return made


@every_kind
def test_no_float64_on_the_way_from_image_to_masks(name: str) -> None:
    """Some devices do not have it."""
    model = tiny_model(name)
    with Watch() as watch:
        photo = model.embed([PHOTO, PHOTO[:30]])[0]
        model.predict(photo, prompts=PROMPTS)
        if "masks" in model.variant.capabilities:
            model.predict(photo, mask=PHOTO[..., 0] > 99)
        model.generate(PHOTO)
    assert torch.float32 in watch.dtypes
    assert not watch.dtypes & {torch.float64, torch.complex128}


# ---- moving ---------------------------------------------------------------------------------


@every_kind
def test_a_moved_network_is_there_entirely(name: str) -> None:
    network = tiny_model(name).network
    assert isinstance(network, nn.Module)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    there = moved(network, torch.device("meta"), torch.float16)
    tensors = [*there.parameters(), *there.buffers()]
    assert {x.device.type for x in tensors} == {"meta"}
    assert {x.dtype for x in tensors if x.is_floating_point()} == {torch.float16}
    assert list(there.state_dict()) == list(before)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_moved_network_keeps_what_may_learn_and_how_it_lies() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network[0].to(memory_format=torch.channels_last).bias.requires_grad_(False)
    there = moved(network, CPU, torch.bfloat16)
    assert [p.requires_grad for p in there.parameters()] == [True, False, True, True]
    assert there[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert there[1].num_batches_tracked.dtype == torch.int64


@every_kind
@pytest.mark.parametrize("dtype", HALF)
def test_a_model_with_half_the_bits_answers_nearly_the_same(name: str, dtype: str) -> None:
    model = tiny_model(name)
    half = model.to(dtype=dtype)
    assert (half.dtype, model.dtype) == (getattr(torch, dtype), torch.float32)
    assert type(half) is type(model)
    there, here = half.embed(PHOTO), model.embed(PHOTO)
    for feature in here.features:
        assert error(there.features[feature], here.features[feature]) < 0.05
    if not isinstance(model, InstanceSegmenter):
        logits, iou = half.decode(there, PROMPTS[:1], multimask=True)
        wanted_logits, wanted_iou = model.decode(here, PROMPTS[:1], multimask=True)
        assert logits.dtype == iou.dtype == torch.float32
        assert error(logits, wanted_logits) < 0.05
        torch.testing.assert_close(iou, wanted_iou, atol=0.02, rtol=0)
    assert len(half.generate(PHOTO)) > 0


def test_embeddings_fit_the_moved_model() -> None:
    model = tiny_model("sam-vit-b")
    half = model.to("cpu", torch.float16)
    there = half.predict(model.embed(PHOTO), prompts=PROMPTS[0])
    here = model.predict(half.embed(PHOTO), prompts=PROMPTS[0])
    np.testing.assert_allclose(there.scores, here.scores, atol=0.05)


@pytest.mark.parametrize("dtype", HALF)
def test_the_bundled_model_with_half_the_bits_cuts_the_same(parity_dir: Path, dtype: str) -> None:
    image = parity_dir / "images" / "truck_480x320.png"
    prompt = Prompt([(240, 180)], box=(40, 80, 440, 300))
    half = load("bundled", device="cpu", dtype=dtype).predict(image, prompts=prompt)
    whole = load("bundled", device="cpu").predict(image, prompts=prompt)
    one, other = half[0].dense()[0], whole[0].dense()[0]
    assert other.sum() > 1000
    assert (one & other).sum() / (one | other).sum() > 0.99


# ---- what there is not ----------------------------------------------------------------------


@pytest.mark.parametrize("device", ["gpu9", "cuda:99", "quantum"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(InputError, match=f"got '{device}'; 'cpu' always works"):
        find_device(device)


@pytest.mark.parametrize("dtype", ["half", "int8", torch.int8, torch.float8_e4m3fn, torch.cfloat])
def test_a_type_that_networks_do_not_compute_in(dtype: str | torch.dtype) -> None:
    with pytest.raises(InputError, match=r"expected dtype as .* out of float32, bfloat16"):
        find_dtype(dtype, CPU)


def test_a_type_that_the_device_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int, **__: object) -> None:
        raise TypeError("the framework doesn't support float64")

    monkeypatch.setattr(torch, "zeros", refuse)
    with pytest.raises(InputError, match=r"dtype that 'mps' has, got torch.float64; float32"):
        find_dtype(torch.float64, torch.device("mps"))


# ---- GPUs -----------------------------------------------------------------------------------


@pytest.mark.gpu
@every_kind
@pytest.mark.parametrize("dtype", ["float32", *HALF])
def test_a_gpu_answers_nearly_the_same(name: str, dtype: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = tiny_model(name)
    there = model.to("cuda", dtype)
    photos = there.embed([PHOTO, PHOTO])
    assert all(value.is_cuda for value in photos[1].features.values())
    for one, other in zip(
        there.predict(photos[1], prompts=PROMPTS),
        model.predict(PHOTO, prompts=PROMPTS),
        strict=True,
    ):
        np.testing.assert_allclose(one.scores, other.scores, atol=0.05)
    assert len(there.generate(PHOTO)) > 0

"""Every registered variant, built tiny, fulfils the protocol: forward, backward, save, load."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.models.tiny import SIDE, prompts, tiny
from torch.utils._python_dispatch import TorchDispatchMode

from anymask.models.config import FastSamConfig
from anymask.models.fastsam import FastSam
from anymask.models.prompt_batch import PromptBatch
from anymask.models.sam import Promptable
from anymask.models.variants import VARIANTS, Variant
from anymask.models.weights import build, fill, read_state

FRAME = (SIDE, SIDE)
FORMS = {
    "point": {"points": 1},
    "points": {"points": 3},
    "box": {"points": 0, "box": True},
    "box and points": {"points": 2, "box": True},
    "nothing": {"points": 0},
}

# Variants that differ in size only are the same when tiny.
KINDS = list({tiny(variant).network: variant for variant in VARIANTS}.values())
every_variant = pytest.mark.parametrize("variant", KINDS, ids=lambda v: v.name)
# Those that a prompt can ask; the others find everything at once.
PROMPTABLE = [variant for variant in KINDS if not isinstance(variant.network, FastSamConfig)]
every_promptable = pytest.mark.parametrize("variant", PROMPTABLE, ids=lambda v: v.name)


pytestmark = pytest.mark.usefixtures("one_thread")


def network_of(variant: Variant):
    torch.manual_seed(0)
    return build(tiny(variant)).eval()


def pixels(batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, *FRAME, generator=torch.Generator().manual_seed(1))


def all_it_says(network, batch: int = 1) -> list[torch.Tensor]:
    """What a network makes of images and, where it can be asked, of every form of prompt."""
    images = pixels(batch).to(next(network.parameters()).dtype)
    features = network.encode(images, FRAME)
    said = list(features.values())
    if isinstance(network, FastSam):
        return said
    for form in ({"points": 4}, {"points": 4, "box": True, "mask_hw": network.mask_hw(FRAME)}):
        for multimask in (True, False):
            said += network.decode(features, prompts(max(2, batch), **form), multimask)
    return said


@every_promptable
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("masked", [False, True], ids=["", "and mask"])
@torch.inference_mode()
def test_answers_have_the_promised_shapes(variant: Variant, form: str, masked: bool) -> None:
    network = network_of(variant)
    mask_hw = network.mask_hw(FRAME)
    batch = prompts(3, **FORMS[form], mask_hw=mask_hw if masked else None)
    features = network.encode(pixels(), FRAME)
    for multimask, answers in ((True, 3), (False, 1)):
        logits, iou = network.decode(features, batch, multimask)
        assert logits.shape == (3, answers, *mask_hw)
        assert iou.shape == (3, answers)
        assert logits.dtype == iou.dtype == torch.float32
        assert logits.isfinite().all() and iou.isfinite().all()


@every_promptable
@torch.inference_mode()
def test_single_and_nested_answers_differ(variant: Variant) -> None:
    network = network_of(variant)
    features = network.encode(pixels(), FRAME)
    one, _ = network.decode(features, prompts(1, 1), multimask=False)
    three, _ = network.decode(features, prompts(1, 1), multimask=True)
    answers = torch.cat([one, three], dim=1)[0].flatten(1)
    same = getattr(variant.network, "alone", False)  # SAM-HQ has one mask of its own for both
    assert len(answers.unique(dim=0)) == (3 if same else 4)


@every_promptable
@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_a_prompt_answers_the_same_alone_and_in_company(variant: Variant, form: str) -> None:
    network = network_of(variant)
    features = network.encode(pixels(), FRAME)
    # More than any network works on at a time.
    batch = prompts(20, **FORMS[form], mask_hw=network.mask_hw(FRAME))
    together, together_iou = network.decode(features, batch, multimask=True)
    for i in (0, 1, 9, 19):
        alone = replace(
            batch,
            points_xy=batch.points_xy[i : i + 1],
            labels=batch.labels[i : i + 1],
            boxes=None if batch.boxes is None else batch.boxes[i : i + 1],
            mask_logits=batch.mask_logits[i : i + 1],
        )
        logits, iou = network.decode(features, alone, multimask=True)
        torch.testing.assert_close(logits[0], together[i], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(iou[0], together_iou[i], rtol=1e-4, atol=1e-5)


@every_promptable
@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_prepared_features_give_the_same_answers(variant: Variant, form: str) -> None:
    network = network_of(variant)
    features = network.encode(pixels(), FRAME)
    prepared = network.prepare(features)
    for mask_hw in (None, network.mask_hw(FRAME)):
        for n in (1, 5):
            batch = prompts(n, **FORMS[form], mask_hw=mask_hw)
            wanted = network.decode(features, batch, multimask=True)
            got = network.decode(prepared, batch, multimask=True)
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@every_variant
@torch.inference_mode()
def test_images_encode_the_same_alone_and_in_company(variant: Variant) -> None:
    network = network_of(variant)
    images = pixels(3)
    together = network.encode(images, FRAME)
    for i in range(3):
        for name, alone in network.encode(images[i : i + 1], FRAME).items():
            torch.testing.assert_close(alone[0], together[name][i], rtol=1e-4, atol=1e-5)


@every_promptable
@torch.inference_mode()
def test_n_images_may_have_one_prompt_each(variant: Variant) -> None:
    network = network_of(variant)
    features = network.encode(pixels(2), FRAME)
    batch = prompts(2, 2)
    together, _ = network.decode(features, batch, multimask=True)
    for i in range(2):
        own = {name: value[i : i + 1] for name, value in features.items()}
        logits, _ = network.decode(own, batch, multimask=True)
        torch.testing.assert_close(logits[i], together[i], rtol=1e-4, atol=1e-5)


@every_variant
def test_gradients_reach_every_learned_parameter(variant: Variant) -> None:
    network = network_of(variant).train()
    loss = sum(said.float().square().mean() for said in all_it_says(network, batch=2))
    loss.backward()
    without = [k for k, p in network.named_parameters() if p.grad is None]
    # MobileSAM's file carries a classifier that nothing asks, FastSAM's the numbers 0, 1, 2 ...
    never = ("image_encoder.norm_head.", "image_encoder.head.", "model.22.dfl.")
    for_clips = getattr(network, "untaught", ())
    assert [k for k in without if not k.startswith((*never, *for_clips))] == []
    assert [k for k in for_clips if not any(name.startswith(k) for name in without)] in (
        [],
        ["no_obj_embed_spatial", "obj_ptr_tpos_proj."],  # which 2.0 does not have
    )


@every_variant
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
@torch.inference_mode()
def test_weights_survive_a_file(variant: Variant, tmp_path: Path, kind: str) -> None:
    network = network_of(variant)
    path = tmp_path / f"weights.{kind}"
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(state, path) if kind == "safetensors" else torch.save(state, path)

    torch.manual_seed(1)
    again = build(tiny(variant)).eval()
    fill(again, read_state(path), path)
    assert list(again.state_dict()) == list(network.state_dict())
    # Not to the last bit: where in memory weights lie decides how they are multiplied.
    torch.testing.assert_close(all_it_says(again), all_it_says(network), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)


@every_variant
@torch.inference_mode()
def test_bfloat16_works(variant: Variant) -> None:
    wanted, got = all_it_says(network_of(variant)), all_it_says(network_of(variant).bfloat16())
    for one, other in zip(wanted, got, strict=True):
        assert (other.float() - one).abs().mean() < 0.1 * one.abs().mean()


class OneDevice(TorchDispatchMode):
    """Sees that all tensors are made on one device, and none with numbers that some lack."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                assert tensor.device.type == "meta", func
                assert tensor.dtype != torch.float64, func
        return made


@every_variant
def test_all_of_a_network_moves_and_needs_no_float64(variant: Variant) -> None:
    network = network_of(variant).to("meta")
    mask_hw = network.mask_hw(FRAME)
    batches = [prompts(2, 3), prompts(2, 2, box=True, mask_hw=mask_hw)]
    batches = [moved(batch, "meta") for batch in batches]
    images = pixels().to("meta")
    with OneDevice(), torch.inference_mode():
        features = network.encode(images, FRAME)
        # The bundled decoder looks at values, of which the meta device has none.
        for batch in batches if isinstance(network, Promptable) else []:
            network.decode(features, batch, multimask=True)


def moved(batch: PromptBatch, device: str) -> PromptBatch:
    tensors = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return replace(
        batch, **{k: v.to(device) for k, v in tensors.items() if isinstance(v, torch.Tensor)}
    )


@every_promptable
def test_threads_share_a_network(variant: Variant) -> None:
    network = network_of(variant)

    def answer(seed: int) -> torch.Tensor:
        with torch.inference_mode():
            features = network.encode(pixels(), FRAME)
            return network.decode(features, prompts(2, 1 + seed % 3, seed=seed), True)[0]

    alone = [answer(seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(answer, range(12)))
    torch.testing.assert_close(together, alone)

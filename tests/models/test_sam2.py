"""SAM 2's network, small: each shortcut beside the plain way, and what it says."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from tests.models.adapted import lively
from tests.models.tiny import SIDE, prompts, tiny
from torch import Tensor, nn

from anymask.evaluate.published.encoder import plain
from anymask.models import hiera
from anymask.models.build import build
from anymask.models.detailed_decoder import Decoded, in_cells
from anymask.models.hiera import Hiera, in_one, pooled
from anymask.models.kernels import Conv2d
from anymask.models.lora import LoraConfig, add_lora
from anymask.models.memory import map_code, rotate, rotation, time_code
from anymask.models.prompt_encoder import with_corners
from anymask.models.sam2 import Sam2, published_name, single_answer, stability
from anymask.models.variants import find

TINY = tiny(find("sam2.1-tiny"))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network() -> Sam2:
    return lively("sam2.1-tiny")


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


# ---- the image encoder ----------------------------------------------------------------------


def levels(network: Sam2, pixels: Tensor) -> list[Tensor]:
    decoder = network.mask_decoder
    return list(network.image_encoder(pixels, (decoder.conv_s0, decoder.conv_s1)))


@pytest.mark.parametrize("tokens", [1, 64, 1 << 20])
def test_strips_and_joined_layers_change_no_number(
    network: Sam2, pixels: Tensor, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hiera, "_TOKENS_AT_ONCE", tokens)
    slow = copy.copy(network)
    slow._modules = {**network._modules, "image_encoder": plain(network.image_encoder)}
    with torch.no_grad():
        found, wanted = levels(network, pixels), levels(slow, pixels)
    with torch.enable_grad():  # where nothing is cut into strips
        recorded = levels(network, pixels)
    for a, b, c in zip(found, wanted, recorded, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))
        torch.testing.assert_close(a, c, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


def test_maps_have_the_strides_of_their_names(network: Sam2, pixels: Tensor) -> None:
    with torch.no_grad():
        maps = network.encode(pixels, (SIDE, SIDE))
    shapes = {name: tuple(value.shape[1:]) for name, value in maps.items()}
    assert shapes == {"image": (32, 4, 4), "high_res_1": (8, 8, 8), "high_res_0": (4, 16, 16)}


def test_a_position_is_stretched_and_repeated() -> None:
    trunk = Hiera(TINY.network.encoder)
    nn.init.normal_(trunk.pos_embed)
    nn.init.normal_(trunk.pos_embed_window)
    wanted = F.interpolate(trunk.pos_embed, (16, 24), mode="bicubic")
    wanted = wanted + trunk.pos_embed_window.repeat(1, 1, 2, 3)
    found = trunk.position((16, 24)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_the_largest_of_four_stays() -> None:
    x = torch.randn(2, 6, 4, 3)
    wanted = F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    assert (pooled(x) == wanted).all()


def test_two_layers_are_one_unless_one_is_more_than_its_weights() -> None:
    first, second = Conv2d(5, 9, 1), Conv2d(9, 3, 1)
    x = torch.randn(1, 2, 2, 5)
    wanted = second(first(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    torch.testing.assert_close(in_one(first, second, x), wanted)
    doubled = nn.Sequential(second, nn.ReLU())
    found = in_one(first, doubled, x)
    torch.testing.assert_close(found, wanted.relu())


# ---- the decoder ----------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2])
def test_finer_maps_are_laid_out_as_the_up_sampling_is(depth: int, network: Sam2) -> None:
    """A map that is its own place comes back in order by `pixel_order`."""
    from anymask.models.mask_decoder import pixel_order

    side = 4 << depth
    fine = torch.arange(side * side).view(1, 1, side, side)
    cells = in_cells(fine, depth)
    assert cells.shape == (1, 16, *(4,) * depth, 1)
    if depth == 2:
        order = pixel_order(torch.zeros(1, 1, 4, 4))
        assert (cells.flatten()[order] == fine[0, 0]).all()
    else:
        assert cells[0, 5].flatten().tolist() == [18, 19, 26, 27]


@torch.inference_mode()
def test_prompts_get_the_same_alone_in_company_and_prepared(network: Sam2, pixels: Tensor) -> None:
    features = network.encode(pixels[:1], (SIDE, SIDE))
    many = prompts(7, 2, box=True)
    whole = network.answer(features, many)
    ready = network.answer(network.prepare(features), many)
    for name, a, b in zip(Decoded._fields, whole, ready, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4, msg=name)
    alone = [network.answer(features, one) for one in many.split(1)]
    for name, a, *b in zip(Decoded._fields, whole, *alone, strict=True):
        torch.testing.assert_close(a, torch.cat(b), rtol=1e-4, atol=1e-4, msg=name)


@torch.inference_mode()
def test_each_image_is_asked_about_with_its_own_details(network: Sam2, pixels: Tensor) -> None:
    both = network.encode(pixels, (SIDE, SIDE))
    asked = prompts(2, 1)
    found = network.answer(both, asked)
    for i, one in enumerate(asked.split(1)):
        own = {name: maps[i : i + 1] for name, maps in both.items()}
        torch.testing.assert_close(found.logits[i], network.answer(own, one).logits[0])


@pytest.mark.parametrize("name", ["high_res_0", "high_res_1", "image"])
@torch.inference_mode()
def test_every_map_counts(network: Sam2, pixels: Tensor, name: str) -> None:
    features = network.encode(pixels[:1], (SIDE, SIDE))
    before, _ = network.decode(features, prompts(1, 2), True)
    other = features[name] + torch.randn_like(features[name])
    after, _ = network.decode({**features, name: other}, prompts(1, 2), True)
    assert (before - after).abs().max() > 1e-3


def test_the_one_answer_is_slot_0_if_it_is_stable() -> None:
    logits = torch.full((3, 4, 10, 10), -5.0)
    logits[0, 0, :, :5] = 5  # clear
    logits[1, 0, :, :5], logits[1, 0, :5, 5] = 5, -0.01  # 50 pixels, and 5 that nobody knows
    iou = torch.tensor([[0.1, 0.5, 0.9, 0.2], [0.9, 0.3, 0.2, 0.8], [0.5, 0.1, 0.2, 0.3]])
    decoded = Decoded(logits, iou, torch.zeros(3, 4, 8), torch.zeros(3, 1))
    torch.testing.assert_close(stability(logits[:, 0]), torch.tensor([1.0, 50 / 55, 1.0]))
    assert single_answer(decoded).tolist() == [0, 3, 0]


@torch.inference_mode()
def test_decode_gives_that_answer_and_its_score(network: Sam2, pixels: Tensor) -> None:
    features = network.encode(pixels[:1], (SIDE, SIDE))
    asked = prompts(6, 1)
    decoded = network.answer(features, asked)
    slots = single_answer(decoded)
    logits, iou = network.decode(features, asked, False)
    assert logits.shape == (6, 1, 16, 16) and slots.any()
    for i, slot in enumerate(slots.tolist()):
        assert (logits[i, 0] == decoded.logits[i, slot]).all()
        assert iou[i, 0] == decoded.predicted_iou[i, slot]
    assert 0 <= float(iou.min()) <= float(iou.max()) <= 1


def test_while_it_learns_the_one_answer_is_slot_0(pixels: Tensor) -> None:
    network = lively("sam2.1-tiny").train()
    features = network.encode(pixels[:1], (SIDE, SIDE))
    logits, _ = network.decode(features, prompts(6, 1), False)
    torch.testing.assert_close(logits, network.answer(features, prompts(6, 1)).logits[:, :1])


@torch.inference_mode()
def test_half_types_decode_through_float(network: Sam2, pixels: Tensor) -> None:
    half = copy.deepcopy(network).to(torch.bfloat16)
    features = half.encode(pixels[:1], (SIDE, SIDE))
    logits, iou = half.decode(half.prepare(features), prompts(2, 1), True)
    assert logits.dtype == iou.dtype == torch.float32
    assert logits.isfinite().all()


def test_a_box_is_two_points_before_the_clicks_and_always_padded() -> None:
    points, labels = with_corners(prompts(2, 3, box=True), padded=True)
    assert labels[0, :2].tolist() == [2, 3] and labels[0, -1] == -1
    assert (
        points.shape == (2, 6, 2)
        and (points[:, :2] == prompts(2, 3, box=True).boxes.view(2, 2, 2)).all()
    )
    _, labels = with_corners(prompts(2, 0, mask_hw=(16, 16)), padded=True)
    assert labels.shape == (2, 0)  # a mask alone has no point, not even a padding one
    _, labels = with_corners(prompts(1, 0, box=True), padded=False)
    assert labels.tolist() == [[2, 3]]  # SAM's


# ---- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("prompt_encoder.no_mask_embed.weight", "sam_prompt_encoder.no_mask_embed.weight"),
        ("mask_decoder.obj_score_token.weight", "sam_mask_decoder.obj_score_token.weight"),
        (
            "mask_decoder.transformer.layers.1.mlp.lin2.bias",
            "sam_mask_decoder.transformer.layers.1.mlp.layers.1.bias",
        ),
        (
            "image_encoder.trunk.blocks.0.mlp.lin1.weight",
            "image_encoder.trunk.blocks.0.mlp.layers.0.weight",
        ),
        ("obj_ptr_proj.layers.2.bias", "obj_ptr_proj.layers.2.bias"),
    ],
)
def test_keys_have_their_published_names(ours: str, theirs: str) -> None:
    assert published_name(ours) == theirs
    network = build(TINY)
    assert ours in dict(network.named_parameters()) and theirs in network.state_dict()


def test_adapters_of_the_laterals_count(network: Sam2, pixels: Tensor) -> None:
    learning = copy.deepcopy(network)
    add_lora(learning, LoraConfig(rank=2, targets=("convs.3.conv", "conv_s0")))
    before = learning.encode(pixels, (SIDE, SIDE))["high_res_0"]
    for name, weights in learning.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weights)
    after = learning.encode(pixels, (SIDE, SIDE))["high_res_0"]
    assert (before - after).abs().max() > 0.1


# ---- codes of the memory --------------------------------------------------------------------


def test_turning_keeps_lengths_and_depends_on_how_far_apart_things_are() -> None:
    turns = rotation(16, (3, 5))
    q, k = torch.randn(1, 1, 16).expand(1, 15, 16), torch.randn(1, 1, 16).expand(1, 15, 16)
    a, b = rotate(q, turns, 0), rotate(k, turns, 0)
    torch.testing.assert_close(a.norm(dim=2), q.norm(dim=2))
    products = (a @ b.mT)[0]
    assert abs(products[0, 6] - products[1, 7]) < 1e-4  # one row and one column further, both
    assert abs(products[0, 6] - products[0, 7]) > 1e-4
    still = rotate(torch.randn(1, 34, 16), turns, 4)
    assert still.shape == (1, 34, 16)


def test_pointers_are_not_turned() -> None:
    x = torch.randn(1, 19, 8)
    found = rotate(x, rotation(8, (3, 5)), 4)
    assert (found[:, 15:] == x[:, 15:]).all() and (found[:, 1:15] != x[:, 1:15]).any()


def test_codes_tell_places_and_times_apart() -> None:
    code = map_code(8, (3, 4))
    assert code.shape == (1, 8, 3, 4)
    assert len({tuple(c.tolist()) for c in code[0].flatten(1).T.round(decimals=4)}) == 12
    assert (code[0, :4, 1, 0] == code[0, :4, 1, 3]).all()  # rows come first
    assert (time_code(torch.tensor([0.2]), 8) != time_code(torch.tensor([-0.2]), 8)).any()

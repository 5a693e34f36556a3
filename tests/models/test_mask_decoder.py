"""The mask decoder answers and learns as its plain order of work does, whatever it saves."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from anymask.evaluate.published.decoder import PlainDecoder
from anymask.models.config import DecoderConfig
from anymask.models.mask_decoder import MaskDecoder, as_cells
from anymask.models.two_way import TwoWayTransformer

CONFIG = DecoderConfig(width=64, heads=4, mlp=48)  # 8 channels for each head
FEW, MANY = 2, 9  # prompt tokens, to which the decoder adds 5
SIDES = (5, 6)


def decoder(seed: int = 0) -> MaskDecoder:
    torch.manual_seed(seed)
    made = MaskDecoder(CONFIG)
    for parameter in made.parameters():  # norms and biases that do something
        torch.nn.init.normal_(parameter, std=0.3)
    return made.double()


def inputs(n: int, tokens: int, images: int = 1, maps: int = 1) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(1)
    shapes = {
        "image": (images, CONFIG.width, *SIDES),
        "image_code": (1, CONFIG.width, *SIDES),
        "prompt_tokens": (n, tokens, CONFIG.width),
        "prompt_map": (maps, CONFIG.width, *(SIDES if maps > 1 else (1, 1))),
    }
    values = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    return {name: value.double() for name, value in values.items()}


CASES = {
    "one prompt": (1, 1, 1),
    "prompts on one image": (5, 1, 1),
    "masks on one image": (5, 1, 5),
    "images with a prompt each": (5, 5, 1),
    "images with a mask each": (5, 5, 5),
}
every_case = pytest.mark.parametrize(("n", "images", "maps"), CASES.values(), ids=CASES)
every_length = pytest.mark.parametrize("tokens", [FEW, MANY], ids=["few tokens", "many tokens"])


@every_case
@every_length
def test_answers_and_gradients_are_those_of_the_plain_order(
    n: int, images: int, maps: int, tokens: int
) -> None:
    ours, plain = decoder(), PlainDecoder(decoder())
    given = [inputs(n, tokens, images, maps) for _ in range(2)]
    weights = torch.randn(n, 4, 20, 24, generator=torch.Generator().manual_seed(2)).double()
    for network, values in zip((ours, plain), given, strict=True):
        for value in values.values():
            value.requires_grad_()
        logits, iou = network(*values.values())
        ((logits * weights).sum() + (iou * weights[:, :, 0, 0]).sum()).backward()

    torch.testing.assert_close(ours(*given[0].values()), plain(*given[1].values()))
    for name, value in given[0].items():
        torch.testing.assert_close(value.grad, given[1][name].grad, msg=name)
    wanted = dict(plain.weights.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, msg=name)


@every_length
@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_look_ahead_changes_nothing(n: int, tokens: int) -> None:
    network, given = decoder(), inputs(n, tokens)
    look = network.look(given["image"], given["image_code"], given["prompt_map"])
    torch.testing.assert_close(network(**given, look=look), network(**given))


def test_only_the_wanted_slots_are_answered() -> None:
    network, given = decoder(), inputs(3, FEW)
    logits, iou = network(**given)
    for slots in (slice(1), slice(1, 4), slice(2, 3)):
        torch.testing.assert_close(network(**given, slots=slots), (logits[:, slots], iou[:, slots]))


@every_length
def test_only_the_wanted_tokens_are_answered(tokens: int) -> None:
    torch.manual_seed(0)
    transformer = TwoWayTransformer(CONFIG).double()
    given = inputs(3, tokens)
    sides = given["prompt_tokens"], as_cells(given["image"]), as_cells(given["image_code"])
    all_tokens, cells = transformer(*sides)
    some, same = transformer(*sides, answers=1)
    torch.testing.assert_close(some, all_tokens[:, :1])
    torch.testing.assert_close(same, cells)


@torch.no_grad()
def test_few_tokens_spare_the_cells_their_projections() -> None:
    """Counts the products of the layers with the cells, so that the saving does not get lost."""
    network = decoder().transformer
    seen: list[int] = []
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].shape[1]))
    cells = SIDES[0] * SIDES[1]
    counts = {}
    for tokens in (FEW + 5, MANY + 5):
        given = inputs(2, tokens)
        seen.clear()
        network(given["prompt_tokens"], as_cells(given["image"]), as_cells(given["image_code"]))
        counts[tokens] = seen.count(cells)
    assert counts == {FEW + 5: 0, MANY + 5: 10}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@every_length
@torch.inference_mode()
def test_half_precision_is_near(dtype: torch.dtype, tokens: int) -> None:
    network, given = decoder(), inputs(3, tokens)
    half = copy.deepcopy(network).to(dtype)
    logits, iou = half(*(value.to(dtype) for value in given.values()))
    wanted, wanted_iou = network(**given)
    assert logits.dtype == iou.dtype == dtype
    assert (logits.double() - wanted).std() < 0.05 * wanted.std()
    assert (iou.double() - wanted_iou).std() < 0.05 * wanted_iou.std()


@every_case
@every_length
def test_ignored_tokens_change_nothing(n: int, images: int, maps: int, tokens: int) -> None:
    made, given = decoder(), inputs(n, tokens, images, maps)
    wanted = made(**given)
    more = {**given, "prompt_tokens": torch.cat([given["prompt_tokens"]] * 2, dim=1)}
    ignored = torch.zeros(n, 2 * tokens, dtype=torch.bool)
    ignored[:, tokens:] = True
    for found, right in zip(made(**more, ignored=ignored), wanted, strict=True):
        torch.testing.assert_close(found, right)
    assert not torch.allclose(made(**more)[0], wanted[0])

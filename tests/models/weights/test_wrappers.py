"""Weights as training scripts leave them: wrapped, under prefixes, in any layout, of any size."""

from __future__ import annotations

import copy
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.tiny import SIDE, tiny
from tests.models.weights.conftest import Server, State, foreign, state_of
from tests.parity import golden, pseudo_weights
from torch import nn

from anymask.compat.build_sam import assemble
from anymask.errors import WeightsError
from anymask.models import variants
from anymask.models.config import SamConfig, VitConfig
from anymask.models.lora import LoraConfig, add_lora
from anymask.models.variants import VARIANTS, Variant, find
from anymask.models.weights import load_network, loading, read_state, transformers_layout
from anymask.models.weights.adapters import load_adapter, save_adapter
from anymask.models.weights.sam_sizes import row_by_sizes
from anymask.models.weights.transformers_layout import to_transformers

# One of each network: files of the others look the same.
_ROWS = {
    tiny(row).network: tiny(row)
    for row in reversed(VARIANTS)
    if not getattr(row.network, "alone", False)
}
FAMILIES = {row.family: row for row in reversed(_ROWS.values())}
PREFIXES = ["", *(f"{n}." for n in ("module", "model", "sam", "_orig_mod", "model.sam.net"))]
SLIM = VitConfig(width=28, depth=2, heads=2, global_blocks=(1,), side=SIDE, window=3, mlp=100)


@pytest.fixture(autouse=True)
def small_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (variants, loading, transformers_layout):
        monkeypatch.setattr(module, "VARIANTS", tuple(FAMILIES.values()))


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def check_loads(path: Path, variant: Variant, state: State) -> None:
    network, found, _ = load_network(path)
    assert found == variant
    torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_layout_under_every_prefix(tmp_path: Path, family: str, prefix: str) -> None:
    variant = FAMILIES[family]
    state = state_of(variant)
    torch.save({"net": prefixed(state, prefix), "epoch": 3}, tmp_path / "file.pth")
    check_loads(tmp_path / "file.pth", variant, state)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layout_from_an_address(
    tmp_path: Path, cache: Path, server: Server, family: str
) -> None:
    variant = FAMILIES[family]
    state = state_of(variant)
    torch.save({"model": state}, tmp_path / "file.pt")
    server.files["/some/file.pt"] = (tmp_path / "file.pt").read_bytes()
    for _ in range(2):
        network, found, _ = load_network(f"{server.address}/some/file.pt")
        assert found == variant
        torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)
    assert len(server.asked) == 1  # then it lies in the cache
    with pytest.raises(WeightsError, match="404"):
        load_network(f"{server.address}/some/other.pt")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_layout_of_transformers_under_every_prefix(tmp_path: Path, prefix: str) -> None:
    variant = FAMILIES["sam"]
    state = state_of(variant)
    torch.save(prefixed(to_transformers(state), prefix), tmp_path / "file.pth")
    check_loads(tmp_path / "file.pth", variant, state)
    sam = assemble(variant, tmp_path / "file.pth")
    assert torch.equal(sam.mask_decoder.iou_token.weight, state["mask_decoder.iou_token.weight"])


def test_the_registry_takes_prefixes_off(tmp_path: Path) -> None:
    state = state_of(FAMILIES["sam"])
    torch.save({"model_state": prefixed(state, "module.sam.")}, tmp_path / "file.pth")
    sam = assemble(FAMILIES["sam"], tmp_path / "file.pth")
    assert torch.equal(sam.image_encoder.pos_embed, state["image_encoder.pos_embed"])


@pytest.mark.parametrize(
    "wrappers",
    [
        *(("ema",), ("model_ema",), ("model",), ("state_dict",), ("model_state_dict",)),
        *(("model_state",), ("net",), ("network",), ("params",), ("params_ema",), ("module",)),
        *(("checkpoint", "model"), ("model", "state_dict"), ("state_dict", "model", "net")),
        ("checkpoint", "state_dict", "model", "net"),
    ],
    ids=".".join,
)
def test_every_wrapper_is_taken_off(tmp_path: Path, wrappers: tuple[str, ...]) -> None:
    state = state_of(FAMILIES["sam"])
    content: Any = state
    for name in reversed(wrappers):
        content = {"epoch": 3, "optimizer": {"lr": 0.1}, "args": ["--fast"], name: content}
    torch.save(content, tmp_path / "file.pth")
    check_loads(tmp_path / "file.pth", FAMILIES["sam"], state)


def test_averages_come_before_what_was_averaged(tmp_path: Path) -> None:
    state = state_of(FAMILIES["sam"])
    other = {key: value + 1 for key, value in state.items()}
    for name in ("ema", "params_ema", "model_ema"):
        torch.save({"model": other, "params": other, name: state, "step": 1}, tmp_path / "x.pth")
        check_loads(tmp_path / "x.pth", FAMILIES["sam"], state)


def test_weights_averaged_by_pytorch(tmp_path: Path) -> None:
    network = loading.build_empty(FAMILIES["sam"])
    network.load_state_dict(state_of(FAMILIES["sam"]))
    averaged = torch.optim.swa_utils.AveragedModel(network)
    assert "n_averaged" in averaged.state_dict()
    torch.save(averaged.state_dict(), tmp_path / "file.pth")
    check_loads(tmp_path / "file.pth", FAMILIES["sam"], state_of(FAMILIES["sam"]))


def test_what_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {"epoch": 1}
    content["model"] = content
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(WeightsError, match="expected tensors by key"):
        read_state(tmp_path / "file.pth")


@pytest.mark.parametrize("before", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("after", ["", "module.", "_orig_mod."])
def test_an_adapter_of_a_wrapped_model(tmp_path: Path, before: str, after: str) -> None:
    from safetensors.torch import load_file, save_file

    network = loading.build_empty(FAMILIES["sam"])
    network.load_state_dict(state_of(FAMILIES["sam"]))
    plain = copy.deepcopy(network)
    config = LoraConfig(rank=2, alpha=4)
    add_lora(network, config)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "lora_" in name:
                weights.normal_()
    save_adapter(network, tmp_path / "adapter", config, "sam-vit-b")
    (file,) = (tmp_path / "adapter").glob("*.safetensors")
    saved, peft = load_file(file), "base_model.model."
    save_file({f"{before}{peft}{after}{k.removeprefix(peft)}": v for k, v in saved.items()}, file)
    load_adapter(plain, tmp_path / "adapter")
    for name, weights in network.state_dict().items():
        assert torch.equal(plain.state_dict()[name], weights), name


# ---- sizes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["own", "transformers"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_pruned_sam_is_told_by_its_shapes(tmp_path: Path, layout: str, prefix: str) -> None:
    row = transformers_layout.row_of(SamConfig(SLIM))
    state = state_of(row)
    keys = to_transformers(state) if layout == "transformers" else state
    torch.save({"model": prefixed(keys, prefix)}, tmp_path / "file.pth")
    check_loads(tmp_path / "file.pth", row, state)
    assert row.parameters == sum(p.numel() for p in loading.build_empty(row).parameters())


@pytest.mark.parametrize(
    "change",
    [
        {"window": 2},
        {"global_blocks": (0,)},
        {"mlp": None},
        {"depth": 3, "width": 48, "heads": 4},
        {"side": 128, "global_blocks": (0, 1)},
    ],
)
def test_every_number_is_read_from_shapes(change: dict[str, Any]) -> None:
    encoder = replace(SLIM, **change)
    state = state_of(transformers_layout.row_of(SamConfig(encoder)))
    row = row_by_sizes(state, "x.pth")
    assert row is not None and row.preprocessing.side == encoder.side
    if set(encoder.global_blocks) == set(range(encoder.depth)):
        encoder = replace(encoder, window=14)  # there is none to read
    assert row is not None and row.network == SamConfig(encoder)


def test_layers_of_unequal_width_are_said_to_be_that(tmp_path: Path) -> None:
    state = state_of(transformers_layout.row_of(SamConfig(SLIM)))
    block = "image_encoder.blocks.1."
    narrow = dict(state)
    narrow[f"{block}mlp.lin1.weight"] = state[f"{block}mlp.lin1.weight"][:90].clone()
    apart = dict(state)
    qkv = apart.pop(f"{block}attn.qkv.weight")
    apart |= {
        f"{block}attn.{n}.weight": p.clone() for n, p in zip("qkv", qkv.chunk(3), strict=True)
    }
    for odd in (narrow, apart):
        torch.save(odd, tmp_path / "file.pth")
        with pytest.raises(WeightsError, match=r"got one of unequal layers.*SlimSAM-uniform-77"):
            load_network(tmp_path / "file.pth")


class Pruned(nn.Module):
    """Stands for a part of a pruned SAM whose code is not there when its file is read."""


def as_module(state: State) -> Pruned:
    """Hang tensors into modules by their keys."""
    whole = Pruned()
    for key, value in state.items():
        *path, name = key.split(".")
        part: nn.Module = whole
        for step in path:
            if step not in part._modules:
                part.add_module(step, Pruned())
            part = part._modules[step]
        part.register_parameter(name, nn.Parameter(value, requires_grad=False))
    return whole


WRAPPED = [
    *((family, "module") for family in FAMILIES),
    *(("sam", wrapper) for wrapper in ("_orig_mod", "_fsdp_wrapped_module")),
]


@pytest.mark.parametrize(("family", "wrapper"), WRAPPED)
def test_parts_that_were_wrapped(tmp_path: Path, family: str, wrapper: str) -> None:
    """A part alone was shared out or compiled, as SlimSAM's image encoder in its module files."""
    variant = FAMILIES[family]
    state = state_of(variant)
    part = next(key for key in state if "." in key).partition(".")[0]
    inside = {re.sub(rf"^{part}\.", f"{part}.{wrapper}.", key): state[key] for key in state}
    assert inside.keys() != state.keys()
    torch.save(prefixed(inside, f"{wrapper}."), tmp_path / "file.pth")
    check_loads(tmp_path / "file.pth", variant, state)


def test_parts_of_transformers_layout_that_were_wrapped(tmp_path: Path) -> None:
    variant = FAMILIES["sam"]
    state = state_of(variant)
    theirs = to_transformers(state)
    inside = {k.replace("vision_encoder.", "vision_encoder.module.", 1): theirs[k] for k in theirs}
    torch.save(inside, tmp_path / "file.pth")
    check_loads(tmp_path / "file.pth", variant, state)


@pytest.mark.parametrize("prefix", ["", "module.", "image_encoder"])
def test_a_pickled_slimsam_is_read_without_its_code(tmp_path: Path, prefix: str) -> None:
    row = transformers_layout.row_of(SamConfig(SLIM))
    state = state_of(row)
    if prefix == "image_encoder":  # as published, with its encoder shared out
        keys = {key: key.replace(f"{prefix}.", f"{prefix}.module.", 1) for key in state}
        inside = {keys[key]: value for key, value in state.items()}
    else:
        inside = prefixed(state, prefix)
    with foreign(Pruned):
        torch.save(as_module(inside), tmp_path / "SlimSAM-77.pth")
    with pytest.raises(ModuleNotFoundError):  # which the usual reader would need
        torch.load(tmp_path / "SlimSAM-77.pth", weights_only=False)
    check_loads(tmp_path / "SlimSAM-77.pth", row, state)


def test_a_pickled_slimsam_of_unequal_layers_is_refused(tmp_path: Path) -> None:
    state = state_of(transformers_layout.row_of(SamConfig(SLIM)))
    key = "image_encoder.blocks.1.mlp.lin1.weight"
    with foreign(Pruned):
        torch.save(as_module(state | {key: state[key][:90].clone()}), tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=r"got one of unequal layers.*SlimSAM-uniform-77"):
        load_network(tmp_path / "file.pth")


@pytest.mark.parametrize("how", ["apart", "many widths"])
def test_unequal_layers_are_said_to_be_that_in_a_size_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Most of such a file fits a row of the table, so that only what differs could be listed."""
    row = transformers_layout.row_of(SamConfig(replace(SLIM, depth=4)))
    for module in (variants, loading, transformers_layout):
        monkeypatch.setattr(module, "VARIANTS", (row, *FAMILIES.values()))
    state = dict(state_of(row))
    for i in range(4):
        mlp, attn = f"image_encoder.blocks.{i}.mlp.", f"image_encoder.blocks.{i}.attn."
        if how == "apart":
            qkv = state.pop(f"{attn}qkv.weight").chunk(3)
            state |= {f"{attn}{n}.weight": p.clone() for n, p in zip("qkv", qkv, strict=True)}
        else:
            state[f"{mlp}lin1.weight"] = state[f"{mlp}lin1.weight"][: 90 + i].clone()
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=r"got one of unequal layers.*SlimSAM-uniform-77"):
        load_network(tmp_path / "file.pth")
    state = dict(state_of(row))
    damaged = "image_encoder.blocks.1.mlp.lin1.weight"
    torch.save(state | {damaged: state[damaged][:90].clone()}, tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=rf"1 mis-shaped \({damaged} \[90"):
        load_network(tmp_path / "file.pth")


def test_a_pickled_slimsam_that_wants_to_run_something_is_refused(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    whole = as_module(state_of(transformers_layout.row_of(SamConfig(SLIM))))
    whole.hook = Runs()  # type: ignore[assignment]
    with foreign(Pruned):
        torch.save(whole, tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=r"posix\.system, which could run code"):
        load_network(tmp_path / "file.pth")
    assert not (tmp_path / "ran").exists()


def test_a_config_says_how_wide_the_layers_are() -> None:
    config = transformers_layout.make_config(SamConfig(SLIM))
    assert config["vision_config"]["mlp_dim"] == 100
    assert transformers_layout.read_variant(config, {}, "x").network == SamConfig(SLIM)
    for usual in (None, 4 * SLIM.width):
        config["vision_config"]["mlp_dim"] = usual
        network = transformers_layout.read_variant(config, {}, "x").network
        assert network == SamConfig(replace(SLIM, mlp=None))


@pytest.mark.parametrize("layout", ["slimsam_77_uniform", "slimsam_50_uniform"])
def test_slimsam_is_recognised(shared_dir: Path, layout: str) -> None:
    keys = pseudo_weights.load_layout(shared_dir / f"parity/keys/{layout}.json")
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, (shape, _) in keys["keys"].items()}
    row = row_by_sizes(state, layout)
    assert row is not None and row.parameters == keys["parameters_total"]


@pytest.mark.slow
def test_slimsam_answers_like_the_reference(shared_dir: Path, tmp_path: Path) -> None:
    parity, name = shared_dir / "parity", "slimsam_77_uniform_transformers"
    layout = pseudo_weights.load_layout(parity / f"keys/{name}.json")
    state = golden.weights(layout, "")
    state["prompt_encoder.shared_embedding.positional_embedding"] = state[
        "shared_image_embedding.positional_embedding"
    ]
    torch.save(prefixed(state, "module."), tmp_path / "slim.pth")
    import anymask

    model = anymask.load(tmp_path / "slim.pth")
    photo = model.embed(parity / "images/dog_240x360.png")
    wanted = golden.Golden(parity / f"cases/{name}/dog_240x360.npz")
    golden.compare_embedding(wanted, photo.features["image"])
    for case in ("fg1_multi", "box_single", "box_points_single"):
        parts = [f"{case}__{part}" for part in ("point_coords", "point_labels", "box")]
        prompt = anymask.Prompt(*(wanted.values.get(part) for part in parts))
        logits, iou = model.decode(photo, [prompt], multimask=case.endswith("multi"))
        golden.close(logits[0, :, ::5, ::5], wanted[f"{case}__low_res_sub"])
        np.testing.assert_allclose(iou[0], wanted[f"{case}__iou"], atol=1e-4)


def test_nothing_of_the_real_table_is_told_by_sizes() -> None:
    assert row_by_sizes(state_of(tiny(find("mobile-sam"))), "x") is None

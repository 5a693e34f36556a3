from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.models.tiny import tiny
from tests.models.weights.conftest import State, foreign, state_of
from torch import nn

from anymask.errors import WeightsError
from anymask.models import cache, variants
from anymask.models.variants import VARIANTS, Variant, find
from anymask.models.weights import loading, locate
from anymask.models.weights.loading import fill, load_network, read_checkpoint, recognise


def drop(state: State, *keys: str) -> State:
    return {key: value for key, value in state.items() if key not in keys}


def as_first(variant: Variant) -> Variant:
    """The first row whose files look the same."""
    return next(row for row in VARIANTS if loading._layout(row) == loading._layout(variant))


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


# ---- filling --------------------------------------------------------------------------------

BAD_STATES = {
    "1 missing (neck.bias)": lambda s: drop(s, "neck.bias"),
    "1 unexpected (head.weight)": lambda s: {**s, "head.weight": torch.zeros(1)},
    "1 mis-shaped (neck.bias [3] for [4])": lambda s: {**s, "neck.bias": torch.zeros(3)},
    "1 mis-shaped (neck.bias torch.int64 for torch.float32)": lambda s: {
        **s,
        "neck.bias": torch.zeros(4, dtype=torch.int64),
    },
    "1 missing (neck.bias), 1 unexpected (neck.shift)": lambda s: {
        **drop(s, "neck.bias"),
        "neck.shift": torch.zeros(4),
    },
    "5 unexpected (x0, x1, x2, ...)": lambda s: {**s, **{f"x{i}": torch.ones(1) for i in range(5)}},
}


@pytest.mark.parametrize("words", BAD_STATES)
def test_what_does_not_fit_is_listed(words: str) -> None:
    network = nn.ModuleDict({"neck": nn.Linear(3, 4), "norm": nn.BatchNorm1d(4)})
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WeightsError) as error:
        fill(network, BAD_STATES[words](before), "x.pth", name="toy")
    assert f"expected the 7 keys of toy, got {words} in 'x.pth'" in str(error.value)
    torch.testing.assert_close(dict(network.state_dict()), before)


def test_filling_converts_floating_point_only() -> None:
    network = nn.BatchNorm1d(4)
    state = {key: torch.ones_like(value) for key, value in network.state_dict().items()}
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    fill(network, halves, "x.pth")
    assert network.weight.dtype == torch.float32
    assert network.weight.requires_grad
    assert network.num_batches_tracked.dtype == torch.int64
    torch.testing.assert_close(dict(network.state_dict()), state)
    fill(network, state, "x.pth", torch.bfloat16)
    assert network.weight.dtype == torch.bfloat16


def test_counters_that_were_halved_with_all_else_are_counters_again() -> None:
    network = nn.BatchNorm1d(4)
    state = network.state_dict() | {"num_batches_tracked": torch.tensor(70_000)}
    fill(network, {key: value.half() for key, value in state.items()}, "x.pth")  # 70,000: infinite
    assert network.num_batches_tracked.dtype == torch.int64
    assert network.weight.dtype == torch.float32


# ---- recognising ----------------------------------------------------------------------------


def test_every_variant_is_recognised(known: tuple[Variant, ...]) -> None:
    for variant in known:
        assert recognise(state_of(variant), "x.pth") is variant


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_every_row_is_recognised_by_its_layout(variant: Variant) -> None:
    layout = loading._layout(variant)
    state = {key: torch.empty(()).expand(shape) for key, shape in layout}
    assert recognise(state, "x.pth").weights == as_first(variant).weights
    assert recognise(prefixed(state, "module."), "x.pth").weights == as_first(variant).weights


@pytest.mark.parametrize("variant", VARIANTS[1:], ids=lambda v: v.name)
def test_the_published_layouts_fit_exactly(variant: Variant, shared_dir: Path) -> None:
    """Every key and shape of the files that people have, as far as they were recorded."""
    layouts = {
        path.stem: json.loads(path.read_text())["keys"]
        for path in (shared_dir / "parity" / "keys").glob("*.json")
    }
    known = {alias.replace("sam2_", "sam2.1_") for alias in variant.aliases}
    layout = next((layouts[name] for name in layouts if name in known), None)
    if layout is None:
        pytest.skip("its layout was not recorded: it has the network of another row")
    if variant.family == "sam2":  # 2.0, of which no layout was recorded: what 2.1 added is known
        added = ("no_obj_embed_spatial", "obj_ptr_tpos_proj.")
        layout = {key: value for key, value in layout.items() if not key.startswith(added)}
    published = {(key, torch.Size(shape)) for key, (shape, _) in layout.items()}
    assert loading._layout(variant) == published


def test_a_damaged_layout_is_still_recognised(known: tuple[Variant, ...]) -> None:
    wide = known[1]
    state = drop(state_of(wide), "prompt_encoder.no_mask_embed.weight")
    assert recognise(state, "x.pth") is wide


def test_a_foreign_layout_is_not(known: tuple[Variant, ...]) -> None:
    state = {f"{key}_ema": value for key, value in state_of(known[0]).items()}
    with pytest.raises(WeightsError, match=r"small, wide, compact, got 'x\.pth' with .* keys \(im"):
        recognise(state, "x.pth")


# ---- loading --------------------------------------------------------------------------------


@pytest.mark.parametrize("row", range(3))
def test_a_path_is_recognised_and_loaded(
    known: tuple[Variant, ...], tmp_path: Path, row: int
) -> None:
    state = state_of(known[row])
    path = tmp_path / "sam_vit_h.pth"  # the name says nothing
    torch.save(state, path)
    network, variant, digest = load_network(path)
    assert variant is known[row]
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)
    assert not any(module.training for module in network.modules())
    assert load_network(str(path))[1] is known[row]


@pytest.mark.parametrize("prefix", ["module.", "model.", "sam.", "module.model.", "a.b.c.d.e."])
def test_a_prefix_is_taken_off(known: tuple[Variant, ...], tmp_path: Path, prefix: str) -> None:
    state = state_of(known[0])
    torch.save({"state_dict": prefixed(state, prefix)}, tmp_path / "file.pth")
    network, variant, _ = load_network(tmp_path / "file.pth")
    assert variant is known[0]
    torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)


def test_a_prefix_does_not_hide_what_is_missing(known: tuple[Variant, ...], tmp_path: Path) -> None:
    key = "mask_decoder.iou_token.weight"
    torch.save(prefixed(drop(state_of(known[0]), key), "module."), tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=rf"keys of small, got 1 missing \({key}\) in"):
        load_network(tmp_path / "file.pth")


def test_a_prefix_on_some_keys_is_no_prefix(known: tuple[Variant, ...], tmp_path: Path) -> None:
    state = state_of(known[0])
    last = list(state)[-1]
    state[f"model.{last}"] = state.pop(last)
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=r"1 missing .*1 unexpected \(model\."):
        load_network(tmp_path / "file.pth")


def test_the_type_is_the_callers_choice(known: tuple[Variant, ...], tmp_path: Path) -> None:
    state = {key: v.half() for key, v in state_of(known[0]).items()}
    save_file(state, tmp_path / "file")
    network, _, _ = load_network(tmp_path / "file")
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    network, _, _ = load_network(tmp_path / "file", dtype=torch.bfloat16)
    assert {p.dtype for p in network.parameters()} == {torch.bfloat16}


def test_loading_a_path_that_fits_almost_says_what_is_wrong(
    known: tuple[Variant, ...], tmp_path: Path
) -> None:
    key = "mask_decoder.iou_token.weight"
    torch.save(drop(state_of(known[0]), key), tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=rf"keys of small, got 1 missing \({key}\)"):
        load_network(tmp_path / "file.pth")


def test_another_networks_weights_under_a_name_are_listed(
    known: tuple[Variant, ...], cache: Path
) -> None:
    cache.mkdir()
    torch.save(state_of(known[2]), cache / known[0].weights.file)
    with pytest.raises(WeightsError, match=r"keys of small, got \d+ missing .*, \d+ unexpected"):
        load_network("small")


@pytest.mark.parametrize("prefix", ["", "model."])
def test_weights_from_before_the_trunk_are_refused(
    known: tuple[Variant, ...], tmp_path: Path, prefix: str
) -> None:
    older = replace(known[2], network=replace(known[2].network, trunk=False))
    save_file(prefixed(state_of(older), prefix), tmp_path / "file")
    with pytest.raises(WeightsError, match="compact with its trained trunk, got older ones"):
        load_network(tmp_path / "file")


def test_keys_do_not_reach_the_terminal_as_they_are(
    known: tuple[Variant, ...], tmp_path: Path
) -> None:
    state = state_of(known[0]) | {"\x1b[2J\n" + "k" * 5000: torch.ones(1)}
    torch.save(state, tmp_path / "file")
    with pytest.raises(WeightsError, match=r"1 unexpected \(\\x1b\[2J\\nkkk") as caught:
        load_network(tmp_path / "file")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_failed_load_leaves_the_cache_alone(known: tuple[Variant, ...], tmp_path: Path) -> None:
    torch.save(drop(state_of(known[0]), "mask_decoder.iou_token.weight"), tmp_path / "file.pth")
    with pytest.raises(WeightsError):
        load_network(tmp_path / "file.pth")
    assert not cache.cache_dir().exists()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_every_variant_is_saved_and_loaded(variant: Variant, tmp_path: Path) -> None:
    small = tiny(variant)
    small = replace(small, weights=replace(small.weights, sha256=None))
    state = state_of(small)
    cache.cache_dir().mkdir(parents=True)
    if small.weights.url is None:
        small = replace(small, weights=replace(small.weights, url="https://example.invalid"))
    torch.save({"model": state}, cache.place(small))
    network, loaded, _ = load_network(small)
    assert loaded == small
    torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)


class SegmentationModel(nn.Module):
    """A tree of bare modules with the tensors of a network under its keys."""

    def __init__(self, state: State) -> None:
        super().__init__()
        for key, value in state.items():
            module: nn.Module = self
            *path, name = key.split(".")
            for part in path:
                if part not in module._modules:
                    module.add_module(part, nn.Module())
                module = module._modules[part]
            if name.startswith(("running", "num_batches")):
                module.register_buffer(name, value)
            else:
                module.register_parameter(name, nn.Parameter(value))


def test_fastsam_loads_from_its_pickled_network(tmp_path: Path) -> None:
    """The file as it is published: a training dictionary with a network of absent classes."""
    state = state_of(find("fastsam-s"))
    network = SegmentationModel(state).half()
    with foreign(SegmentationModel):
        content = {"epoch": -1, "model": network, "ema": None, "train_args": {"lr0": 0.01}}
        torch.save(content, tmp_path / "best.pt")
    loaded, variant, _ = load_network(tmp_path / "best.pt")
    assert variant.name == "fastsam-s"
    wanted = {key: value.to(state[key].dtype) for key, value in network.state_dict().items()}
    torch.testing.assert_close(dict(loaded.state_dict()), wanted, rtol=0, atol=0)


def test_efficient_sam_s_loads_from_its_archive() -> None:
    folder = cache.cache_dir()
    small = tiny(find("efficient-sam-s"))
    state = state_of(small)
    folder.mkdir()
    torch.save({"model": state}, folder / "efficient_sam_vits.pt")
    with zipfile.ZipFile(cache.place(small), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "efficient_sam_vits.pt", "efficient_sam_vits.pt")
    network, _, _ = load_network(small)
    torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)


def test_bundled_weights_load_when_they_are_there() -> None:
    variant = find("bundled")
    if not cache.place(variant).is_file():
        pytest.skip("this checkout has no bundled weights")
    network, loaded, digest = load_network("bundled")
    assert loaded is variant
    assert digest == variant.weights.sha256
    assert all(p.isfinite().all() for p in network.parameters())


def test_what_was_read_is_described(known: tuple[Variant, ...], tmp_path: Path) -> None:
    torch.save(state_of(known[0]), tmp_path / "file.pth")
    found = read_checkpoint(tmp_path / "file.pth")
    assert (found.variant, found.origin) == (known[0], str(tmp_path / "file.pth"))


def test_it_can_be_said_which_of_two_models_that_look_the_same_a_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tiny(find("sam-vit-b"))
    other = replace(first, name="its-twin", aliases=("twin",))
    for module in (variants, loading, locate):
        monkeypatch.setattr(module, "VARIANTS", (first, other))
    path = tmp_path / "file.pth"
    torch.save(state_of(first), path)
    assert load_network(path)[1] == first
    assert load_network(f"its-twin:{path}")[1] == other
    assert load_network(f"Twin:{path}")[1] == other
    with pytest.raises(WeightsError, match="expected a weight file or a folder"):
        load_network("twin:nowhere.pth")


def test_the_new_parts_of_sam_hq_are_no_model(tmp_path: Path) -> None:
    whole = state_of(tiny(find("sam-hq-vit-b")))
    parts = {key: value for key, value in whole.items() if key.startswith("mask_decoder.h")}
    torch.save(parts, tmp_path / "epoch_11.pth")
    with pytest.raises(WeightsError, match="expected a whole SAM-HQ, got only what it adds"):
        load_network(tmp_path / "epoch_11.pth")

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.models.tiny import tiny
from torch import Tensor, nn

from anymask.errors import WeightsError
from anymask.models import variants
from anymask.models.variants import VARIANTS, Variant, WeightSource, find
from anymask.models.weights import (
    build,
    cache_dir,
    fill,
    load_network,
    loading,
    read_state,
    recognise,
)

State = dict[str, Tensor]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> tuple[Variant, ...]:
    """A table of tiny variants in place of the real one: SAM, a wider SAM, the compact model."""
    sam, compact = tiny(find("sam-vit-b")), tiny(find("anymask-compact"))
    sam = replace(sam, name="small", aliases=(), weights=replace(sam.weights, sha256=None))
    encoder = replace(sam.network.encoder, width=64)
    wide = replace(sam, name="wide", network=replace(sam.network, encoder=encoder))
    compact = replace(compact, name="compact", aliases=())
    table = (sam, wide, compact)
    monkeypatch.setattr(variants, "VARIANTS", table)
    monkeypatch.setattr(loading, "VARIANTS", table)
    return table


def state_of(variant: Variant) -> State:
    torch.manual_seed(0)
    return {key: value.contiguous() for key, value in build(variant).state_dict().items()}


class Attack:
    """Unpickling this runs a command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


# ---- reading --------------------------------------------------------------------------------


def save_zip(state: State, path: Path) -> None:
    torch.save(state, path)


def save_old(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [save_file, save_zip, save_old])
@pytest.mark.parametrize("suffix", [".pth", ".bin", ""])
def test_a_file_is_read_by_its_content(tmp_path: Path, save: Any, suffix: str) -> None:
    state = {"a.weight": torch.randn(2, 3), "count": torch.tensor(3), "half": torch.ones(2).half()}
    path = tmp_path / f"file{suffix}"
    save(state, path)
    got = read_state(path)
    assert got.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(got[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("save", [save_file, save_zip])
def test_changing_what_was_read_leaves_the_file_alone(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "file"
    save({"a": torch.zeros(1000)}, path)
    before = path.read_bytes()
    read_state(path)["a"].add_(1)
    assert path.read_bytes() == before


def truncated(path: Path, save: Any) -> None:
    save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])


BAD_FILES = {
    "missing": (lambda path: None, "No such file"),
    "folder": (lambda path: path.mkdir(), "directory"),
    "empty": (lambda path: path.touch(), "neither"),
    "text page": (lambda path: path.write_text("<!doctype html><p>Not found</p>"), "neither"),
    "pointer": (lambda path: path.write_text("version https://git-lfs.github.com/"), "neither"),
    "cut safetensors": (lambda path: truncated(path, save_file), "damaged"),
    "cut zip": (lambda path: truncated(path, save_zip), "neither"),
    "cut pickle": (lambda path: truncated(path, save_old), "damaged"),
    "broken header": (lambda path: path.write_bytes(b"\x09" + bytes(7) + b"{" * 20), "damaged"),
    "not a pickle": (lambda path: path.write_bytes(b"\x80 nothing of the kind"), "damaged"),
    "a picture archive": (lambda path: save_zip_of_text(path), "damaged or of another kind"),
    "a list": (lambda path: torch.save([torch.zeros(2)], path), "got list"),
    "nothing in it": (lambda path: torch.save({}, path), "got dict"),
    "wrapped": (lambda path: torch.save({"model": {"a": torch.ones(1)}}, path), "'model'"),
    "number keys": (lambda path: torch.save({1: torch.zeros(2)}, path), "under 1"),
}


def save_zip_of_text(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_sentence(tmp_path: Path, kind: str) -> None:
    make, words = BAD_FILES[kind]
    path = tmp_path / "file.pth"
    make(path)
    with pytest.raises(WeightsError, match=words) as error:
        read_state(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("save", [save_zip, save_old, lambda s, p: p.write_bytes(pickle.dumps(s))])
def test_code_in_a_pickle_is_refused_by_name_and_never_run(tmp_path: Path, save: Any) -> None:
    path, trace = tmp_path / "file.pth", tmp_path / "it-ran"
    save({"a": Attack(trace)}, path)
    with pytest.raises(WeightsError, match=r"posix\.system|nt\.system|damaged"):
        read_state(path)
    assert not trace.exists()


def test_whole_modules_are_refused_by_name(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "file.pt")
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_state(tmp_path / "file.pt")


# ---- filling --------------------------------------------------------------------------------


def drop(state: State, *keys: str) -> State:
    return {key: value for key, value in state.items() if key not in keys}


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


# ---- recognising ----------------------------------------------------------------------------


def test_every_variant_is_recognised(known: tuple[Variant, ...]) -> None:
    for variant in known:
        assert recognise(state_of(variant), "x.pth") is variant


def test_a_damaged_layout_is_still_recognised(known: tuple[Variant, ...]) -> None:
    wide = known[1]
    state = drop(state_of(wide), "prompt_encoder.no_mask_embed.weight")
    assert recognise(state, "x.pth") is wide


def test_a_foreign_layout_is_not(known: tuple[Variant, ...]) -> None:
    state = {f"module.{key}": value for key, value in state_of(known[0]).items()}
    with pytest.raises(WeightsError, match=r"small, wide, compact, got 'x\.pth' with .* keys \(mo"):
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


def test_a_name_is_looked_up_in_the_cache(
    known: tuple[Variant, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYMASK_CACHE", str(tmp_path))
    source = known[0].weights
    where = (
        r"sam_vit_b_01ec64\.pth', got nothing; download https://dl\.fbaipublicfiles\.com/.*\.pth"
    )
    with pytest.raises(WeightsError, match=where):
        load_network("small")
    torch.save(state_of(known[0]), tmp_path / source.file)
    assert load_network("small")[1] is known[0]


def test_a_named_file_with_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYMASK_CACHE", str(tmp_path))
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(b"half a download")
    with pytest.raises(WeightsError, match=r"SHA-256 01ec64\.\.\., got .*delete it"):
        load_network("sam-vit-b")


def test_bundled_weights_are_looked_up_in_the_package(known: tuple[Variant, ...]) -> None:
    absent = replace(known[2], weights=WeightSource("no-such.safetensors", "Apache-2.0"))
    with pytest.raises(WeightsError, match=r"models.bundled.no-such\.safetensors', got nothing"):
        load_network(absent)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("sam-vit-bb", "try sam-vit-b"),
        ("no/such/file.pth", "expected a weight file at 'no/such/file.pth', got nothing"),
        ("absent.safetensors", "got nothing"),
        (Path("absent"), "got nothing"),
        (Path("/"), "got a folder"),
        (None, "got None; try 'bundled'"),
        (b"sam-vit-b", "got b'sam-vit-b'"),
    ],
)
def test_what_is_neither_a_name_nor_a_file(source: Any, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        load_network(source)


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"ANYMASK_CACHE": "/a/b"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/anymask"),
        ({"ANYMASK_CACHE": "/a", "XDG_CACHE_HOME": "/x"}, "/a"),
        ({}, "/home/someone/.cache/anymask"),
    ],
)
def test_the_place_of_the_cache(
    environment: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANYMASK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(place)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_every_row_says_where_its_weights_are(variant: Variant) -> None:
    source = variant.weights
    assert source.licence
    if source.url:
        assert source.url.startswith("https://") and source.url.endswith(source.file)
        assert source.sha256


def test_bundled_weights_load_when_they_are_there() -> None:
    variant = find("bundled")
    folder = Path(variants.__file__).parent / "bundled"
    if not (folder / variant.weights.file).is_file():
        pytest.skip("this checkout has no bundled weights")
    network, loaded, _ = load_network("bundled")
    assert loaded is variant
    assert all(p.isfinite().all() for p in network.parameters())

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.models.tiny import tiny
from tests.models.weights.conftest import below, state_of

from anymask.errors import OutputError, WeightsError
from anymask.models.variants import VARIANTS, Variant
from anymask.models.weights import folder as module
from anymask.models.weights.folder import files_of, new_folder, pick, read_folder, write_folder
from anymask.models.weights.loading import load_network
from anymask.models.weights.transformers_layout import to_transformers


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_every_variant_comes_back_from_its_folder(variant: Variant, tmp_path: Path) -> None:
    """Sizes that are in no table, so that everything must come from the config."""
    small = replace(tiny(variant), name="mine")
    state = state_of(small)
    write_folder(tmp_path / "new" / "folder", small, state)
    network, loaded, digest = load_network(tmp_path / "new" / "folder")
    assert loaded == small
    torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)
    assert below(tmp_path / "new") == ["folder/config.json", "folder/model.safetensors"]
    with safe_open(tmp_path / "new/folder/model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert len(digest) == 64
    modes = {path.stat().st_mode for path in (tmp_path / "new/folder").iterdir()}
    assert len(modes) == 1


def test_the_digest_is_that_of_weights_and_config(
    known: tuple[Variant, ...], tmp_path: Path
) -> None:
    path = tmp_path / "folder"
    write_folder(path, known[0], state_of(known[0]))
    before = load_network(path)[2]
    (path / "README.md").write_text("not part of it")
    assert load_network(path)[2] == before
    config = json.loads((path / "config.json").read_text())
    config["preprocessing"]["mean"] = [0.0, 0.0, 0.0]
    (path / "config.json").write_text(json.dumps(config))
    assert load_network(path)[2] != before


def test_weights_in_several_files(known: tuple[Variant, ...], tmp_path: Path) -> None:
    state = state_of(known[0])
    keys = sorted(state)
    parts = {"a-1.safetensors": keys[:50], "a-2.safetensors": keys[50:]}
    for name, some in parts.items():
        save_file({key: state[key] for key in some}, tmp_path / name)
    weight_map = {key: name for name, some in parts.items() for key in some}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    network, variant, _ = load_network(tmp_path)
    assert variant is known[0]
    torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)
    assert {path.name for path in files_of(tmp_path)} == {index.name, *parts}


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", 3])
def test_an_index_stays_inside_its_folder(tmp_path: Path, name: Any) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(WeightsError, match="file names of the same folder"):
        read_folder(tmp_path)


PICKS = {
    "model.safetensors": ["pytorch_model.bin", "model.safetensors", "tf_model.h5", "config.json"],
    "pytorch_model.bin": ["pytorch_model.bin", "training_args.bin", "optimizer.pt"],
    "mobile_sam.pt": ["README.md", "mobile_sam.pt", "config.json"],
    "weights/a.pt.zip": ["weights/a.pt.zip", "LICENSE"],
    "model.safetensors.index.json": ["model.safetensors.index.json", "model-1.safetensors"],
}


@pytest.mark.parametrize("name", PICKS)
def test_the_weights_are_found_among_other_files(name: str) -> None:
    assert pick(PICKS[name], "org/name") == name


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["README.md"], "expected weights in org/name, got none among 1 files"),
        (["a.pt", "b.pth"], r"got 2 \(a\.pt, b\.pth\); name the one"),
    ],
)
def test_it_is_not_clear_which_weights(names: list[str], words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        pick(names, "org/name")


def test_a_folder_without_a_config_is_as_good_as_its_file(
    known: tuple[Variant, ...], tmp_path: Path
) -> None:
    torch.save(state_of(known[2]), tmp_path / "any.pth")
    (tmp_path / "config.json").write_text('{"model_type": "something else"}')
    assert load_network(tmp_path)[1] is known[2]


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00", "[" * 100_000])
def test_a_config_that_is_none(tmp_path: Path, text: str) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"expected .*JSON"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [('{"model_type": "sam3"}', " of model_type 'sam3'"), ('{"model_type": 3}', ""), ("{}", "")],
)
def test_what_a_config_calls_an_unknown_network_is_said(
    tmp_path: Path, config: str, said: str
) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(WeightsError, match=rf"{tmp_path.name}'{said} with 1 other keys \(a\)"):
        load_network(tmp_path)


def test_a_config_of_another_network(known: tuple[Variant, ...], tmp_path: Path) -> None:
    write_folder(tmp_path / "a", known[0], state_of(known[1]))
    with pytest.raises(WeightsError, match=r"keys of small, got .* mis-shaped"):
        load_network(tmp_path / "a")


def test_numbers_that_make_no_network(known: tuple[Variant, ...], tmp_path: Path) -> None:
    write_folder(tmp_path / "a", known[0], state_of(known[0]))
    config = json.loads((tmp_path / "a/config.json").read_text())
    config["network"]["decoder"]["heads"] = 0
    (tmp_path / "a/config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"numbers that make a network .*heads=0"):
        load_network(tmp_path / "a")


# ---- writing --------------------------------------------------------------------------------


def test_an_existing_folder_is_left_alone(known: tuple[Variant, ...], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").write_text("precious")
    for place in ("a", "a/thesis.txt"):
        with pytest.raises(OutputError, match="it is there already; choose a new folder"):
            write_folder(tmp_path / place, known[0], state_of(known[0]))
    assert below(tmp_path) == ["a/thesis.txt"]


def test_an_empty_folder_is_filled(known: tuple[Variant, ...], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_folder(tmp_path / "a", known[0], state_of(known[0]))
    assert load_network(tmp_path / "a")[1] == known[0]


def test_a_disk_that_fills_up_leaves_nothing(
    known: tuple[Variant, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(OutputError, match=r"cannot write '.*a': No space left on device; choose"):
        write_folder(tmp_path / "a", known[0], state_of(known[0]))
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_mapped_are_written(known: tuple[Variant, ...], tmp_path: Path) -> None:
    state = state_of(known[0])
    torch.save(state, tmp_path / "file.pth")
    found = module.read_state(tmp_path / "file.pth")
    write_folder(tmp_path / "a", known[0], found)
    torch.testing.assert_close(load_file(tmp_path / "a/model.safetensors"), state)


def test_their_layout_has_their_keys(known: tuple[Variant, ...], tmp_path: Path) -> None:
    state = state_of(known[0])
    write_folder(tmp_path / "a", known[0], state, layout="transformers")
    assert load_file(tmp_path / "a/model.safetensors").keys() == to_transformers(state).keys()
    assert below(tmp_path / "a") == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]


@pytest.mark.parametrize("place", ["file/out", "file/inside/out", "a\0b"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot"), new_folder(tmp_path / place):
        raise AssertionError("never comes here")


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(OutputError, match=r"cannot write .*No space left"),
        new_folder(tmp_path / "out") as draft,
    ):
        (draft / "x").write_bytes(b"half")
        raise full
    assert not list(tmp_path.iterdir())

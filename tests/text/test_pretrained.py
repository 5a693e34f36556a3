"""Folders and hub ids that are not what they should be, each told in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.models.weights import test_hub
from tests.models.weights.test_hub import Hub, content_of

from anymask.errors import InputError, MissingExtraError, WeightsError
from anymask.text import pretrained
from anymask.text.ground import find_grounder
from anymask.text.grounding_dino import GroundingDino
from anymask.text.owlv2 import Owlv2

pytest.importorskip("transformers")

hub = test_hub.hub  # a web server on this machine

Kind = type[GroundingDino] | type[Owlv2]
KINDS = pytest.mark.parametrize(("kind", "folder"), [(GroundingDino, "dino"), (Owlv2, "owl")])


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        return shutil.copytree(request.getfixturevalue(f"{name}_folder"), tmp_path / name)

    return copy


def refusal(kind: Kind, folder: Path | str) -> str:
    with pytest.raises(WeightsError) as error:
        kind.load(folder)
    message = str(error.value)
    assert "\n" not in message
    assert not message.endswith(".")
    assert "; " in message
    return message


@KINDS
@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["config.json"], "got no config.json"),
        (["model.safetensors"], "no file named model.safetensors"),
        (["tokenizer.json", "vocab.txt"], "expected a tokenizer"),
        (["processor_config.json"], "expected processor_config.json or preprocessor_config.json"),
    ],
)
def test_files_that_are_missing(
    copied: Callable[[str], Path], kind: Kind, folder: str, missing: list[str], said: str
) -> None:
    path = copied(folder)
    for name in missing:
        (path / name).unlink(missing_ok=True)
    assert said in refusal(kind, path)


@KINDS
@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "processor_config.json"]
)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"a": 1}'])
def test_files_that_are_damaged(
    copied: Callable[[str], Path], kind: Kind, folder: str, name: str, content: bytes
) -> None:
    path = copied(folder)
    (path / name).write_bytes(content)
    refusal(kind, path)


@KINDS
def test_weights_that_are_missing_are_not_made_up(
    copied: Callable[[str], Path], kind: Kind, folder: str
) -> None:
    from safetensors.torch import load_file, save_file

    path = copied(folder)
    state = load_file(path / "model.safetensors")
    left_out = sorted(key for key in state if "dense" in key or "query" in key)[:2]
    assert left_out
    kept = {key: value for key, value in state.items() if key not in left_out}
    save_file(kept, path / "model.safetensors", metadata={"format": "pt"})
    message = refusal(kind, path)
    assert "expected all weights" in message
    assert "1 more" in message


@KINDS
def test_weights_of_another_size(copied: Callable[[str], Path], kind: Kind, folder: str) -> None:
    path = copied(folder)
    config = json.loads((path / "config.json").read_text())
    config["text_config"]["hidden_size"] = 64
    (path / "config.json").write_text(json.dumps(config))
    assert "cannot load the model" in refusal(kind, path)


def test_another_model(dino_folder: Path, owl_folder: Path) -> None:
    message = refusal(Owlv2, dino_folder)
    assert "expected a model of the type owlv2" in message
    assert "got one of the type grounding-dino" in message
    refusal(GroundingDino, owl_folder)


def test_a_backbone_of_timm_is_one_sentence(copied: Callable[[str], Path]) -> None:
    path = copied("dino")
    config = json.loads((path / "config.json").read_text())
    config["use_timm_backbone"], config["backbone"] = True, "resnet50"
    config["backbone_config"] = None
    (path / "config.json").write_text(json.dumps(config))
    refusal(GroundingDino, path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "expected the folder of a model or a hub id"),
        ("nowhere/at/all", "expected the folder of a model or a hub id"),
        ("org/name:file.bin", "expected the folder of a model or a hub id"),
        (__file__, "got the file"),
    ],
)
def test_names_that_cannot_be(name: str, said: str) -> None:
    assert said in refusal(Owlv2, name)


def test_nothing_is_fetched_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("ANYMASK_OFFLINE", "1")
    assert "downloads are switched off (offline)" in refusal(Owlv2, "org/no-such-model")
    with pytest.raises(WeightsError, match=r"switched off \(offline\)"):
        find_grounder("org/no-such-model", "cpu")
    with pytest.raises(WeightsError, match=r"switched off \(offline\)"):
        find_grounder("owlv2", "cpu")


def asked_for(web: Hub) -> set[str]:
    return {asked.rpartition(":")[2] for asked in web.asked} - {""}


def test_a_model_of_the_hub_is_fetched_with_all_that_belongs_to_it(
    hub: Hub, dino_folder: Path
) -> None:
    others = {"pytorch_model.bin": b"the same again", "README.md": b"words"}
    hub.repos["org/name"] = content_of(dino_folder) | others
    assert GroundingDino.load("org/name").name == "org/name"
    needed = {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json"}
    assert needed | {"tokenizer_config.json", "vocab.txt"} == asked_for(hub)


def test_no_weights_are_fetched_of_another_model(hub: Hub, owl_folder: Path) -> None:
    hub.repos["org/name"] = content_of(owl_folder)
    assert "got one of the type owlv2" in refusal(GroundingDino, "org/name")
    hub.repos["org/huge"] = {"config.json": b'{"model_type": "llama"}', "model.safetensors": b""}
    with pytest.raises(InputError, match="llama"):
        find_grounder("org/huge", "cpu")
    assert asked_for(hub) == {"config.json"}


def test_a_gated_model(hub: Hub) -> None:
    hub.gated.add("org/gated")
    assert "got a closed door; accept its terms" in refusal(Owlv2, "org/gated")
    assert "no such repository; check the name" in refusal(Owlv2, "org/nothing")


def test_transformers_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, dino_folder: Path, owl_folder: Path
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("importlib.import_module", missing)
    for kind, folder in ((GroundingDino, dino_folder), (Owlv2, owl_folder)):
        with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[text\]'"):
            kind.load(folder)


def test_how_loud_transformers_is_stays_as_it_was(owl_folder: Path, capfd: Any) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    Owlv2.load(owl_folder)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr().err == ""
    assert pretrained.model_type(owl_folder) == "owlv2"

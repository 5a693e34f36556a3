from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models.adapted import answers, learn
from tests.models.tiny import tiny

from anymask.extras.inpaint.lama import LamaEngine
from anymask.models.build import build
from anymask.models.lama import Lama
from anymask.models.lora import LoraConfig, add_lora
from anymask.models.sam_adapter import SamAdapterConfig, add_sam_adapter
from anymask.models.variants import find
from anymask.models.weights import load_network
from anymask.models.weights.adapters import save_adapter
from anymask.models.weights.folder import write_folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a SAM that is in no table."""
    small = replace(tiny(find("sam-vit-b")), name="small")
    torch.manual_seed(0)
    write_folder(tmp_path / "source", small, build(small).state_dict())
    return tmp_path / "source"


def test_a_file_becomes_a_folder_that_explains_itself(run, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = build(find("bundled")).state_dict()
    torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, path)
    result = run("convert", path, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert result.out == f"anymask-compact: {len(state)} tensors, 27.4 MB in {tmp_path}/out/\n"
    network, variant, _ = load_network(tmp_path / "out")
    assert variant == find("bundled")
    torch.testing.assert_close(dict(network.state_dict()), dict(state), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", None])
def test_the_type_of_the_numbers(run, source: Path, tmp_path: Path, dtype: str | None) -> None:
    words = ["--dtype", dtype] if dtype else []
    assert run("convert", source, "-o", tmp_path / "out", *words).code == 0
    types = {value.dtype for value in load_file(tmp_path / "out/model.safetensors").values()}
    assert types == {getattr(torch, dtype or "float32")}
    assert load_network(tmp_path / "out")[1] == load_network(source)[1]


def test_transformers_layout_and_back(run, source: Path, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    assert run("convert", source, "-o", theirs, "--layout", "transformers").code == 0
    assert json.loads((theirs / "config.json").read_text())["model_type"] == "sam"
    assert run("convert", theirs, "-o", ours).code == 0
    name = "model.safetensors"
    torch.testing.assert_close(load_file(ours / name), load_file(source / name), rtol=0, atol=0)


def test_a_number_that_is_too_large(run, source: Path, tmp_path: Path) -> None:
    state = load_file(source / "model.safetensors")
    state["image_encoder.pos_embed"][0, 0, 0, 0] = 1e6
    save_file(state, source / "model.safetensors")
    result = run("convert", source, "-o", tmp_path / "out", "--dtype", "float16")
    assert result.code == 2
    assert "expected numbers that float16 can hold" in result.err
    assert not (tmp_path / "out").exists()


BAD = {
    "no output": (["bundled"], "--output"),
    "unknown": (["sam-vit-bb", "-o", "out"], "try sam-vit-b"),
    "another layout": (["bundled", "-o", "out", "--layout", "transformers"], "expected a SAM"),
    "taken": (["bundled", "-o", "taken"], "it is there already"),
    "offline": (["sam-vit-h", "-o", "out", "--offline"], "downloads are switched off"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_done(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANYMASK_CACHE", str(tmp_path / "cache"))
    Path("taken").mkdir()
    Path("taken/file").touch()
    words, sentence = BAD[kind]
    result = run("convert", *words)
    assert result.code == 2
    assert sentence in result.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken"]


def test_lora_is_merged(run, source: Path, tmp_path: Path) -> None:
    network, _, _ = load_network(source)
    config = LoraConfig(rank=2)
    add_lora(network, config)
    learn(network)
    save_adapter(network, tmp_path / "lora", config, str(source))
    for words in ((source, "--adapter", tmp_path / "lora"), (tmp_path / "lora",)):
        out = tmp_path / f"out-{len(words)}"
        result = run("convert", *words, "-o", out)
        assert result.code == 0, result.err
        merged, variant, _ = load_network(out)
        assert variant == load_network(source)[1]
        torch.testing.assert_close(answers(merged), answers(network), rtol=1e-5, atol=1e-5)


def test_a_sam_adapter_cannot_be_merged(run, source: Path, tmp_path: Path) -> None:
    network, _, _ = load_network(source)
    config = SamAdapterConfig()
    add_sam_adapter(network, config)
    save_adapter(network, tmp_path / "adapter", config, str(source))
    result = run("convert", source, "--adapter", tmp_path / "adapter", "-o", tmp_path / "out")
    assert result.code == 2
    assert "expected LoRA, which can be merged into weights, got a SAM-Adapter" in result.err
    assert not (tmp_path / "out").exists()


def save_lama(path: Path, monkeypatch: pytest.MonkeyPatch) -> Lama:
    """Write a LaMa that is small enough for tests, and let it be the published one."""
    monkeypatch.setattr(Lama.__init__, "__defaults__", (8, 1))
    torch.manual_seed(0)
    network = Lama().eval()
    inputs = (torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, inputs, check_trace=False, strict=False).save(path)
    return network


def test_lama_from_torchscript(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = save_lama(tmp_path / "big-lama.pt", monkeypatch)
    state = network.state_dict()
    result = run("convert", tmp_path / "big-lama.pt", "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert result.out.startswith(f"big-lama: {len(state)} tensors")
    found = load_file(tmp_path / "out/model.safetensors")
    torch.testing.assert_close(found, dict(state), rtol=0, atol=0)
    again = LamaEngine.load(str(tmp_path / "out"), "cpu", "float32", True)
    torch.testing.assert_close(dict(again.network.state_dict()), dict(state), rtol=0, atol=0)
    half = run("convert", tmp_path / "big-lama.pt", "-o", tmp_path / "half", "--dtype", "float16")
    assert half.code == 0
    kinds = {value.dtype for value in load_file(tmp_path / "half/model.safetensors").values()}
    assert kinds == {torch.float16, torch.int64}
    refused = run(
        "convert", tmp_path / "big-lama.pt", "-o", tmp_path / "t", "--layout", "transformers"
    )
    assert refused.code == 2 and "expected no --layout for LaMa" in refused.err
    segment = run(
        "segment", tmp_path / "big-lama.pt", "--model", tmp_path / "out", "--point", "1,1"
    )
    assert segment.code == 2 and "inpaint" in segment.err


def test_torchscript_of_another_network(run, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(3, 2)).save(tmp_path / "other.pt")
    result = run("convert", tmp_path / "other.pt", "-o", tmp_path / "out")
    assert result.code == 2 and "expected weights of LaMa" in result.err
    assert not (tmp_path / "out").exists()

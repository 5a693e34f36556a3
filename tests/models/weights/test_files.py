from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from anymask.errors import WeightsError
from anymask.models.weights.files import read_state

State = dict[str, Tensor]


def save_zip(state: State, path: Path) -> None:
    torch.save(state, path)


def save_old(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def save_zip_in_zip(state: State, path: Path) -> None:
    inner = path.with_name("weights.pt")
    torch.save(state, inner)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inner, "weights/weights.pt")
        archive.writestr("__MACOSX/weights/._weights.pt", b"what a Mac adds")
    inner.unlink()


@pytest.mark.parametrize("save", [save_file, save_zip, save_old, save_zip_in_zip])
@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors", ""])
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


STATE = {"a": torch.arange(3.0)}

WRAPPED = {
    "model": {"model": STATE},
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "beside other things": {"epoch": 3, "model": STATE, "optimizer": {"state": {}, "lr": 0.1}},
    "a name of its own": {"student": STATE, "epoch": 3, "optimizer": {"state": {}, "lr": 0.1}},
    "names of their own": {"run 7": {"sam": STATE, "step": 2}, "args": {"lr": 0.1}},
    "averaged": {"model": None, "ema": STATE},
    "averaged beside the last": {"model": {"a": -STATE["a"]}, "ema": STATE, "updates": 7},
    "settings of averaging": {"model": STATE, "ema": {"decay": 0.999}},
    "parameters": {"model": {"a": nn.Parameter(STATE["a"])}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_wrapper_is_taken_off(tmp_path: Path, kind: str) -> None:
    torch.save(WRAPPED[kind], tmp_path / "file")
    got = read_state(tmp_path / "file")
    torch.testing.assert_close(got, STATE)
    assert not got["a"].requires_grad


def test_words_beside_weights_are_overlooked(tmp_path: Path) -> None:
    content = {**STATE, "b": torch.ones(2), "c": torch.ones(2), "epoch": 3}
    content["decoder_state"] = {"x": torch.ones(1)}
    torch.save(content, tmp_path / "file.pth")
    assert read_state(tmp_path / "file.pth").keys() == {"a", "b", "c"}


def test_counters_beside_weights_are_no_weights(tmp_path: Path) -> None:
    counters = {name: torch.tensor(0.5) for name in ("lr", "epoch", "best")}
    weights = {**STATE, "b": torch.ones(2), "c": torch.ones(2)}
    torch.save({"student": weights, **counters}, tmp_path / "file.pth")
    assert read_state(tmp_path / "file.pth").keys() == {"a", "b", "c"}


def truncated(path: Path, save: Any) -> None:
    save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])


def save_program(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")
        archive.writestr("model/constants.pkl", b"")
        archive.writestr("model/code/__torch__.py", "")


def save_texts(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "hello")


BAD_FILES: dict[str, tuple[Any, str]] = {
    "missing": (lambda path: None, "No such file"),
    "folder": (lambda path: path.mkdir(), "directory"),
    "empty": (lambda path: path.touch(), "got an empty one"),
    "page": (lambda path: path.write_text("\n<!doctype html><p>Not found</p>"), "got a web page"),
    "pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00"),
        "got a Git LFS pointer to one; run: git lfs pull",
    ),
    "index": (lambda path: path.write_text('{"weight_map": {}}'), "got JSON; name the weights"),
    "text": (lambda path: path.write_text("Entry not found"), "got a text"),
    "picture": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0"), "neither"),
    "cut safetensors": (lambda path: truncated(path, save_file), "cut off"),
    "cut zip": (lambda path: truncated(path, save_zip), "got the beginning of one"),
    "cut pickle": (lambda path: truncated(path, save_old), "cut off"),
    "broken header": (lambda path: path.write_bytes(b"\x09" + bytes(7) + b"{" * 20), "damaged"),
    "not a pickle": (lambda path: path.write_bytes(b"\x80 nothing of the kind"), "damaged"),
    "zip of a text": (lambda path: save_texts(path, "hello.txt"), "damaged, cut off or of another"),
    "zip of many": (lambda path: save_texts(path, "a.pt", "b.pt"), "got one of 2 files; unpack"),
    "program": (save_program, "a TorchScript program"),
    "list": (lambda path: torch.save([torch.zeros(2)], path), "got list"),
    "nothing in it": (lambda path: torch.save({}, path), "got nothing"),
    "nothing in the wrapper": (lambda path: torch.save({"model": {}}, path), "dict under 'model'"),
    "number keys": (lambda path: torch.save({1: torch.zeros(2)}, path), "Tensor under 1"),
    "two networks": (
        lambda path: torch.save({"student": STATE, "teacher": STATE}, path),
        "got tensors under 'student', 'teacher'; save only",
    ),
    "sparse": (lambda path: torch.save({"a": torch.eye(2).to_sparse()}, path), "is sparse"),
    "no values": (lambda path: torch.save({"a": torch.ones(1, device="meta")}, path), "no values"),
    "a word": (lambda path: torch.save({"a": torch.ones(1), "b": "c"}, path), "str under 'b'"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_sentence(tmp_path: Path, kind: str) -> None:
    make, words = BAD_FILES[kind]
    path = tmp_path / "file.pth"
    make(path)
    with pytest.raises(WeightsError, match=words) as error:
        read_state(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "file").touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WeightsError, match=r"cannot read .*file': Permission denied; check"):
        read_state(tmp_path / "file")


def test_an_archive_that_claims_to_be_huge_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    save_texts(path, "weights.pt")
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (0xFFFFFFF0).to_bytes(4, "little")  # the size in the index
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_state(path)


class Attack:
    """Unpickling this makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize(
    "save", [save_zip, save_old, save_zip_in_zip, lambda s, p: p.write_bytes(pickle.dumps(s))]
)
def test_code_is_refused_by_name_and_never_run(tmp_path: Path, save: Any) -> None:
    path, trace = tmp_path / "file.pth", tmp_path / "it-ran"
    save({"a": Attack(trace), "b": torch.ones(2)}, path)
    with pytest.raises(WeightsError, match=r"the Python object (posix|nt)\.system, which could"):
        read_state(path)
    assert not trace.exists()

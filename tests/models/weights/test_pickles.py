"""What the reader of whole objects reads, and that nothing in a file ever runs."""

from __future__ import annotations

import builtins
import datetime
import functools
import importlib
import io
import operator
import os
import pickle
import struct
import subprocess
import types
import zipfile
from argparse import Namespace
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.weights.conftest import foreign
from torch import Tensor, nn

from anymask.errors import WeightsError
from anymask.models.weights.files import read_state


class Net(nn.Module):
    """Stands for a network whose code is not there when its file is read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU())
        self.heads = nn.ModuleList(nn.Linear(4, 2) for _ in range(2))
        self.scale = nn.Parameter(torch.randn(2, 3).T)
        self.register_buffer("table", torch.arange(6.0)[::2])
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.register_parameter("absent", None)
        self.names = {0: "object"}
        self.args = types.SimpleNamespace(lr=0.1, project=Path("runs"))
        self.stride = torch.tensor([8.0, 16.0])


def check_equal(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(got) == list(wanted)
    for key, value in wanted.items():
        assert got[key].dtype == value.dtype
        torch.testing.assert_close(got[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_network_of_unknown_classes_is_read(tmp_path: Path, half: bool, zipped: bool) -> None:
    """The way in which FastSAM's weights are published."""
    net = Net().half() if half else Net()
    content = {
        "epoch": -1,
        "best_fitness": np.float64(0.5),
        "model": net,
        "ema": None,
        "optimizer": None,
        "train_args": {"lr": 0.1, "path": Path("x"), "space": Namespace(a=1), "seen": {1, 2}},
        "curve": np.arange(3.0),
        "counts": defaultdict(list, {"train": [1]}),
        "latest": deque([0.1, 0.2], maxlen=2),
        "torch": torch.__version__,
        "date": datetime.datetime(2023, 6, 1).astimezone(datetime.UTC),
        "version": "8.0",
    }
    path = tmp_path / "file.pt"
    with foreign(Net):
        torch.save(content, path)
    if zipped:
        with zipfile.ZipFile(tmp_path / "file.pt.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, "file.pt")
        path = tmp_path / "file.pt.zip"
    check_equal(read_state(path), net.state_dict())


def test_a_bare_module_is_read(tmp_path: Path) -> None:
    net = nn.Linear(2, 3)
    torch.save(net, tmp_path / "file.pt")
    check_equal(read_state(tmp_path / "file.pt"), net.state_dict())


def test_shared_tensors_and_views_are_read(tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    net = Net()
    net.scale = nn.Parameter(base[1:3, ::2])
    net.table = base[0]
    with foreign(Net):
        torch.save(net, tmp_path / "file.pt")
    check_equal(read_state(tmp_path / "file.pt"), net.state_dict())


# ---- hostile files ---------------------------------------------------------------------------


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.parts


class SetsState:
    """Runs something when it is given its state back."""

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __setstate__(self, state: Any) -> None:
        Path(state["trace"]).touch()


def module_with(**attributes: Any) -> nn.Module:
    net = nn.Linear(1, 1)
    for name, value in attributes.items():
        setattr(net, name, value)
    return net


TOUCH = "import pathlib; pathlib.Path({!r}).touch()"

HOSTILE: dict[str, tuple[Callable[[str], Any], str]] = {
    "system": (lambda t: Calls(os.system, f"touch {t}"), r"(posix|nt)\.system"),
    "popen": (lambda t: Calls(subprocess.Popen, ["touch", t]), r"subprocess\.Popen"),
    "check_output": (lambda t: Calls(subprocess.check_output, ["touch", t]), "check_output"),
    "eval": (lambda t: Calls(eval, f"__import__('pathlib').Path({t!r}).touch()"), "builtins.eval"),
    "exec": (lambda t: Calls(exec, TOUCH.format(t)), r"builtins\.exec"),
    "import": (lambda t: Calls(__import__, "antigravity"), r"builtins\.__import__"),
    "getattr": (lambda t: Calls(getattr, Path(t), "touch"), r"builtins\.getattr"),
    "open": (lambda t: Calls(open, t, "w"), r"\.open"),
    "method": (lambda t: Calls(Path.touch, Path(t)), r"builtins\.getattr|Path\.touch"),
    "import_module": (lambda t: Calls(importlib.import_module, "this"), "importlib.import_module"),
    "partial": (lambda t: Calls(functools.partial, os.system, f"touch {t}"), "functools.partial"),
    "methodcaller": (
        lambda t: Calls(operator.methodcaller, "touch"),
        r"operator\.methodcaller",
    ),
    "attrgetter": (lambda t: Calls(operator.attrgetter, "touch"), r"operator\.attrgetter"),
    "map": (lambda t: Calls(builtins.map, os.system, [f"touch {t}"]), r"builtins\.map|system"),
    "torch.load": (lambda t: Calls(torch.load, t), r"torch\.serialization\.load"),
    "torch.save": (lambda t: Calls(torch.save, {}, t), r"torch\.serialization\.save"),
    "numpy": (lambda t: Calls(np.save, t, [1]), r"numpy.*save"),
    "hub": (lambda t: Calls(torch.hub.load, "a/b", "c"), r"torch\.hub\.load"),
    "own function": (lambda t: Calls(make_file, t), r"test_pickles\.make_file"),
    "behind a tensor": (lambda t: [torch.ones(2), Calls(os.system, f"touch {t}")], "system"),
    "in a set": (lambda t: {Calls(os.system, f"touch {t}")}, "system"),
    "as an argument": (
        lambda t: Calls(set, [Calls(os.system, f"touch {t}")]),
        "system",
    ),
    "as a state": (
        lambda t: Calls(Namespace, state={"a": Calls(os.system, f"touch {t}")}),
        "system",
    ),
}


def make_file(path: str) -> None:
    Path(path).touch()


PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda evil: evil,
    "as a value": lambda evil: {"a": torch.ones(2), "b": evil},
    "in the model": lambda evil: {"model": module_with(evil=evil)},
    "in a list": lambda evil: [[{"deep": (evil,)}]],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_call_is_refused_by_name(tmp_path: Path, kind: str, place: str) -> None:
    trace = tmp_path / "it-ran"
    make, name = HOSTILE[kind]
    torch.save(PLACES[place](make(str(trace))), tmp_path / "file.pt")
    with pytest.raises(WeightsError, match=rf"the Python object \S*{name}\S*, which could run"):
        read_state(tmp_path / "file.pt")
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["system", "eval", "popen", "behind a tensor"])
def test_no_protocol_gets_through(tmp_path: Path, kind: str, protocol: int) -> None:
    trace = tmp_path / "it-ran"
    evil = HOSTILE[kind][0](str(trace))
    evil = evil[1] if isinstance(evil, list) else evil
    path = tmp_path / "file.pt"
    save_program(path, pickle.dumps({"model": module_with(evil=evil)}, protocol))
    with pytest.raises(WeightsError, match="which could run code"):
        read_state(path)
    for zipped in (False, True):
        torch.save(evil, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        with pytest.raises(WeightsError):
            read_state(path)
    assert not trace.exists()


def save_program(path: Path, program: bytes, **data: bytes) -> None:
    """Write a PyTorch file around a pickle of our own making."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
        for key, content in data.items():
            archive.writestr(f"archive/data/{key.removeprefix('_')}", content)


def test_a_class_with_a_will_of_its_own_is_not_made(tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    torch.save({"model": module_with(evil=SetsState(str(trace)))}, tmp_path / "file.pt")
    assert set(read_state(tmp_path / "file.pt")) == {"weight", "bias"}
    assert not trace.exists()


def opcodes(trace: str) -> dict[str, bytes]:
    """Programs that no pickler writes."""
    command = f"touch {trace}".encode()
    text = b"X" + struct.pack("<I", len(command)) + command
    system, end = b"cposix\nsystem\n", b"."
    strings = b"\x8c\x05posix\x8c\x06system"
    return {
        "INST": b"(" + text + b"iposix\nsystem\n" + end,
        "OBJ": b"(" + system + text + b"o" + end,
        "NEWOBJ": system + text + b"\x85\x81" + end,
        "NEWOBJ_EX": system + text + b"\x85}\x92" + end,
        "STACK_GLOBAL": strings + b"\x93" + text + b"\x85R" + end,
        "memoised name": b"\x8c\x05posix\x94" + b"0h\x00\x8c\x06system\x93" + text + b"\x85R" + end,
        "dotted name": b"\x8c\x02os\x8c\x06system\x93" + text + b"\x85R" + end,
        "python 2": b"c__builtin__\neval\n" + text + b"\x85R" + end,
        "python 2 copy_reg": b"ccopy_reg\n_reconstructor\n)R" + end,
        "dots in the name": b"\x8c\x05torch\x8c\x14serialization.os.abc\x93)R" + end,
        "extension": b"\x82\x01" + text + b"\x85R" + end,
        "called string": b"\x8c\x02os" + text + b"\x85R" + end,
        "state of a builder": b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb"
        + end,
        "state of a class": b"cevil\nClass\n}X\x01\x00\x00\x00aK\x01sb" + end,
        "reference": b"X\x01\x00\x00\x00aQ" + end,
        "text reference": b"Pposix.system\n" + end,
        "memo far away": b"N" + b"r\xff\xff\xff\x7f" + end,
        "memo unknown": b"h\x09" + end,
        "huge bytes": b"\x8e" + struct.pack("<Q", 1 << 60) + end,
        "huge bytearray": b"\x96" + struct.pack("<Q", 1 << 60) + end,
        "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + end,
        "deep": b"(" * 100_000 + b"l" * 99_000 + end,
        "no end": b"N" * 1000,
        "nothing": b"",
        "empty stack": b"R.",
        "buffer": b"\x97" + end,
    }


@pytest.mark.parametrize("kind", opcodes(""))
def test_no_program_gets_through(tmp_path: Path, kind: str) -> None:
    trace = tmp_path / "it-ran"
    save_program(tmp_path / "file.pt", opcodes(str(trace))[kind])
    with pytest.raises(WeightsError) as caught:
        read_state(tmp_path / "file.pt")
    assert "\n" not in str(caught.value)
    assert not trace.exists()


def test_a_name_from_a_file_does_not_reach_the_terminal_as_it_is(tmp_path: Path) -> None:
    save_program(tmp_path / "file.pt", b"\x8c\x02os\x8c\x08\x1b[31mrm\n\x93)R.")
    with pytest.raises(WeightsError) as caught:
        read_state(tmp_path / "file.pt")
    assert str(caught.value).isprintable()
    assert r"os.??31mrm?" in str(caught.value)


def tensor_program(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A tensor in the words of torch.save, of a storage that the file calls 0."""

    class Reference:
        pass

    class Writer(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            if isinstance(value, Reference):
                return ("storage", torch.FloatStorage, "0", "cpu", 1 << 40)
            return None

    rebuild = torch._utils._rebuild_tensor_v2
    tensor = Calls(rebuild, Reference(), offset, size, stride, False, None)
    buffer = io.BytesIO()
    # A set is no tensor, so that it is our reader that reads it.
    Writer(buffer, 2).dump({"model": {"a": tensor}, "other": np.float64(1)})
    return buffer.getvalue()


def test_a_tensor_of_our_own_making_is_read(tmp_path: Path) -> None:
    values = np.arange(4, dtype=np.float32)
    save_program(tmp_path / "file.pt", tensor_program((2, 2), (2, 1)), _0=values.tobytes())
    torch.testing.assert_close(
        read_state(tmp_path / "file.pt"), {"a": torch.arange(4.0).reshape(2, 2)}
    )


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((1 << 40,), (1,), 0),  # larger than its storage
        ((1 << 40,), (0,), 0),  # one value many times
        ((2, 2), (4, 1), 0),
        ((2,), (1,), 3),
        ((2,), (1,), -1),
        ((2,), (-1,), 1),
        ((-2,), (1,), 0),
    ],
)
def test_a_tensor_stays_inside_its_storage(
    tmp_path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    save_program(tmp_path / "file.pt", tensor_program(size, stride, offset), _0=bytes(16))
    with pytest.raises(WeightsError, match="damaged"):
        read_state(tmp_path / "file.pt")


def test_a_storage_stays_inside_its_file(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    save_program(path, tensor_program((4,), (1,)), _0=bytes(16))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    for place in (20, 24):  # both sizes in the table of contents
        content[entry + place : entry + place + 4] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        read_state(path)


@pytest.mark.parametrize("ways", [1, 2])
def test_modules_in_a_circle_are_refused(tmp_path: Path, ways: int) -> None:
    """Two ways round make 2^n of n modules."""
    net = nn.Linear(1, 1)
    net._modules |= dict.fromkeys("ab"[:ways], net)
    torch.save(net, tmp_path / "file.pt")
    with pytest.raises(WeightsError, match="damaged"):
        read_state(tmp_path / "file.pt")


@pytest.mark.parametrize("kind", ["_parameters", "_buffers", "_modules"])
def test_a_module_without_the_parts_of_one_holds_nothing(tmp_path: Path, kind: str) -> None:
    net = nn.Sequential()
    vars(net)[kind] = 5
    torch.save(net, tmp_path / "file.pt")
    with pytest.raises(WeightsError, match=r"got torch\.nn\.\S*Sequential"):
        read_state(tmp_path / "file.pt")

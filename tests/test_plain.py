"""Dataclasses as plain values and back: every type of field, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from anymask.errors import InputError, OutputError
from anymask.plain import (
    check_choice,
    check_number,
    from_plain,
    read_yaml,
    to_plain,
    write_yaml,
)

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True)
class Disc:
    radius: float = 1.0


@dataclass(frozen=True)
class Square:
    side: int
    colours: frozenset[Literal["red", "green", 3]] = frozenset()


@dataclass(frozen=True)
class Loop:
    lr: float = 1e-4
    steps: int = 100
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "linear"] = "cosine"


@dataclass(frozen=True)
class Options:
    data: tuple[Path, ...] = ()
    model: str = "bundled"
    pad: Literal["square"] | int | None = None
    rank: int | None = None
    share: float = 0.5
    flip: bool = True
    shape: Disc | Square = field(default_factory=Disc)
    shapes: tuple[Disc | Square, ...] = ()
    inner: Loop | None = None
    loop: Loop = field(default_factory=Loop)
    grids: tuple[tuple[tuple[float, float], ...], ...] | None = None
    words: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    either: int | float | str = 0
    anything: Any = None


@dataclass(frozen=True)
class Priced:
    price: Decimal | None = None
    shape: Disc | None = None


numbers = st.floats(allow_nan=False)
discs = st.builds(Disc, numbers)
squares = st.builds(
    Square, st.integers(), st.frozensets(st.sampled_from(["red", "green", 3]), max_size=3)
)
loops = st.builds(
    Loop,
    lr=numbers,
    steps=st.integers(),
    betas=st.tuples(numbers, numbers),
    schedule=st.sampled_from(["cosine", "linear"]),
)
names = st.text(max_size=9)
any_options = st.builds(
    Options,
    data=st.lists(names.map(Path), max_size=3).map(tuple),
    model=names,
    pad=st.none() | st.just("square") | st.integers(),
    rank=st.none() | st.integers(),
    share=numbers,
    flip=st.booleans(),
    shape=discs | squares,
    shapes=st.lists(discs | squares, max_size=3).map(tuple),
    inner=st.none() | loops,
    loop=loops,
    grids=st.none() | st.just((((0.0, 1.0), (0.5, 0.5)), ((0.25, 0.75),))),
    words=st.lists(names, max_size=3),
    counts=st.dictionaries(names, st.integers(), max_size=3),
    sizes=st.dictionaries(names, st.lists(st.integers(), max_size=3).map(tuple), max_size=3),
    either=st.integers() | numbers | names,
    anything=st.none() | st.booleans() | st.lists(st.integers(), max_size=2),
)


@given(any_options)
@settings(max_examples=50, deadline=None)
def test_what_is_plain_is_read_back(options: Options) -> None:
    assert from_plain(Options, to_plain(options)) == options
    assert from_plain(Options, json.loads(json.dumps(to_plain(options)))) == options


@given(value=names | numbers)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(value="a\x85b")
@example(value="\udce4")
@example(value="画 \u2028")
@example(value="1e-4")
def test_yaml_there_and_back(tmp_path: Path, value: str | float) -> None:
    write_yaml(tmp_path / "values.yaml", {"value": value, "plain": "ü"})
    assert read_yaml(tmp_path / "values.yaml") == {"value": value, "plain": "ü"}


def test_files_there_and_back(tmp_path: Path) -> None:
    odd = Path("b\udce4")  # bytes of a file name that are no UTF-8
    options = Options(data=(Path("ü/画"), odd), loop=Loop(lr=1e-7), pad="square")
    write_yaml(tmp_path / "options.yaml", options)
    assert "ü/画" in (tmp_path / "options.yaml").read_text(encoding="utf-8")
    assert from_plain(Options, read_yaml(tmp_path / "options.yaml")) == options


def test_numbers_of_numpy_become_pythons(tmp_path: Path) -> None:
    values = {
        "double": np.float64(0.5),
        "single": np.float32(0.5),
        "whole": np.int64(7),
        "true": np.bool_(True),
        "text": np.str_("a"),
        "array": np.eye(2, dtype=np.uint8),
    }
    found = to_plain(values)
    assert found == {
        "double": 0.5,
        "single": 0.5,
        "whole": 7,
        "true": True,
        "text": "a",
        "array": [[1, 0], [0, 1]],
    }
    assert [type(v) for v in found.values()] == [float, float, int, bool, str, list]
    write_yaml(tmp_path / "values.yaml", values)
    assert read_yaml(tmp_path / "values.yaml") == found


def test_only_open_fields_name_their_class() -> None:
    plain = to_plain(Options(shapes=(Square(1),)))
    assert plain["shape"] == {"class": "Disc", "radius": 1.0}
    assert "class" not in plain["loop"]
    assert from_plain(Options, {"loop": {"class": "Loop", "lr": 1}}).loop == Loop(lr=1.0)


def test_types_for_type_checkers_alone() -> None:
    from decimal import Decimal

    assert to_plain(Priced(shape=Disc())) == {
        "price": None,
        "shape": {"class": "Disc", "radius": 1.0},
    }
    with pytest.raises(NameError):
        from_plain(Priced, {})
    found = from_plain(Priced, to_plain(Priced(shape=Disc(2))), names={"Decimal": Decimal})
    assert found == Priced(shape=Disc(2))


def test_plain_values_share_nothing() -> None:
    options = Options(words=["a"])
    to_plain(options)["words"].append("b")
    assert options.words == ["a"]


def test_sets_have_one_order() -> None:
    words = [f"word{i}" for i in range(50)]
    assert to_plain(frozenset(words)) == to_plain({*words[25:], *words[:25]}) == sorted(words)
    assert to_plain({"green", 10, 3}) == to_plain({3, 10, "green"}) == [3, 10, "green"]


@pytest.mark.parametrize("value", [object(), Disc, 1j, b"bytes", lambda: 0])
def test_what_is_not_plain(value: object) -> None:
    with pytest.raises(InputError, match=r"expected loop\.seed as text, numbers, paths, or lists"):
        to_plain({"loop": {"seed": value}})


def test_what_is_not_named_keeps_its_default() -> None:
    options = from_plain(Options, {"loop": {"lr": "1e-3", "steps": 7}})
    assert options == Options(loop=Loop(lr=1e-3, steps=7))


@pytest.mark.parametrize("text", ["1e-3", "1E3", "+.5e2", "1.e-3", "-2.5e+10"])
def test_exponents_are_text_to_yaml(text: str) -> None:
    assert from_plain(Loop, {"lr": text}).lr == float(text)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"lerning": 1}, "expected settings out of data, model, .*, got lerning; leave it out"),
        ({1: 1}, "expected settings out of data, .*, got 1; leave it out"),
        ({"loop": {"l": 1}}, r"got loop\.l;"),
        ({"loop": {"lr": "fast"}}, r"expected loop\.lr as float, got 'fast'; change it"),
        ({"loop": {"lr": "3"}}, r"expected loop\.lr as float, got '3'"),
        ({"loop": {"lr": "nan"}}, r"expected loop\.lr as float, got 'nan'"),
        ({"loop": {"lr": True}}, r"expected loop\.lr as float, got True"),
        ({"loop": {"lr": None}}, r"expected loop\.lr as float, got None"),
        ({"loop": {"steps": 1.5}}, r"expected loop\.steps as int, got 1\.5"),
        ({"loop": {"steps": True}}, r"expected loop\.steps as int, got True"),
        ({"loop": {"betas": [0.9]}}, r"expected loop\.betas as list of 2 \(float\), got \[0\.9\]"),
        ({"loop": {"betas": [0.9, "a"]}}, r"expected loop\.betas as float, got 'a'"),
        ({"loop": {"schedule": "step"}}, "expected loop.schedule as 'cosine', 'linear', got 'st"),
        ({"loop": 3}, "expected loop as Loop, got 3"),
        ({"loop": {"class": "Disc"}}, r"expected loop\.class as Loop, got 'Disc'"),
        ({"rank": "four"}, "expected rank as int, got 'four'"),
        ({"inner": {"lr": "fast"}}, r"expected inner\.lr as float, got 'fast'"),
        ({"pad": "round"}, "expected pad as 'square' or int, got 'round'"),
        ({"pad": True}, "expected pad as 'square' or int, got True"),
        ({"data": "photos"}, r"expected data as list \(Path\), got 'photos'"),
        ({"data": [1]}, "expected data as Path, got 1"),
        ({"flip": "yes"}, "expected flip as bool, got 'yes'"),
        ({"flip": 1}, "expected flip as bool, got 1"),
        ({"shape": {"radius": 1.0}}, r"expected shape\.class as one of Disc, Square, got None"),
        ({"shape": {"class": "os.system"}}, "as one of Disc, Square, got 'os.system'"),
        ({"shape": {"class": ["Disc"]}}, r"as one of Disc, Square, got \['Disc'\]"),
        ({"shape": {"class": "Square"}}, r"expected shape\.side, got none; add it"),
        ({"shape": {"class": "Square", "side": 1, "colours": ["blue"]}}, "'red', 'green', 3, got"),
        ({"shape": 3}, "expected shape as Disc or Square, got 3"),
        ({"counts": {"a": "b"}}, r"expected counts\.a as int, got 'b'"),
        ({"counts": [1]}, r"expected counts as names and values, got \[1\]"),
        ({"words": ["a" * 99]}, None),
        ({"loop": {"steps": "a" * 99}}, r"got 'a{56}\.\.\.; change it"),
    ],
)
def test_settings_that_make_no_sense(values: dict[Any, Any], complaint: str | None) -> None:
    if complaint is None:
        assert to_plain(from_plain(Options, values))["words"] == values["words"]
        return
    with pytest.raises(InputError, match=complaint) as caught:
        from_plain(Options, values)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Checked:
    share: Any = 0.5
    count: Any = 1
    word: Any = "one"

    def __post_init__(self) -> None:
        check_number(self, "share", 0, 1)
        check_number(self, "count", 1, whole=True)
        check_choice(self, "word", ("one", "two"))


@pytest.mark.parametrize("name", ["share", "count"])
@pytest.mark.parametrize(
    "value", [-1, "1", None, True, float("nan"), float("inf"), -float("inf"), 1j]
)
def test_numbers_are_checked(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"expected {name} as a .*number.*; the default is"):
        Checked(**{name: value})


def test_whole_numbers_are_checked() -> None:
    assert Checked(count=np.int64(3), share=np.float32(0.5)).count == 3
    with pytest.raises(
        InputError, match=r"expected count as a whole number of at least 1, got 1.5"
    ):
        Checked(count=1.5)
    with pytest.raises(InputError, match="expected share as a number from 0 to 1, got 2"):
        Checked(share=2)


def test_numbers_without_a_default() -> None:
    with pytest.raises(InputError, match="got 'a'; change it"):
        check_number(Square("a"), "side", 1)  # type: ignore[arg-type]


def test_choices_are_checked() -> None:
    with pytest.raises(InputError, match="expected word out of one, two, got 'three'; name one"):
        Checked(word="three")
    with pytest.raises(InputError, match="expected radius out of 1, 2, got True"):
        check_choice(Disc(True), "radius", (1, 2))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"- a\n- b\n", "got list; write one 'name: value' in each line"),
        (b"", "got NoneType; write one"),
        (b"a: [1\n", "what cannot be read"),
        (b"a: \xff\xfe\n", "what cannot be read"),
        (b"[" * 5000, "what cannot be read"),
        (b"!!python/object/apply:os.system ['true']", "what cannot be read"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, text: bytes, complaint: str) -> None:
    (tmp_path / "options.yaml").write_bytes(text)
    with pytest.raises(InputError, match=complaint) as caught:
        read_yaml(tmp_path / "options.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="what cannot be read"):
        read_yaml(tmp_path / "options.yaml")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_yaml(tmp_path / "no" / "options.yaml", {})

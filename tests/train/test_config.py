"""Settings: checked, written, and read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.errors import InputError
from anymask.train.config import LoopConfig, from_plain, plain, read_yaml, write_yaml


@dataclass(frozen=True)
class Options:
    data: tuple[Path, ...] = ()
    model: str = "bundled"
    learn: Literal["decoder", "lora"] = "decoder"
    rank: int | None = None
    share: float = 0.5
    flip: bool = True
    loop: LoopConfig = field(default_factory=LoopConfig)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    options = Options((Path("a"), Path("b/ü")), rank=4, loop=LoopConfig(rate=1e-7, minutes=2))
    write_yaml(tmp_path / "options.yaml", options)
    assert from_plain(Options, read_yaml(tmp_path / "options.yaml")) == options


@given(
    st.builds(
        LoopConfig,
        steps=st.integers(1, 10**9),
        minutes=st.none() | st.floats(0, 1e6),
        rate=st.floats(0, 1e3),
        betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
        schedule=st.sampled_from(["cosine", "linear", "constant"]),
        patience=st.none() | st.integers(1, 100),
    )
)
def test_any_loop_survives_being_plain(config: LoopConfig) -> None:
    assert from_plain(LoopConfig, plain(config)) == config


def test_what_is_not_named_keeps_its_default() -> None:
    options = from_plain(Options, {"loop": {"rate": "1e-3", "steps": 7}})
    assert options == Options(loop=LoopConfig(rate=1e-3, steps=7))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"lerning": 1}, "expected settings out of data, model, .*, got lerning; leave it out"),
        ({"loop": {"rat": 1}}, r"got loop\.rat;"),
        ({"loop": {"rate": "fast"}}, r"expected loop\.rate as float, got 'fast'"),
        ({"loop": {"steps": 1.5}}, r"expected loop\.steps as int, got 1\.5"),
        ({"loop": {"steps": True}}, r"expected loop\.steps as int, got True"),
        ({"loop": {"betas": [0.9]}}, r"expected loop\.betas as tuple, got \[0\.9\]"),
        ({"loop": {"schedule": "exponential"}}, "expected loop.schedule as 'cosine', 'linear'"),
        ({"loop": {"rate": -1}}, "expected rate as a number of at least 0, got -1.0"),
        ({"loop": 3}, "expected loop as LoopConfig, got 3"),
        ({"learn": "all"}, "expected learn as 'decoder', 'lora', got 'all'"),
        ({"rank": "four"}, "expected rank as int, got 'four'"),
        ({"data": "photos"}, "expected data as tuple, got 'photos'"),
        ({"data": [1]}, "expected data as Path, got 1"),
        ({"flip": "yes"}, "expected flip as bool, got 'yes'"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        from_plain(Options, values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, 0) for name in ("steps", "batch", "accumulate", "evaluate_every", "patience")],
        *[(name, -1) for name in ("seed", "workers", "warmup", "rate", "decay", "minutes")],
        *[(name, 1.5) for name in ("average", "layer_decay", "floor", "steps")],
        ("rate", float("nan")),
        ("betas", (0.9, 1.0)),
        ("schedule", "step"),
        ("precision", "int8"),
    ],
)
def test_a_loop_checks_its_settings(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"expected {name}"):
        LoopConfig(**{name: value})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a\n- b\n", "got list; write one 'name: value' in each line"),
        ("a: [1\n", "what cannot be read"),
        ("!!python/object/apply:os.system ['true']", "what cannot be read"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "options.yaml").write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_yaml(tmp_path / "options.yaml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="what cannot be read"):
        read_yaml(tmp_path / "options.yaml")

"""Settings of the loop: checked, and survivors of being plain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.errors import InputError
from anymask.plain import from_plain, to_plain
from anymask.train.config import LoopConfig


@given(
    st.builds(
        LoopConfig,
        steps=st.integers(1, 10**9),
        minutes=st.none() | st.floats(0, 1e6),
        lr=st.floats(0, 1e3),
        betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
        schedule=st.sampled_from(["cosine", "linear", "constant"]),
        patience=st.none() | st.integers(1, 100),
    )
)
def test_any_loop_survives_being_plain(config: LoopConfig) -> None:
    assert from_plain(LoopConfig, to_plain(config)) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            (name, 0)
            for name in ("steps", "batch_size", "accumulate", "evaluate_every", "patience")
        ],
        *[(name, -1) for name in ("seed", "workers", "warmup", "lr", "weight_decay", "minutes")],
        *[(name, 1.5) for name in ("ema_decay", "layer_decay", "min_lr_ratio", "steps")],
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("betas", (0.9, 1.0)),
        ("schedule", "step"),
        ("precision", "int8"),
    ],
)
def test_a_loop_checks_its_settings(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"expected {name}"):
        LoopConfig(**{name: value})

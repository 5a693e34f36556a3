"""What the options of all commands say reaches the model."""

from __future__ import annotations

from typing import Any

import pytest

from anymask.cli.options import ComputeOptions, load_model


def test_how_to_compute_is_what_load_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(
        "anymask.predict.loading.load", lambda *args, **kwargs: told.append((args, kwargs))
    )
    load_model("bundled", ComputeOptions())
    load_model("sam-vit-b", ComputeOptions("cpu", "bfloat16", "onnx", compile=True, offline=True))
    assert told == [
        (("bundled", "auto", "float32"), {"offline": False, "runtime": "auto", "compile": False}),
        (("sam-vit-b", "cpu", "bfloat16"), {"offline": True, "runtime": "onnx", "compile": True}),
    ]

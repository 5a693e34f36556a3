"""What the options of all commands say reaches the model."""

from __future__ import annotations

from typing import Any

import pytest

from anymask.cli.options import ImageOptions, load_model


def test_how_to_compute_is_what_load_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(
        "anymask.predict.loading.load", lambda *args, **kwargs: told.append((args, kwargs))
    )
    load_model(ImageOptions())
    load_model(ImageOptions(runtime="onnx", compile=True, offline=True, dtype="bfloat16"))
    assert told == [
        (("bundled", "auto", "float32"), {"offline": False, "runtime": "auto", "compile": False}),
        (("bundled", "auto", "bfloat16"), {"offline": True, "runtime": "onnx", "compile": True}),
    ]

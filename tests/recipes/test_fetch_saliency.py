"""The recipe of the saliency network, as far as that goes without the package."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from recipes.fetch_saliency import MODEL, keys, read_model

from anymask.models.saliency import Saliency


def test_it_names_each_convolution_once() -> None:
    named = keys()
    assert len(named) == len(set(named)) == 119
    wanted = {f"{name}.{kind}" for name in named for kind in ("weight", "bias")}
    assert wanted == set(Saliency().state_dict())
    assert named[0] == "encoder.0.enter"
    assert named[-1] == "out"


def test_another_model_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr(MODEL, b"something else")
    with pytest.raises(SystemExit, match=r"expected SHA-256 309c8469.* got .*fetch the version"):
        read_model(wheel)

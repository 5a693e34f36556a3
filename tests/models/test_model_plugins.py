"""Models that other packages bring."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import anymask
from anymask.cli import main
from anymask.errors import InputError, WeightsError
from anymask.models.variants import VARIANTS, all_variants, find
from anymask.models.weights.loading import read_checkpoint

MODULE = """
from dataclasses import replace
from pathlib import Path
from anymask.models.variants import ModelPlugin, WeightSource
from tests.models.numpy_network import VARIANT, FlatColours

def open_network(path, device, dtype):
    assert path.read_text() == "weights"
    return FlatColours().moved(device, dtype)

def plugin(name):
    weights = WeightSource(str(Path(__file__).with_name("flat.weights")), "MIT")
    return ModelPlugin(replace(VARIANT, name=name, weights=weights), open_network)

ONE = plugin("flat-colours")
MANY = [plugin("flat-s"), plugin("flat-l")]
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package with entry points on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "flat.weights").write_text("weights")

    def install(*lines: str, module: str = MODULE) -> None:
        about = tmp_path / "their_models-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1\n")
        (about / "entry_points.txt").write_text("[anymask.models]\n" + "\n".join(lines) + "\n")
        (tmp_path / "their_models.py").write_text(module)
        monkeypatch.delitem(sys.modules, "their_models", raising=False)

    return install


def test_a_model_of_another_package_is_loaded_by_its_name(install: Install) -> None:
    install("flat-colours = their_models:ONE")
    model = anymask.load("flat-colours")
    assert model.variant.name == "flat-colours"
    assert model.weights_digest == hashlib.sha256(b"weights").hexdigest()
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 6:26] = 255
    assert model.predict(image, points=[(15, 20)], multimask=False).areas[0] > 300
    assert anymask.load("Flat-Colours").variant == model.variant


def test_a_package_may_bring_several(install: Install) -> None:
    install("flat-s = their_models:MANY", "flat-l = their_models:MANY")
    assert [v.name for v in all_variants()[len(VARIANTS) :]] == ["flat-l", "flat-s"]
    assert anymask.load("flat-l").variant.name == "flat-l"


def test_the_command_lists_them(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("flat-colours = their_models:ONE")
    assert main(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == [*(v.name for v in VARIANTS), "flat-colours"]
    assert main(["models"]) == 0
    assert "flat-colours" in capsys.readouterr().out


def test_nothing_is_imported_before_it_is_asked_for(install: Install) -> None:
    install("flat-colours = their_models:ONE")
    assert find("sam-vit-b").name == "sam-vit-b"
    with pytest.raises(WeightsError, match=r"try flat-colours;?"):
        find("flat-colour")
    assert "their_models" not in sys.modules


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("ONE = 1", "expected a ModelPlugin or a list of them.*'flat-colours'.*got a int"),
        ("ONE = []", "expected a model called 'flat-colours'.*got none"),
        (MODULE + "ONE = plugin('another')", "expected a model called 'flat-colours'.*another"),
        ("import no_such_module", "'their-models'.*no_such_module"),
    ],
)
def test_what_is_no_model_is_named(install: Install, module: str, message: str) -> None:
    install("flat-colours = their_models:ONE", module=module)
    with pytest.raises(InputError, match=message):
        anymask.load("flat-colours")


def test_a_service_names_a_file_of_its_package_instead_of_weights(install: Install) -> None:
    service = """
WEIGHTS = WeightSource(__file__, "MIT")
ONE = ModelPlugin(
    replace(VARIANT, name="flat-colours", weights=WEIGHTS), lambda path, *_: FlatColours()
)
"""
    install("flat-colours = their_models:ONE", module=MODULE + service)
    model = anymask.load("flat-colours")
    assert len(model.predict(np.zeros((40, 60, 3), np.uint8), points=[(15, 20)])) == 3


def test_a_model_without_anything_to_load_is_refused(install: Install) -> None:
    nothing = 'ONE = ModelPlugin(replace(VARIANT, name="flat-colours", weights=None), FlatColours)'
    install("flat-colours = their_models:ONE", module=MODULE + nothing)
    with pytest.raises(InputError, match=r"'their-models'.*WeightSource.*flat-colours, got None"):
        anymask.load("flat-colours")


def test_it_cannot_be_converted_or_adapted(install: Install, tmp_path: Path) -> None:
    install("flat-colours = their_models:ONE")
    with pytest.raises(WeightsError, match=r"flat-colours, which another package brings.*trained"):
        read_checkpoint("flat-colours")
    with pytest.raises(WeightsError, match=r"flat-colours, which another package brings; load it"):
        anymask.load("flat-colours", adapter=tmp_path)


def test_weights_that_are_missing(install: Install, tmp_path: Path) -> None:
    install("flat-colours = their_models:ONE")
    (tmp_path / "flat.weights").unlink()
    with pytest.raises(WeightsError, match=r"flat\.weights.*the package that adds it"):
        anymask.load("flat-colours")

"""The public names are exactly these; a new one is a decision, not an accident."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import anymask

SOURCE = Path(__file__).resolve().parents[2] / "src"

PUBLIC = [
    "VARIANTS",
    "AnymaskError",
    "CapabilityError",
    "Client",
    "Detections",
    "Embedding",
    "GenerateConfig",
    "Image",
    "InputError",
    "InstanceConfig",
    "LabelConfig",
    "Masks",
    "MissingExtraError",
    "OutputError",
    "Personal",
    "PersonalConfig",
    "Prompt",
    "Segmenter",
    "Track",
    "Transform",
    "Variant",
    "WeightsError",
    "__version__",
    "detect",
    "export",
    "label",
    "load",
    "personalize",
    "pick",
    "process",
    "read",
    "track",
]


def test_public_names_equal_the_list() -> None:
    assert sorted(anymask.__all__) == sorted(PUBLIC)
    assert sorted(dir(anymask)) == sorted({*PUBLIC} - {"__version__"})


def test_type_checkers_see_the_names_that_there_are() -> None:
    """A stub says what is public by ``import X as X``; all of it is loaded at first use."""
    stub = ast.parse((SOURCE / "anymask" / "__init__.pyi").read_text(encoding="utf-8"))
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    names = [(alias.name, alias.asname) for node in imported for alias in node.names]
    assert {seen for _, seen in names} | {"__version__"} == set(PUBLIC)
    assert all(name == seen for name, seen in names)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(anymask, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value)


def test_nothing_else_is_public() -> None:
    for name in PUBLIC:
        getattr(anymask, name)
    others = {
        name
        for name, value in vars(anymask).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert others - {*PUBLIC} == set()
    with pytest.raises(AttributeError):
        importlib.import_module("anymask").no_such_name  # noqa: B018


def test_every_module_lists_what_it_offers() -> None:
    for path in SOURCE.rglob("anymask/**/*.py"):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(SOURCE)
        if "\ndef " in text or "\nclass " in text:
            assert "\n__all__ = " in text, f"{name} has no __all__"


def test_importing_the_package_loads_no_other_module_of_ours() -> None:
    code = "import anymask, sys; print([n for n in sys.modules if n.startswith('anymask')])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "['anymask']"

"""Every module imports with the core dependencies alone, and nothing needs torchvision."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
FORBIDDEN = {"torchvision", "timm", "ultralytics"}
TESTED_EXTRAS = (
    *("image", "eval", "inpaint", "diffusion", "video"),
    *("export", "openvino", "serve", "dev"),
)

# Run in a fresh process: refuse whatever is not allowed, then import the modules one by one.
IMPORT_ALL = """
import importlib, json, sys

job = json.loads(sys.argv[1])
allowed = set(job["allowed"]) | sys.stdlib_module_names

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"No module named {name!r} (core only)", name=name)

sys.meta_path.insert(0, Refuse())
failed = {}
for name in job["modules"]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {error}"
print(json.dumps(failed))
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(distribution: str) -> set[str]:
    """Return what an installed distribution needs without extras, canonical names."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return set()  # for another platform or another Python
    plain = [line for line in lines if not re.search(r";.*\bextra\b", line)]
    return {canonical(re.match(r"[\w.-]+", line.strip())[0]) for line in plain}


def closure(names: list[str]) -> set[str]:
    """Return the distributions ``names`` and all that they pull in."""
    seen: set[str] = set()
    queue = [canonical(re.match(r"[\w.-]+", name)[0]) for name in names]
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue.extend(required(name))
    return seen


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def core_import_names() -> list[str]:
    core = closure(project()["dependencies"])
    owners = metadata.packages_distributions()
    names = [name for name, dists in owners.items() if any(canonical(d) in core for d in dists)]
    return ["anymask", *names]


def our_modules() -> list[str]:
    paths = [path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("anymask/**/*.py")]
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    return sorted(names - {"anymask.__main__"})


def import_all(modules: list[str], allowed: list[str], path: Path = SOURCE) -> dict[str, str]:
    job = json.dumps({"modules": modules, "allowed": allowed})
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_ALL, job],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_every_module_imports_with_the_core_alone() -> None:
    allowed = core_import_names()
    assert "torch" in allowed
    assert "cv2" not in allowed
    assert import_all(our_modules(), allowed) == {}


def test_the_guard_sees_an_optional_import(tmp_path: Path) -> None:
    (tmp_path / "needs_cv2.py").write_text("import cv2\n", encoding="utf-8")
    failed = import_all(["needs_cv2"], ["needs_cv2"], tmp_path)
    assert "No module named 'cv2'" in failed["needs_cv2"]


def imported_roots(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("folder", ["src", "tests", "recipes", "benchmarks"])
def test_no_source_imports_torchvision(folder: str) -> None:
    guilty = [p for p in (ROOT / folder).rglob("*.py") if imported_roots(p) & FORBIDDEN]
    assert guilty == []


def test_no_package_that_we_ask_for_needs_torchvision() -> None:
    extras = project()["optional-dependencies"].values()
    asked = [*project()["dependencies"], *(name for extra in extras for name in extra)]
    assert closure(asked) & FORBIDDEN == set()


def test_constraints_pin_exactly_what_the_tests_need() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    extras = project()["optional-dependencies"]
    tested = [name for extra in TESTED_EXTRAS for name in extras[extra]]
    needed = closure([*project()["dependencies"], *tested])
    installed = {canonical(d.metadata["Name"]) for d in metadata.distributions()}
    assert {name for name in needed & installed if name not in pins} == set()

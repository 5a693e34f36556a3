"""Imports follow the arrows of the floor plan: to the same layer or a lower one, without cycles."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"

# Lowest first. A package stands for all of its modules.
LAYERS = [
    ["errors", "optional", "plugins"],
    [
        "arrays",
        "atomic",
        "parallel",
        "plain",
        "config",
        "device",
        "geometry",
        "lock",
        "folder",
        "tensor_file",
    ],
    ["image", "masks", "embedding", "prompt", "detections"],
    ["models"],
    ["text", "everything", "predict"],
    ["formats", "draw", "data"],
    ["train", "evaluate", "batch"],
    ["extras", "export"],
    ["label"],
    ["serve"],
    ["client", "notebook"],
    ["compat", "cli"],
    ["__main__"],
]

# The only imports upwards, inside a function each: conveniences of a value that live higher up.
DOORS = {
    ("masks", "formats"),
    ("masks", "draw"),
    ("detections", "formats"),
    ("detections", "draw"),
}


class Import(NamedTuple):
    source: str  # dotted, without the leading "anymask."
    target: str
    in_function: bool
    line: int


def top(module: str) -> str:
    return module.partition(".")[0]


def layer(module: str) -> int:
    for number, names in enumerate(LAYERS):
        if top(module) in names:
            return number
    raise LookupError(f"anymask.{module} has no layer: give it one in LAYERS of {__file__}")


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root / "anymask").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def absolute(node: ast.ImportFrom, source: str, is_package: bool) -> str | None:
    """Resolve the module of a from-import to a dotted name inside anymask, None when outside."""
    if node.level:
        parts = source.split(".") if source else []
        keep = len(parts) - node.level + (1 if is_package else 0)
        return ".".join([*parts[:keep], *([node.module] if node.module else [])])
    if node.module == "anymask":
        return ""
    return (
        node.module.removeprefix("anymask.") if (node.module or "").startswith("anymask.") else None
    )


def targets(node: ast.AST, source: str, is_package: bool, modules: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
        return [n.removeprefix("anymask").lstrip(".") for n in names if top(n) == "anymask"]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = absolute(node, source, is_package)
    if base is None:
        return []
    names = [alias.name for alias in node.names if alias.name != "__version__"]
    whole = [f"{base}.{name}".lstrip(".") for name in names]
    return [name if name in modules else base for name in whole]


@cache
def read_imports(root: Path) -> list[Import]:
    """List every import of one of our modules by another, at any depth of the file."""
    paths = {module_name(path, root): path for path in sorted(root.rglob("anymask/**/*.py"))}
    modules = set(paths)
    found = []

    def visit(node: ast.AST, source: str, in_function: bool) -> None:
        for name in targets(node, source, paths[source].stem == "__init__", modules):
            found.append(Import(source, name, in_function, getattr(node, "lineno", 0)))
        inside = in_function or isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        )
        for child in ast.iter_child_nodes(node):
            visit(child, source, inside)

    for name, path in paths.items():
        visit(ast.parse(path.read_text(encoding="utf-8")), name, False)
    return found


def problems(root: Path) -> list[str]:
    """Say what is wrong with the imports below ``root``, one sentence each."""
    found = []
    graph: dict[str, set[str]] = {}
    for entry in read_imports(root):
        if not entry.source:
            continue  # anymask/__init__.py hands out names of every layer
        where = f"anymask/{entry.source.replace('.', '/')}:{entry.line}"
        if not entry.target:
            found.append(f"{where} imports the package itself: import the module that is meant")
            continue
        if (top(entry.source), top(entry.target)) in DOORS:
            if not entry.in_function:
                found.append(f"{where} opens the door to {entry.target} outside of a function")
            continue
        if layer(entry.target) > layer(entry.source):
            found.append(f"{where} imports upwards: anymask.{entry.target}")
        if entry.target != entry.source:
            graph.setdefault(entry.source, set()).add(entry.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"a cycle: {' -> '.join(error.args[1])}")
    return found


def test_imports_follow_the_arrows() -> None:
    assert problems(SOURCE) == []


def test_every_module_has_a_layer() -> None:
    for path in SOURCE.rglob("anymask/**/*.py"):
        if name := module_name(path, SOURCE):
            layer(name)


def test_every_door_is_used() -> None:
    used = {(top(entry.source), top(entry.target)) for entry in read_imports(SOURCE)}
    assert used >= DOORS


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"geometry.py": "from anymask.masks.masks import Masks"}, "upwards"),
        ({"geometry.py": "def f():\n    from anymask import masks"}, "upwards"),
        ({"geometry.py": "from .masks import Masks"}, "upwards"),
        ({"models/sam.py": "from ..predict import load"}, "upwards"),
        ({"masks.py": "from anymask import draw"}, "outside of a function"),
        ({"masks.py": "def f():\n    from anymask import draw"}, None),
        ({"geometry.py": "import anymask"}, "the package itself"),
        ({"geometry.py": "from anymask import Masks"}, "the package itself"),
        ({"geometry.py": "from anymask import __version__"}, None),
        (
            {"device.py": "import anymask.geometry", "geometry.py": "from anymask import device"},
            "cycle",
        ),
        ({"models/__init__.py": "from .sam import Sam", "models/sam.py": "import numpy"}, None),
    ],
)
def test_the_guard_sees(tmp_path: Path, files: dict[str, str], complaint: str | None) -> None:
    for name in ["__init__.py", "masks.py", "draw.py", "predict.py", "geometry.py", *files]:
        path = tmp_path / "anymask" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(name, ""), encoding="utf-8")
    found = problems(tmp_path)
    if complaint is None:
        assert found == []
    else:
        assert any(complaint in sentence for sentence in found), found

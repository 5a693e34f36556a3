"""Scripts let threads of OpenMP sleep while they wait, and say so before torch is loaded."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINE = 'os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")'
SCRIPTS = [
    path
    for folder in ("recipes", "benchmarks")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]


def imported_before(text: str) -> set[str]:
    """List what a script imports before it says how threads wait; all of it if it does not."""
    found: set[str] = set()
    for node in ast.parse(text).body:
        if ast.unparse(node) == LINE.replace('"', "'"):
            break
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_threads_sleep_from_the_beginning(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert LINE in text
    assert imported_before(text) <= sys.stdlib_module_names


def test_the_guard_sees_a_line_that_comes_too_late() -> None:
    assert imported_before(f"import os\nimport torch\n{LINE}") == {"os", "torch"}
    assert imported_before(f"import os\n{LINE}\nimport torch") == {"os"}

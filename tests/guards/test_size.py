"""No module is longer than 600 lines."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600


def test_no_module_over_600_lines() -> None:
    folders = ["src", "tests", "recipes", "benchmarks"]
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert paths
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    too_long = {str(path): lines for path, lines in lengths.items() if lines > LIMIT}
    assert too_long == {}, "split them: one noun per file"

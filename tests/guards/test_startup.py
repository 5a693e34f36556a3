"""``anymask --help`` answers at once: under 0.3 s, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anymask.evaluate.protocols import PROTOCOLS

SOURCE = Path(__file__).resolve().parents[2] / "src"
HEAVY = {"torch", "numpy", "PIL", "cv2", "safetensors", "huggingface_hub"}

HELP = """
import sys
from anymask.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(",".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def help_seconds(arguments: list[str]) -> float:
    """Run the help in a fresh process and return the processor seconds it took.

    Not wall time: that would fail the check whenever the machine has something else to do.
    """
    before = os.times()
    subprocess.run(
        [sys.executable, "-m", "anymask", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


def test_help_takes_less_than_300_milliseconds() -> None:
    assert min(help_seconds(["--help"]) for _ in range(7)) < 0.3


@pytest.mark.parametrize(
    "arguments",
    [[*words, "--help"] for words in ([], ["segment"], ["everything"], ["evaluate"], ["train"])]
    + [["evaluate", name, "--help"] for name in PROTOCOLS]
    + [["distill", "--help"], ["distill", "sami", "--help"]],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", HELP, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "usage" in result.stdout.lower()
    assert set(result.stderr.split()[-1].split(",")) & HEAVY == set()

"""Nothing that is built is kept in git."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_no_file_is_tracked_that_is_to_be_ignored() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, not an unpacked archive")
    words = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    tracked = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert tracked.splitlines() == [], "take them out with: git rm -r --cached"

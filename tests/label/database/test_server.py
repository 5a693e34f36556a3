"""The server of PostgreSQL that the tests start does not outlive them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import runpy, sys
from pathlib import Path

there = runpy.run_path(sys.argv[1])
with there["serving"](Path(sys.argv[2]), sys.argv[3] or None) as server:
    print(server.folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.postgres
def test_a_killed_run_of_the_tests_leaves_no_server(postgres: Any) -> None:
    here = Path(__file__).parents[1] / "conftest.py"
    user = postgres.user or ""
    command = [sys.executable, "-c", SCRIPT, str(here), str(postgres.programs), user]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        server = int((folder / "data/postmaster.pid").read_text().split()[0])
        assert Path(f"/proc/{server}").exists() or sys.platform != "linux"
        run.send_signal(signal.SIGKILL)
    end = time.monotonic() + 60
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not folder.exists()
    while Path(f"/proc/{server}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{server}").exists()
